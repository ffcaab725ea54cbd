"""The sum of the energy terms."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.zero_valued import summed
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.molecule import Molecule
from dqc_lite.terms.term import Response, Term


@pytree
class Hamiltonian(Term):
    """The energy as a sum of terms; energies of the same name are added up."""

    terms: tuple[Term, ...]

    @property
    def exchange_fraction(self) -> float | Array:
        """The share of exact exchange: the sum of those of the terms."""
        return sum(t.exchange_fraction for t in self.terms)

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Any, ...]:
        """Integrals of every term."""
        return tuple(t.prepare(mol, orbitals) for t in self.terms)

    def evaluate(
        self, integrals: tuple, density: Density
    ) -> tuple[dict[str, Array], Float[Array, "spin ao ao"]]:
        """Named energies (hartree) and the Fock matrix."""
        energies: dict[str, Array] = {}
        fock = jnp.zeros_like(density.matrix)
        for t, i in zip(self.terms, integrals, strict=True):
            part, matrix = t.evaluate(i, density)
            for name, energy in part.items():
                energies[name] = energies[name] + energy if name in energies else energy
            fock += matrix
        return energies, fock

    def on_orbitals(self, integrals: tuple, density: Density) -> Float[Array, "spin ao occ"]:
        """F C, the Fock matrix on the factor C of the density: half of dE/dC, hartree."""
        parts = zip(self.terms, integrals, strict=True)
        return jnp.asarray(sum(t.on_orbitals(i, density) for t, i in parts))

    def response(self, integrals: tuple, density: Density) -> Response:
        """dC -> dF C."""
        parts = [t.response(i, density) for t, i in zip(self.terms, integrals, strict=True)]
        return lambda change: jnp.asarray(sum(part(change) for part in parts))

    def differential(
        self, mol: Molecule, orbitals: Orbitals, integrals: tuple, density: Density
    ) -> Float[Array, ""]:
        """Zero, with the derivative of the energy at fixed density matrix."""
        parts = zip(self.terms, integrals, strict=True)
        return summed([t.differential(mol, orbitals, i, density) for t, i in parts])

    def moving_integrals(
        self, mol: Molecule, orbitals: Orbitals, integrals: tuple, density: Density
    ) -> tuple[Any, ...]:
        """The integrals as far as `differential` makes use of them, moving with `mol`."""
        parts = zip(self.terms, integrals, strict=True)
        return tuple(t.moving_integrals(mol, orbitals, i, density) for t, i in parts)
