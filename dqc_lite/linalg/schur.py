"""The Schur form A = U T U^H as a factorization that is used, never differentiated.

Derivatives of everything built on it (Sylvester equations, matrix functions) go through rules
that need the factors as constants only, so a rule for the factors themselves, which does not
exist at repeated eigenvalues, is never asked for.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from dqc_lite._types import Array, Complex, Float, Inexact, Int
from dqc_lite.errors import InputError
from dqc_lite.linalg._common import adjoint, as_square, matmul, scaled, times_power_of_two

__all__ = ["SchurResult", "ordered_schur", "schur", "schur_adjoint", "schur_transpose"]


class SchurResult(NamedTuple):
    """``a = unitary @ triangular @ unitary^H``; (T, Z) is also SciPy's order."""

    triangular: Inexact[Array, "... n n"]
    unitary: Inexact[Array, "... n n"]


def schur(a: Inexact[Array, "... n n"], output: str = "complex") -> SchurResult:
    """Schur form of general square matrices; its derivative is zero by definition.

    On the CPU LAPACK runs inside the compiled program; elsewhere the matrix travels to the host
    and back. Works under ``jit`` and ``vmap``.

    Args:
        a: matrices (..., n, n).
        output: ``"complex"``: T upper triangular. ``"real"`` (real input only): T quasi-upper
            triangular, a 2x2 block for each complex-conjugate pair.

    Raises:
        InputError: not square, or ``output="real"`` of a complex matrix.
    """
    a = jax.lax.stop_gradient(as_square(a))
    if output not in ("real", "complex"):
        raise InputError(f"output={output!r}; expected 'real' or 'complex'.")
    if output == "real" and jnp.iscomplexobj(a):
        raise InputError("output='real' needs a real matrix; use output='complex'.")
    if a.shape[-1] == 0:
        empty = a.astype(jnp.result_type(a.dtype, jnp.complex64)) if output == "complex" else a
        return SchurResult(empty, empty)
    a, exponent = scaled(a)
    t, u = jax.lax.platform_dependent(a, cpu=_schur_lapack, default=_schur_host)
    if output == "complex":
        t, u = (jnp.triu(t), u) if jnp.iscomplexobj(a) else _complex_from_real(t, u)
    return SchurResult(times_power_of_two(t, exponent), u)


def _complex_from_real(t, u):
    """The complex Schur form; blocks ``[[a, b], [c, a]]`` of pairs in closed form.

    With w^2 = -b c the vectors (b, i w), (i w, b) turn a block into ``[[a + i w, b + c], [0,
    a - i w]]``: nothing cancels, however close the pair is.
    """
    n = t.shape[-1]
    lower = jnp.diagonal(_padded(t), -1, -2, -1)[..., :n]
    upper = jnp.diagonal(_padded(t), 1, -2, -1)[..., :n]
    first = lower != 0
    second = jnp.roll(first, 1, axis=-1)
    c, b = (jnp.where(first, x, 0) for x in (lower, upper))
    width = jnp.sqrt(jnp.abs(b)) * jnp.sqrt(jnp.abs(c))
    norm = jnp.where(first, jnp.hypot(b, width), 1)
    real, cross = b / norm, width / norm
    real = jnp.where(first, real, jnp.where(second, jnp.roll(real, 1, -1), 1))
    g = _diagonal(real, 0) + 1j * (_diagonal(cross[..., :-1], 1) + _diagonal(cross[..., :-1], -1))
    g = g.astype(jnp.result_type(t.dtype, jnp.complex64))
    shift = jnp.where(first, width, 0) - jnp.where(second, jnp.roll(width, 1, -1), 0)
    inside = _diagonal(jnp.diagonal(t, 0, -2, -1) + 1j * shift, 0)
    inside = inside + _diagonal((b + c)[..., :-1], 1)
    pair = jnp.cumsum(~second, axis=-1)
    same = pair[..., :, None] == pair[..., None, :]
    outside = matmul(adjoint(g), jnp.where(same, 0, t).astype(g.dtype), g)
    return jnp.triu(jnp.where(same, inside.astype(g.dtype), outside)), matmul(u.astype(g.dtype), g)


def _padded(t):
    """One more row and column of zeros, so that diagonals beside the main one have n entries."""
    return jnp.pad(t, [(0, 0)] * (t.ndim - 2) + [(0, 1), (0, 1)])


def _diagonal(x, offset: int):
    """Matrices with the vectors x on a diagonal."""
    return jnp.vectorize(lambda v: jnp.diag(v, offset), signature="(k)->(n,n)")(x)


def schur_adjoint(factors: SchurResult) -> SchurResult:
    """Schur form of A^H from that of A."""
    return schur_transpose(SchurResult(jnp.conj(factors.triangular), jnp.conj(factors.unitary)))


def schur_transpose(factors: SchurResult) -> SchurResult:
    """Schur form of A^T from the (complex) one of A: reverse the order of the basis."""
    t = jnp.swapaxes(factors.triangular, -1, -2)[..., ::-1, ::-1]
    return SchurResult(t, jnp.conj(factors.unitary)[..., ::-1])


def ordered_schur(
    t: Complex[Array, "... n n"], rtol: Float[Array, ""], atol: Float[Array, ""]
) -> tuple[SchurResult, Int[Array, "... n"]]:
    """Reorder a triangular matrix so that close eigenvalues are neighbours.

    Two eigenvalues are linked when they differ by at most ``rtol`` times the smaller modulus, or
    by ``atol`` times the largest entry of T; clusters are the transitive closure. The swaps are
    LAPACK's ``trexc``, on the host.

    Returns:
        ``(Schur form of t, cluster number of each diagonal entry)``, numbers ascending from 0.
    """
    t = jax.lax.stop_gradient(t)
    shapes = (
        jax.ShapeDtypeStruct(t.shape, t.dtype),
        jax.ShapeDtypeStruct(t.shape, t.dtype),
        jax.ShapeDtypeStruct(t.shape[:-1], jnp.int32),
    )

    t, q, ids = jax.pure_callback(_order_host, shapes, t, rtol, atol, vmap_method="broadcast_all")
    return SchurResult(t, q), ids


def _schur_lapack(a):
    return tuple(jax.lax.linalg.schur(a))


def _schur_host(a):
    shape = jax.ShapeDtypeStruct(a.shape, a.dtype)
    return tuple(jax.pure_callback(_schur_numpy, (shape, shape), a, vmap_method="expand_dims"))


def _schur_numpy(a):
    """SciPy's Schur form of a stack; NaN where the input is not finite."""
    a = np.asarray(a)
    t, u = np.full_like(a, np.nan), np.full_like(a, np.nan)
    output = "complex" if np.iscomplexobj(a) else "real"
    for index in np.ndindex(a.shape[:-2]):
        if np.isfinite(a[index]).all():
            t[index], u[index] = scipy.linalg.schur(a[index], output=output)
    return t, u


def _order_host(t, rtol, atol):
    t, rtol, atol = np.asarray(t), np.asarray(rtol), np.asarray(atol)
    out, q = np.full_like(t, np.nan), np.full_like(t, np.nan)
    ids = np.zeros(t.shape[:-1], np.int32)
    for index in np.ndindex(t.shape[:-2]):
        if np.isfinite(t[index]).all():
            out[index], q[index], ids[index] = _order_one(t[index], rtol[index], atol[index])
    return out, q, ids


def _order_one(t: np.ndarray, rtol: float, atol: float):
    """Bubble each eigenvalue to its cluster; a stable sort, so few swaps when already ordered."""
    (swap,) = scipy.linalg.get_lapack_funcs(("trexc",), (t,))
    labels = _clusters(np.diagonal(t), rtol, atol * np.abs(t).max())
    t, q = np.asfortranarray(t), np.asfortranarray(np.eye(t.shape[0], dtype=t.dtype))
    labels = list(labels)
    for target in range(len(labels)):
        source = target + int(np.argmin(labels[target:]))
        if source != target:
            t, q, _ = swap(t, q, source + 1, target + 1)
            labels.insert(target, labels.pop(source))
    return np.triu(t), q, np.asarray(labels, np.int32)


def _clusters(w: np.ndarray, rtol: float, tol: float) -> np.ndarray:
    """Connected components of the graph of close eigenvalues, numbered by first appearance."""
    size = np.abs(w)
    near = np.abs(w[:, None] - w[None, :]) <= rtol * np.minimum(size[:, None], size) + tol
    labels = np.full(len(w), -1)
    for number, start in enumerate(range(len(w))):
        stack = [start] if labels[start] < 0 else []
        while stack:
            here = stack.pop()
            labels[here] = number
            stack.extend(np.flatnonzero(near[here] & (labels < 0)))
    return np.unique(labels, return_inverse=True)[1]
