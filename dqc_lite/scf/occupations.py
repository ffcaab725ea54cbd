"""How many electrons are in which orbital: from below, as given, or by Fermi-Dirac smearing."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float


@pytree
class Filled:
    """Orbitals with their electrons.

    Attributes:
        mo_coeff: (set, ao, mo).
        mo_energy: (set, mo) hartree, those that decided on the electrons.
        mo_occ: (set, mo) electrons.
        free: -sigma S of smeared occupations, hartree; None for others.
    """

    mo_coeff: Float[Array, "set ao mo"]
    mo_energy: Float[Array, "set mo"]
    mo_occ: Float[Array, "set mo"]
    free: Float[Array, ""] | None


@dataclasses.dataclass(frozen=True)
class Given:
    """Numbers of electrons, one tuple for each set of orbitals, from the lowest orbital up."""

    numbers: tuple[tuple[float, ...], ...]

    def array(self, nmo: int) -> np.ndarray:
        """(set, mo)."""
        return np.stack([np.pad(np.asarray(n, float), (0, nmo - len(n))) for n in self.numbers])


@dataclasses.dataclass(frozen=True)
class Fermi:
    """n_i = g / (1 + exp((e_i - mu) / sigma)), as many electrons in each set as without smearing.

    The free energy E - sigma S is what is stationary (Mermin, Phys. Rev. 137, A1441 (1965)).

    Attributes:
        sigma: k_B T in hartree.
        electrons: of each set of orbitals.
        degeneracy: g, 2 for closed shells, else 1.
    """

    sigma: float
    electrons: tuple[float, ...]
    degeneracy: float

    def occupations(
        self, energies: Float[Array, "set mo"]
    ) -> tuple[Float[Array, "set mo"], Float[Array, ""]]:
        """Electrons in orbitals of these energies (hartree), and -sigma S (hartree)."""
        x = self.reduced(energies)
        filled, empty = jax.nn.sigmoid(-x), jax.nn.sigmoid(x)
        # n ln n + (1 - n) ln(1 - n), with 0 ln 0 = 0
        terms = jax.scipy.special.xlogy(filled, filled) + jax.scipy.special.xlogy(empty, empty)
        return self.degeneracy * filled, self.sigma * self.degeneracy * terms.sum()

    def density_matrix(
        self, fock: Float[Array, "set mo mo"]
    ) -> tuple[Float[Array, "set mo mo"], Float[Array, " set"]]:
        """g n((F - mu)/sigma) in an orthonormal basis and mu, hartree; differentiable."""
        from dqc_lite.linalg import fermi_density_matrix  # a large package, for this alone

        per_spin = jnp.asarray(self.electrons) / self.degeneracy
        found = fermi_density_matrix(fock, per_spin, jnp.asarray(self.sigma))
        return self.degeneracy * found.density_matrix, found.mu

    def level(
        self, energies: Float[Array, "set mo"]
    ) -> tuple[Float[Array, "set mo"], Float[Array, " set"]]:
        """Electrons in orbitals of these energies and mu, hartree; differentiable."""
        density, mu = self.density_matrix(jax.vmap(jnp.diag)(energies))
        return jnp.diagonal(density, axis1=-2, axis2=-1), mu

    def reduced(self, energies: Float[Array, "set mo"]) -> Float[Array, "set mo"]:
        """(e - mu) / sigma."""
        from dqc_lite.linalg.fermi import chemical_potential  # a large package, for this alone

        per_spin = jnp.asarray(self.electrons) / self.degeneracy
        mu = jax.vmap(lambda e, n: chemical_potential(e, n, self.sigma))(energies, per_spin)
        return (energies - mu[:, None]) / self.sigma

    def mismatch(
        self, filled: Filled, energies: Float[Array, "set mo"]
    ) -> Float[Array, "set mo"]:
        """What is missing, to first order, from the electrons that `energies` ask for."""
        slope = filled.mo_occ * (1.0 - filled.mo_occ / self.degeneracy) / self.sigma
        moved = energies - filled.mo_energy
        total = slope.sum(-1, keepdims=True)
        shift = (slope * moved).sum(-1, keepdims=True) / jnp.where(total > 0, total, 1.0)
        return slope * (moved - shift)
