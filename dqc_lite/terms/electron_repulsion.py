"""Coulomb repulsion and exact exchange of the electrons."""

from __future__ import annotations

import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.integrals import layouts
from dqc_lite.jk import DensityFitted, Exact
from dqc_lite.molecule import Molecule

Builder = Exact | DensityFitted


@pytree
class ElectronRepulsion:
    """E = tr(P J)/2 - a w sum_s tr(P_s K_s)/2, a the fraction of exact exchange.

    Both in one term, since they share their integrals and the derivative pass over them.

    Attributes:
        exchange: fraction of exact exchange, 1 in Hartree-Fock.
        density_fit: False, True (PySCF's default auxiliary basis) or the name of one.
    """

    exchange: float = static()
    density_fit: bool | str = static()

    def prepare(self, mol: Molecule, orbs: Orbitals) -> Builder:
        if not self.density_fit:
            return Exact.build(orbs)
        name = None if self.density_fit is True else self.density_fit
        layout, exponents, coefficients = layouts.auxiliary(mol.layout, name)
        auxiliary = Orbitals(mol.positions, exponents, coefficients, layout)
        return DensityFitted.build(orbs, auxiliary)

    def evaluate(self, builder: Builder, density: Density) -> tuple[dict[str, Array], Array]:
        j, k = builder.coulomb(density), builder.exchange(density)
        weight = self.exchange * density.exchange_weight
        energies = {
            "coulomb": 0.5 * jnp.vdot(density.total, j),
            "exchange": -0.5 * weight * jnp.vdot(density.matrix, k),
        }
        return energies, j - weight * k

    def differential(
        self, mol: Molecule, orbs: Orbitals, builder: Builder, density: Density
    ) -> Array:
        return builder.at(orbs).differential(orbs, density, 1.0, self.exchange)
