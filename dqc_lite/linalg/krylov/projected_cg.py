"""Linear response of a converged invariant subspace: projected conjugate gradients.

The linearized block equation for (dX, dH) at an orthonormal X with ``A X = X W`` is
``A dX - dX W - X dH = r``, ``X^H dX = g``. With ``dX = X g + Z``, ``X^H Z = 0``:
``Q (A - w_j) Z_j = Q r_j`` for each column and ``dH = W g - g W - X^H r``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Float, Inexact
from dqc_lite.linalg._common import adjoint, eps_of, matmul, poison
from dqc_lite.linalg.krylov.lobpcg import Iterate, precondition

__all__ = ["projected_solve"]

ACCEPTED = 1e4  # a response residual above this many epsilons (relative) is NaN, not an answer


def projected_solve(operator, found: Iterate, diagonal):
    """``(solve, transpose_solve)`` of the linearized equation, on [dX; dH] stacked."""
    x, w = found.vectors, found.values

    n = x.shape[0]

    def solve(_, rhs):
        r, g = rhs[:n], rhs[n:]
        z = _columns(operator, found, diagonal, _project(x, r))
        shift = w[:, None] * g - g * w[None, :]
        return jnp.concatenate([matmul(x, g) + z, shift - matmul(adjoint(x), r)])

    def transpose_solve(_, rhs):
        # M = [[L, -X], [X^H, 0]] has M^H = [[L, X], [-X^H, 0]]: the same solve with two signs,
        # and JAX transposes without conjugation
        sign = jnp.where(jnp.arange(rhs.shape[0]) < n, 1, -1)[:, None]
        return sign * jnp.conj(solve(None, sign * jnp.conj(rhs)))

    return solve, transpose_solve


def _project(x, block):
    return block - matmul(x, adjoint(x), block)


def _columns(operator, found: Iterate, diagonal, rhs: Inexact[Array, "n k"]):
    """``Q (A - w_j) z_j = rhs_j`` with z in the range of Q; all columns at once, own step sizes."""
    x, w = found.vectors, found.values
    operator = _frozen(operator)

    def apply(z):
        z = _project(x, z)
        return _project(x, operator(z) - z * w)

    def smooth(r):
        return _project(x, precondition(diagonal, w[0], r))

    size = jnp.linalg.norm(rhs, axis=0)
    limit = 4 * eps_of(rhs.dtype) * size
    z, error = _conjugate_gradients(apply, smooth, rhs, limit)
    z = _project(x, z)  # rounding gathers along x, where the operator does not see it
    bad = jnp.any(error > ACCEPTED * eps_of(rhs.dtype) * size) | ~found.converged
    bad = bad | ~(found.gap > 10 * eps_of(rhs.dtype) * found.scale)
    return poison(z, bad)


def _frozen(operator):
    def apply(z):
        return jax.lax.stop_gradient(operator(z))

    return apply


def _conjugate_gradients(apply, smooth, rhs, limit):
    """Preconditioned CG; keeps the best iterate of each column, stops when none improves."""
    n = rhs.shape[0]
    y = smooth(rhs)

    def unfinished(state):
        _, _, _, _, _, error, stalled, count = state
        return jnp.any(error > limit) & (stalled < 25) & (count < 10 * n + 200)

    def step(state):
        z, r, p, rho, best, error, stalled, count = state
        ap = apply(p)
        alpha = _ratio(rho, _dot(p, ap))
        z, r = z + alpha * p, r - alpha * ap
        y = smooth(r)
        new_rho = _dot(r, y)
        p = y + _ratio(new_rho, rho) * p
        size = jnp.linalg.norm(r, axis=0)
        better = size < error
        best, error = jnp.where(better, z, best), jnp.where(better, size, error)
        stalled = jnp.where(jnp.any(better & (error > limit)), 0, stalled + 1)
        return z, r, p, new_rho, best, error, stalled, count + 1

    none, zero = jnp.zeros_like(rhs), jnp.int32(0)
    size = jnp.linalg.norm(rhs, axis=0)
    state = (none, rhs, y, _dot(rhs, y), none, size, zero, zero)
    best = jax.lax.while_loop(unfinished, step, state)[4]
    return best, jnp.linalg.norm(rhs - apply(best), axis=0)


def _dot(x, y) -> Float[Array, " k"]:
    return jnp.sum((jnp.conj(x) * y).real, axis=0)


def _ratio(x, y):
    return jnp.where(y != 0, x / jnp.where(y != 0, y, 1), 0)
