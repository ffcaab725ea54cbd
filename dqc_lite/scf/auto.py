"""Solvers in stages: DIIS, then Newton where it fails, then away from saddle points."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Bool, Float
from dqc_lite.errors import InputError
from dqc_lite.scf import stability
from dqc_lite.scf.checkpoint import Recorder
from dqc_lite.scf.diis import DIIS
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.second_order import SecondOrder, newton_scf, recorded_newton_scf
from dqc_lite.scf.settings import require_count, require_flag
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
        max_second_order: cycles of the second-order method.
        traced: whether programs under `jax.jit` and `jax.vmap` hold all stages, which takes
            several times longer to compile, or DIIS only.
    """

    max_cycle: int = static(default=40)
    energy_tol: float = static(default=1e-10)
    gradient_tol: float = static(default=1e-8)
    stability: bool = static(default=True)
    max_follow: int = static(default=10)
    max_second_order: int = static(default=60)
    traced: bool = static(default=True)

    def __post_init__(self) -> None:
        self.first()
        self.second()
        require_count(self, 0, math.inf, "max_follow")
        require_flag(self, "stability", "traced")

    def first(self) -> DIIS:
        """The first stage."""
        return DIIS(self.max_cycle, self.energy_tol, self.gradient_tol)

    def second(self) -> SecondOrder:
        """The second stage."""
        return SecondOrder(self.max_second_order, self.energy_tol, self.gradient_tol)


DEFAULT = Auto(max_cycle=60, stability=False, traced=False)
"""The solver when none is named: where DIIS converges it is just that. The slowest system of the
G2 set takes 56 cycles of DIIS."""

SOLVERS = {"auto": DEFAULT, "diis": DIIS(), "second-order": SecondOrder()}
"""By name."""


def solver_of(solver: Any) -> DIIS | SecondOrder | Auto:
    """The solver meant.

    Raises:
        InputError: an unknown name, or something else.
    """
    if solver is None:
        return DEFAULT
    if isinstance(solver, str) and solver in SOLVERS:
        return SOLVERS[solver]
    if isinstance(solver, DIIS | SecondOrder | Auto):
        return solver
    raise InputError(
        f"solver = {solver!r} is unknown; use one of {', '.join(map(repr, SOLVERS))}, or "
        "DIIS(...), SecondOrder(...), Auto(...)."
    )


def staged(
    hamiltonian: Hamiltonian,
    integrals: Any,
    overlap: Float[Array, "ao ao"],
    start: SCFState,
    solver: Auto | SecondOrder,
    reference: Reference,
    recorder: Recorder | None = None,
    mo_coeff: Float[Array, "set ao mo"] | None = None,
) -> SCFState:
    """From the state of the first stage, or other orbitals, to the end.

    Outside of a trace each stage is compiled when it is needed, inside all are one program.
    """
    newton = solver if isinstance(solver, SecondOrder) else solver.second()
    last = isinstance(solver, SecondOrder) or not solver.stability
    if _traced(start):
        if isinstance(solver, Auto) and not solver.traced:
            return start
    elif last and (bool(start.converged) or not bool(_usable(start, reference))):
        return start

    rows = len(start.history) + newton.max_cycle

    def converge(state: SCFState, mo_coeff: Array) -> SCFState:
        problem = hamiltonian, integrals, overlap, mo_coeff, newton, reference
        found = newton_scf(*problem) if recorder is None else recorded_newton_scf(
            *problem, recorder
        )  # fmt: skip
        return _joined(_with_rows(state, rows), found)

    # branches of a traced program must be alike
    state = _with_rows(start, rows) if _traced(start) else start
    failed = ~state.converged & _usable(state, reference)
    state = _cond(
        failed, lambda s: converge(s, s.mo_coeff if mo_coeff is None else mo_coeff), state
    )
    if last:
        return state

    def examine(state: SCFState) -> tuple[SCFState, Array]:
        found = stability.internal(hamiltonian, integrals, state, reference)
        return stability.certified(state, found), found.mode

    def leave(carry: tuple[SCFState, Array, Array]) -> tuple[SCFState, Array, Array]:
        state, mode, count = carry
        mo_coeff = stability.displaced(hamiltonian, integrals, state, mode, reference)
        state = converge(state, mo_coeff)
        state = dataclasses.replace(state, left=state.left + 1)
        return *examine(state), count + 1

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
        newton=before.newton + after.newton, left=before.left,
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
