"""Searches as compiled programs: part by part where numbers are known, else as one program."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.autodiff.jit import QUICK_BELOW, adaptive_jit
from dqc_lite.scf import stability
from dqc_lite.scf.checkpoint import Checkpoint, Files, Recorder
from dqc_lite.scf.curvature import Rotation
from dqc_lite.scf.guess import Beginning
from dqc_lite.scf.plan import Plan
from dqc_lite.scf.search import DIIS, NOT, Search, Searching
from dqc_lite.scf.self_consistency import SelfConsistency
from dqc_lite.scf.state import SCFState

UNLIMITED = 2**31 - 1
"""Fock builds in a row."""


def run(
    problem: SelfConsistency, start: Beginning, plan: Plan, files: Files | None = None
) -> SCFState:
    """Search for a self-consistent state as planned.

    The stages and their order are the same inside of `jax.jit` and `jax.vmap`, where they are parts
    of one program, and outside, where each is compiled when it is first needed.
    """
    plan = plan.suited_to(problem.reference)
    if _traced((problem, start)):
        state = _whole(problem, start, plan)
    else:
        state = _stage_by_stage(problem, start, plan, files or Files())
    if not plan.external:
        return state
    found = _external(problem, state.mo_coeff, state.fock)
    return dataclasses.replace(
        state, external=found.value, externally_stable=found.stable() & state.converged,
        fock_builds=state.fock_builds + found.products,
    )  # fmt: skip


def _traced(tree: object) -> bool:
    """Whether values in here are not known yet."""
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(tree))


def _stage_by_stage(
    problem: SelfConsistency, start: Beginning, plan: Plan, files: Files
) -> SCFState:
    limit = UNLIMITED if files.recorder is None else 1
    search = None if files.checkpoint is None else _restored(files.checkpoint, problem, start, plan)
    if search is None:
        wide = files == Files() and _small((problem, start))
        search, state = _first(problem, start, plan, wide, limit)
    else:
        search, state = _built(problem, search, plan, start.mix, limit)
    _record(files.recorder, problem, search, state)
    while bool(search.unfinished()):
        further = _asked if bool(search.asking()) else _built
        search, state = further(problem, search, plan, start.mix, limit)
        _record(files.recorder, problem, search, state)
    if state.stages.stability_analyses == 0:
        state = dataclasses.replace(state, stability=None, stable=None)
    return state


@functools.partial(adaptive_jit, static_argnums=(2, 3))
def _first(
    problem: SelfConsistency, start: Beginning, plan: Plan, wide: bool, limit: Int[Array, ""] | int
) -> tuple[Search, SCFState]:
    """From the guess to the end of the first row of Fock builds."""
    searching = Searching(problem, plan, start.mix)
    search = searching.begin(start, wide)
    return _ended(searching, searching.builds(search, limit))


@functools.partial(adaptive_jit, static_argnums=(2, 3))
def _built(
    problem: SelfConsistency, search: Search, plan: Plan, mix: float, limit: Int[Array, ""] | int
) -> tuple[Search, SCFState]:
    """Another row of Fock builds."""
    searching = Searching(problem, plan, mix)
    return _ended(searching, searching.builds(search, limit))


@functools.partial(adaptive_jit, static_argnums=(2, 3))
def _asked(
    problem: SelfConsistency, search: Search, plan: Plan, mix: float, limit: Int[Array, ""] | int
) -> tuple[Search, SCFState]:
    """A row of Hessian products."""
    searching = Searching(problem, plan, mix)
    return _ended(searching, searching.products(search))


def _ended(searching: Searching, search: Search) -> tuple[Search, SCFState]:
    search = searching.settled(search)
    return search, searching.state(search)


@functools.partial(adaptive_jit, static_argnums=(2,))
def _whole(problem: SelfConsistency, start: Beginning, plan: Plan) -> SCFState:
    """All stages as one program, in which Fock build and Hessian product stand once."""
    searching = Searching(problem, plan, start.mix)

    def built(search: Search) -> Search:
        return searching.settled(searching.builds(search, UNLIMITED))

    def body(search: Search) -> Search:
        return _where_wanted(search.asking(), searching.products, built(search))

    search = searching.begin(start, _small((problem, start)))
    if search.descent is None:
        return searching.state(built(search))
    return searching.state(jax.lax.while_loop(Search.unfinished, body, search))


def _where_wanted(wanted: Bool[Array, ""], function, search: Search) -> Search:
    """`function(search)` or `search`.

    A loop of one turn: of a `lax.cond` that is mapped over rows every row pays for both branches,
    of a loop none does unless one of them wants it.
    """

    def body(carry: tuple[Array, Search]) -> tuple[Array, Search]:
        return jnp.asarray(False), function(carry[1])

    return jax.lax.while_loop(lambda carry: carry[0], body, (wanted, search))[1]


@adaptive_jit
def _external(
    problem: SelfConsistency, mo_coeff: Float[Array, "set ao mo"], fock: Float[Array, "spin ao ao"]
) -> Rotation:
    return stability.external(problem, mo_coeff, fock)


def _small(arguments: object) -> bool:
    """Whether compiling takes longer than running."""
    return sum(map(np.size, jax.tree.leaves(arguments))) < QUICK_BELOW


# --- checkpoints ---------------------------------------------------------------------------------


def _record(
    recorder: Recorder | None, problem: SelfConsistency, search: Search, state: SCFState
) -> None:
    if recorder is None:
        return
    newton = search.descent is not None and int(search.descent.why) != NOT
    in_diis = int(search.stage) == DIIS
    filled = search.accelerated.filled if in_diis else search.here.filled
    recorder.write(
        "second-order" if newton else "diis", filled.mo_coeff, filled.mo_occ, state.energy,
        state.iterations, bool(state.converged) and not bool(search.unfinished()), search,
    )  # fmt: skip


def _restored(
    checkpoint: Checkpoint, problem: SelfConsistency, start: Beginning, plan: Plan
) -> Search | None:
    """The search that a file holds, if it is one of this kind, to be decided anew by this plan."""
    if checkpoint.stage == "second-order" and not plan.newton_cycles:
        return None
    search = checkpoint.restored(_begun(problem, start, plan))
    return None if search is None else _resumed(problem, search, plan, start.mix)


@functools.partial(adaptive_jit, static_argnums=(2,))
def _begun(problem: SelfConsistency, start: Beginning, plan: Plan) -> Search:
    return Searching(problem, plan, start.mix).begin(start, wide=False)


@functools.partial(adaptive_jit, static_argnums=(2, 3))
def _resumed(problem: SelfConsistency, search: Search, plan: Plan, mix: float) -> Search:
    return Searching(problem, plan, mix).resumed(search)
