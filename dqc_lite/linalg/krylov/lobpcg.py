"""Forward iteration of ``eigsh``: block LOBPCG on an orthonormal basis. Never differentiated."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Bool, Float, Inexact, Int
from dqc_lite.linalg._common import adjoint, matmul, symmetrize

__all__ = ["Iterate", "lobpcg", "precondition"]

FLOOR = 0.1  # smallest denominator of the preconditioner, relative to the spread of the diagonal


class Iterate(NamedTuple):
    """Outcome of a forward solve."""

    values: Float[Array, " k"]
    vectors: Inexact[Array, "n k"]
    residuals: Float[Array, " k"]
    gap: Float[Array, ""]
    scale: Float[Array, ""]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


def precondition(diagonal, shift: Float[Array, ""], block: Inexact[Array, "n j"]):
    """``block / max(diagonal - shift, floor)``: positive definite whatever the shift."""
    if diagonal is None:
        return block
    spread = jnp.max(diagonal) - jnp.min(diagonal)
    floor = FLOOR * spread + jnp.finfo(diagonal.dtype).eps * jnp.max(jnp.abs(diagonal))
    floor = jnp.where(floor > 0, floor, 1.0)
    return block / jnp.maximum(diagonal - shift, floor)[:, None]


def lobpcg(
    operator, start: Inexact[Array, "n p"], k: int, diagonal, *, tol: float, maxiter: int
) -> Iterate:
    """Lowest k of the p vectors iterated; the other p - k are guards that speed it up.

    Each step is a Rayleigh-Ritz problem in the span of X, the preconditioned residuals and the
    last step, made orthonormal by one QR, which is safe when these become dependent.
    """
    p = start.shape[1]

    def rayleigh_ritz(basis):
        image = operator(basis)
        w, c = jnp.linalg.eigh(symmetrize(matmul(adjoint(basis), image)))
        x, ax = matmul(basis, c[:, :p]), matmul(image, c[:, :p])
        return w, x, ax - x * w[:p], c

    def unfinished(state):
        _, w, residual, _, count = state
        size = jnp.linalg.norm(residual[:, :k], axis=0)
        return (jnp.max(size) > tol * jnp.max(jnp.abs(w))) & (count < maxiter)

    def step(state):
        x, w, residual, last, count = state
        new = precondition(diagonal, w[0], residual)
        basis = jnp.linalg.qr(jnp.concatenate([x, _unit(new), _unit(last)], axis=1))[0]
        w, x, residual, c = rayleigh_ritz(basis)
        return x, w, residual, matmul(basis[:, p:], c[p:, :p]), count + 1

    w, x, residual, _ = rayleigh_ritz(start)
    w = jnp.concatenate([w, jnp.full((2 * p,), w[-1], w.dtype)])
    state = (x, w, residual, jnp.zeros_like(x), jnp.int32(0))
    x, w, residual, _, count = jax.lax.while_loop(unfinished, step, state)
    residuals = jnp.linalg.norm(residual, axis=0)[:k]
    scale = jnp.max(jnp.abs(w))
    gap = w[k] - w[k - 1]  # a Ritz value from above; only a certificate
    return Iterate(w[:k], x[:, :k], residuals, gap, scale, count, jnp.max(residuals) <= tol * scale)


def _unit(block):
    size = jnp.linalg.norm(block, axis=0)
    return block / jnp.where(size > 0, size, 1.0)
