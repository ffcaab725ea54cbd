"""Functions of matrices, exact at equal and nearly equal eigenvalues, to every order.

Hermitian arguments go through divided differences and need no tolerance; general ones through the
Schur form (``assume_a="gen"`` or ``hermitian=False``).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Inexact, Num
from dqc_lite.errors import InputError
from dqc_lite.linalg._common import (
    Matrices,
    as_square,
    matmul,
    poison,
    raw_eigh,
    real_dtype,
    rounding,
    scaled,
    symmetrize,
    times_power_of_two,
)
from dqc_lite.linalg._generic_function import generic
from dqc_lite.linalg._hermitian_frechet import matrix_function, trace_function
from dqc_lite.linalg._traced import traced
from dqc_lite.linalg.scalar_functions import Exp, Log, Power, ScalarFunction, Sign

__all__ = ["expm", "funm", "invsqrtm", "logm", "powm", "signm", "sqrtm", "trace_funm"]


def funm(
    a: Matrices,
    f: Callable | ScalarFunction,
    *,
    hermitian: bool = True,
    dd: Callable | None = None,
) -> Inexact[Array, "... n n"]:
    """f(a) = V f(w) V^H for any JAX function of one scalar.

    Derivatives of every order and mode are exact at repeated and nearly repeated eigenvalues,
    in ``a`` and in whatever traced values ``f`` closes over.

    Args:
        a: Hermitian (the Hermitian part is used), or general with ``hermitian=False``.
        f: scalar to scalar, real or complex valued, smooth on the spectrum.
        hermitian: promise about ``a``.
        dd: optional closed form ``dd(x, y)`` of (f(x) - f(y))/(x - y) with its limit f'(x).

    Returns:
        The matrix function, (..., n, n). NaN where ``f`` is.

    Raises:
        InputError: ``a`` is not square.

    Source: Daleckii and Krein (1965); Higham, Functions of Matrices (2008), theorem 3.11.
    """
    if not hermitian:
        from dqc_lite.linalg.general_funm import funm_general

        return funm_general(as_square(a), f)
    a, w, v = _spectral(a)
    fn, consts = _as_function(f, w.dtype, dd)
    return matrix_function(fn, a, w, v, consts)


def trace_funm(a: Matrices, f: Callable | ScalarFunction) -> Num[Array, " ..."]:
    """tr f(a) = sum_i f(w_i) for Hermitian ``a``; the gradient is f'(a).

    Use it, not ``eigvalsh``, for Hessians of sums over eigenvalues: an entry f'[w_i, w_j] links
    states of one level, which derivatives of single eigenvalues do not see.
    """
    a, w, v = _spectral(a)
    fn, consts = _as_function(f, w.dtype, None)
    return trace_function(fn, a, w, v, consts)


def expm(a: Matrices, assume_a: str = "her") -> Inexact[Array, "... n n"]:
    """Matrix exponential. ``assume_a``: "her" (Hermitian) or "gen" (general)."""
    if _general(assume_a):
        from dqc_lite.linalg.general_funm import expm_general

        return expm_general(as_square(a))
    return funm(a, Exp())


def logm(a: Matrices, assume_a: str = "her") -> Inexact[Array, "... n n"]:
    """Principal logarithm; Hermitian arguments must be positive definite, else NaN.

    An eigenvalue that is 0 within rounding counts as 0.
    """
    if _general(assume_a):
        from dqc_lite.linalg.general_funm import logm_general

        return logm_general(as_square(a))
    a, exponent = scaled(as_square(a))
    shift = exponent * jnp.log(jnp.asarray(2, real_dtype(a.dtype)))
    return _near_singular(a, Log(), defined=False) + shift * jnp.eye(a.shape[-1], dtype=a.dtype)


def sqrtm(a: Matrices, assume_a: str = "her") -> Inexact[Array, "... n n"]:
    """Principal square root; Hermitian arguments must be positive semidefinite, else NaN.

    Eigenvalues that are 0 within rounding count as 0; derivatives are not finite there.
    """
    if _general(assume_a):
        from dqc_lite.linalg.general_funm import sqrtm_general

        return sqrtm_general(as_square(a))
    return _root(a, 0.5)


def invsqrtm(a: Matrices, assume_a: str = "her") -> Inexact[Array, "... n n"]:
    """a^(-1/2) of a positive definite (Loewdin orthogonalization) or general matrix."""
    if _general(assume_a):
        return jnp.linalg.inv(sqrtm(a, "gen"))
    return _root(a, -0.5)


def powm(a: Matrices, p: float, assume_a: str = "her") -> Inexact[Array, "... n n"]:
    """a^p for a static real ``p``; ``a`` positive definite unless ``p`` is an integer.

    Raises:
        InputError: ``p`` is traced; write ``funm(a, lambda x: x**p)`` to differentiate in p.
    """
    if isinstance(p, jax.core.Tracer):
        raise InputError("powm needs a static exponent; for a traced one: funm(a, lambda x: x**p).")
    p = float(p)
    if _general(assume_a):
        a = as_square(a)
        return _integer_power(a, int(p)) if p.is_integer() else expm(p * logm(a, "gen"), "gen")
    return funm(a, Power(p)) if p.is_integer() else _near_singular(a, Power(p), defined=p > 0)


def signm(a: Matrices, assume_a: str = "her") -> Inexact[Array, "... n n"]:
    """Matrix sign: eigenvalues become +1 or -1. NaN where one is 0 within rounding.

    In the general case the sign is that of the real part of each eigenvalue.
    """
    if _general(assume_a):
        from dqc_lite.linalg.general_funm import signm_general

        return signm_general(a)
    a, w, v = _spectral(a)
    singular = (jnp.abs(w) <= rounding(w)).any(-1)
    return matrix_function(Sign(), a, w, poison(v, singular))


def _near_singular(a, f, defined: bool):
    """f of a positive matrix: eigenvalues 0 within rounding are 0, or NaN where f is not defined.

    Without this the sign of a rounding error decides between NaN and a huge number.
    """
    a, w, v = _spectral(a)
    zero = jnp.abs(w) <= rounding(w)
    if defined:
        return matrix_function(f, a, jnp.where(zero, 0.0, w), v)
    return matrix_function(f, a, w, poison(v, zero.any(-1)))


def _root(a, p: float):
    """a^p, p = 1/2 or -1/2, evaluated near unit scale."""
    a, exponent = scaled(as_square(a), 2)
    return times_power_of_two(
        _near_singular(a, Power(p), defined=p > 0), int(2 * p) * exponent // 2
    )


def _general(assume_a: str) -> bool:
    if assume_a not in ("her", "gen"):
        raise InputError(f"assume_a={assume_a!r}; expected 'her' (Hermitian) or 'gen' (general).")
    return assume_a == "gen"


def _integer_power(a, p):
    """Repeated squaring (``jnp.linalg.matrix_power`` in full precision)."""
    if p < 0:
        a, p = jnp.linalg.inv(a), -p
    result = jnp.broadcast_to(jnp.eye(a.shape[-1], dtype=a.dtype), a.shape)
    while p:
        result = matmul(result, a) if p & 1 else result
        a, p = matmul(a, a), p >> 1
    return result


def _spectral(a):
    a = symmetrize(as_square(a))
    return (a, *raw_eigh(a))


def _as_function(f, dtype, dd) -> tuple[ScalarFunction, tuple]:
    """A hashable scalar function and the traced values it closed over, as explicit arguments."""
    if isinstance(f, ScalarFunction):
        return f, ()
    function, consts = traced(f, dtype)
    return generic(function, dd, dtype, consts), consts
