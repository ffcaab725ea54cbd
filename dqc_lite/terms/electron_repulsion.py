"""Coulomb repulsion and exact exchange of the electrons."""

from __future__ import annotations

from typing import Any, cast

import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.zero_valued import differential_of, summed
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.integrals.host import layouts
from dqc_lite.jk import DensityFitted, Exact
from dqc_lite.molecule import Molecule
from dqc_lite.terms.term import Response, Term

Builder = Exact | DensityFitted
Fraction = float | Array | None


@pytree
class ElectronRepulsion(Term):
    """E = tr(P J)/2 - w sum_s tr(P_s (a K_s + b K_s[omega]))/2.

    K[omega] is the exchange of the long range erf(omega r)/r of the repulsion. All in one term,
    since they share their integrals and the derivative pass over them.

    Attributes:
        exchange: a, the fraction of exact exchange, 1 in Hartree-Fock; None: no exchange at all.
        long_range: b, what is added to it at long range, or None.
        omega: of the long range, 1/bohr, or None.
        density_fit: False, True (PySCF's default auxiliary basis) or the name of one.
    """

    exchange: Fraction = 1.0
    density_fit: bool | str = static(default=False)
    long_range: Fraction = None
    omega: Fraction = None

    @property
    def pure(self) -> bool:
        """No exact exchange of any range."""
        return self.exchange is None and self.long_range is None

    @property
    def exchange_fraction(self) -> float | Array:
        """The share of exact exchange, halfway between short and long range."""
        near = 0.0 if self.exchange is None else self.exchange
        return near if self.long_range is None else near + 0.5 * self.long_range

    def prepare(self, mol: Molecule, orbs: Orbitals) -> tuple[Builder, Builder | None]:
        """Builders of the whole repulsion and of its long range."""
        whole = self._builder(mol, orbs, None)
        return whole, None if self.long_range is None else self._builder(mol, orbs, self.omega)

    def _builder(self, mol: Molecule, orbs: Orbitals, omega: Fraction) -> Builder:
        if not self.density_fit:
            return Exact.build(orbs, omega)
        name = None if self.density_fit is True else self.density_fit
        layout, exponents, coefficients = layouts.auxiliary(mol.layout, name, not self.pure)
        # constants, which stay NumPy arrays while what moves is traced
        constants = cast(Array, exponents), cast(Array, coefficients)
        auxiliary = Orbitals(mol.positions, *constants, layout)
        return DensityFitted.build(orbs, auxiliary, omega)

    def evaluate(
        self, builders: tuple[Builder, Builder | None], density: Density
    ) -> tuple[dict[str, Array], Array]:
        whole, long_range = builders
        j = whole.coulomb(density)
        energies = {"coulomb": 0.5 * jnp.vdot(density.total, j)}
        if self.pure:
            return energies, j[None]
        k = jnp.zeros_like(density.matrix)
        if self.exchange is not None:
            k += self.exchange * whole.exchange(density)
        if long_range is not None:
            assert self.long_range is not None
            k += self.long_range * long_range.exchange(density)
        k = density.exchange_weight * k
        energies["exchange"] = -0.5 * jnp.vdot(density.matrix, k)
        return energies, j - k

    def on_orbitals(
        self, builders: tuple[Builder, Builder | None], density: Density
    ) -> Float[Array, "spin ao occ"]:
        whole, long_range = builders
        product = whole.on_orbitals(density, 1.0, self.exchange)
        if long_range is not None:
            product += long_range.on_orbitals(density, None, self.long_range)
        return product

    def response(
        self, builders: tuple[Builder, Builder | None], density: Density
    ) -> Response:
        whole, long_range = builders
        parts = [whole.response(density, 1.0, self.exchange)]
        if long_range is not None:
            parts.append(long_range.response(density, None, self.long_range))
        return lambda change: jnp.asarray(sum(part(change) for part in parts))

    def differential(
        self,
        mol: Molecule,
        orbs: Orbitals,
        builders: tuple[Builder, Builder | None],
        density: Density,
    ) -> Array:
        whole, long_range = builders
        parts = [whole.at(orbs, None).differential(orbs, density, 1.0, self.exchange)]
        if long_range is not None:
            attenuated = long_range.at(orbs, self.omega)
            parts.append(attenuated.differential(orbs, density, None, self.long_range))
        fractions = (self.exchange, self.long_range)
        return summed([*parts, _along_fractions(fractions, (builders, density))])

    def moving_integrals(
        self,
        mol: Molecule,
        orbs: Orbitals,
        builders: tuple[Builder, Builder | None],
        density: Density,
    ) -> tuple[Builder, Builder | None]:
        whole, long_range = builders
        if long_range is not None:
            long_range = long_range.moving(orbs, self.omega, density)
        return whole.moving(orbs, None, density), long_range


def _exchange_energies(moved: tuple[int, ...], fractions: tuple, fixed: Any) -> list[Array]:
    """Exchange energies for each fraction that moves."""
    builders, density = fixed
    present = [b for f, b in zip(fractions, builders, strict=True) if f is not None]
    half = -0.5 * density.exchange_weight
    return [half * jnp.vdot(density.matrix, present[i].exchange(density)) for i in moved]


_along_fractions = differential_of(_exchange_energies)
