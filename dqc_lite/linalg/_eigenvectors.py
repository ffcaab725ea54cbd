"""The closed derivative rule of Hermitian eigenvectors and eigenvalues.

With K = V^H dA V and a partition of the states into blocks (levels), the tangents are

    dV = V Omega,     Omega H - H Omega = offblock(K),     dw = diag(K),

where H is the *block matrix* of V^H A V (not its diagonal) and Omega vanishes inside blocks
(parallel transport). The Sylvester equation is posed as a ``custom_linear_solve`` whose operator
depends on A and V, so differentiating the rule gives the exact next order: the in-block part of
dH is K itself, which a formula in V and 1/(w_j - w_i) loses. H is diagonal at the point where the
rule is evaluated, so each solve is an elementwise division, and gaps inside a block never enter.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Bool, Float, Inexact
from dqc_lite.linalg._common import adjoint, eps_of, matmul, poison, rounding

__all__ = ["eigenpairs", "eigenvectors"]


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def eigenvectors(
    a: Inexact[Array, "... n n"],
    w: Float[Array, "... n"],
    v: Inexact[Array, "... n n"],
    same: Bool[Array, "... n n"],
    check: bool,
) -> Inexact[Array, "... n n"]:
    """``v`` as a differentiable function of Hermitian ``a``.

    Args:
        a: the matrix; all derivative information enters here.
        w, v: its eigenpairs, constants; ``v`` may be rotated within exactly equal eigenvalues.
        same: block membership of pairs of states.
        check: multiply the reverse-mode result by NaN when the loss depends on the basis
            inside a block.
    """
    return v


@eigenvectors.defjvp
def _eigenvectors_jvp(check, primals, tangents):
    a, w, v, same = primals
    vectors = eigenvectors(a, w, v, same, check)
    return vectors, matmul(vectors, _rotation(a, tangents[0], vectors, w, same, check))


@functools.partial(jax.custom_jvp, nondiff_argnums=(5,))
def eigenpairs(a, w, v, same, level, check):
    """``(w, v)`` as functions of ``a``; arguments as for :func:`eigenvectors`.

    ``level``: finer partition of declared blocks, by which eigenvalues are differentiated;
    None where it is ``same``.
    """
    return w, v


@eigenpairs.defjvp
def _eigenpairs_jvp(check, primals, tangents):
    a, w, v, same, level = primals
    values, vectors = eigenpairs(a, w, v, same, level, check)
    k = matmul(adjoint(vectors), tangents[0], vectors)
    own = k if level is None else _turn_to_eigenbasis(a, k, vectors, w, same, level)
    dw = jnp.real(jnp.diagonal(own, axis1=-2, axis2=-1))
    if check:
        dw = _inspected(dw, same)
    omega = _solve_rotation(a, k, vectors, w, same, check)
    return (values, vectors), (dw, matmul(vectors, omega))


def _turn_to_eigenbasis(a, k, vectors, w, same, level):
    """R^H k R, R the eigenvectors of the block matrix of ``a``.

    R is 1 where the rule is evaluated but has derivatives. Posed as the linear equation
    R y R^H = k, it costs nothing at first order.
    """
    h = jnp.where(same, matmul(adjoint(vectors), a, vectors), 0)
    eye = jnp.broadcast_to(jnp.eye(w.shape[-1], dtype=vectors.dtype), vectors.shape)
    r = eigenvectors(h, w, eye, level | ~same, False)

    def identity(_, rhs):
        return rhs

    return jax.lax.custom_linear_solve(lambda y: matmul(r, y, adjoint(r)), k, identity, identity)


def _rotation(a, da, vectors, w, same, check):
    k = matmul(adjoint(vectors), da, vectors)
    return _solve_rotation(a, k, vectors, w, same, check)


def _solve_rotation(a, k, vectors, w, same, check):
    """Omega with Omega H - H Omega = K between blocks and 0 inside them."""
    off = 1.0 - same.astype(w.dtype)
    inverse = _inverse_gaps(w, same)
    h = jnp.where(same, matmul(adjoint(vectors), a, vectors), 0)

    def operator(x):
        return jnp.where(same, x, matmul(x, h) - matmul(h, x))

    def solve(_, rhs):
        return rhs * inverse

    def transpose_solve(_, rhs):
        if check:
            rhs = poison(rhs, _depends_on_basis(rhs, same))
        return rhs * inverse

    # A product with the mask, not a where, so that NaN in k reaches the answer.
    return jax.lax.custom_linear_solve(operator, k * off, solve, transpose_solve)


def _inverse_gaps(w: Float[Array, "... n"], same: Bool[Array, "... n n"]):
    """1/(w_j - w_i) between blocks, 0 inside, NaN where a boundary splits an exact level."""
    gap = w[..., None, :] - w[..., :, None]  # formed before the guard, which would cost digits
    split = jnp.abs(gap) <= rounding(w)[..., None]
    return jnp.where(same, 0.0, jnp.where(split, jnp.nan, 1.0 / jnp.where(same | split, 1.0, gap)))


def _depends_on_basis(
    cotangent: Inexact[Array, "... n n"], same: Bool[Array, "... n n"]
) -> Bool[Array, " ..."]:
    """V^T Vbar must be Hermitian inside every block for a loss that ignores the basis there."""
    skew = jnp.abs(jnp.where(same, cotangent - adjoint(cotangent), 0))
    largest = jnp.abs(cotangent).max((-2, -1))
    return ~(skew.max((-2, -1)) <= eps_of(cotangent.dtype) ** 0.5 * largest)


def _inspected(dw: Float[Array, "... n"], same: Bool[Array, "... n n"]) -> Float[Array, "... n"]:
    """Identity on ``dw`` whose transpose is NaN where the cotangent varies inside a block."""

    def transpose_solve(_, wbar):
        spread = jnp.abs(jnp.where(same, wbar[..., :, None] - wbar[..., None, :], 0))
        allowed = eps_of(wbar.dtype) ** 0.5 * jnp.abs(wbar).max(-1)
        return poison(wbar, ~(spread.max((-2, -1)) <= allowed))

    return jax.lax.custom_linear_solve(lambda x: x, dw, lambda _, x: x, transpose_solve)
