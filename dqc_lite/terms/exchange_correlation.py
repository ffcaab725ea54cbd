"""Semilocal exchange and correlation: ``E = sum_g w_g e(rho, |grad rho|^2, tau)(r_g)``.

The points move with the atoms and their weights are differentiated too, so that the derivative is
that of the number computed, whatever the grid.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.autodiff.zero_valued import differential_on_grid
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.grid import quadrature
from dqc_lite.grid.atomic import Grid
from dqc_lite.grid.on_points import ORBITAL_ORDER, potential_matrix, variables
from dqc_lite.grid.quadrature import Block, Quadrature
from dqc_lite.integrals.ao_values import ao_order, grouped_ao_values
from dqc_lite.molecule import Molecule
from dqc_lite.terms import _semilocal as semilocal
from dqc_lite.terms.term import Response, Term
from dqc_lite.xc.functional import Functional


@pytree
class ExchangeCorrelation(Term):
    """The semilocal part of a functional on a grid.

    Attributes:
        functional: its leaves are the parameters.
        grid_level: PySCF's, 0 to 9, or a `Grid`.
    """

    functional: Functional
    grid_level: int | Grid = static(default=3)

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> Quadrature:
        order = ORBITAL_ORDER[semilocal.level_of(self.functional)]
        return Quadrature.build(orbitals, mol.positions, self.grid_level, order)

    def evaluate(self, grid: Quadrature, density: Density) -> tuple[dict[str, Array], Array]:
        energy, potential = _evaluate(self.functional, grid, density)
        return {"exchange_correlation": energy}, potential

    def on_orbitals(self, grid: Quadrature, density: Density) -> Float[Array, "spin ao occ"]:
        return semilocal.on_orbitals(self.functional, grid, density.factor)

    def response(self, grid: Quadrature, density: Density) -> Response:
        return semilocal.response(self.functional, grid, density.factor)

    def differential(
        self, mol: Molecule, orbitals: Orbitals, grid: Quadrature, density: Density
    ) -> Array:
        return _differential(self.grid_level)((self.functional, orbitals, mol.positions), density)

    def moving_integrals(
        self, mol: Molecule, orbitals: Orbitals, integrals: Quadrature, density: Density
    ) -> Quadrature:
        return integrals


# compiled, so that it is traced once for however many uses in one program
@adaptive_jit
def _evaluate(
    functional: Functional, grid: Quadrature, density: Density
) -> tuple[Float[Array, ""], Float[Array, "spin ao ao"]]:
    """Energy and potential."""
    level = semilocal.level_of(functional)

    def of_block(values: Array, weights: Array) -> tuple[Array, Array]:
        at = variables(values, density, level)
        energy, slope = jax.value_and_grad(semilocal.energy, 1)(functional, at, weights)
        return energy, potential_matrix(values, slope)

    @jax.checkpoint
    def of_group(values: Array, weights: Array) -> tuple[Array, Array]:
        at = variables(values, density, level)
        energy, slopes = semilocal.energy_and_slopes(functional, at, weights)
        return energy, potential_matrix(values, slopes).sum(0)

    def step(totals: tuple, group: tuple) -> tuple[tuple, None]:
        return jax.tree.map(jnp.add, totals, of_group(*group)), None

    start = jnp.zeros(()), jnp.zeros_like(density.matrix)
    if grid.values is None:
        return grid.integrate(of_block, start)
    return jax.lax.scan(step, start, grid.grouped())[0]


@functools.partial(adaptive_jit, static_argnums=(0, 1), work=quadrature.gradient_work)
def _gradient(
    grid_level: int | Grid, moved: tuple[int, ...], moving: Any, density: Density
) -> list[Array]:
    """Derivatives with respect to some leaves of (functional, orbitals, positions)."""
    layout, level = moving[1].layout, moving[0].level
    grid = quadrature.layout_of(layout, grid_level)
    order = ORBITAL_ORDER[level]
    density = density.reordered(ao_order(layout))

    def energy(moving: Any, block: Block) -> Array:
        functional, orbitals, positions = moving
        points, weights = quadrature.weighted_points(block, positions, grid)
        values = grouped_ao_values(orbitals, points, order)
        return semilocal.energy(functional, variables(values, density, level), weights)

    return quadrature.summed_gradient(energy, moved, moving, quadrature.blocks(grid))


_differential = differential_on_grid(_gradient)
