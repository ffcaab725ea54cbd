"""Integration over space in blocks of points, with the atomic orbitals on them.

Blocks bound the memory: what a block needs (orbitals and their gradients, densities, potentials)
exists for one block at a time. Where the budget allows, the orbitals of all blocks are kept from
one cycle to the next, else they are made anew in each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite import memory
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.basis import Layout, Orbitals
from dqc_lite.grid.atomic import Grid, GridLayout, block_points, grid_layout
from dqc_lite.grid.becke import becke_weights
from dqc_lite.integrals.ao_values import ao_values

CACHE_BYTES = 2**30
"""Most memory that orbitals kept between cycles may take."""

CACHE_SHARE = 0.25
"""... and their share of the memory budget."""


GROUP = 2**16
"""Numbers of orbitals and gradients of the blocks that are worked on at once: they stay in the
second cache of a core."""


def block_size() -> int:
    """Points of a block: what stays in the cache of a core, or fills a GPU."""
    return 128 if jax.default_backend() == "cpu" else 8192


def layout_of(layout: Layout, level: int | Grid) -> GridLayout:
    """The grid of a molecule in blocks.

    Raises:
        InputError: neither a level from 0 to 9 nor a Grid.
    """
    return grid_layout(layout, level, block_size())


@pytree
class Block:
    """Some of the points.

    Attributes:
        local: (point, 3) offsets from the atoms they belong to, bohr.
        weight: (point,) weights of the atomic quadrature, bohr^3.
        owner: (point,) the atoms.
    """

    local: Float[Array, "point 3"]
    weight: Float[Array, " point"]
    owner: Array


def blocks(grid: GridLayout) -> Block:
    """All blocks, along a leading axis."""
    n = grid.local.shape[0] // grid.block

    def cut(x: np.ndarray) -> Array:
        return jnp.asarray(x.reshape(n, grid.block, *x.shape[1:]))

    return Block(cut(grid.local), cut(grid.weight), cut(grid.owner))


def weighted_points(
    block: Block, positions: Float[Array, "atom 3"], grid: GridLayout
) -> tuple[Float[Array, "point 3"], Float[Array, " point"]]:
    """Points of a block (bohr) and their molecular weights (bohr^3): both move with the atoms."""
    points = block_points(block.local, block.owner, positions)
    share = becke_weights(positions, points, block.owner, grid.radii_adjustment)
    return points, block.weight * share


@pytree
class Quadrature:
    """A grid at fixed positions.

    Attributes:
        points: (block, point, 3) bohr.
        weights: (block, point) bohr^3.
        orbitals: the atomic orbitals.
        values: (block, component, ao, point) orbitals (and gradients) on the points, or None.
        order: highest derivative of the orbitals.
    """

    points: Float[Array, "block point 3"]
    weights: Float[Array, "block point"]
    orbitals: Orbitals
    values: Float[Array, "block component ao point"] | None
    order: int = static()

    @classmethod
    def build(
        cls, orbitals: Orbitals, positions: Float[Array, "atom 3"], level: int | Grid, order: int
    ) -> Quadrature:
        """Grid of a level (PySCF's, 0 to 9) for orbitals and derivatives up to `order`."""
        grid = layout_of(orbitals.layout, level)
        size = 8 * len(grid.local) * orbitals.layout.nao * (1, 4)[order]
        keep = size <= min(CACHE_BYTES, CACHE_SHARE * memory.budget_bytes())
        return _build(orbitals, positions, grid, order, keep)

    def stored(self) -> Array:
        """What each block needs for its orbitals, along a leading axis."""
        return self.points if self.values is None else self.values

    def block_values(self, stored: Array) -> Float[Array, "component ao point"]:
        """Orbitals on the points of a block."""
        if self.values is None:
            return ao_values(self.orbitals, stored, self.order)
        return stored

    def integrate(self, one_block: Callable, start: Any, each: Any = None) -> Any:
        """Add up what ``one_block(values, weights)`` returns for each block to `start`.

        With `each`, a pytree with a leading block axis, its part is a third argument.
        """

        # scanned over, not indexed: the cotangent of a whole array then does not pass every block
        blocks = (self.stored(), self.weights, *(() if each is None else (each,)))

        @jax.checkpoint
        def contribution(stored: Array, weights: Array, *more: Any) -> Any:
            return one_block(self.block_values(stored), weights, *more)

        def step(total: Any, block: tuple) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, contribution(*block)), None

        return jax.lax.scan(step, start, blocks)[0]

    def map(self, one_block: Callable) -> Any:
        """What ``one_block(values)`` returns for each block, along a new first axis."""
        return jax.lax.map(
            jax.checkpoint(lambda stored: one_block(self.block_values(stored))), self.stored()
        )

    def grouped(self) -> tuple[Array, Array]:
        """Kept values and weights of groups of blocks, along two leading axes."""
        assert self.values is not None
        nblock, most = len(self.weights), 1
        if jax.default_backend() == "cpu":
            most = max(1, GROUP // self.values[0].size)
        size = max(n for n in range(1, most + 1) if nblock % n == 0)
        return jax.tree.map(
            lambda x: x.reshape(-1, size, *x.shape[1:]), (self.values, self.weights)
        )


def gradient_work(level: int | Grid, moved: tuple, moving: tuple, *_: Any) -> float:
    """`work` of a derivative along (something, orbitals, positions)."""
    layout = moving[1].layout
    return work(layout, layout_of(layout, level))


def summed_gradient(
    energy: Callable[..., Array], moved: tuple[int, ...], moving: Any, each: Any
) -> list[Array]:
    """Derivatives of ``sum_k energy(moving, each[k])`` with respect to some leaves of `moving`.

    `moved` numbers these leaves. One block is differentiated at a time, so that the memory is that
    of one block.
    """
    leaves, treedef = jax.tree.flatten(moving)

    def of_block(values: list[Array], block: Any) -> Array:
        merged = list(leaves)
        for i, value in zip(moved, values, strict=True):
            merged[i] = value
        return energy(jax.tree.unflatten(treedef, merged), block)

    @jax.checkpoint
    def slopes(block: Any) -> list[Array]:
        return jax.grad(of_block)([leaves[i] for i in moved], block)

    def step(total: list[Array], block: Any) -> tuple[list[Array], None]:
        return jax.tree.map(jnp.add, total, slopes(block)), None

    start = [jnp.zeros_like(leaves[i]) for i in moved]
    return jax.lax.scan(step, start, each)[0]


def work(layout: Layout, grid: GridLayout) -> float:
    """Numbers to be made on the points: orbitals and their gradients."""
    return 4.0 * grid.npoint * layout.nao


@functools.partial(
    adaptive_jit,
    static_argnums=(2, 3, 4),
    work=lambda orbitals, positions, grid, *_: work(orbitals.layout, grid),
)
def _build(
    orbitals: Orbitals, positions: Array, grid: GridLayout, order: int, keep: bool
) -> Quadrature:
    @jax.checkpoint
    def one(block: Block) -> tuple[Array, Array, Array | None]:
        points, weights = weighted_points(block, positions, grid)
        return points, weights, ao_values(orbitals, points, order) if keep else None

    points, weights, values = jax.lax.map(one, blocks(grid))
    return Quadrature(points, weights, orbitals, values, order)
