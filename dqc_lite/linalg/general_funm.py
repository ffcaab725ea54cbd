"""Functions of general square matrices with derivatives that hold at Jordan blocks.

All go through the block triangular form of the Frechet derivatives (``_frechet.py``) or, for the
square root, through Sylvester equations; both are closed, so derivatives of every order exist in
forward, reverse and mixed mode wherever the function itself has them.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Inexact
from dqc_lite.linalg._common import (
    adjoint,
    as_square,
    matmul,
    poison,
    real_dtype,
    scaled,
    times_power_of_two,
)
from dqc_lite.linalg._expm import exponential, exponential_for_derivatives
from dqc_lite.linalg._frechet import ForwardFunction, TriangularFunction, matrix_function
from dqc_lite.linalg._traced import traced
from dqc_lite.linalg._triangular import (
    funm_triangular,
    logm_triangular,
    real_part,
    signm_triangular,
    sqrtm_triangular,
    uncertainty,
)
from dqc_lite.linalg.schur import schur
from dqc_lite.linalg.sylvester import solve_sylvester

__all__ = [
    "expm_general",
    "funm_general",
    "logm_general",
    "signm_general",
    "sqrtm_general",
    "trace_funm_general",
]


def funm_general(
    a: Inexact[Array, "... n n"], f: Callable[[Array], Array]
) -> Inexact[Array, "... n n"]:
    """f(a) for a general matrix and any analytic JAX scalar function.

    Schur form; eigenvalues closer than 5 % are gathered in clusters, f of a cluster is its Taylor
    series (the derivatives of f by ``jax.experimental.jet``), the rest follows from the
    commutation f(T) T = T f(T). Exact at Jordan blocks and at equal or nearly equal eigenvalues;
    so are its derivatives, of every order and in both modes, in ``a`` and in whatever traced
    values ``f`` closes over.

    ``f`` maps an array of **complex** numbers elementwise and must be analytic at the eigenvalues;
    a step such as ``lambda z: jnp.where(z.real < 0, 1 + 0j, 0j)`` is (it gives the spectral
    projector of the left half plane). NaN where a series does not converge, and where f of a real
    matrix is not real (pass a complex matrix to get it).

    Args:
        a: matrices (..., n, n).  f: elementwise function.

    Raises:
        InputError: not square.

    Source:
        P. I. Davies and N. J. Higham, SIAM J. Matrix Anal. Appl. 25, 464 (2003).
    """
    a = as_square(a)
    function, consts = traced(f, jnp.result_type(a.dtype, jnp.complex64))
    return matrix_function(TriangularFunction(funm_triangular, function), a, *consts)


def trace_funm_general(
    a: Inexact[Array, "... n n"], f: Callable[[Array], Array]
) -> Inexact[Array, " ..."]:
    """``sum_i f(w_i)`` over the eigenvalues, with derivatives that survive defective matrices.

    Use it in place of ``jnp.sum(f(eigvals(a)))``: single eigenvalues have no derivative at a
    Jordan block, their symmetric functions do. Contract of :func:`funm_general`.
    """
    return jnp.trace(funm_general(a, f), axis1=-2, axis2=-1)


def expm_general(a: Inexact[Array, "... n n"]) -> Inexact[Array, "... n n"]:
    """Matrix exponential (scaling and squaring); derivatives of every order, both modes.

    Derivatives are those of the same algorithm, with scaling chosen for them. There is no limit on
    the norm: what decays is 0, and what the condition of the problem leaves stays right.

    Raises:
        InputError: not square.

    Source:
        N. J. Higham, SIAM J. Matrix Anal. Appl. 26, 1179 (2005);
        A. H. Al-Mohy and N. J. Higham, ibid. 30, 1639 and 31, 970 (2009).
    """
    return matrix_function(_EXP, as_square(a))


def sqrtm_general(a: Inexact[Array, "... n n"]) -> Inexact[Array, "... n n"]:
    """Principal square root; its derivative solves ``x dx + dx x = da``.

    A real matrix gives a real root, NaN when it has an eigenvalue on the negative real axis (pass
    a complex matrix to get the complex root). A singular matrix has no derivative: NaN.

    Raises:
        InputError: not square.

    Source:
        A. Bjorck and S. Hammarling, Linear Algebra Appl. 52/53, 127 (1983).
    """
    a = as_square(a)
    if not a.size:
        return a
    a, exponent = scaled(a, 2)
    return times_power_of_two(jnp.vectorize(_sqrtm, signature="(n,n)->(n,n)")(a), exponent // 2)


def logm_general(a: Inexact[Array, "... n n"]) -> Inexact[Array, "... n n"]:
    """Principal logarithm: inverse scaling and squaring, then Gauss-Legendre resolvents.

    NaN for a singular matrix. A real one gives a real logarithm, NaN when it has an eigenvalue on
    the closed negative real axis (pass a complex matrix to get the complex one).

    Raises:
        InputError: not square.

    Source:
        A. H. Al-Mohy and N. J. Higham, SIAM J. Sci. Comput. 34, C153 (2012);
        L. Dieci, B. Morini and A. Papini, SIAM J. Matrix Anal. Appl. 17, 570 (1996).
    """
    a, exponent = scaled(as_square(a))
    shift = exponent * jnp.log(jnp.asarray(2, real_dtype(a.dtype)))
    return matrix_function(_LOG, a) + shift * jnp.eye(a.shape[-1], dtype=a.dtype)


def signm_general(a: Inexact[Array, "... n n"]) -> Inexact[Array, "... n n"]:
    """Matrix sign, that of the real part of each eigenvalue; NaN where one is 0 within rounding.

    Small eigenvalues beside large ones cost no digits.

    Raises:
        InputError: not square.

    Source:
        N. J. Higham, Functions of Matrices (2008), algorithm 5.2.
    """
    return matrix_function(_SIGN, as_square(a))


def _singular(t, u) -> Array:
    """Is an eigenvalue, on the diagonal of the Schur form, 0 within rounding."""
    t, u = jax.lax.stop_gradient((t, u))
    return jnp.any(jnp.abs(jnp.diagonal(t)) <= uncertainty(t, u))


def _on_imaginary_axis(t, u) -> Array:
    """Is the real part of an eigenvalue 0 within its own rounding."""
    return jnp.any(jnp.abs(jnp.diagonal(t).real) <= uncertainty(t, u))


_EXP = ForwardFunction(exponential, exponential_for_derivatives)
_LOG = TriangularFunction(lambda _, t: logm_triangular(t), jnp.log, _singular)
_SIGN = TriangularFunction(
    lambda _, t: signm_triangular(t), lambda z: jnp.sign(z.real) + 0j * z, _on_imaginary_axis
)


@jax.custom_jvp
def _sqrtm(a):
    t, u = schur(a)
    x = matmul(u, sqrtm_triangular(t), adjoint(u))
    return x if jnp.iscomplexobj(a) else real_part(x, jnp.sqrt, t, u)


@_sqrtm.defjvp
def _sqrtm_jvp(primals, tangents):
    root = _sqrtm(primals[0])
    t, u = schur(jax.lax.stop_gradient(primals[0]))
    return root, poison(solve_sylvester(root, root, tangents[0]), _singular(t, u))
