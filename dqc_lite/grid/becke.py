"""Becke's partition of space between the atoms, J. Chem. Phys. 88, 2547 (1988).

Point by point, ``mu_ij = (r_i - r_j) / R_ij`` runs from -1 on atom i to 1 on atom j; shifted by
the sizes of the atoms, ``nu = mu + a (1 - mu^2)``, and three times through
``p(g) = (3 g - g^3) / 2`` it becomes a smooth step, and the cell function of atom i is
``P_i = prod_j (1 - p(p(p(nu_ij)))) / 2``. The weight of a point is the share of the atom it belongs
to in the sum of the cell functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._select import select
from dqc_lite._types import Array, Float, Int
from dqc_lite.grid.radii import bragg

UNROLLED = 24
"""Atoms whose factors are multiplied in one pass over the points."""


def radii_adjustment(elements: Sequence[int]) -> Float[np.ndarray, "atom atom"]:
    """a_ij, antisymmetric, from the square roots of Bragg's radii.

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
        1 for a single atom. Differentiable to any order in positions and points. On a nucleus,
        where the distance is not, the cell functions are flat to the seventh order, and so is the
        result. A reverse pass holds a few arrays (atom, atom, point): pass points in blocks.
    """
    distance = _norm(points.T[:, None] - positions.T[:, :, None])
    share = shares(distance, _inverse_distances(positions), jnp.asarray(radii_adjustment))
    own = jnp.arange(len(positions))[:, None] == owner
    return select(own, share, 0.0).sum(0)


@jax.custom_jvp
def shares(
    distance: Float[Array, "atom point"],
    inverse: Float[Array, "atom atom"],
    adjustment: Float[Array, "atom atom"],
) -> Float[Array, "atom point"]:
    """P_i / sum_k P_k, from the distances of points and atoms and 1 / R_ij (0 for i = j).

    The adjustment is taken as constant.
    """
    cells = _cell_functions(distance, inverse, adjustment)
    return cells / cells.sum(0)


@shares.defjvp
def _shares_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """``dw_i = w_i (t_i - sum_k w_k t_k)`` with t_i = d ln P_i: sums instead of products.

    Where ln P_i is singular w_i vanishes with eight times the power.
    """
    distance, inverse, adjustment = primals
    share = shares(*primals)
    # axes: j, i, point
    difference = distance - distance[:, None]
    scale = inverse.T[:, :, None]
    slope = _log_step_slope(difference * scale, adjustment.T[:, :, None])
    moved, stretched, _ = tangents
    by_distance = slope * scale
    change = (by_distance * (moved - moved[:, None])).sum(0)
    change += (slope * difference * stretched.T[:, :, None]).sum(0)
    return share, share * (change - (share * change).sum(0))


def _cell_functions(
    distance: Float[Array, "atom point"],
    inverse: Float[Array, "atom atom"],
    adjustment: Float[Array, "atom atom"],
) -> Float[Array, "atom point"]:
    """P_i at the points, times a factor common to all atoms.

    Factors of some atoms j are multiplied in one pass. Those of j = i and of what fills up the
    last pass are 1/2 for every i.
    """
    natm = len(distance)
    npass = -(-natm // UNROLLED)
    filled = -natm % npass

    def passes(array: Array) -> Array:
        """(atom, ...) as (pass, atom of the pass, ...)."""
        array = jnp.pad(array, [(0, filled)] + [(0, 0)] * (array.ndim - 1))
        return array.reshape(npass, -1, *array.shape[1:])

    def multiplied(product: Array, others: tuple[Array, Array, Array]) -> tuple[Array, None]:
        for r, inverse_column, adjustment_column in zip(*others, strict=True):
            mu = (distance - r) * inverse_column[:, None]
            product *= _step(mu, adjustment_column[:, None])
        return product, None

    others = (passes(distance), passes(inverse.T), passes(adjustment.T))
    one = jnp.ones_like(distance)
    if npass == 1:
        return multiplied(one, jax.tree.map(lambda x: x[0], others))[0]
    return jax.lax.scan(multiplied, one, others)[0]


def _complement(mu: Array, adjustment: Array) -> Array:
    """1 - nu."""
    return 1.0 - mu - adjustment * (1.0 - mu * mu)


def _step(mu: Array, adjustment: Array) -> Array:
    """``(1 - p(p(p(nu)))) / 2``, as ``1 - p(1 - e) = e^2 (3 - e) / 2``: exact near 0."""
    e = _complement(mu, adjustment)
    for _ in range(3):
        e = e * e * (1.5 - 0.5 * e)
    return 0.5 * e


def _log_step_slope(mu: Array, adjustment: Array) -> Array:
    """d ln _step / d mu; 0 where the step is 0."""
    e = _complement(mu, adjustment)
    zero = e == 0
    above, below = 2.0 * adjustment * mu - 1.0, select(~zero, e, 1.0)
    for _ in range(3):
        above, below = above * (6.0 - 3.0 * e), below * (3.0 - e)
        e = e * e * (1.5 - 0.5 * e)
    return select(~zero, above / below, 0.0)


def _norm(vector: Float[Array, "3 atom point"]) -> Float[Array, "atom point"]:
    """Length along the first axis; 0, with derivatives 0, of the zero vector."""
    square = (vector**2).sum(0)
    zero = square == 0
    return select(~zero, jnp.sqrt(select(~zero, square, 1.0)), 0.0)


def _inverse_distances(positions: Float[Array, "atom 3"]) -> Float[Array, "atom atom"]:
    """1 / R_ij between different atoms, 0 on the diagonal."""
    square = ((positions[:, None] - positions) ** 2).sum(-1)
    same = np.eye(len(positions), dtype=bool)
    return jnp.where(same, 0.0, jax.lax.rsqrt(jnp.where(same, 1.0, square)))
