"""The self-consistent field by DIIS: one Fock build and one diagonalization a cycle."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite._compile import QUICK_BELOW, adaptive_jit
from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.density import Density
from dqc_lite.scf import guess as guesses
from dqc_lite.scf.diis import DIIS, History
from dqc_lite.scf.occupations import Filled
from dqc_lite.scf.orthogonalization import canonical, diagonalize
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.state import Point, Problem, SCFState
from dqc_lite.terms import Hamiltonian

DAMPED_ABOVE = 0.1
"""Gradient norm (hartree) above which damping acts."""


@functools.partial(adaptive_jit, static_argnums=(5, 6))
def diis_scf(
    hamiltonian: Hamiltonian,
    integrals: Any,
    overlap: Float[Array, "ao ao"],
    guess_factor: Float[Array, "ao any"],
    solver: DIIS,
    reference: Reference,
    core_guess: bool,
) -> SCFState:
    """Iterate to self-consistency from a guess; nothing in here is differentiated."""
    x, kept = canonical(overlap)
    problem = Problem(hamiltonian, integrals, overlap, x, kept, reference)
    if core_guess:
        filled, density = reference.fill(*_bare_orbitals(problem))
    else:
        density = guesses.density_of(guess_factor, x, reference)
        filled = _no_orbitals(reference, x)
    width = reference.columns(x.shape[-1])
    if _small((integrals, overlap)):
        width = max(width, density.factor.shape[-1])
    loop = _Loop(problem, solver, width)
    start = loop.start(density, filled)
    if density.factor.shape[-1] > width:
        start = loop.cycle(start)
    return loop.finish(jax.lax.while_loop(loop.unfinished, loop.cycle, start))


def _no_orbitals(reference: Reference, x: Float[Array, "ao mo"]) -> Filled:
    """A guess that is a density has none."""
    nset, nmo = reference.nset, x.shape[-1]
    free = jnp.zeros(()) if reference.smeared else None
    return Filled(jnp.zeros((nset, *x.shape)), *jnp.zeros((2, nset, nmo)), free)


def _bare_orbitals(
    problem: Problem,
) -> tuple[Float[Array, "set mo"], Float[Array, "set ao mo"]]:
    """Energies and orbitals without electron repulsion."""
    reference, nao = problem.reference, len(problem.overlap)
    bare = Density.from_factor(jnp.zeros((reference.nspin, nao, reference.nocc)))
    _, fock = problem.hamiltonian.evaluate(problem.integrals, bare)
    effective = fock if reference.nset == len(fock) else fock[:1]
    return diagonalize(effective, problem.x, problem.kept)


def _small(arguments: Any) -> bool:
    """Whether compiling takes longer than running."""
    return sum(a.size for a in jax.tree.leaves(arguments)) < QUICK_BELOW


@pytree
class _Cycle:
    """The density evaluated last, by its orbitals, and the one to evaluate next.

    ``builds`` counts the densities evaluated; the guess was the first.
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


@dataclasses.dataclass(frozen=True)
class _Loop:
    """Evaluate, extrapolate and diagonalize: each stands once in the program.

    ``width`` is the number of columns of the occupied factor. That of the guess may have more:
    where the problem is small the others are padded, else the first cycle stands before the loop.
    """

    problem: Problem
    solver: DIIS
    width: int

    def start(self, density: Density, filled: Filled) -> _Cycle:
        shapes = jax.eval_shape(self.problem.evaluate, density, filled)
        point = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        infinite = jnp.asarray(jnp.inf)
        return _Cycle(
            filled=filled, point=point, next_filled=filled,
            next_density=self.padded(density), mixed=point.effective,
            diis=History.empty(self.solver.space, point.effective),
            delta_energy=infinite, builds=jnp.zeros((), int),
            log=jnp.full((self.solver.max_cycle + 1, 3), jnp.nan),
        )  # fmt: skip

    def cycle(self, c: _Cycle) -> _Cycle:
        point = self.problem.evaluate(c.next_density, c.next_filled)
        first = c.builds == 0
        delta = jnp.where(first, jnp.inf, point.energy - c.point.energy)
        row = jnp.stack([point.energy, delta, point.gradient])[None]
        diis = c.diis.push(point.effective, point.error)
        damped = (point.gradient > DAMPED_ABOVE) & ~first
        share = jnp.where(damped, self.solver.damping, 0.0)
        mixed = (1.0 - share) * diis.extrapolate() + share * c.mixed
        orbitals = diagonalize(mixed, self.problem.x, self.problem.kept)
        filled, density = self.problem.reference.fill(*orbitals)
        return _Cycle(
            filled=c.next_filled, point=point, next_filled=filled,
            next_density=self.padded(density), mixed=mixed, diis=diis, delta_energy=delta,
            builds=c.builds + 1,
            log=jax.lax.dynamic_update_slice_in_dim(c.log, row, c.builds, 0),
        )  # fmt: skip

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
        return (c.builds == 0) | ~(ended | ~jnp.isfinite(c.point.energy))

    def finish(self, c: _Cycle) -> SCFState:
        return self.problem.finish(
            point=c.point, density=self.problem.reference.density_of(c.filled),
            mo_coeff=c.filled.mo_coeff, delta_energy=c.delta_energy,
            converged=self.converged(c), iterations=c.builds - 1, history=c.log[1:],
            fock_builds=c.builds,
        )  # fmt: skip
