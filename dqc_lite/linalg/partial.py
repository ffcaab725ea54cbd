"""The lowest eigenpairs of a large Hermitian operator, with an adjoint solve as derivative.

The forward iteration (block LOBPCG) is never differentiated. Its result X is refined into the
root of ``A X = X H, X_0^H X = 1`` with X_0 the frozen iterate: a system without eigenvalues in
it, whose linearization ``dX = X C + Z``, ``Q (A Z - Z H) = rhs`` with ``Q = 1 - X X^H`` is
positive definite as long as the k-th and the next eigenvalue differ. Conjugate gradients solve it
column by column; one ``custom_linear_solve`` serves both modes and every order. Start vectors,
iteration counts and degeneracy among the k pairs drop out. The k x k matrix H is diagonalized by
:func:`dqc_lite.linalg.eigh`, whose contract the result inherits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dqc_lite._process import require_own_process
from dqc_lite._types import Array, Bool, Float, Inexact, Int
from dqc_lite.errors import InputError
from dqc_lite.linalg._common import adjoint, as_square, eps_of, matmul, real_dtype, symmetrize
from dqc_lite.linalg.krylov.lobpcg import Iterate, lobpcg
from dqc_lite.linalg.krylov.projected_cg import projected_solve

__all__ = ["EigshResult", "eigsh"]

Operator = Callable[..., Array]


class EigshResult(NamedTuple):
    """The lowest k pairs and the certificate of the forward solve (constants)."""

    eigenvalues: Float[Array, "... k"]
    eigenvectors: Inexact[Array, "... n k"]
    residuals: Float[Array, "... k"]
    """``|A x - w B x|`` (in the orthonormal metric when b is given)."""
    gap: Float[Array, " ..."]
    """Distance from the k-th to the next eigenvalue: derivatives need it above rounding."""
    iterations: Int[Array, " ..."]
    converged: Bool[Array, " ..."]


def eigsh(
    a: Inexact[Array, "... n n"] | Operator,
    k: int,
    b: Inexact[Array, "... n n"] | None = None,
    X0: Inexact[Array, "n p"] | None = None,
    method: str = "auto",
    *,
    args: tuple = (),
    n: int | None = None,
    dtype: object = None,
    diagonal: Float[Array, " n"] | None = None,
    tol: float | None = None,
    maxiter: int = 500,
    degen_rtol: float | None = None,
) -> EigshResult:
    """Lowest k eigenpairs of ``A x = w x`` or ``A x = w B x``, ascending.

    Exact derivatives of every order in ``a``, ``b``, ``args`` and whatever the operator closes
    over: eigenvalues, projectors on groups of levels, single vectors of simple levels (up to sign
    or phase); the contract of ``eigh`` inside degenerate levels. NaN derivatives when the forward
    solve did not converge, when the k-th and the next eigenvalue coincide, or when the response
    solve fails.

    Args:
        a: Hermitian matrices, or ``matvec(x, *args)`` that applies a Hermitian linear operator to
            the columns of x (n, j). The operator may close over traced values.
        k: how many pairs.
        b: positive definite matrix (enters through its Cholesky factor).
        X0: start vectors (n, p), p >= k; by default k plus a few fixed pseudo-random ones. Their
            derivative is zero.
        method: ``"lobpcg"``; ``"dense"`` applies the operator to the identity and diagonalizes;
            ``"auto"`` is LOBPCG. Up to n = 3 p (p: vectors iterated) the way is dense anyway.
        args: differentiable parameters of the operator.
        n: dimension, when ``a`` is a callable and neither ``b`` nor ``X0`` is given.
        dtype: type of the vectors for a callable (default: that of X0, else the default float).
        diagonal: approximate diagonal of A, preconditions both solves. A matrix brings its own
            (not when b is given).
        tol: residual relative to the largest Ritz value, default ``30 n^(1/2) epsilon``.
        maxiter: limit of forward iterations.
        degen_rtol: passed to ``eigh``.

    Raises:
        InputError: sizes that do not fit, an unknown method, a callable without its dimension.

    Source:
        A. V. Knyazev, SIAM J. Sci. Comput. 23, 517 (2001); U. Hetmaniuk and R. Lehoucq,
        J. Comput. Phys. 218, 324 (2006) for the orthonormal basis.
    """
    if method not in ("auto", "lobpcg", "dense"):
        raise InputError(f"method={method!r}; expected 'auto', 'lobpcg' or 'dense'.")
    require_own_process()
    b = None if b is None else as_square(b, "b")
    settings = dict(X0=X0, method=method, tol=tol, maxiter=maxiter, degen_rtol=degen_rtol, k=k)
    if callable(a):
        n, dtype = _dimension(n, dtype, b, X0)
        return _solve(lambda x: a(x, *args), b, n=n, dtype=dtype, diagonal=diagonal, **settings)
    a = as_square(a)
    a = symmetrize(a.astype(jnp.result_type(a, *(() if b is None else (b,)))))
    if b is not None:
        batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (jnp.broadcast_to(x, batch + x.shape[-2:]) for x in (a, b))
    run = functools.partial(_solve_matrix, given=diagonal, **settings)
    for _ in range(a.ndim - 2):
        run = jax.vmap(run)
    return run(a, b)


def _dimension(n, dtype, b, start):
    """Size and type of the vectors of a callable operator."""
    for known in (b, start):
        if known is not None:
            n = jnp.shape(known)[0] if n is None else n
            dtype = jnp.asarray(known).dtype if dtype is None else dtype
    if n is None:
        raise InputError("eigsh of a callable needs its dimension: pass n=... or X0.")
    dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    return int(n), dtype


def _solve_matrix(a, b, *, given, **settings):
    diagonal = jnp.diagonal(a).real if given is None and b is None else given
    return _solve(
        lambda x: matmul(a, x), b, n=a.shape[0], dtype=a.dtype, diagonal=diagonal, **settings
    )


def _solve(matvec, b, *, k, X0, n, dtype, diagonal, method, tol, maxiter, degen_rtol):
    if not 1 <= k <= n:
        raise InputError(f"k={k}; expected between 1 and the dimension {n}.")
    if b is None:
        operator, back = matvec, lambda x: x
    else:
        operator, back = _whiten(matvec, b)
    start = _start(X0, b, n, k, dtype)
    tol = 30 * n**0.5 * eps_of(dtype) if tol is None else float(tol)
    dense = method == "dense" or n <= 3 * start.shape[1]
    frozen = jax.lax.stop_gradient
    diagonal = None if diagonal is None else frozen(jnp.asarray(diagonal, real_dtype(dtype)))
    forward = _dense if dense else functools.partial(lobpcg, tol=tol, maxiter=maxiter)
    found = frozen(forward(lambda x: frozen(operator(x)), start, k, diagonal))
    w, x = _refine(operator, found, k, diagonal, degen_rtol)
    return EigshResult(
        w, back(x), found.residuals[:k], found.gap, found.iterations, found.converged
    )


def _whiten(matvec, b):
    """``L^-1 A L^-H`` and ``x -> L^-H x`` for ``B = L L^H``."""
    factor = jnp.linalg.cholesky(symmetrize(b))
    solve = functools.partial(jax.lax.linalg.triangular_solve, factor, left_side=True, lower=True)

    def back(y):
        return solve(y, transpose_a=True, conjugate_a=True)

    return lambda y: solve(matvec(back(y))), back


def _start(given, b, n: int, k: int, dtype):
    """Orthonormal start block: the caller's, or k vectors and a few guards."""
    if given is None:
        size = min(n, k + max(2, k // 2))
        block = jax.random.normal(jax.random.key(0), (n, size), real_dtype(dtype)).astype(dtype)
    else:
        block = jax.lax.stop_gradient(jnp.asarray(given)).astype(dtype)
        if block.ndim != 2 or block.shape[0] != n or not k <= block.shape[1] <= n:
            raise InputError(f"X0 has shape {block.shape}; expected ({n}, p) with p >= k={k}.")
        if b is not None:  # y = L^H x
            block = matmul(adjoint(jnp.linalg.cholesky(jax.lax.stop_gradient(b))), block)
    return jnp.linalg.qr(block)[0]


def _dense(operator, start, k: int, diagonal) -> Iterate:
    """All eigenpairs of the operator as a matrix."""
    n, dtype = start.shape[0], start.dtype
    matrix = symmetrize(operator(jnp.eye(n, dtype=dtype)))
    w, v = jnp.linalg.eigh(matrix)
    x = v[:, :k]
    residuals = jnp.linalg.norm(matmul(matrix, x) - x * w[:k], axis=0)
    gap = w[k] - w[k - 1] if k < n else jnp.full((), jnp.inf, w.dtype)
    return Iterate(w[:k], x, residuals, gap, jnp.max(jnp.abs(w)), jnp.int32(0), jnp.array(True))


def _refine(operator, found: Iterate, k: int, diagonal, degen_rtol):
    """Attach the derivative: root of the block equation, then the k x k eigenproblem."""
    from dqc_lite.linalg.eigh import eigh

    x0, w0 = found.vectors, found.values

    n = x0.shape[0]

    def residual(stacked):  # one array: JAX transposes a solve only if all of its b is linear
        x, h = stacked[:n], stacked[n:]
        constraint = matmul(adjoint(x0), x) - jnp.eye(k, dtype=x.dtype)
        return jnp.concatenate([operator(x) - matmul(x, h), constraint])

    def tangent_solve(linear, rhs):
        solve, transpose_solve = projected_solve(operator, found, diagonal)
        return jax.lax.custom_linear_solve(linear, rhs, solve, transpose_solve)

    guess = jnp.concatenate([x0, jnp.diag(w0).astype(x0.dtype)])
    x = jax.lax.custom_root(residual, guess, lambda _, start: start, tangent_solve)[:n]
    # back to orthonormal columns; which ones inside the block is no concern of the contract
    factor = jnp.linalg.cholesky(symmetrize(matmul(adjoint(x), x)))
    x = jax.lax.linalg.triangular_solve(
        factor, x, left_side=False, lower=True, transpose_a=True, conjugate_a=True
    )
    w, v = eigh(symmetrize(matmul(adjoint(x), operator(x))), degen_rtol=degen_rtol)
    return w, matmul(x, v)
