"""The self-consistent field by DIIS: one Fock build and one diagonalization a cycle."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite._compile import QUICK_BELOW, adaptive_jit
from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.density import Density
from dqc_lite.scf import maximum_overlap
from dqc_lite.scf.checkpoint import Checkpoint, Recorder, named
from dqc_lite.scf.diis import DIIS, History
from dqc_lite.scf.energy_diis import EnergyHistory
from dqc_lite.scf.guess import Beginning, density_of
from dqc_lite.scf.occupations import Filled
from dqc_lite.scf.orthogonalization import canonical, diagonalize
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.state import Point, Problem, SCFState
from dqc_lite.terms import Hamiltonian

DAMPED_ABOVE = 0.1
"""Gradient norm (hartree) above which damping, EDIIS and ADIIS act."""


@functools.partial(adaptive_jit, static_argnums=(4, 5))
def diis_scf(
    hamiltonian: Hamiltonian,
    integrals: Any,
    overlap: Float[Array, "ao ao"],
    beginning: Beginning,
    solver: DIIS,
    reference: Reference,
) -> SCFState:
    """Iterate to self-consistency from a guess; nothing in here is differentiated."""
    problem = _problem(hamiltonian, integrals, overlap, reference)
    loop, cycle = _begun(problem, beginning, solver, _small((integrals, overlap)))
    return loop.finish(jax.lax.while_loop(loop.unfinished, loop.cycle, cycle))


def recorded_diis_scf(
    hamiltonian: Hamiltonian,
    integrals: Any,
    overlap: Float[Array, "ao ao"],
    beginning: Beginning,
    solver: DIIS,
    reference: Reference,
    recorder: Recorder | None,
    checkpoint: Checkpoint | None,
) -> SCFState:
    """The same a cycle at a time, each written to a file, from where a checkpoint stands."""
    setting = solver, reference, beginning.mix
    arrays = hamiltonian, integrals, overlap
    cycle = None
    if checkpoint is not None:
        cycle = _restored(checkpoint, lambda *a: _first(*a, *setting[:2]), *arrays, beginning)
    if cycle is None:
        cycle = _first(*arrays, beginning, *setting[:2])
    unfinished = True
    while unfinished:
        cycle, going, converged = _advanced(*arrays, cycle, *setting)
        unfinished = bool(going)
        if recorder is not None:
            filled = cycle.next_filled if unfinished else cycle.filled
            recorder.write(
                "diis", filled.mo_coeff, filled.mo_occ, cycle.point.energy, cycle.builds - 1,
                bool(converged), cycle,
            )  # fmt: skip
    return _last(*arrays, cycle, *setting)


def _restored(checkpoint: Checkpoint, first: Callable, *arguments: Any) -> _Cycle | None:
    """The state that a file holds, if it is one of this loop."""
    treedef, names = None, ()

    def arrays(*arguments: Any) -> list[Array]:
        nonlocal treedef, names
        cycle = first(*arguments)
        treedef, names = jax.tree.structure(cycle), tuple(named(cycle))
        return jax.tree.leaves(cycle)

    shapes = jax.eval_shape(arrays, *arguments)
    found = checkpoint.restored(dict(zip(names, shapes, strict=True)))
    return None if found is None else jax.tree.unflatten(treedef, found)


def _problem(
    hamiltonian: Hamiltonian, integrals: Any, overlap: Float[Array, "ao ao"], reference: Reference
) -> Problem:
    x, kept = canonical(overlap)
    return Problem(hamiltonian, integrals, overlap, x, kept, reference)


def _begun(
    problem: Problem, beginning: Beginning, solver: DIIS, wide: bool
) -> tuple[_Loop, _Cycle]:
    """The loop, with room for all columns of the guess or not, and its first state."""
    reference, x = problem.reference, problem.x
    if beginning.potential is not None:
        filled, density = reference.fill(*_bare_orbitals(problem, beginning.potential))
    else:
        density = density_of(beginning.factor, x, reference)
        filled = _no_orbitals(reference, x)
    width = reference.columns(x.shape[-1])
    width = max(width, density.factor.shape[-1]) if wide else width
    loop = _Loop(problem, solver, width, beginning.mix)
    start = loop.start(density, filled)
    return loop, loop.cycle(start) if density.factor.shape[-1] > width else start


@functools.partial(adaptive_jit, static_argnums=(4, 5))
def _first(
    hamiltonian: Hamiltonian, integrals: Any, overlap: Array, beginning: Beginning,
    solver: DIIS, reference: Reference,
) -> _Cycle:  # fmt: skip
    problem = _problem(hamiltonian, integrals, overlap, reference)
    return _begun(problem, beginning, solver, wide=False)[1]


@functools.partial(adaptive_jit, static_argnums=(4, 5, 6))
def _advanced(
    hamiltonian: Hamiltonian, integrals: Any, overlap: Array, cycle: _Cycle,
    solver: DIIS, reference: Reference, mix: float,
) -> tuple[_Cycle, Bool[Array, ""], Bool[Array, ""]]:  # fmt: skip
    """One more cycle, unless at the end already, whether more are needed, and convergence."""
    problem = _problem(hamiltonian, integrals, overlap, reference)
    loop = _Loop(problem, solver, cycle.next_density.factor.shape[-1], mix)
    cycle = jax.lax.cond(loop.unfinished(cycle), loop.cycle, lambda same: same, cycle)
    return cycle, loop.unfinished(cycle), loop.converged(cycle)


@functools.partial(adaptive_jit, static_argnums=(4, 5, 6))
def _last(
    hamiltonian: Hamiltonian, integrals: Any, overlap: Array, cycle: _Cycle,
    solver: DIIS, reference: Reference, mix: float,
) -> SCFState:  # fmt: skip
    problem = _problem(hamiltonian, integrals, overlap, reference)
    return _Loop(problem, solver, cycle.next_density.factor.shape[-1], mix).finish(cycle)


def _no_orbitals(reference: Reference, x: Float[Array, "ao mo"]) -> Filled:
    """A guess that is a density has none."""
    nset, nmo = reference.nset, x.shape[-1]
    free = jnp.zeros(()) if reference.smeared else None
    return Filled(jnp.zeros((nset, *x.shape)), *jnp.zeros((2, nset, nmo)), free)


def _bare_orbitals(
    problem: Problem, potential: Float[Array, "ao ao"]
) -> tuple[Float[Array, "set mo"], Float[Array, "set ao mo"]]:
    """Energies and orbitals of a potential in the place of electron repulsion."""
    reference, nao = problem.reference, len(problem.overlap)
    bare = Density.from_factor(jnp.zeros((reference.nspin, nao, reference.nocc)))
    _, fock = problem.hamiltonian.evaluate(problem.integrals, bare)
    effective = (fock if reference.nset == len(fock) else fock[:1]) + potential
    return diagonalize(effective, problem.x, problem.kept)


def _small(arguments: Any) -> bool:
    """Whether compiling takes longer than running."""
    return sum(a.size for a in jax.tree.leaves(arguments)) < QUICK_BELOW


@pytree
class _Cycle:
    """The density evaluated last, by its orbitals, and the one to evaluate next.

    ``builds`` counts the densities evaluated; the guess was the first. ``lowest`` is what EDIIS and
    ADIIS need, ``anchor`` the density that the maximum-overlap method keeps to.
    """

    filled: Filled
    point: Point
    next_filled: Filled
    next_density: Density
    mixed: Float[Array, "set ao ao"]
    diis: History
    delta_energy: Float[Array, ""]
    builds: Int[Array, ""]
    log: Float[Array, "cycle 3"]
    lowest: EnergyHistory | None
    anchor: Float[Array, "set ao ao"] | None


@dataclasses.dataclass(frozen=True)
class _Loop:
    """Evaluate, extrapolate and diagonalize: each stands once in the program.

    ``width`` is the number of columns of the occupied factor. That of the guess may have more:
    where the problem is small the others are padded, else the first cycle stands before the loop.
    """

    problem: Problem
    solver: DIIS
    width: int
    mix: float

    def start(self, density: Density, filled: Filled) -> _Cycle:
        shapes = jax.eval_shape(self.problem.evaluate, density, filled)
        point = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        infinite = jnp.asarray(jnp.inf)
        solver, reference = self.solver, self.problem.reference
        plain = solver.early == "diis"
        anchor = reference.commuting_density(density) if solver.maximum_overlap else None
        return _Cycle(
            filled=filled, point=point, next_filled=filled,
            next_density=self.padded(density), mixed=point.effective,
            diis=History.empty(self.solver.space, point.effective),
            delta_energy=infinite, builds=jnp.zeros((), int),
            log=jnp.full((self.solver.max_cycle + 1, 3), jnp.nan),
            lowest=None if plain else EnergyHistory.empty(solver.space, point.fock),
            anchor=anchor,
        )  # fmt: skip

    def cycle(self, c: _Cycle) -> _Cycle:
        point = self.problem.evaluate(c.next_density, c.next_filled)
        first = c.builds == 0
        delta = jnp.where(first, jnp.inf, point.energy - c.point.energy)
        row = jnp.stack([point.energy, delta, point.gradient])[None]
        diis = c.diis.push(point.effective, point.error)
        far = point.gradient > DAMPED_ABOVE
        lowest, extrapolated = self.extrapolated(c, diis, point, far)
        share = jnp.where(far & ~first, self.solver.damping, 0.0)
        mixed = (1.0 - share) * extrapolated + share * c.mixed
        filled, density = self.problem.reference.fill(*self.orbitals(c, mixed, point))
        return _Cycle(
            filled=c.next_filled, point=point, next_filled=filled,
            next_density=self.padded(density), mixed=mixed, diis=diis, delta_energy=delta,
            builds=c.builds + 1,
            log=jax.lax.dynamic_update_slice_in_dim(c.log, row, c.builds, 0),
            lowest=lowest, anchor=c.anchor,
        )  # fmt: skip

    def extrapolated(
        self, c: _Cycle, diis: History, point: Point, far: Bool[Array, ""]
    ) -> tuple[EnergyHistory | None, Float[Array, "set ao ao"]]:
        """The combination of Fock matrices to diagonalize."""
        if c.lowest is None:
            return None, diis.extrapolate()
        lowest = c.lowest.push(c.next_density.matrix, point.fock, point.energy)
        weights = jax.lax.cond(
            far, getattr(lowest, self.solver.early), lambda _: diis.weights(), diis.used()
        )
        return lowest, jnp.tensordot(weights, diis.focks, 1)

    def orbitals(
        self, c: _Cycle, fock: Float[Array, "set ao ao"], point: Point
    ) -> tuple[Float[Array, "set mo"], Float[Array, "set ao mo"]]:
        """Those to fill next, in the order in which they are filled."""
        problem, solver = self.problem, self.solver
        if solver.level_shift:
            shift = solver.level_shift * jnp.minimum(point.gradient / DAMPED_ABOVE, 1.0)
            fock = fock + shift * self.virtual(c.next_filled)
        energies, mo_coeff = diagonalize(fock, problem.x, problem.kept)
        if solver.maximum_overlap:
            occupations = problem.reference.occupations(mo_coeff.shape[-1])
            energies, mo_coeff = maximum_overlap.ordered(
                energies, mo_coeff, occupations, c.anchor, problem.overlap
            )
        return energies, self.with_mixed_frontier(mo_coeff, c.builds == 0) if self.mix else mo_coeff

    def virtual(self, filled: Filled) -> Float[Array, "set ao ao"]:
        """``S (C (1 - n / n_max) C^T) S``: 1 on empty orbitals, 0 on full ones."""
        capacity = 1.0 if self.problem.reference.nset == 2 else 2.0
        c = self.problem.overlap @ filled.mo_coeff
        return (c * (1.0 - filled.mo_occ / capacity)[:, None, :]) @ c.swapaxes(-1, -2)

    def with_mixed_frontier(
        self, mo_coeff: Float[Array, "set ao mo"], first: Bool[Array, ""]
    ) -> Float[Array, "set ao mo"]:
        """At first, alpha's highest occupied and lowest virtual orbital turned by `mix`."""
        n = self.problem.reference.nalpha
        if not 0 < n < mo_coeff.shape[-1]:
            return mo_coeff
        angle = jnp.where(first & (n < self.problem.kept.sum()), self.mix, 0.0)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        highest, lowest = mo_coeff[0, :, n - 1], mo_coeff[0, :, n]
        turned = jnp.stack([cos * highest + sin * lowest, cos * lowest - sin * highest], -1)
        return mo_coeff.at[0, :, n - 1 : n + 1].set(turned)

    def padded(self, density: Density) -> Density:
        missing = max(self.width - density.factor.shape[-1], 0)
        factor = jnp.pad(density.factor, ((0, 0), (0, 0), (0, missing)))
        return Density(density.matrix, factor)

    def converged(self, c: _Cycle) -> Bool[Array, ""]:
        small = jnp.abs(c.delta_energy) < self.solver.energy_tol
        accurate = c.point.gradient < self.solver.gradient_tol
        return self.problem.enough_functions() & small & accurate

    def unfinished(self, c: _Cycle) -> Bool[Array, ""]:
        ended = (c.builds > self.solver.max_cycle) | self.converged(c)
        if self.solver.patience is not None:
            ended |= c.diis.waited >= self.solver.patience
        return (c.builds == 0) | ~(ended | ~jnp.isfinite(c.point.energy))

    def finish(self, c: _Cycle) -> SCFState:
        return self.problem.finish(
            point=c.point, density=self.problem.reference.density_of(c.filled),
            mo_coeff=c.filled.mo_coeff, delta_energy=c.delta_energy,
            converged=self.converged(c), iterations=c.builds - 1, history=c.log[1:],
            fock_builds=c.builds, newton=False,
        )  # fmt: skip
