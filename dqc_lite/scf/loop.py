"""The self-consistent field by whichever solver is asked for."""

from __future__ import annotations

from typing import Any

from dqc_lite._types import Array, Float
from dqc_lite.errors import MethodError
from dqc_lite.scf.auto import Auto, staged
from dqc_lite.scf.diis import DIIS
from dqc_lite.scf.diis_loop import diis_scf
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.second_order import SecondOrder
from dqc_lite.scf.state import SCFState
from dqc_lite.terms import Hamiltonian

__all__ = ["SCFState", "Solver", "scf"]

Solver = DIIS | SecondOrder | Auto


def scf(
    hamiltonian: Hamiltonian,
    integrals: Any,
    overlap: Float[Array, "ao ao"],
    guess_factor: Float[Array, "ao any"],
    solver: Solver,
    reference: Reference,
    core_guess: bool,
) -> SCFState:
    """Iterate to self-consistency from a guess; nothing in here is differentiated."""
    problem = hamiltonian, integrals, overlap
    if isinstance(solver, DIIS):
        return diis_scf(*problem, guess_factor, solver, reference, core_guess)
    if reference.filling is not None:
        raise MethodError(
            f"smearing and given occupations are solved by DIIS, not by {type(solver).__name__}; "
            "use solver=dqc_lite.DIIS()."
        )
    start = diis_scf(*problem, guess_factor, solver.first(), reference, core_guess)
    return staged(*problem, start, solver, reference)
