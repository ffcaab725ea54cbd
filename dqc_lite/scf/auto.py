"""Solvers in stages: DIIS, then Newton where it fails, then away from saddle points."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp

from dqc_lite._arguments import named_arguments
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Bool, Float
from dqc_lite.errors import InputError
from dqc_lite.scf import stability
from dqc_lite.scf.checkpoint import Recorder
from dqc_lite.scf.diis import DIIS
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.second_order import SecondOrder, newton_scf, recorded_newton_scf
from dqc_lite.scf.settings import require_count, require_flag
from dqc_lite.scf.starts import shaken
from dqc_lite.scf.state import SCFState
from dqc_lite.terms import Hamiltonian

T = TypeVar("T")


@named_arguments
@pytree
class Auto:
    """DIIS; where that does not converge, a second-order method; then a look at the stability.

    Attributes:
        max_cycle: cycles of DIIS before the second-order method takes over.
        energy_tol: converged when the energy changes by less, hartree.
        gradient_tol: ... and the norm of the orbital gradient is less.
        stability: whether to compute the lowest eigenvalue of the orbital Hessian and to leave
            saddle points: the solution is then a minimum with respect to small rotations that
            keep the kind of determinant. "doubtful" does so where a saddle point is likely: at
            small orbital gaps (`dqc_lite.scf.stability.doubtful`) and where DIIS did not converge;
            under a trace, where these are not known, always.
        max_follow: saddle points left at most.
        max_second_order: cycles of the second-order method.
        traced: whether programs of values that are not known yet (`jax.jit`, `jax.vmap`,
            `jax.checkpoint`, loops of `jax.lax`) hold all stages, which takes several times longer
            to compile, or DIIS only.
        patience: the second-order method takes over earlier when in so many cycles of DIIS the
            smallest gradient has not halved.
        starts: number of minima to look for, of which the lowest is taken: the first from the
            guess, the others from the lowest so far, its soft orbitals turned at random; each
            costs a solution of second order. `certificate.start_energies` tells where they ended.
        external: whether to examine a closed shell also against different orbitals for different
            spins; `certificate.externally_stable` tells, and the solution stays as it is.
    """

    max_cycle: int = static(default=40)
    energy_tol: float = static(default=1e-10)
    gradient_tol: float = static(default=1e-8)
    stability: bool | Literal["doubtful"] = static(default=True)
    max_follow: int = static(default=10)
    max_second_order: int = static(default=100)
    traced: bool = static(default=True)
    patience: int = static(default=20)
    starts: int = static(default=1)
    external: bool = static(default=False)

    def __post_init__(self) -> None:
        self.first()
        self.second()
        require_count(self, 0, math.inf, "max_follow")
        require_count(self, 1, math.inf, "starts")
        require_flag(self, "traced", "external")
        if not (isinstance(self.stability, bool) or self.stability == "doubtful"):
            raise InputError(f"stability = {self.stability!r} must be True, False or 'doubtful'.")
        if self.starts > 1 and self.stability is not True:
            raise InputError(f"starts = {self.starts} compares minima: it needs stability=True.")
        if self.external and self.stability is not True:
            raise InputError("external = True is about a minimum: it needs stability=True.")

    def first(self) -> DIIS:
        """The first stage."""
        tolerances = self.energy_tol, self.gradient_tol
        return DIIS(self.max_cycle, *tolerances, patience=self.patience)

    def second(self) -> SecondOrder:
        """The second stage."""
        return SecondOrder(self.max_second_order, self.energy_tol, self.gradient_tol)


DEFAULT = Auto(max_cycle=60, stability="doubtful", traced=False)
"""The solver when none is named: for closed shells of ordinary gaps just DIIS, where that
converges. The slowest system of the G2 set takes 56 cycles of it."""

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
    inside = is_traced(start)
    newton = solver if isinstance(solver, SecondOrder) else solver.second()
    rows = len(start.history) + newton.max_cycle
    stages = _Stages(hamiltonian, integrals, overlap, newton, reference, recorder, rows)
    # states that are compared, and branches of a traced program, must be alike
    several = isinstance(solver, Auto) and solver.starts > 1
    state = _with_rows(start, rows) if inside or several else start
    state = _cond(
        _to_be_helped(state, reference),
        lambda s: stages.converge(s, s.mo_coeff if mo_coeff is None else mo_coeff), state,
    )  # fmt: skip
    examined = isinstance(solver, Auto) and _examines(solver, hamiltonian, state, reference)
    return stages.examined(state, solver) if examined else state


def _examines(
    solver: Auto, hamiltonian: Hamiltonian, state: SCFState, reference: Reference
) -> bool:
    """Whether to look at the stability of the state."""
    if isinstance(solver.stability, bool):
        return solver.stability
    if is_traced(state):
        return True
    return bool(state.converged) and stability.doubtful(hamiltonian, state, reference)


@dataclasses.dataclass(frozen=True)
class _Stages:
    """What can be done with a state; `rows` of history are kept."""

    hamiltonian: Hamiltonian
    integrals: Any
    overlap: Float[Array, "ao ao"]
    newton: SecondOrder
    reference: Reference
    recorder: Recorder | None
    rows: int

    def converge(self, state: SCFState, mo_coeff: Float[Array, "set ao mo"]) -> SCFState:
        """By Newton's method from these orbitals, after `state`."""
        problem = self.hamiltonian, self.integrals, self.overlap, mo_coeff
        setting = self.newton, self.reference
        if self.recorder is None:
            found = newton_scf(*problem, *setting)
        else:
            found = recorded_newton_scf(*problem, *setting, self.recorder)
        return _joined(_with_rows(state, self.rows), found)

    def examined(self, state: SCFState, solver: Auto) -> SCFState:
        """The minimum below a stationary state, or the lowest of several, and its stability."""
        state = self.descended(state, solver.max_follow)
        if solver.starts > 1:
            state = self.lowest(state, solver)
        if solver.external:
            found = stability.external(self.hamiltonian, self.integrals, state, self.reference)
            state = stability.certified_externally(state, found)
        return state

    def descended(self, state: SCFState, max_follow: int) -> SCFState:
        """Away from saddle points, that many at most, as long as there is an end to arrive at."""

        def leave(carry: tuple[SCFState, Array, Array]) -> tuple[SCFState, Array, Array]:
            state, mode, count = carry
            mo_coeff = stability.displaced(
                self.hamiltonian, self.integrals, state, mode, self.reference
            )
            found = self.converge(state, mo_coeff)
            count = jnp.where(found.converged, count + 1, max_follow)
            return *self.examine(_unless_lost(state, found)), count

        def unstable(carry: tuple[SCFState, Array, Array]) -> Array:
            state, _, count = carry
            return state.converged & ~state.stable & (count < max_follow)

        return _while(unstable, leave, (*self.examine(state), jnp.zeros((), int)))[0]

    def examine(self, state: SCFState) -> tuple[SCFState, Array]:
        """The state with its stability, and its softest rotation."""
        found = stability.internal(self.hamiltonian, self.integrals, state, self.reference)
        return stability.certified(state, found), found.mode

    def lowest(self, first: SCFState, solver: Auto) -> SCFState:
        """The lowest of several minima, each looked for not far from the lowest before it."""

        def another(number: Array | int, best: SCFState) -> SCFState:
            mo_coeff = shaken(
                self.hamiltonian, self.integrals, best, jnp.asarray(number), self.reference
            )
            found = self.descended(self.converge(best, mo_coeff), solver.max_follow)
            return _better(best, found, number)

        energies = jnp.full(solver.starts, jnp.nan).at[0].set(_minimum(first, jnp.nan))
        best = dataclasses.replace(first, start_energies=energies)
        if is_traced(first):
            return jax.lax.fori_loop(1, solver.starts, another, best)
        for number in range(1, solver.starts):
            best = another(number, best)
        return best


def _minimum(state: SCFState, otherwise: float) -> Float[Array, ""]:
    """The energy of a state that is a minimum."""
    return jnp.where(state.converged & state.stable, state.energy, otherwise)


@jax.jit
def _better(best: SCFState, found: SCFState, number: Array | int) -> SCFState:
    """The lower minimum; what was counted is in `found`."""
    chosen = _chosen(_minimum(found, jnp.inf) < _minimum(best, jnp.inf), found, best)
    energies = best.start_energies.at[number].set(_minimum(found, jnp.nan))
    return dataclasses.replace(chosen, left=found.left, start_energies=energies)


@jax.jit
def _unless_lost(saddle: SCFState, found: SCFState) -> SCFState:
    """What was found below a saddle point, which stays the solution if nothing was."""
    saddle = _with_rows(saddle, len(found.history))
    return _chosen(found.converged, dataclasses.replace(found, left=found.left + 1), saddle)


def _chosen(condition: Array, found: SCFState, before: SCFState) -> SCFState:
    """One of two states, with the cycles and Fock builds that were counted to the later one."""
    chosen = jax.tree.map(lambda new, old: jnp.where(condition, new, old), found, before)
    return dataclasses.replace(
        chosen, iterations=found.iterations, history=found.history, newton=found.newton,
        fock_builds=found.fock_builds,
    )  # fmt: skip


def _to_be_helped(state: SCFState, reference: Reference) -> Bool[Array, ""] | bool:
    """Whether the first stage has failed, and not for lack of functions or finite numbers."""
    if is_traced(state):
        return ~state.converged & _usable(state, reference)
    # nothing is compiled for this where the first stage was enough
    return not bool(state.converged) and bool(_usable(state, reference))


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
        start_energies=before.start_energies,
    )  # fmt: skip


def _with_rows(state: SCFState, rows: int) -> SCFState:
    """Room for that many cycles in the history."""
    missing = rows - len(state.history)
    history = jnp.pad(state.history, ((0, missing), (0, 0)), constant_values=jnp.nan)
    return dataclasses.replace(state, history=history)


def is_traced(tree: Any) -> bool:
    """Whether values in here are not known yet."""
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(tree))


def _cond(predicate: Array | bool, function: Callable[[T], T], x: T) -> T:
    """`function(x)` or x; values that are known decide at once."""
    if is_traced(predicate):
        return jax.lax.cond(predicate, function, lambda same: same, x)
    return function(x) if bool(predicate) else x


def _while(unfinished: Callable[[T], Array], body: Callable[[T], T], x: T) -> T:
    if is_traced(x):
        return jax.lax.while_loop(unfinished, body, x)
    while bool(unfinished(x)):
        x = body(x)
    return x
