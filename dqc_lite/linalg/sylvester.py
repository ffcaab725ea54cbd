"""Sylvester and Lyapunov equations, differentiable in every argument and to every order.

The Schur factors of the coefficients are computed once, as constants, inside a
``custom_linear_solve`` of ``x -> a x + x b``. Differentiating that solve only ever asks for more
solves with the same operator or its transpose, and both reuse the same factors.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.lax.linalg import triangular_solve

from dqc_lite._types import Array, Complex, Float, Inexact
from dqc_lite.errors import InputError
from dqc_lite.linalg._common import adjoint, as_square, matmul, real_dtype
from dqc_lite.linalg._triangular import uncertainty
from dqc_lite.linalg.schur import SchurResult, schur, schur_adjoint, schur_transpose

__all__ = ["solve_lyapunov", "solve_sylvester"]


def solve_sylvester(
    a: Inexact[Array, "... m m"], b: Inexact[Array, "... n n"], q: Inexact[Array, "... m n"]
) -> Inexact[Array, "... m n"]:
    """Solve ``a @ x + x @ b = q`` (SciPy's sign convention).

    Differentiable in ``a``, ``b`` and ``q``, forward and reverse, to every order. The equation is
    singular when some eigenvalue of ``a`` is minus one of ``b``: the answer is NaN as soon as
    rounding, times the condition numbers of the two eigenvalues, may make them so; no absolute
    threshold enters, and grading of triangular matrices does no harm.

    Args:
        a: (..., m, m).  b: (..., n, n).  q: (..., m, n). Leading axes broadcast.

    Raises:
        InputError: shapes that do not fit.

    Source:
        R. H. Bartels and G. W. Stewart, Commun. ACM 15, 820 (1972); the complex Schur form.
    """
    a, b = as_square(a), as_square(b, "b")
    q = _right_side(q, a.shape[-1], b.shape[-1])
    dtype = jnp.result_type(a, b, q)
    a, b, q = (x.astype(dtype) for x in (a, b, q))
    if q.size == 0:
        return q
    return jnp.vectorize(_sylvester, signature="(m,m),(n,n),(m,n)->(m,n)")(a, b, q)


def solve_lyapunov(
    a: Inexact[Array, "... n n"], q: Inexact[Array, "... n n"]
) -> Inexact[Array, "... n n"]:
    """Solve ``a @ x + x @ a^H = q`` (SciPy's ``solve_continuous_lyapunov``).

    As :func:`solve_sylvester` with ``b = a^H``, but with one Schur form for both sides. Singular,
    and then NaN, when two eigenvalues of ``a`` satisfy ``w_i + conj(w_j) = 0``.

    Raises:
        InputError: shapes that do not fit.
    """
    a = as_square(a)
    q = _right_side(q, a.shape[-1], a.shape[-1])
    dtype = jnp.result_type(a, q)
    if q.size == 0:
        return q.astype(dtype)
    return jnp.vectorize(_lyapunov, signature="(n,n),(n,n)->(n,n)")(
        a.astype(dtype), q.astype(dtype)
    )


def _right_side(q, m: int, n: int):
    q = jnp.asarray(q)
    if q.shape[-2:] != (m, n):
        raise InputError(f"q has shape {q.shape}; a and b ask for (..., {m}, {n}).")
    return q


def _sylvester(a, b, q):
    return solve_with_factors(a, schur(a), b, schur(b), q)


def _lyapunov(a, q):
    factors = schur(a)
    return solve_with_factors(a, factors, adjoint(a), schur_adjoint(factors), q)


def solve_with_factors(
    a: Inexact[Array, "m m"],
    schur_a: SchurResult,
    b: Inexact[Array, "n n"],
    schur_b: SchurResult,
    q: Inexact[Array, "m n"],
) -> Inexact[Array, "m n"]:
    """``a x + x b = q`` with (complex, constant) Schur factors at hand."""
    flag = _singular_flag(schur_a, schur_b)

    def solve(fa: SchurResult, fb: SchurResult, _, rhs):
        x = _solve_schur(fa, fb, rhs) * flag
        return x if jnp.iscomplexobj(rhs) else x.real

    return jax.lax.custom_linear_solve(
        lambda x: matmul(a, x) + matmul(x, b),
        q,
        solve=functools.partial(solve, schur_a, schur_b),
        transpose_solve=functools.partial(
            solve, schur_transpose(schur_a), schur_transpose(schur_b)
        ),
    )


def _solve_schur(fa: SchurResult, fb: SchurResult, rhs):
    ua, ub = fa.unitary, fb.unitary
    rhs = matmul(adjoint(ua), rhs.astype(ua.dtype), ub)
    return matmul(ua, triangular_sylvester(fa.triangular, fb.triangular, rhs), adjoint(ub))


def triangular_sylvester(
    ta: Complex[Array, "m m"], tb: Complex[Array, "n n"], rhs: Complex[Array, "m n"]
) -> Complex[Array, "m n"]:
    """``ta y + y tb = rhs`` for upper triangular coefficients, one column of y at a time."""
    identity = jnp.eye(ta.shape[0], dtype=ta.dtype)

    def column(j, y):
        # columns >= j of y are still zero, so the product takes only the known ones
        known = matmul(y, jax.lax.dynamic_slice_in_dim(tb, j, 1, axis=1))
        target = jax.lax.dynamic_slice_in_dim(rhs, j, 1, axis=1) - known
        new = triangular_solve(ta + tb[j, j] * identity, target, left_side=True, lower=False)
        return jax.lax.dynamic_update_slice_in_dim(y, new, j, axis=1)

    return jax.lax.fori_loop(0, tb.shape[0], column, jnp.zeros_like(rhs))


def _singular_flag(fa: SchurResult, fb: SchurResult) -> Float[Array, ""]:
    """1, or NaN where rounding may bring an eigenvalue of a onto minus one of b."""
    wa, wb = jnp.diagonal(fa.triangular), jnp.diagonal(fb.triangular)
    rounding = uncertainty(*fa)[:, None] + uncertainty(*fb)[None, :]
    good = jnp.all(jnp.abs(wa[:, None] + wb[None, :]) > rounding)
    return jnp.where(good, 1.0, jnp.nan).astype(real_dtype(wa.dtype))
