"""Nonlocal correlation VV10: a double sum over the points of a grid of its own."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.autodiff.zero_valued import differential_on_grid
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.grid import quadrature
from dqc_lite.grid.atomic import Grid
from dqc_lite.grid.on_points import Variables, potential_matrix, variables
from dqc_lite.grid.quadrature import Block, Quadrature
from dqc_lite.integrals.ao_values import ao_values
from dqc_lite.molecule import Molecule
from dqc_lite.terms.term import Term
from dqc_lite.xc.vv10 import nonlocal_energy

Parameter = float | Array


@pytree
class NonlocalCorrelation(Term):
    """E = weight * E_VV10[rho; b, C].

    Attributes:
        parameters: (b, C).
        weight: its share.
        grid_level: PySCF's, 0 to 9, or a `Grid`.
    """

    parameters: tuple[Parameter, Parameter]
    weight: Parameter = 1.0
    grid_level: int | Grid = static(default=3)

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> Quadrature:
        return Quadrature.build(orbitals, mol.positions, self.grid_level, 1)

    def evaluate(self, grid: Quadrature, density: Density) -> tuple[dict[str, Array], Array]:
        at = grid.map(lambda values: variables(values, density, "gga"))
        explicit = (self.parameters, self.weight)
        energy, slopes = jax.value_and_grad(_energy, 1)(explicit, at, grid.weights, grid.points)
        start = jnp.zeros_like(density.matrix)
        matrix = grid.integrate(
            lambda values, _, potential: potential_matrix(values, potential), start, slopes
        )
        return {"nonlocal_correlation": energy}, matrix

    def differential(
        self, mol: Molecule, orbitals: Orbitals, grid: Quadrature, density: Density
    ) -> Array:
        moving = ((self.parameters, self.weight), orbitals, mol.positions)
        return _differential(self.grid_level)(moving, density)

    def moving_integrals(
        self, mol: Molecule, orbitals: Orbitals, integrals: Quadrature, density: Density
    ) -> Quadrature:
        return integrals


def _energy(explicit: Any, at: Variables, weights: Array, points: Array) -> Array:
    """From variables, weights and points in blocks (along their first axis)."""
    parameters, weight = explicit
    rho, sigma = jax.vmap(lambda v: (v.local().total, v.local().sigma_total))(at)
    flat = rho.ravel(), sigma.ravel(), weights.ravel(), points.reshape(-1, 3)
    return weight * nonlocal_energy(parameters, *flat)


@functools.partial(adaptive_jit, static_argnums=(0, 1), work=quadrature.gradient_work)
def _gradient(
    grid_level: int | Grid, moved: tuple[int, ...], moving: Any, density: Density
) -> list[Array]:
    """Derivatives with respect to some leaves of ((parameters, weight), orbitals, positions).

    The parameters enter the pair sum itself, orbitals and positions what it is made of.
    """
    explicit, orbitals, positions = moving
    grid = quadrature.layout_of(orbitals.layout, grid_level)
    each = quadrature.blocks(grid)

    def on_block(orbitals: Orbitals, positions: Array, block: Block) -> tuple:
        points, weights = quadrature.weighted_points(block, positions, grid)
        values = ao_values(orbitals, points, 1)
        return variables(values, density, "gga"), weights, points

    made = jax.lax.map(jax.checkpoint(lambda b: on_block(orbitals, positions, b)), each)
    by_explicit, *duals = jax.grad(_energy, (0, 1, 2, 3))(explicit, *made)
    slopes = jax.tree.leaves(by_explicit)

    def energy(moving: Any, block: tuple) -> Array:
        orbitals, positions = moving
        parts = map(jax.tree.leaves, (on_block(orbitals, positions, block[0]), block[1]))
        return jnp.asarray(sum(map(jnp.vdot, *parts)))

    first = len(slopes)
    rest = tuple(i - first for i in moved if i >= first)
    implicit = quadrature.summed_gradient(energy, rest, (orbitals, positions), (each, duals))
    return [slopes[i] for i in moved if i < first] + implicit


_differential = differential_on_grid(_gradient)
