"""Eigenvalues and eigenvectors of Hermitian matrices, differentiable at repeated eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Bool, Float, Inexact
from dqc_lite.errors import InputError
from dqc_lite.linalg._common import (
    Matrices,
    adjoint,
    as_square,
    block_mask,
    broadcast_batches,
    check_sizes,
    cluster_mask,
    default_rtol,
    matmul,
    raw_eigh,
    symmetrize,
)
from dqc_lite.linalg._eigenvectors import eigenpairs

__all__ = ["EighResult", "eigh", "eigvalsh"]


class EighResult(NamedTuple):
    """Eigenvalues in ascending order and eigenvectors in columns."""

    eigenvalues: Float[Array, "... n"]
    eigenvectors: Inexact[Array, "... n n"]


def eigh(
    a: Matrices,
    b: Matrices | None = None,
    *,
    blocks: Sequence[int] | None = None,
    degen_rtol: float | None = None,
    check: bool = False,
    symmetrize_input: bool = True,
) -> EighResult:
    """Solve ``a v = w v``, or ``a v = w b v`` with ``v^H b v = 1``.

    Contract: derivatives of every order and mode are exact for functions that do not depend on
    the choice of eigenvectors inside a block (or level), and that see its eigenvalues only
    through their sum. Outside it, use ``funm`` for smooth functions of the matrix,
    ``trace_funm`` for sums over eigenvalues, ``eigh_block`` to work inside a level.

    Args:
        a: Hermitian matrices; leading axes are batch axes.
        b: Hermitian positive definite, or None for the identity.
        blocks: static sizes of groups of states, lowest first, e.g. ``(nocc, nvir)``. With them
            no tolerance enters and gaps inside a block may be anything. Eigenvalues keep
            their own levels: those that are isolated stay exact one by one.
        degen_rtol: without ``blocks``, neighbouring eigenvalues closer than
            ``degen_rtol * max|w|`` form one level; default sqrt(epsilon). The derivative of
            order k of a function that spans a gap just above loses epsilon / gap^k.
        check: make the reverse derivative correct or NaN. Vectors are rotated at random inside
            levels, and the backward pass turns to NaN when the loss depends on the basis
            (or complex phase) inside a block, or weights its eigenvalues unequally. A level
            that is only nearly degenerate is then treated as degenerate: results are accurate
            to its relative width, ``degen_rtol`` at most.
        symmetrize_input: use (a + a^H)/2. With False ``a`` must be Hermitian, and the reverse
            derivative is one of the matrices whose Hermitian part is the gradient. With ``b`` the
            reduced problem is always symmetrized.

    Returns:
        ``EighResult(eigenvalues, eigenvectors)``. Complex vectors have their largest component
        (the first within 0.1 % of it) real and positive; their derivatives follow parallel
        transport, not that phase; with ``check`` phases are random. In the generalized problem
        the phase is that of L^H v, b = L L^H. NaN where ``b`` is not positive definite.

    Raises:
        InputError: shapes, dtypes or ``blocks`` that do not fit.

    Source: Kasim, arXiv:2011.04366 (first order); the closed form: ``_eigenvectors``.
    """
    a = as_square(a)
    reduced, factor = reduce_generalized(a, b, symmetrize_input)
    w, v = raw_eigh(reduced)
    rtol = default_rtol(w.dtype) if degen_rtol is None else float(degen_rtol)
    level = cluster_mask(w, rtol)
    same = level
    if blocks is not None:
        same = jnp.broadcast_to(block_mask(check_sizes(blocks, a.shape[-1])), level.shape)
    if check:
        v = matmul(v, random_gauge(level & same, v.dtype))
    finer = None if blocks is None or check else level & same
    w, v = eigenpairs(reduced, w, v, same, finer, check)
    return EighResult(w, back_transform(factor, v))


def eigvalsh(a: Matrices, b: Matrices | None = None) -> Float[Array, "... n"]:
    """Eigenvalues in ascending order; ``dw_i = v_i^H (da - w_i db) v_i``.

    At a crossing this is one member of the generalized gradient (see ``eigenvalue_subgradient``).
    Higher derivatives of isolated eigenvalues and of sums over a level are exact; those of other
    symmetric functions, such as sum(w**2), need ``trace_funm``.
    """
    return eigh(a, b).eigenvalues


def reduce_generalized(a, b, symmetrize_input=True):
    """``(L^-1 a L^-H, L)`` with b = L L^H; ``(a, None)`` without ``b``.

    Cholesky and triangular solves have exact derivatives of every order whatever the spectrum.
    """
    if b is None:
        return (symmetrize(a) if symmetrize_input else a), None
    b = as_square(b, "b")
    if b.shape[-1] != a.shape[-1]:
        raise InputError(f"a has shape {a.shape} and b {b.shape}; their sizes must agree.")
    dtype = jnp.result_type(a, b)
    batch = broadcast_batches(a=a.shape, b=b.shape)
    a = jnp.broadcast_to(a.astype(dtype), batch)
    b = jnp.broadcast_to(b.astype(dtype), batch)
    factor = jnp.linalg.cholesky(symmetrize(b), symmetrize_input=False)
    half = _solve_lower(factor, symmetrize(a))
    return symmetrize(_solve_lower(factor, adjoint(half))), factor


def _solve_lower(factor, x):
    return jax.lax.linalg.triangular_solve(factor, x, left_side=True, lower=True)


def back_transform(factor, v: Inexact[Array, "... n m"]) -> Inexact[Array, "... n m"]:
    """Vectors of the original problem, L^-H v."""
    if factor is None:
        return v
    return jax.lax.linalg.triangular_solve(
        factor, v, left_side=True, lower=True, transpose_a=True, conjugate_a=True
    )


def random_gauge(level: Bool[Array, "... n n"], dtype) -> Inexact[Array, "... n n"]:
    """A fixed random unitary that mixes states of one level; isolated states: 1, or a phase."""
    n = level.shape[-1]
    noise = jax.random.normal(jax.random.key(669), (n, n), dtype)
    # QR of a block-diagonal matrix is block-diagonal.
    q, _ = jnp.linalg.qr(jnp.where(level, noise, 0))
    if jnp.iscomplexobj(q):
        return q
    alone = level.sum(-1) == 1
    diagonal = jnp.diagonal(q, axis1=-2, axis2=-1)
    return q * jnp.where(alone, diagonal, 1)[..., None, :]
