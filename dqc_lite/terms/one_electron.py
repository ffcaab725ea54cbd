"""One-electron terms: kinetic energy, nuclear attraction, effective core potentials."""

from __future__ import annotations

from typing import ClassVar

from dqc_lite._pytree import pytree
from dqc_lite._types import Array
from dqc_lite.autodiff.zero_valued import zero
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.errors import ECPError
from dqc_lite.integrals import differentials, operators
from dqc_lite.molecule import Molecule
from dqc_lite.terms.term import LinearTerm


@pytree
class Kinetic(LinearTerm):
    """E = tr(P T), T_mn = <m|-1/2 nabla^2|n>."""

    name: ClassVar[str] = "kinetic"

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Array, Array]:
        return zero(), operators.kinetic(orbitals)

    def differential(
        self, mol: Molecule, orbitals: Orbitals, integrals: tuple[Array, Array], density: Density
    ) -> Array:
        return differentials.kinetic(orbitals, density.total)


@pytree
class NuclearAttraction(LinearTerm):
    """E = tr(P V), V_mn = -sum_A Z_A <m|1/r_A|n>."""

    name: ClassVar[str] = "nuclear_attraction"

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Array, Array]:
        return zero(), operators.nuclear(orbitals, mol.charges)

    def differential(
        self, mol: Molecule, orbitals: Orbitals, integrals: tuple[Array, Array], density: Density
    ) -> Array:
        return differentials.nuclear(orbitals, mol.charges, density.total)


MAX_L = 5
"""libcint's ECP code is right while the l of two functions, one differentiated, sum to 11."""


@pytree
class CorePotential(LinearTerm):
    """E = tr(P V_ECP), scalar effective core potentials."""

    name: ClassVar[str] = "core_potential"

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Array, Array]:
        highest = int(mol.layout.l.max())
        if highest > MAX_L:
            raise ECPError(
                f"the basis {mol.layout.name!r} has functions of l = {highest}; effective core "
                f"potentials are available up to l = {MAX_L}: leave the highest functions out."
            )
        return zero(), operators.ecp(orbitals)

    def differential(
        self, mol: Molecule, orbitals: Orbitals, integrals: tuple[Array, Array], density: Density
    ) -> Array:
        return differentials.ecp(orbitals, density.total)
