"""Solvers in stages: DIIS, then Newton where it fails, then away from saddle points."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Bool, Float
from dqc_lite.errors import InputError
from dqc_lite.scf import stability
from dqc_lite.scf.diis import DIIS
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.second_order import SecondOrder, newton_scf
from dqc_lite.scf.state import SCFState
from dqc_lite.terms import Hamiltonian

T = TypeVar("T")


@pytree
class Auto:
    """DIIS; where that does not converge, a second-order method; then a look at the stability.

    Attributes:
        max_cycle: cycles of DIIS before the second-order method takes over.
        energy_tol: converged when the energy changes by less, hartree.
        gradient_tol: ... and the norm of the orbital gradient is less.
        stability: whether to compute the lowest eigenvalue of the orbital Hessian and to leave
            saddle points: the solution is then a minimum with respect to small rotations that
            keep the kind of determinant.
        max_follow: saddle points left at most.
    """

    max_cycle: int = static(default=40)
    energy_tol: float = static(default=1e-10)
    gradient_tol: float = static(default=1e-8)
    stability: bool = static(default=True)
    max_follow: int = static(default=10)

    def __post_init__(self) -> None:
        self.first()
        if self.max_follow < 0:
            raise InputError(f"max_follow = {self.max_follow} must not be negative.")

    def first(self) -> DIIS:
        """The first stage."""
        return DIIS(self.max_cycle, self.energy_tol, self.gradient_tol)

    def second(self) -> SecondOrder:
        """The second stage."""
        return SecondOrder(energy_tol=self.energy_tol, gradient_tol=self.gradient_tol)


def staged(
    hamiltonian: Hamiltonian,
    integrals: Any,
    overlap: Float[Array, "ao ao"],
    start: SCFState,
    solver: Auto | SecondOrder,
    reference: Reference,
) -> SCFState:
    """From the state of the first stage to the end.

    Outside of a trace each stage is compiled when it is needed, inside all are one program.
    """
    newton = solver if isinstance(solver, SecondOrder) else solver.second()

    rows = len(start.history) + newton.max_cycle

    def converge(state: SCFState, mo_coeff: Array) -> SCFState:
        found = newton_scf(hamiltonian, integrals, overlap, mo_coeff, newton, reference)
        return _joined(_with_rows(state, rows), found)

    # branches of a traced program must be alike
    state = _with_rows(start, rows) if _traced(start) else start
    failed = ~state.converged & _usable(state, reference)
    state = _cond(failed, lambda s: converge(s, s.mo_coeff), state)
    if isinstance(solver, SecondOrder) or not solver.stability:
        return state

    def examine(state: SCFState) -> tuple[SCFState, Array]:
        found = stability.internal(hamiltonian, integrals, state, reference)
        return stability.certified(state, found), found.mode

    def leave(carry: tuple[SCFState, Array, Array]) -> tuple[SCFState, Array, Array]:
        state, mode, count = carry
        mo_coeff = stability.displaced(hamiltonian, integrals, state, mode, reference)
        return *examine(converge(state, mo_coeff)), count + 1

    def unstable(carry: tuple[SCFState, Array, Array]) -> Array:
        state, _, count = carry
        return state.converged & ~state.stable & (count < solver.max_follow)

    state, mode = examine(state)
    return _while(unstable, leave, (state, mode, jnp.zeros((), int)))[0]


def _usable(state: SCFState, reference: Reference) -> Bool[Array, ""]:
    enough = state.kept >= max(reference.nalpha, reference.nbeta)
    return enough & jnp.isfinite(state.energy)


@jax.jit
def _joined(before: SCFState, after: SCFState) -> SCFState:
    """`after`, with what came before it in its counts and its history, as far as that has room."""
    rows = before.iterations + jnp.arange(len(after.history))
    return dataclasses.replace(
        after, iterations=before.iterations + after.iterations,
        history=before.history.at[rows].set(after.history, mode="drop"),
        fock_builds=before.fock_builds + after.fock_builds,
        stability=before.stability, stable=before.stable,
    )  # fmt: skip


def _with_rows(state: SCFState, rows: int) -> SCFState:
    """Room for that many cycles in the history."""
    missing = rows - len(state.history)
    history = jnp.pad(state.history, ((0, missing), (0, 0)), constant_values=jnp.nan)
    return dataclasses.replace(state, history=history)


def _traced(tree: Any) -> bool:
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(tree))


def _cond(predicate: Array, function: Callable[[T], T], x: T) -> T:
    """`function(x)` or x; values that are known decide at once."""
    if _traced(predicate):
        return jax.lax.cond(predicate, function, lambda same: same, x)
    return function(x) if bool(predicate) else x


def _while(unfinished: Callable[[T], Array], body: Callable[[T], T], x: T) -> T:
    if _traced(x):
        return jax.lax.while_loop(unfinished, body, x)
    while bool(unfinished(x)):
        x = body(x)
    return x
