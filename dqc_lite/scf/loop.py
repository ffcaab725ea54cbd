"""The self-consistent field by whichever solver is asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from dqc_lite._types import Array, Float
from dqc_lite.errors import MethodError
from dqc_lite.scf.auto import Auto, is_traced, staged
from dqc_lite.scf.checkpoint import Checkpoint, Recorder
from dqc_lite.scf.diis import DIIS
from dqc_lite.scf.diis_loop import diis_scf, recorded_diis_scf
from dqc_lite.scf.guess import Beginning
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
    beginning: Beginning,
    solver: Solver,
    reference: Reference,
    recorder: Recorder | None = None,
    checkpoint: Checkpoint | None = None,
) -> SCFState:
    """Iterate to self-consistency from a guess; nothing in here is differentiated.

    With a `recorder` every cycle is written to a file; an unfinished calculation continues from its
    own `checkpoint`.
    """
    problem = hamiltonian, integrals, overlap
    first, mo_coeff = _first_stage(solver, reference), None
    alone = _alone(solver, reference, (problem, beginning))
    if alone and solver is not first:
        first = dataclasses.replace(first, patience=None)
    if checkpoint is not None and checkpoint.stage == "second-order" and solver is not first:
        # DIIS had failed, or ended at a saddle point: a cycle of it, for the state, then Newton's
        first = dataclasses.replace(first, max_cycle=1)
        mo_coeff = jax.device_put(checkpoint.mo_coeff)
    if recorder is None and checkpoint is None:
        start = diis_scf(*problem, beginning, first, reference)
    else:
        start = recorded_diis_scf(*problem, beginning, first, reference, recorder, checkpoint)
    if alone:
        return start
    return staged(*problem, start, solver, reference, recorder, mo_coeff)


def _alone(solver: Solver, reference: Reference, inputs: Any) -> bool:
    """Whether nothing takes over from the first stage."""
    if isinstance(solver, DIIS) or reference.filling is not None:
        return True
    return isinstance(solver, Auto) and not solver.traced and is_traced(inputs)


def _first_stage(solver: Solver, reference: Reference) -> DIIS:
    """DIIS, which is all there is for fractions of electrons.

    Raises:
        MethodError: asked for a stage that there is not, or for options that contradict.
    """
    if isinstance(solver, DIIS):
        if solver.level_shift and reference.smeared:
            raise MethodError(
                f"level_shift = {solver.level_shift} moves the orbital energies that smearing "
                "fills by; leave out one of them."
            )
        return solver
    more_than_diis = isinstance(solver, SecondOrder) or solver.stability is True
    if reference.filling is not None and more_than_diis:
        raise MethodError(
            f"smearing and given occupations are solved by DIIS, not by {type(solver).__name__}; "
            "use solver=dqc_lite.DIIS()."
        )
    return solver.first()
