"""Becke's partition of space between the atoms, J. Chem. Phys. 88, 2547 (1988).

Point by point, ``mu_ij = (r_i - r_j) / R_ij`` runs from -1 on atom i to 1 on atom j; shifted by
the sizes of the atoms and three times through ``p(g) = (3 g - g^3) / 2`` it becomes a smooth step,
and the cell function of atom i is ``P_i = prod_j (1 - g_ij) / 2``. The weight of a point is the
share of the atom it belongs to in the sum of the cell functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float, Int
from dqc_lite.grid.radii import bragg

UNROLLED = 8
"""Atoms whose factors are multiplied in one pass over the points."""


def radii_adjustment(elements: Sequence[int]) -> Float[np.ndarray, "atom atom"]:
    """a_ij of ``nu = mu + a (1 - mu^2)``, antisymmetric, from the square roots of Bragg's radii.

    Treutler and Ahlrichs, J. Chem. Phys. 102, 346 (1995), in the appendix of Becke's paper.
    """
    size = np.sqrt([bragg(number) for number in elements])
    ratio = size[:, None] / size
    return np.clip(0.25 * (ratio.T - ratio), -0.5, 0.5)


def becke_weights(
    positions: Float[Array, "atom 3"],
    points: Float[Array, "point 3"],
    owner: Int[Array, " point"],
    radii_adjustment: Float[np.ndarray, "atom atom"],
) -> Float[Array, " point"]:
    """Share of the owners in their points, 0 to 1: the factor on the atomic weight.

    Args:
        positions: of the atoms, bohr.
        points: where, bohr.
        owner: the atom of each point.
        radii_adjustment: (atom, atom), antisymmetric (see `radii_adjustment`).

    Returns:
        1 for a single atom. Differentiable to any order in positions and points; on a nucleus,
        where the distance is not, the cell functions are flat, and so is the result.
    """
    cells = cell_functions(positions, points, radii_adjustment)
    own = jnp.arange(len(positions))[:, None] == owner
    return jnp.where(own, cells, 0.0).sum(0) / cells.sum(0)


def cell_functions(
    positions: Float[Array, "atom 3"],
    points: Float[Array, "point 3"],
    radii_adjustment: Float[np.ndarray, "atom atom"],
) -> Float[Array, "atom point"]:
    """P_i at the points, times a factor common to all atoms.

    Factors of half a dozen atoms j are multiplied in one pass. Those of j = i and of what fills up
    the last pass are 1/2 for every i.
    """
    natm = len(positions)
    distance = _norm(points.T[:, None] - positions.T[:, :, None])
    inverse = _inverse_distances(positions)
    npass = -(-natm // UNROLLED)
    filled = (-(-natm // npass)) * npass - natm

    def passes(array: Array) -> Array:
        """(atom, ...) as (pass, atom of the pass, ...)."""
        array = jnp.pad(array, [(0, filled)] + [(0, 0)] * (array.ndim - 1))
        return array.reshape(npass, -1, *array.shape[1:])

    @jax.checkpoint
    def multiplied(product: Array, others: tuple[Array, Array, Array]) -> tuple[Array, None]:
        for r, inverse_column, adjustment_column in zip(*others, strict=True):
            mu = (distance - r) * inverse_column[:, None]
            product *= 0.5 - 0.5 * _step(mu + adjustment_column[:, None] * (1.0 - mu * mu))
        return product, None

    # column j of the tables belongs to the other atom j
    others = (passes(distance), passes(inverse), passes(jnp.asarray(radii_adjustment).T))
    one = jnp.ones_like(distance)
    if npass == 1:
        return multiplied(one, jax.tree.map(lambda x: x[0], others))[0]
    return jax.lax.scan(multiplied, one, others)[0]


def _step(g: Array) -> Array:
    """p(p(p(g)))."""
    for _ in range(3):
        g = g * (1.5 - 0.5 * (g * g))
    return g


def _norm(vector: Float[Array, "3 atom point"]) -> Float[Array, "atom point"]:
    """Length along the first axis; 0, with derivatives 0, of the zero vector."""
    square = (vector**2).sum(0)
    zero = square == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))


def _inverse_distances(positions: Float[Array, "atom 3"]) -> Float[Array, "atom atom"]:
    """1 / R_ij between different atoms, 0 on the diagonal."""
    square = ((positions[:, None] - positions) ** 2).sum(-1)
    same = np.eye(len(positions), dtype=bool)
    return jnp.where(same, 0.0, jax.lax.rsqrt(jnp.where(same, 1.0, square)))
