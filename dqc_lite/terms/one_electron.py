"""One-electron terms: kinetic energy, nuclear attraction, effective core potentials."""

from __future__ import annotations

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.errors import ECPError
from dqc_lite.integrals import differentials, operators
from dqc_lite.molecule import Molecule


def _expectation(name: str, h: Array, density: Density) -> tuple[dict[str, Array], Array]:
    return {name: jnp.vdot(h, density.total)}, h[None]


@pytree
class Kinetic:
    """E = tr(P T), T_mn = <m|-1/2 nabla^2|n>."""

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> Array:
        return operators.kinetic(orbitals)

    def evaluate(self, h: Array, density: Density) -> tuple[dict[str, Array], Array]:
        return _expectation("kinetic", h, density)

    def differential(self, mol: Molecule, orbitals: Orbitals, h: Array, density: Density) -> Array:
        return differentials.kinetic(orbitals, density.total)


@pytree
class NuclearAttraction:
    """E = tr(P V), V_mn = -sum_A Z_A <m|1/r_A|n>."""

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> Array:
        return operators.nuclear(orbitals, mol.charges)

    def evaluate(self, h: Array, density: Density) -> tuple[dict[str, Array], Array]:
        return _expectation("nuclear_attraction", h, density)

    def differential(self, mol: Molecule, orbitals: Orbitals, h: Array, density: Density) -> Array:
        return differentials.nuclear(orbitals, mol.charges, density.total)


MAX_L = 5
"""libcint's ECP code is right while the l of two functions, one differentiated, sum to 11."""


@pytree
class CorePotential:
    """E = tr(P V_ECP), scalar effective core potentials."""

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> Array:
        highest = int(mol.layout.l.max())
        if highest > MAX_L:
            raise ECPError(
                f"the basis {mol.layout.name!r} has functions of l = {highest}; effective core "
                f"potentials are available up to l = {MAX_L}: leave the highest functions out."
            )
        return operators.ecp(orbitals)

    def evaluate(self, h: Array, density: Density) -> tuple[dict[str, Array], Array]:
        return _expectation("core_potential", h, density)

    def differential(self, mol: Molecule, orbitals: Orbitals, h: Array, density: Density) -> Array:
        return differentials.ecp(orbitals, density.total)
