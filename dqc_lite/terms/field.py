"""A homogeneous electric field F: ``E = tr(P r) F - sum_A Z_A R_A F``."""

from __future__ import annotations

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.integrals import operators
from dqc_lite.molecule import Molecule
from dqc_lite.terms._differential import linear_differential, without_value


@pytree
class ElectricField:
    """Energy of electrons and nuclei in a field (atomic units), about the coordinate origin."""

    strength: Float[Array, " 3"]

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Array, Array]:
        nuclear = -(mol.charges @ mol.positions) @ self.strength
        return nuclear, jnp.tensordot(self.strength, operators.dipole(orbitals), 1)

    def evaluate(
        self, integrals: tuple[Array, Array], density: Density
    ) -> tuple[dict[str, Array], Array]:
        nuclear, h = integrals
        return {"electric_field": nuclear + jnp.vdot(h, density.total)}, h[None]

    def differential(
        self, mol: Molecule, orbitals: Orbitals, integrals: tuple[Array, Array], density: Density
    ) -> Array:
        nuclear, h = self.prepare(mol, orbitals)
        return without_value(nuclear) + linear_differential(h, density.total)
