"""Coulomb repulsion of the nuclei, ``sum_{A<B} Z_A Z_B / R_AB``."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.autodiff.zero_valued import differential_of, zero
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.molecule import Molecule
from dqc_lite.terms.term import LinearTerm


@adaptive_jit
def nuclear_repulsion(
    positions: Float[Array, "atom 3"], charges: Float[Array, " atom"]
) -> Float[Array, ""]:
    """Repulsion energy in hartree of point charges (e) at positions (bohr)."""
    n = len(charges)
    difference = positions[:, None] - positions[None]
    # 1 on the diagonal: a distance of zero has no derivative
    distance = jnp.sqrt((difference**2).sum(-1) + jnp.eye(n))
    products = charges[:, None] * charges * (1.0 - jnp.eye(n))
    return 0.5 * (products / distance).sum()


_slope = adaptive_jit(jax.grad(nuclear_repulsion, (0, 1)))


def _gradient(moved: tuple[int, ...], places: tuple, fixed: None) -> list[Array]:
    slopes = _slope(*places)
    return [slopes[i] for i in moved]


_differential = differential_of(_gradient)


@pytree
class NuclearRepulsion(LinearTerm):
    """E = sum_{A<B} Z_A Z_B / R_AB."""

    name: ClassVar[str] = "nuclear_repulsion"

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Array, Array]:
        return nuclear_repulsion(mol.positions, mol.charges), zero((1, 1))

    def differential(
        self, mol: Molecule, orbitals: Orbitals, integrals: tuple[Array, Array], density: Density
    ) -> Array:
        return _differential((mol.positions, mol.charges), None)
