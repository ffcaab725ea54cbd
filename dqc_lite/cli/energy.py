"""``dqc-lite energy FILE``."""

from __future__ import annotations

from dqc_lite.cli.session import Session


def run(session: Session) -> int:
    """Exit code 1 when the SCF did not converge; the JSON file is written all the same."""
    calculation = session.prepare()

    from dqc_lite.cli import record, scf_result
    from dqc_lite.singlepoint import solve

    with session.evaluating("SCF"):
        solution = solve(
            calculation.mol, calculation.method, **calculation.scf_options, throw=False
        )
        solution.energy.block_until_ready()
    scf_result.show(session, calculation, solution)
    session.finish(record.of_scf(session, calculation, solution))
    return scf_result.verdict(session, calculation, solution)
