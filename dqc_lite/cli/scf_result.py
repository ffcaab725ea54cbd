"""Showing and judging a solution of the self-consistent field."""

from __future__ import annotations

import math

from dqc_lite.cli import report
from dqc_lite.cli.calculation import Calculation
from dqc_lite.cli.session import Session
from dqc_lite.scf.solution import Solution


def show(session: Session, calculation: Calculation, solution: Solution) -> None:
    """Log, energy, components and orbital energies; only the energy when quiet."""
    session.say(report.log(solution))
    print(report.total_energy(solution), end="\n" if session.options.quiet else "\n\n")
    session.say(report.components(solution))
    session.say(report.frontier(solution))
    if session.options.verbose:
        print(report.orbitals(solution), end="\n\n")


def verdict(session: Session, calculation: Calculation, solution: Solution) -> int:
    """0 if converged; else 1, with what was reached and what to do on stderr."""
    if solution.converged:
        return 0
    session.complain(_failure(calculation, solution))
    return 1


def _failure(calculation: Calculation, solution: Solution) -> str:
    cycles = int(solution.iterations)
    if not math.isfinite(solution.energy):
        return (
            f"NonFiniteError: the SCF met a non-finite number in cycle {cycles}; check the "
            "geometry, the basis set and the electric field."
        )
    change = float(solution.certificate.energy_change)
    gradient = float(solution.certificate.orbital_gradient)
    other = "atom" if calculation.guess == "minao" else "minao"
    return (
        f"SCFNotConvergedError: not converged after {cycles} cycles: "
        f"E = {report.energy(solution.energy)} hartree, delta_E = {change:.2e}, |g| = "
        f"{gradient:.2e}. Raise --max-cycle (now {calculation.solver.max_cycle}), "
        f"try --guess {other} or --solver second-order, check --charge and --spin."
    )
