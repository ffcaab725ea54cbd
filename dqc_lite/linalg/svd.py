"""Singular value decomposition with a derivative that holds at repeated and zero values.

Write ``K = u^H da v`` and ``H`` for the blocks of ``u^H a v`` inside clusters of equal singular
values. The rotations X of u and Y of v obey

- between clusters: ``X H - H Y = K`` and ``Y H^H - H^H X = K^H``;
- inside a cluster of non-zero values: ``X H + H X = (K - K^H) / 2`` and ``Y = -X``: the part that
  rotates u against v is determined, the common rotation is a choice of basis and set to zero;
- inside the null cluster: ``X = Y = 0``, both are a choice of basis.

What leaves the span of u (m > n) is solved along with them, see ``_motion``.

The system is solved by division in a ``custom_linear_solve`` whose operator is kept as a function
of H, so the rule is closed: differentiating it again never sees 1/(s_j - s_i).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._process import require_own_process
from dqc_lite._types import Array, Bool, Float, Inexact
from dqc_lite.errors import InputError
from dqc_lite.linalg._common import (
    adjoint,
    cluster_mask,
    default_rtol,
    eps_of,
    matmul,
    poison,
    real_dtype,
    scaled,
    symmetrize,
    times_power_of_two,
)

__all__ = ["PolarResult", "SVDResult", "pinv", "polar", "svd"]


class SVDResult(NamedTuple):
    """``a = (u * s) @ vh`` with s descending."""

    u: Inexact[Array, "... m k"]
    s: Float[Array, "... k"]
    vh: Inexact[Array, "... k n"]


class PolarResult(NamedTuple):
    """``a = unitary @ positive`` (right) or ``positive @ unitary`` (left)."""

    unitary: Inexact[Array, "... m n"]
    positive: Inexact[Array, " ..."]


def svd(
    a: Inexact[Array, "... m n"],
    full_matrices: bool = False,
    *,
    degen_rtol: float | None = None,
    rank_rtol: float | None = None,
) -> SVDResult:
    """Singular value decomposition; same arguments and order as ``jnp.linalg.svd``.

    Contract: derivatives of every order, in both modes, are exact for functions that do not
    depend on the basis chosen inside a cluster of equal singular values: u and v of a cluster of
    non-zero values may turn by a common unitary matrix, those of the null cluster (together with
    the complement of u or v) by any two. Examples: projectors on singular subspaces, ``u @ vh``
    at full rank, best rank-k approximations, single vectors of simple singular values up to sign
    or phase. Functions of the values alone are exact to first order inside a cluster.

    Args:
        a: matrices (..., m, n).
        full_matrices: complete u and vh to square unitary matrices.
        degen_rtol: neighbouring values closer than this times the largest form one cluster
            (default: the square root of the machine epsilon).
        rank_rtol: values below this times the largest form the null cluster
            (default: ``max(m, n) * epsilon``).

    Raises:
        InputError: fewer than two axes.

    Source:
        The rule for distinct values: J. Townsend, "Differentiating the singular value
        decomposition" (2016); here on blocks.
    """
    a = _as_matrix(a)
    m, n = a.shape[-2:]
    if min(m, n) == 0:
        return SVDResult(*jnp.linalg.svd(a, full_matrices=full_matrices))
    a, exponent = scaled(a)
    eps = eps_of(a.dtype)
    degen = default_rtol(a.dtype) if degen_rtol is None else float(degen_rtol)
    rank = max(m, n) * eps if rank_rtol is None else float(rank_rtol)
    core = functools.partial(_svd, (bool(full_matrices), degen, rank))
    if m >= n:
        u, s, v = jnp.vectorize(core, signature="(m,n)->(m,p),(n),(n,n)")(a)
        return SVDResult(u, times_power_of_two(s, exponent[..., 0]), adjoint(v))
    v, s, u = jnp.vectorize(core, signature="(m,n)->(m,p),(n),(n,n)")(adjoint(a))
    return SVDResult(u, times_power_of_two(s, exponent[..., 0]), adjoint(v))


def polar(a: Inexact[Array, "... m n"], side: str = "right") -> PolarResult:
    """Polar decomposition ``a = u p`` (right) or ``a = p u`` (left), as ``scipy.linalg.polar``.

    Exact derivatives of every order at any (also repeated) non-zero singular values. Of a matrix
    without full rank the unitary factor is not unique: values as SciPy's, derivatives NaN.

    Raises:
        InputError: ``side`` is neither "right" nor "left".
    """
    if side not in ("right", "left"):
        raise InputError(f"side={side!r}; expected 'right' or 'left'.")
    a, exponent = scaled(_as_matrix(a))
    if not a.size:
        size = a.shape[-1] if side == "right" else a.shape[-2]
        return PolarResult(a, jnp.zeros((*a.shape[:-2], size, size), a.dtype))
    u, s, vh = svd(a)
    bad = s[..., -1] <= max(a.shape[-2:]) * eps_of(a.dtype) * s[..., 0]
    unitary = _poison_tangent(matmul(u, vh), bad)
    # p = u^H a, and not v s v^H: s and v separately are outside the contract at repeated values
    right = side == "right"
    p = matmul(adjoint(unitary), a) if right else matmul(a, adjoint(unitary))
    return PolarResult(unitary, times_power_of_two(symmetrize(p), exponent))


def pinv(a: Inexact[Array, "... m n"], rtol: float | None = None) -> Inexact[Array, "... n m"]:
    """Moore-Penrose inverse; derivatives of every order among matrices of the same rank.

    Args:
        a: matrices (..., m, n).
        rtol: singular values below this times the largest are zero
            (default ``max(m, n) * epsilon``).

    A direction that changes the rank has no derivative; the rule returns the one of the part that
    keeps it.

    Source:
        G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10, 413 (1973).
    """
    a, exponent = scaled(_as_matrix(a))
    rtol = max(a.shape[-2:]) * eps_of(a.dtype) if rtol is None else float(rtol)
    return times_power_of_two(_pinv(rtol, a), -exponent)


def _as_matrix(a) -> Inexact[Array, "... m n"]:
    require_own_process()
    a = jnp.asarray(a)
    if a.ndim < 2:
        raise InputError(f"a has shape {a.shape}; expected matrices (..., m, n).")
    a = a if jnp.issubdtype(a.dtype, jnp.inexact) else a.astype(jnp.result_type(float))
    if real_dtype(a.dtype) not in (np.dtype("float32"), np.dtype("float64")):
        raise InputError(f"a has dtype {a.dtype}; cast it to float32 or float64 first.")
    return a


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _svd(options, a):
    """(u, s, v) of one matrix with m >= n; v, not its adjoint."""
    u, s, vh = jnp.linalg.svd(a, full_matrices=options[0])
    return u, s, adjoint(vh)


@_svd.defjvp
def _svd_jvp(options, primals, tangents):
    (a,), (da,) = primals, tangents
    u_full, s, v = _svd(options, a)
    n = s.shape[0]
    u = u_full[:, :n]
    same, null = _clusters(s, *options[1:])
    k = matmul(adjoint(u), da, v)
    h = jnp.where(same, matmul(adjoint(u), a, v), 0.0)
    image = matmul(da, v)
    outer = image - matmul(u, adjoint(u), image)
    # columns of a v outside the span of u: none but those of the null cluster, which u does not
    # follow; zero here, not so its derivative
    rest = matmul(a, v)
    rest = jnp.where(null, rest - matmul(u, adjoint(u), rest), 0.0)
    x, y, z = _motion(same, null, h, rest, s, k, outer)
    du = matmul(u, x) + z
    extra = -matmul(u, adjoint(z), u_full[:, n:])  # keeps the completion orthogonal
    return (u_full, s, v), (
        jnp.concatenate([du, extra], axis=1),
        jnp.diagonal(k).real.astype(s.dtype),
        matmul(v, y),
    )


def _clusters(s, degen_rtol: float, rank_rtol: float):
    """``same[i, j]`` and ``null[i]``; the null cluster holds only numerically zero values."""
    s = jax.lax.stop_gradient(s)
    null = s <= rank_rtol * s[0]
    linked = cluster_mask(s[::-1], degen_rtol)[::-1, ::-1] & ~null[:, None] & ~null[None, :]
    # a chain broken by the null values stays one cluster: they are the smallest
    return linked | (null[:, None] & null[None, :]), null


def _motion(
    same: Bool[Array, "n n"],
    null: Bool[Array, " n"],
    h: Inexact[Array, "n n"],
    rest: Inexact[Array, "m n"],
    s: Float[Array, " n"],
    k: Inexact[Array, "n n"],
    outer: Inexact[Array, "m n"],
) -> tuple[Inexact[Array, "n n"], Inexact[Array, "n n"], Inexact[Array, "m n"]]:
    """X, Y of the module text and Z, the motion of u out of its span: ``du = u X + Z``.

    With N (``rest``) the part of ``a v`` outside the span of u, Z obeys ``Z H - N Y = outer`` and
    enters the other two by ``-Z^H N`` and ``-N^H Z``. Z^H is a fourth unknown, so that the system
    is linear over the complex numbers.
    """
    zero = null[:, None] & null[None, :]
    hh, nh = adjoint(h), adjoint(rest)
    select = functools.partial(_select, same, zero)

    def operator(unknowns):
        x, y, z, zh = unknowns
        first = matmul(x, h) - matmul(h, y) - matmul(zh, rest)
        second = matmul(y, hh) - matmul(hh, x) - matmul(nh, z)
        return (
            select(first, matmul(x, h) + matmul(h, x), x),
            select(second, x + y, y),
            jnp.where(null, z, matmul(z, h) - matmul(rest, y)),
            jnp.where(null[:, None], zh, matmul(hh, zh) + matmul(y, nh)),
        )

    rhs = (
        select(k, 0.5 * (k - adjoint(k)), 0.0),
        select(adjoint(k), 0.0, 0.0),
        jnp.where(null, 0.0, outer),
        jnp.where(null[:, None], 0.0, adjoint(outer)),
    )
    solve, transpose_solve = _division(same, null, jax.lax.stop_gradient(s))
    return jax.lax.custom_linear_solve(operator, rhs, solve, transpose_solve)[:3]


def _select(same, zero, between, inside, nothing):
    return jnp.where(same, jnp.where(zero, nothing, inside), between)


def _division(same, null, s):
    """Inverse of the operator at H = diag(s), N = 0, and of its transpose: 2x2 systems."""
    si, sj = s[:, None], s[None, :]
    zero = null[:, None] & null[None, :]
    # [[sj, -si], [-si, sj]] between clusters, [[si + sj, 0], [1, 1]] inside, 1 in the null one
    gap = jnp.where(same, 1.0, (sj - si) * (sj + si))
    total = jnp.where(same & ~zero, si + sj, 1.0)
    select = functools.partial(_select, same, zero)
    g11, g12 = select(sj / gap, 1.0 / total, 1.0), select(si / gap, 0.0, 0.0)
    g21, g22 = select(si / gap, -1.0 / total, 0.0), select(sj / gap, 1.0, 1.0)
    scale = jnp.where(null, 1.0, s)

    def solve(_, rhs):
        p, q, r, t = rhs
        return g11 * p + g12 * q, g21 * p + g22 * q, r / scale, t / scale[:, None]

    def transpose_solve(_, rhs):
        p, q, r, t = rhs
        return g11 * p + g21 * q, g12 * p + g22 * q, r / scale, t / scale[:, None]

    return solve, transpose_solve


@jax.custom_jvp
def _poison_tangent(x, bad):
    """x itself; its tangent times NaN where ``bad``."""
    return x


@_poison_tangent.defjvp
def _poison_tangent_jvp(primals, tangents):
    x, bad = primals
    return _poison_tangent(x, bad), poison(tangents[0], bad)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _pinv(rtol, a):
    u, s, vh = jnp.linalg.svd(a, full_matrices=False)
    keep = s > rtol * jnp.max(s, axis=-1, keepdims=True, initial=0.0)
    inverse = jnp.where(keep, 1.0 / jnp.where(keep, s, 1.0), 0.0)
    return matmul(adjoint(vh) * inverse[..., None, :].astype(vh.dtype), adjoint(u))


@_pinv.defjvp
def _pinv_jvp(rtol, primals, tangents):
    (a,), (da,) = primals, tangents
    p = _pinv(rtol, a)
    ph, dh = adjoint(p), adjoint(da)
    left = matmul(p, ph, dh)
    right = matmul(dh, ph, p)
    tangent = -matmul(p, da, p) + left - matmul(left, a, p) + right - matmul(p, a, right)
    return p, tangent
