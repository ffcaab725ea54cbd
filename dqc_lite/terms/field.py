"""A homogeneous electric field F: ``E = tr(P r) F - sum_A Z_A R_A F``."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array
from dqc_lite.autodiff.zero_valued import linear_differential, without_value
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.errors import InputError
from dqc_lite.integrals import operators
from dqc_lite.molecule import Molecule
from dqc_lite.terms.term import Leaf, LinearTerm, as_array, require_array


@pytree
class ElectricField(LinearTerm):
    """Energy of electrons and nuclei in a field, about the coordinate origin.

    Attributes:
        strength: (3,) atomic units.

    Raises InputError, when used, unless `strength` has three components.
    """

    name: ClassVar[str] = "electric_field"

    strength: Leaf

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", as_array(self.strength))

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Array, Array]:
        require_array("electric_field", self.strength)
        if jnp.shape(self.strength) != (3,):
            raise InputError(
                f"electric_field has shape {jnp.shape(self.strength)}; give 3 components (a.u.)."
            )
        nuclear = -(mol.charges @ mol.positions) @ self.strength
        return nuclear, jnp.tensordot(self.strength, operators.dipole(orbitals), 1)

    def differential(
        self, mol: Molecule, orbitals: Orbitals, integrals: tuple[Array, Array], density: Density
    ) -> Array:
        nuclear, h = self.prepare(mol, orbitals)
        return without_value(nuclear) + linear_differential(h, density.total)
