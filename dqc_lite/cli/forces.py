"""``dqc-lite forces FILE``: energy and forces from one self-consistent field."""

from __future__ import annotations

from dqc_lite.cli.session import Session


def run(session: Session) -> int:
    """Exit code 1 when the SCF did not converge; the JSON file is written, its forces null."""
    calculation = session.prepare()

    import numpy as np

    from dqc_lite.cli import record, report, scf_result
    from dqc_lite.singlepoint import solve_with_forces

    with session.evaluating("SCF and forces"):
        solution, forces = solve_with_forces(
            calculation.mol, calculation.method, **calculation.scf_options, throw=False
        )
        values = np.asarray(forces)
    scf_result.show(session, calculation, solution)
    if solution.converged:
        print(report.forces(calculation.mol.symbols, values), end="\n\n")
    session.finish(record.of_scf(session, calculation, solution, values))
    return scf_result.verdict(session, calculation, solution)
