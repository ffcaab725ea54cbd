"""VV10's sum over all pairs of points, differentiable to any order in the memory of some rows.

sum_ij c_i c_j / (g_ij g_ji (g_ij + g_ji)), g_ij = omega_i |r_i - r_j|^2 + kappa_i, is made row by
row and so is its gradient: the kernel is symmetric, so that half of the gradient with respect to
the quantities of a point is a sum along its row. Reverse mode through that loop would keep several
numbers of every pair. Instead the gradient, and its derivatives D^m G(p)[t_1, ..., t_m] along
directions, are a primitive. It is closed: a tangent of p is one more direction, and since all
derivatives of the sum are symmetric, the transpose with respect to a direction has the cotangent in
its place. The rows themselves are only differentiated in forward mode.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from dqc_lite._types import Array, Float

LOCAL = 3
"""Quantities of a point beside its place: charge, omega, kappa."""

# Pairs in one block: 2 MiB a matrix, which stays in the cache of a CPU core; an accelerator wants
# fewer and larger ones.
_PAIRS_AT_ONCE = {"cpu": 1 << 18}
_PAIRS_AT_ONCE_ELSEWHERE = 1 << 24


def pair_sum(
    charge: Float[Array, " point"],
    omega: Float[Array, " point"],
    kappa: Float[Array, " point"],
    coords: Float[Array, "point 3"],
    block: int | None = None,
) -> Float[Array, ""]:
    """The sum; `block` rows at once, by default as many as stay in the cache."""
    local = jnp.stack([charge, omega, kappa], axis=1)
    return _pair_sum(block or _default_block(len(local)), local, coords)


def _default_block(npoint: int) -> int:
    pairs = _PAIRS_AT_ONCE.get(jax.default_backend(), _PAIRS_AT_ONCE_ELSEWHERE)
    return min(max(8, pairs // max(npoint, 1)), max(npoint, 1))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _pair_sum(block: int, local: Array, coords: Array) -> Float[Array, ""]:
    field = _over_rows(block, lambda some: _field(some, (local, coords)), (local, coords))
    return local[:, 0] @ field


def _pair_sum_jvp(block: int, points: tuple, tangents: tuple) -> tuple[Array, Array]:
    local, coords = tangents
    still = [isinstance(t, jax.custom_derivatives.SymbolicZero) for t in tangents]
    half = half_gradient_p.bind(*points, moving=not still[1], block=block)
    tangent = jnp.zeros((), half.dtype)
    if not still[0]:
        tangent += 2.0 * jnp.vdot(half[:, :LOCAL], local)
    if not still[1]:
        tangent += 2.0 * jnp.vdot(half[:, LOCAL:], coords)
    return points[0][:, 0] @ half[:, 0], tangent


_pair_sum.defjvp(_pair_sum_jvp, symbolic_zeros=True)


def _over_rows(block: int, rows: Callable, points: Sequence[Array]) -> Array:
    """``rows(some of the points)`` for every point, `block` at a time."""
    npoint = len(points[0])
    short = -npoint % block

    def blocked(x: Array, fill: float) -> Array:
        padded = jnp.pad(x, ((0, short), (0, 0)), constant_values=fill)
        return padded.reshape(-1, block, x.shape[1])

    # local quantities of 1, directions and places of 0
    blocks = [blocked(x, 0.0 if i else 1.0) for i, x in enumerate(points)]
    made = jax.lax.map(rows, blocks)
    return made.reshape(-1, *made.shape[2:])[:npoint]


def _field(some: Sequence[Array], points: Sequence[Array]) -> Float[Array, " row"]:
    """sum_j c_j / (g_ij g_ji (g_ij + g_ji))."""
    _, g, g_other = _denominators(some, points)
    return (1.0 / (g * g_other * (g + g_other))) @ points[0][:, 0]


def _half_gradient_rows(
    some: Sequence[Array], points: Sequence[Array], moving: bool
) -> Float[Array, "row column"]:
    """Half of the derivatives of the sum: charge (the field), omega, kappa and, if `moving`,
    coordinates."""
    (local, coords), (columns, columns_coords) = some, points
    charge, omega, charges = local[:, 0], local[:, 1], columns[:, 0]
    square, g, g_other = _denominators(some, points)
    both = g + g_other
    kernel = 1.0 / (g * g_other * both)
    slope = -jnp.square(kernel)
    by_g = slope * g_other * (both + g)
    by_omega, by_kappa = (by_g * square) @ charges, by_g @ charges
    found = jnp.stack([kernel @ charges, charge * by_omega, charge * by_kappa], axis=1)
    if not moving:
        return found
    by_square = by_g * omega[:, None] + slope * g * (both + g_other) * columns[:, 1]
    here = (by_square @ charges)[:, None] * coords
    by_coords = here - by_square @ (charges[:, None] * columns_coords)
    return jnp.concatenate([found, 2.0 * charge[:, None] * by_coords], axis=1)


def _denominators(some: Sequence[Array], points: Sequence[Array]) -> tuple[Array, Array, Array]:
    """(|r_i - r_j|^2, g_ij, g_ji), each (row, point)."""
    (local, coords), (columns, columns_coords) = some, points
    along = (jnp.square(coords[:, None, x] - columns_coords[None, :, x]) for x in range(3))
    square = jnp.asarray(sum(along))
    g = local[:, 1, None] * square + local[:, 2, None]
    return square, g, columns[:, 1] * square + columns[:, 2]


def _half_gradient(
    local: Float[Array, "point 3"],
    coords: Float[Array, "point 3"],
    *along: Float[Array, "point column"],
    moving: bool,
    block: int,
) -> Float[Array, "point column"]:
    """Half of the gradient, or of its derivative along directions.

    A direction has 3 columns, or 6 if the coordinates move along it; so has the result, by
    `moving`.
    """
    every = (local, coords, *along)

    def rows(some: Sequence[Array]) -> Array:
        def at(*sizes: Array) -> Array:
            return _half_gradient_rows(_displaced(some, sizes), _displaced(every, sizes), moving)

        function = at
        for k in range(len(along)):
            function = _slope(function, k)
        return function(*(jnp.zeros((), local.dtype) for _ in along))

    return _over_rows(block, rows, every)


def _displaced(points: Sequence[Array], sizes: Sequence[Array]) -> tuple[Array, Array]:
    """Local quantities and coordinates, moved by so much along the directions that follow them."""
    local, coords, *along = points
    for direction, size in zip(along, sizes, strict=True):
        local = local + size * direction[:, :LOCAL]
        if direction.shape[1] > LOCAL:
            coords = coords + size * direction[:, LOCAL:]
    return local, coords


def _slope(function: Callable, k: int) -> Callable:
    """Its derivative with respect to argument `k`."""

    def slope(*sizes: Array) -> Array:
        def of_one(size: Array) -> Array:
            return function(*sizes[:k], size, *sizes[k + 1 :])

        return jax.jvp(of_one, (sizes[k],), (jnp.ones_like(sizes[k]),))[1]

    return slope


half_gradient_p = Primitive("vv10_half_gradient")


@functools.partial(jax.jit, static_argnames=("moving", "block"))
def _evaluate(*args: Array, moving: bool, block: int) -> Array:
    return _half_gradient(*args, moving=moving, block=block)


def _abstract(local: Any, *_: Any, moving: bool, block: int) -> Any:
    columns = 2 * LOCAL if moving else LOCAL
    return jax.core.ShapedArray((local.shape[0], columns), local.dtype)


def _jvp(primals: Sequence, tangents: Sequence, **static: Any) -> tuple[Array, Any]:
    value = half_gradient_p.bind(*primals, **static)
    points, along = primals[:2], primals[2:]
    moves = [None if type(t) is ad.Zero else t for t in tangents]
    parts = [
        half_gradient_p.bind(*points, *along[:k], move, *along[k + 1 :], **static)
        for k, move in enumerate(moves[2:])
        if move is not None
    ]
    local, coords = moves[:2]
    if local is not None or coords is not None:
        local = jnp.zeros_like(points[0]) if local is None else local
        direction = local if coords is None else jnp.concatenate([local, coords], axis=1)
        parts.append(half_gradient_p.bind(*points, *along, direction, **static))
    return value, sum(parts[1:], parts[0])


def _transpose(cotangent: Any, *args: Any, moving: bool, block: int) -> list[Any]:
    (k,) = (i for i, arg in enumerate(args) if ad.is_undefined_primal(arg))
    found: list[Any] = [None] * len(args)
    if type(cotangent) is ad.Zero:
        found[k] = ad.Zero(args[k].aval)
    else:
        wide = args[k].aval.shape[1] > LOCAL
        along = (*args[:k], cotangent, *args[k + 1 :])
        found[k] = half_gradient_p.bind(*along, moving=wide, block=block)
    return found


def _batch(args: Sequence, axes: Sequence, **static: Any) -> tuple[Array, int]:
    mapped = {i: jnp.moveaxis(args[i], a, 0) for i, a in enumerate(axes) if a is not None}

    def one(slices: dict[int, Array]) -> Array:
        merged = [slices.get(i, arg) for i, arg in enumerate(args)]
        return half_gradient_p.bind(*merged, **static)

    return jax.lax.map(one, mapped), 0


half_gradient_p.def_impl(_evaluate)
half_gradient_p.def_abstract_eval(_abstract)
ad.primitive_jvps[half_gradient_p] = _jvp
ad.primitive_transposes[half_gradient_p] = _transpose
batching.primitive_batchers[half_gradient_p] = _batch
mlir.register_lowering(half_gradient_p, mlir.lower_fun(_half_gradient, multiple_results=False))
