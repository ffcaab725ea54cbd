"""Nonlocal correlation VV10: O. A. Vydrov, T. Van Voorhis, J. Chem. Phys. 133, 244103 (2010).

E = int rho(r) [beta + 1/2 int rho(r') Phi(r, r') dr'] dr,  Phi = -3 / (2 g g' (g + g')),
g = omega_0(r) |r - r'|^2 + kappa(r), g' = omega_0(r') |r - r'|^2 + kappa(r').

The double sum runs over every pair of grid points, in blocks of rows. Its kernel is symmetric, so
the derivative with respect to a point's own quantities, summed along its row, is half of the whole
derivative: energy and gradient come from the same pass over the pairs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float

# Points with less electrons per bohr^3 are left out, as in PySCF.
DENSITY_THRESHOLD = 1e-8
# Pairs in one block: 2 MiB a matrix, which stays in the cache of a CPU core; an accelerator wants
# fewer and larger ones.
_PAIRS_AT_ONCE = {"cpu": 1 << 18}
_PAIRS_AT_ONCE_ELSEWHERE = 1 << 24

_Points = tuple[
    Float[Array, " point"], Float[Array, " point"], Float[Array, " point"], Float[Array, "point 3"]
]


@pytree
class VV10:
    """Nonlocal correlation with parameters b (short-range damping) and C (asymptotic C6)."""

    b: Float[Array, ""] | float = 6.0
    c: Float[Array, ""] | float = 0.01

    def energy(
        self,
        rho: Float[Array, " point"],
        sigma: Float[Array, " point"],
        weights: Float[Array, " point"],
        coords: Float[Array, "point 3"],
    ) -> Float[Array, ""]:
        """`nonlocal_energy` with these parameters."""
        return nonlocal_energy((self.b, self.c), rho, sigma, weights, coords)


def nonlocal_energy(
    parameters: tuple[Float[Array, ""] | float, Float[Array, ""] | float],
    rho: Float[Array, " point"],
    sigma: Float[Array, " point"],
    weights: Float[Array, " point"],
    coords: Float[Array, "point 3"],
    *,
    block: int | None = None,
) -> Float[Array, ""]:
    """VV10 energy, hartree, differentiable to any order in every array argument.

    Args:
        parameters: (b, C).
        rho: electron density of both spins, bohr^-3; points below `DENSITY_THRESHOLD` are left out.
        sigma: |grad rho|^2.
        weights: quadrature weights, bohr^3.
        coords: bohr.
        block: rows of the pair sum made at once; memory is a few times block * point numbers. By
            default as many as fit the cache of a CPU core, or more on an accelerator.
    """
    b, c = parameters
    kept = rho >= DENSITY_THRESHOLD
    rho, sigma = jnp.where(kept, rho, 1.0), jnp.where(kept, sigma, 0.0)
    charge = jnp.where(kept, weights, 0.0) * rho
    omega, kappa = _frequency(c, rho, sigma), _damping(b, rho)
    beta = (3.0 / b**2) ** 0.75 / 32.0
    block = block or _default_block(rho.size)
    return beta * charge.sum() - 0.75 * _pair_sum(block, charge, omega, kappa, coords)


def _default_block(npoint: int) -> int:
    pairs = _PAIRS_AT_ONCE.get(jax.default_backend(), _PAIRS_AT_ONCE_ELSEWHERE)
    return min(max(8, pairs // max(npoint, 1)), max(npoint, 1))


def _frequency(c, rho, sigma):
    """omega_0 = sqrt(omega_g^2 + omega_p^2 / 3), hartree."""
    return jnp.sqrt(c * jnp.square(sigma / jnp.square(rho)) + (4.0 * math.pi / 3.0) * rho)


def _damping(b, rho):
    """kappa = b v_F^2 / omega_p (hartree bohr^2): keeps the kernel finite where points meet."""
    return b * (1.5 * math.pi * (9.0 * math.pi) ** (-1.0 / 6.0)) * rho ** (1.0 / 6.0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _pair_sum(block: int, charge, omega, kappa, coords) -> Float[Array, ""]:
    """sum_ij c_i c_j / (g_ij g_ji (g_ij + g_ji)) with g_ij = omega_i |r_i - r_j|^2 + kappa_i."""
    points = charge, omega, kappa, coords
    return charge @ _over_rows(block, _field, points)


def _pair_sum_jvp(block, points, tangents):
    """The tangent is linear in the tangents with coefficients made by ordinary operations, which
    JAX differentiates again for higher orders."""
    fixed = [isinstance(t, jax.custom_derivatives.SymbolicZero) for t in tangents]
    rows = functools.partial(_field_and_gradient, moving=not fixed[3])
    gradient = _over_rows(block, rows, points)
    pairs = zip(gradient, tangents, fixed, strict=True)
    along = [jnp.vdot(g, t) for g, t, still in pairs if not still]
    return points[0] @ gradient[0], 2.0 * sum(along)


_pair_sum.defjvp(_pair_sum_jvp, symbolic_zeros=True)


def _over_rows(block: int, rows: Callable[[_Points, _Points], Any], points: _Points) -> Any:
    """`rows(some points, all points)` for every point, `block` at a time."""
    npoint = points[0].shape[0]
    short = -npoint % block

    def blocked(x, fill):
        padded = jnp.pad(x, ((0, short), *((0, 0),) * (x.ndim - 1)), constant_values=fill)
        return padded.reshape(-1, block, *x.shape[1:])

    blocks = tuple(blocked(x, fill) for x, fill in zip(points, (0.0, 1.0, 1.0, 0.0), strict=True))
    body = jax.checkpoint(lambda some: rows(some, points))
    made = jax.lax.map(body, blocks)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:npoint], made)


def _field(some: _Points, points: _Points) -> Float[Array, " row"]:
    """sum_j c_j / (g_ij g_ji (g_ij + g_ji))."""
    _, g, g_other = _denominators(some, points)
    return (1.0 / (g * g_other * (g + g_other))) @ points[0]


def _field_and_gradient(some: _Points, points: _Points, *, moving: bool):
    """`_field` and half of the derivatives of the pair sum: charge (the field), omega, kappa and,
    if `moving`, the coordinates (else None)."""
    charge, omega = some[:2]
    columns, columns_omega, _, columns_coords = points
    square, g, g_other = _denominators(some, points)
    both = g + g_other
    kernel = 1.0 / (g * g_other * both)
    slope = -jnp.square(kernel)
    by_g = slope * g_other * (both + g)
    field, by_kappa, by_omega = kernel @ columns, by_g @ columns, (by_g * square) @ columns
    by_coords = None
    if moving:
        by_square = by_g * omega[:, None] + slope * g * (both + g_other) * columns_omega
        here = (by_square @ columns)[:, None] * some[3]
        by_coords = 2.0 * charge[:, None] * (here - by_square @ (columns[:, None] * columns_coords))
    return field, charge * by_omega, charge * by_kappa, by_coords


def _denominators(some: _Points, points: _Points):
    """(|r_i - r_j|^2, g_ij, g_ji), each (row, point)."""
    square = sum(jnp.square(some[3][:, None, x] - points[3][None, :, x]) for x in range(3))
    g = some[1][:, None] * square + some[2][:, None]
    return square, g, points[1] * square + points[2]
