"""Kinds of reference determinants: what orbitals mean for density and effective Fock matrix.

Orbitals carry a leading axis of orbital sets: one for restricted and restricted open-shell, two
for unrestricted determinants. Densities carry a leading spin axis: one for restricted, else two.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.density import Density
from dqc_lite.errors import MethodError
from dqc_lite.scf.occupations import Fermi, Filled, Given

Kind = Literal["restricted", "unrestricted", "restricted open-shell"]


@dataclasses.dataclass(frozen=True)
class Reference:
    """The kind of state of `nalpha` and `nbeta` electrons (static).

    A determinant of the lowest orbitals, unless `filling` says otherwise.
    """

    kind: Kind
    nalpha: int
    nbeta: int
    filling: Given | Fermi | None = None

    @property
    def nset(self) -> int:
        """Number of orbital sets."""
        return 2 if self.kind == "unrestricted" else 1

    @property
    def nspin(self) -> int:
        """Number of density channels."""
        return 1 if self.kind == "restricted" else 2

    @property
    def nocc(self) -> int:
        """Columns of the occupied factor; at least one, empty if there are no electrons."""
        if isinstance(self.filling, Given):
            return max(max(map(len, self.filling.numbers)), 1)
        return max(self.nalpha, 1)

    @property
    def smeared(self) -> bool:
        """Whether the orbital energies decide on fractions of electrons."""
        return isinstance(self.filling, Fermi)

    @property
    def fermi(self) -> Fermi:
        """The filling of a smeared state."""
        assert isinstance(self.filling, Fermi)
        return self.filling

    @property
    def descending(self) -> bool:
        """Whether no orbital has fewer electrons than one above it."""
        if not isinstance(self.filling, Given):
            return True
        return all(tuple(sorted(n, reverse=True)) == n for n in self.filling.numbers)

    def columns(self, nmo: int) -> int:
        """Columns of the factor of the density."""
        return nmo if self.smeared else self.nocc

    def occupations(self, nmo: int) -> np.ndarray:
        """(set, mo) electrons in each orbital, from below.

        Raises:
            MethodError: those of a smeared state are no constants.
        """
        if self.smeared:
            raise MethodError(
                "smeared occupations follow the orbital energies, and this needs fixed ones; "
                "leave smearing out."
            )
        if isinstance(self.filling, Given):
            return self.filling.array(nmo)
        index = np.arange(nmo)
        alpha, beta = (index < self.nalpha).astype(float), (index < self.nbeta).astype(float)
        return np.stack([alpha, beta]) if self.nset == 2 else (alpha + beta)[None]

    def spin_occupations(self, nmo: int) -> Float[np.ndarray, "spin mo"]:
        """Electrons of each density channel in the first `nmo` orbitals, unsmeared."""
        index = np.arange(nmo)
        if isinstance(self.filling, Given):
            return self.filling.array(max(nmo, self.nocc))[:, :nmo]
        spins = np.stack([(index < n).astype(float) for n in (self.nalpha, self.nbeta)])
        return spins.sum(0)[None] if self.nspin == 1 else spins

    def density(self, mo_coeff: Float[Array, "set ao mo"]) -> Density:
        """Density of orbitals filled from below."""
        if self.filling is not None:
            return self._weighted(mo_coeff, jnp.asarray(self.occupations(mo_coeff.shape[-1])))
        occupied = mo_coeff[:, :, : self.nocc]
        index = np.arange(self.nocc)
        alpha, beta = (index < self.nalpha).astype(float), (index < self.nbeta).astype(float)
        if self.kind == "restricted":
            return Density.from_factor(occupied * np.sqrt(alpha + beta))
        return Density.from_factor(occupied * np.stack([alpha, beta])[:, None, :])

    def _weighted(
        self, mo_coeff: Float[Array, "set ao mo"], mo_occ: Float[Array, "set mo"]
    ) -> Density:
        columns = self.columns(mo_coeff.shape[-1])
        return Density.from_factor((mo_coeff * jnp.sqrt(mo_occ)[:, None, :])[:, :, :columns])

    def density_of(self, filled: Filled) -> Density:
        """Density of orbitals with their electrons."""
        if self.smeared:
            return self._weighted(filled.mo_coeff, filled.mo_occ)
        return self.density(filled.mo_coeff)

    def fill(
        self, mo_energy: Float[Array, "set mo"], mo_coeff: Float[Array, "set ao mo"]
    ) -> tuple[Filled, Density]:
        """Electrons into orbitals of these energies (hartree, ascending)."""
        if isinstance(self.filling, Fermi):
            filled = Filled(mo_coeff, mo_energy, *self.filling.occupations(mo_energy))
        else:
            mo_occ = jnp.asarray(self.occupations(mo_coeff.shape[-1]))
            filled = Filled(mo_coeff, mo_energy, mo_occ, None)
        return filled, self.density_of(filled)

    def from_total(self, factor: Float[Array, "ao any"]) -> Density:
        """Density of a guess, its electrons shared evenly between the spins."""
        scale = np.sqrt(1.0 / self.nspin)
        return Density.from_factor(jnp.stack([scale * factor] * self.nspin))

    def effective_fock(
        self, fock: Float[Array, "spin ao ao"], density: Density, overlap: Float[Array, "ao ao"]
    ) -> Float[Array, "set ao ao"]:
        """The matrix whose eigenvectors are the orbitals.

        Restricted open-shell: Roothaan's one-matrix form, the average of the alpha and beta Fock
        matrices with the closed-open block from beta and the open-virtual block from alpha
        (Roothaan, Rev. Mod. Phys. 32, 179 (1960); Guest and Saunders, Mol. Phys. 28, 819 (1974)).
        """
        if self.kind != "restricted open-shell":
            return fock
        alpha, beta = fock
        mean = 0.5 * (alpha + beta)
        closed = density.matrix[1] @ overlap
        opened = density.matrix[0] @ overlap - closed
        virtual = jnp.eye(len(overlap)) - closed - opened
        blocks = closed.T @ mean @ closed + opened.T @ mean @ opened + virtual.T @ mean @ virtual
        half = 0.5 * blocks + opened.T @ beta @ closed + opened.T @ alpha @ virtual
        half += virtual.T @ mean @ closed
        return (half + half.T)[None]

    def commuting_density(self, density: Density) -> Float[Array, "set ao ao"]:
        """The density that commutes with the effective Fock matrix at convergence."""
        if self.kind == "restricted open-shell":
            return density.total[None]
        return density.matrix

    @functools.partial(adaptive_jit, static_argnums=(0,))
    def energy_weighted(
        self,
        fock: Float[Array, "spin ao ao"],
        density: Density,
        mo_coeff: Float[Array, "set ao mo"],
    ) -> Float[Array, "ao ao"]:
        """W = sum_s P_s F_s P_s (half of it for a doubly occupied closed shell), hartree.

        With fractions of electrons W = sum_i n_i e_i c_i c_i^T = S^-1 F P, S^-1 = C C^T.
        """
        if self.filling is not None:
            product = mo_coeff @ (mo_coeff.swapaxes(-1, -2) @ fock @ density.matrix)
            return 0.5 * (product + product.swapaxes(-1, -2)).sum(0)
        weighted = jnp.einsum("smn,snl,slk->mk", density.matrix, fock, density.matrix)
        return weighted * density.exchange_weight
