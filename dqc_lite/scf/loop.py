"""The self-consistent field loop: one Fock build and one diagonalization a cycle."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._compile import adaptive_jit
from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.density import Density
from dqc_lite.scf import guess as guesses
from dqc_lite.scf.diis import DIIS, History
from dqc_lite.scf.orthogonalization import canonical, diagonalize
from dqc_lite.scf.reference import Reference
from dqc_lite.terms import Hamiltonian


@pytree
class SCFState:
    """The last cycle: density, its energies and Fock matrix, and the orbitals of that density.

    ``gradient`` is the norm of the occupied-virtual Fock matrix, times two for closed shells;
    ``poison`` is 1, or NaN when not converged: a factor for everything derived from the state.
    ``history`` holds energy, its change and the gradient of each cycle, NaN beyond the last.
    """

    density: Density
    energies: dict[str, Array]
    energy: Float[Array, ""]
    fock: Float[Array, "spin ao ao"]
    gradient: Float[Array, ""]
    delta_energy: Float[Array, ""]
    converged: Bool[Array, ""]
    poison: Float[Array, ""]
    iterations: Int[Array, ""]
    history: Float[Array, "cycle 3"]
    mo_energy: Float[Array, "set mo"]
    mo_coeff: Float[Array, "set ao mo"]
    kept: Int[Array, ""]


@pytree
class _Cycle:
    energies: dict[str, Array]
    fock: Array
    effective: Array
    error: Array
    mo_coeff: Array
    mixed: Array
    diis: History
    delta_energy: Array
    gradient: Array
    iteration: Array
    log: Array


DAMPED_ABOVE = 0.1
"""Gradient norm (hartree) above which damping acts."""


def total(energies: dict[str, Array]) -> Float[Array, ""]:
    """Sum of the energy components."""
    return sum(energies.values())


@functools.partial(adaptive_jit, static_argnums=(5, 6))
def scf(
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
    problem = _Problem(hamiltonian, integrals, overlap, x, kept, reference, solver)
    if core_guess:
        bare = Density.from_factor(jnp.zeros((reference.nspin, len(overlap), reference.nocc)))
        _, fock = hamiltonian.evaluate(integrals, bare)
        effective = fock if reference.nset == len(fock) else fock[:1]
        mo_coeff = diagonalize(effective, x, kept)[1]
        density = reference.density(mo_coeff)
    else:
        density = guesses.density_of(guess_factor, x, reference)
        mo_coeff = jnp.zeros((reference.nset, *x.shape))
    start = problem.start(density, mo_coeff)
    last = jax.lax.while_loop(problem.unfinished, problem.cycle, start)
    return problem.finish(last)


@dataclasses.dataclass(frozen=True)
class _Problem:
    hamiltonian: Hamiltonian
    integrals: Any
    overlap: Array
    x: Array
    kept: Array
    reference: Reference
    solver: DIIS

    def evaluate(self, density: Density) -> tuple[dict, Array, Array, Array, Array]:
        """Energies, Fock matrix, effective Fock matrix, commutator, gradient norm."""
        energies, fock = self.hamiltonian.evaluate(self.integrals, density)
        effective = self.reference.effective_fock(fock, density, self.overlap)
        commuting = self.reference.commuting_density(density)
        product = self.x.T @ effective @ commuting @ (self.overlap @ self.x)
        error = product - product.swapaxes(-1, -2)
        # [F, P] holds each occupied-virtual element twice, times the occupation
        return energies, fock, effective, error, jnp.linalg.norm(error) / np.sqrt(2.0)

    def start(self, density: Density, mo_coeff: Array) -> _Cycle:
        energies, fock, effective, error, gradient = self.evaluate(density)
        log = jnp.full((self.solver.max_cycle, 3), jnp.nan)
        return _Cycle(
            energies=energies, fock=fock, effective=effective, error=error, mo_coeff=mo_coeff,
            mixed=effective, diis=History.empty(self.solver.space, effective),
            delta_energy=jnp.asarray(jnp.inf), gradient=gradient,
            iteration=jnp.zeros((), int), log=log,
        )  # fmt: skip

    def cycle(self, c: _Cycle) -> _Cycle:
        diis = c.diis.push(c.effective, c.error)
        share = jnp.where(c.gradient > DAMPED_ABOVE, self.solver.damping, 0.0)
        mixed = (1.0 - share) * diis.extrapolate() + share * c.mixed
        _, mo_coeff = diagonalize(mixed, self.x, self.kept)
        density = self.reference.density(mo_coeff)
        energies, fock, effective, error, gradient = self.evaluate(density)
        delta = total(energies) - total(c.energies)
        log = c.log.at[c.iteration].set(jnp.stack([total(energies), delta, gradient]))
        return _Cycle(
            energies=energies, fock=fock, effective=effective, error=error, mo_coeff=mo_coeff,
            mixed=mixed, diis=diis, delta_energy=delta, gradient=gradient,
            iteration=c.iteration + 1, log=log,
        )  # fmt: skip

    def converged(self, c: _Cycle) -> Array:
        enough = self.kept.sum() >= max(self.reference.nalpha, self.reference.nbeta)
        small = jnp.abs(c.delta_energy) < self.solver.energy_tol
        return enough & small & (c.gradient < self.solver.gradient_tol)

    def unfinished(self, c: _Cycle) -> Array:
        finite = jnp.isfinite(total(c.energies))
        return (c.iteration < self.solver.max_cycle) & ~self.converged(c) & finite

    def finish(self, c: _Cycle) -> SCFState:
        mo_energy, mo_coeff = self.canonical_orbitals(c)
        converged = self.converged(c)
        return SCFState(
            density=self.reference.density(c.mo_coeff), energies=c.energies,
            energy=total(c.energies), fock=c.fock, gradient=c.gradient,
            delta_energy=c.delta_energy, converged=converged,
            poison=jnp.where(converged, 1.0, jnp.nan),
            iterations=c.iteration, history=c.log, mo_energy=mo_energy, mo_coeff=mo_coeff,
            kept=self.kept.sum(),
        )  # fmt: skip

    def canonical_orbitals(self, c: _Cycle) -> tuple[Array, Array]:
        """Eigenvectors of the Fock matrix within the occupied, open and virtual spaces.

        They span exactly the final density, whatever is left of the gradient.
        """
        nmo = self.x.shape[1]
        occupations = jnp.asarray(self.reference.occupations(nmo))
        same = occupations[:, :, None] == occupations[:, None, :]
        blocks = jnp.where(same, c.mo_coeff.swapaxes(-1, -2) @ c.effective @ c.mo_coeff, 0.0)
        # shifted by more than their width, the spaces stay apart and in order of occupation
        width = 2.0 * jnp.abs(blocks).sum(-1).max() + 1.0
        excluded = self.norms(c.mo_coeff) < 0.5
        shift = jnp.where(excluded, 4.0, 2.0 - occupations) * width
        energies, rotation = jnp.linalg.eigh(blocks + jnp.eye(nmo) * shift[:, None, :])
        return energies - jnp.sort(shift, axis=-1), c.mo_coeff @ rotation

    def norms(self, mo_coeff: Array) -> Array:
        return jnp.einsum("smi,mn,sni->si", mo_coeff, self.overlap, mo_coeff)

