"""``dqc-lite energy FILE``."""

from __future__ import annotations

from argparse import Namespace

from dqc_lite.cli.session import Session


def run(options: Namespace) -> int:
    """Exit code 1 when the SCF did not converge; the JSON file is written all the same."""
    session = Session(options)
    calculation = session.prepare()

    from dqc_lite.cli import record, scf_result
    from dqc_lite.singlepoint import solve

    with session.evaluating("SCF"):
        solution = solve(
            calculation.mol, calculation.method, **calculation.scf_options, throw=False
        )
        solution.energy.block_until_ready()
    scf_result.show(session, calculation, solution)
    session.finish(record.of_scf(options, calculation, solution))
    return scf_result.verdict(calculation, solution)
