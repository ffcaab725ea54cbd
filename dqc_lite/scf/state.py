"""The self-consistent problem and the state of its solution, the same for every solver."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.density import Density
from dqc_lite.scf.occupations import Fermi, Filled, Given
from dqc_lite.scf.orthogonalization import diagonalize, present
from dqc_lite.scf.reference import Reference
from dqc_lite.terms import Hamiltonian


@pytree
class SCFState:
    """The last cycle: density, its energies and Fock matrix, and the orbitals of that density.

    ``gradient`` is the norm of the occupied-virtual Fock matrix, times two for closed shells;
    ``poison`` is 1, or NaN when not converged: a factor for everything derived from the state.
    ``history`` holds energy, its change and the gradient of each cycle, NaN beyond the last.
    ``fock_builds`` counts Fock matrices and Hessian-vector products, which cost as much.
    ``stability`` is the lowest eigenvalue of the orbital Hessian (hartree) and ``stable`` tells
    whether it is not negative; None where it was not examined.
    ``external`` and ``externally_stable`` are the same against different orbitals for the spins.
    ``newton`` counts the cycles among ``iterations`` that were of second order, ``left`` the saddle
    points that were left; ``start_energies`` are the minima found where several were looked for.
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
    mo_occ: Float[Array, "set mo"]
    kept: Int[Array, ""]
    fock_builds: Int[Array, ""]
    newton: Int[Array, ""]
    left: Int[Array, ""]
    stability: Float[Array, ""] | None = None
    stable: Bool[Array, ""] | None = None
    start_energies: Float[Array, " start"] | None = None
    external: Float[Array, ""] | None = None
    externally_stable: Bool[Array, ""] | None = None


class Point(NamedTuple):
    """The energy surface at one density."""

    energies: dict[str, Array]
    fock: Float[Array, "spin ao ao"]
    effective: Float[Array, "set ao ao"]
    error: Float[Array, "set mo mo"]
    gradient: Float[Array, ""]

    @property
    def energy(self) -> Float[Array, ""]:
        """Total energy in hartree."""
        return total(self.energies)


def total(energies: dict[str, Array]) -> Float[Array, ""]:
    """Sum of the energy components."""
    return sum(energies.values())


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is to be made self-consistent; x: orthonormal combinations of which `kept` count."""

    hamiltonian: Hamiltonian
    integrals: Any
    overlap: Float[Array, "ao ao"]
    x: Float[Array, "ao mo"]
    kept: Bool[Array, " mo"]
    reference: Reference

    def evaluate(self, density: Density, filled: Filled | None = None) -> Point:
        """Energies, Fock matrices, their commutator with the density, gradient norm.

        Smeared orbitals `filled` of that density add their entropy, and to the gradient the
        electrons that are not where the new orbital energies want them.
        """
        energies, fock = self.hamiltonian.evaluate(self.integrals, density)
        effective = self.reference.effective_fock(fock, density, self.overlap)
        commuting = self.reference.commuting_density(density)
        product = self.x.T @ effective @ commuting @ (self.overlap @ self.x)
        error = product - product.swapaxes(-1, -2)
        # [F, P] holds each occupied-virtual element twice, times the occupation
        gradient = jnp.linalg.norm(error) / np.sqrt(2.0)
        if filled is not None and isinstance(self.reference.filling, Fermi):
            energies = energies | {"smearing": filled.free}
            c = filled.mo_coeff
            levels = jnp.einsum("smi,smn,sni->si", c, effective, c)
            mismatch = self.reference.filling.mismatch(filled, levels)
            gradient = jnp.hypot(gradient, jnp.linalg.norm(mismatch))
        return Point(energies, fock, effective, error, gradient)

    def enough_functions(self) -> Bool[Array, ""]:
        """Whether the electrons fit the independent functions."""
        return self.kept.sum() >= max(self.reference.nalpha, self.reference.nbeta)

    def finish(
        self,
        point: Point,
        density: Density,
        mo_coeff: Float[Array, "set ao mo"],
        delta_energy: Float[Array, ""],
        converged: Bool[Array, ""],
        iterations: Int[Array, ""],
        history: Float[Array, "cycle 3"],
        fock_builds: Int[Array, ""],
        newton: bool,
    ) -> SCFState:
        """The state at `point`, the surface at the density of `mo_coeff`."""
        if self.reference.smeared:
            mo_energy, canonical = diagonalize(point.effective, self.x, self.kept)
        else:
            mo_energy, canonical = self.canonical_orbitals(point.effective, mo_coeff)
        filled, _ = self.reference.fill(mo_energy, canonical)
        return SCFState(
            density=density, energies=point.energies,
            energy=point.energy, fock=point.fock, gradient=point.gradient,
            delta_energy=delta_energy, converged=converged,
            poison=jnp.where(converged, 1.0, jnp.nan),
            iterations=iterations, history=history, mo_energy=mo_energy, mo_coeff=canonical,
            mo_occ=filled.mo_occ, kept=self.kept.sum(), fock_builds=fock_builds,
            newton=iterations if newton else jnp.zeros_like(iterations),
            left=jnp.zeros_like(iterations),
        )  # fmt: skip

    def canonical_orbitals(
        self, effective: Float[Array, "set ao ao"], mo_coeff: Float[Array, "set ao mo"]
    ) -> tuple[Float[Array, "set mo"], Float[Array, "set ao mo"]]:
        """Eigenvectors of the Fock matrix within the occupied, open and virtual spaces.

        They span exactly the same density, whatever is left of the gradient.
        """
        nmo = mo_coeff.shape[-1]
        occupations = jnp.asarray(self.reference.occupations(nmo))
        same = occupations[:, :, None] == occupations[:, None, :]
        blocks = jnp.where(same, mo_coeff.swapaxes(-1, -2) @ effective @ mo_coeff, 0.0)
        # shifted by more than their width, the spaces stay apart and in order of occupation
        width = 2.0 * jnp.abs(blocks).sum(-1).max() + 1.0
        excluded = ~present(mo_coeff)
        shift = jnp.where(excluded, 4.0, 2.0 - occupations) * width
        shifted = blocks + jnp.eye(nmo) * shift[:, None, :]
        energies, rotation = jnp.linalg.eigh(shifted, symmetrize_input=False)
        energies = energies - jnp.sort(shift, axis=-1)
        if isinstance(self.reference.filling, Given):
            # back from the order of occupations to the one that was given
            rank = jnp.argsort(jnp.argsort(shift, axis=-1), axis=-1)
            energies = jnp.take_along_axis(energies, rank, -1)
            rotation = jnp.take_along_axis(rotation, rank[:, None, :], -1)
        return energies, mo_coeff @ rotation
