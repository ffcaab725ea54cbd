"""Eigenvalues and eigenvectors of general matrices with closed derivative rules.

With ``K = V^-1 dA V`` and ``H`` the blocks of ``V^-1 A V`` inside clusters of equal eigenvalues,
the eigenvectors move by ``dV = V (X + diag(c))``, where ``X H - H X = K`` between clusters, X = 0
inside, and c restores the normalization. The equation is a ``custom_linear_solve`` in H, so the
rule differentiates into itself, to every order.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Bool, Complex, Float, Inexact
from dqc_lite.errors import InputError
from dqc_lite.linalg._common import (
    adjoint,
    as_square,
    default_rtol,
    eps_of,
    matmul,
    poison,
    real_dtype,
    scaled,
    times_power_of_two,
)

__all__ = ["EigResult", "EigTwoSidedResult", "eig", "eigenvalue_condition", "eigvals"]


class EigResult(NamedTuple):
    """``a @ eigenvectors = eigenvectors * eigenvalues`` (of a^H for left eigenvectors only)."""

    eigenvalues: Complex[Array, "... n"]
    eigenvectors: Complex[Array, "... n n"]


class EigTwoSidedResult(NamedTuple):
    """Eigenvalues, left and right eigenvectors; SciPy's order."""

    eigenvalues: Complex[Array, "... n"]
    left: Complex[Array, "... n n"]
    right: Complex[Array, "... n n"]


class _Options(NamedTuple):
    real: bool
    degen_rtol: float
    gauge: str
    broadening: float | None


def eig(
    a: Inexact[Array, "... n n"],
    *,
    left: bool = False,
    right: bool = True,
    degen_rtol: float | None = None,
    gauge: str = "lapack",
    broadening: float | None = None,
) -> EigResult | EigTwoSidedResult:
    """Eigenvalues and eigenvectors of general matrices.

    Exact derivatives of every order, forward and reverse:

    - whatever the normalization, for spectral projectors of separated groups of eigenvalues,
      ``V f(w) V^-1`` (inside clusters: only with f constant there; see ``funm_general``), products
      ``v_i l_i^H`` of biorthogonal pairs, moduli of components of unit vectors;
    - for single eigenvectors of simple eigenvalues, in the gauge asked for.

    When some eigenvalue has condition number above 1/sqrt(epsilon) the matrix counts as
    defective: the values are returned, every derivative is NaN. ``trace_funm_general`` and
    ``funm_general`` have derivatives there.

    Args:
        a: matrices (..., n, n).
        left: return left eigenvectors, ``l_i^H a = w_i l_i^H`` (columns).
        right: return right eigenvectors.
        degen_rtol: eigenvalues closer than this times ``|a|`` times the larger of their condition
            numbers form a cluster (default: square root of the machine epsilon).
        gauge: ``"lapack"``: right and left vectors have unit norm and a real largest component,
            values and derivatives. ``"biorthogonal"``: right vectors have unit norm as values, but
            move by ``l_i^H dv_i = 0``; left vectors are normalized to ``l_i^H v_i = 1``.
        broadening: half width eta > 0, in units of the eigenvalues. Replaces 1/d by
            ``conj(d) / (|d|^2 + eta^2)`` in the derivative, which is then finite everywhere short
            of defective matrices and biased by ``eta^2 / |d|^2``. Off by default.

    Returns:
        ``(eigenvalues, eigenvectors)``, or ``(eigenvalues, left, right)`` when both are asked for.

    Raises:
        InputError: not square, unknown gauge, non-positive broadening, or neither side asked for.

    Source:
        J. R. Magnus, Econometric Theory 1, 179 (1985); on blocks here.
    """
    if gauge not in ("lapack", "biorthogonal"):
        raise InputError(f"gauge={gauge!r}; expected 'lapack' or 'biorthogonal'.")
    if broadening is not None and not broadening > 0:
        raise InputError(f"broadening={broadening}; expected a positive width or None.")
    if not (left or right):
        raise InputError("left=False and right=False: use eigvals.")
    w, v = _decompose(a, degen_rtol, gauge, broadening)
    if not left:
        return EigResult(w, v)
    dual = adjoint(jnp.linalg.inv(v)) if v.size else v
    if gauge == "lapack" and v.size:
        dual = _unit_columns(dual)
    return EigTwoSidedResult(w, dual, v) if right else EigResult(w, dual)


def eigvals(
    a: Inexact[Array, "... n n"], *, degen_rtol: float | None = None
) -> Complex[Array, "... n"]:
    """Eigenvalues of general matrices; derivatives of every order of simple ones.

    Symmetric functions of a cluster have exact first derivatives; at repeated eigenvalues take
    higher ones, and any derivative at a defective matrix (NaN here), from ``trace_funm_general``.

    Raises:
        InputError: not square.
    """
    a, options = _prepare(a, degen_rtol, "biorthogonal", None)
    if a.shape[-1] == 0:
        return jnp.zeros(a.shape[:-1], a.dtype)
    a, exponent = scaled(a)
    w = jnp.vectorize(functools.partial(_eigvals, options), signature="(n,n)->(n)")(a)
    return times_power_of_two(w, exponent[..., 0])


def eigenvalue_condition(a: Inexact[Array, "... n n"]) -> Float[Array, "... n"]:
    """Condition number ``|l_i| |v_i| / |l_i^H v_i|`` of each eigenvalue, in the order of ``eig``.

    1 for normal matrices, infinite at a defective eigenvalue (inside a cluster it depends on the
    basis LAPACK happened to return). Not differentiable: its derivative is zero.
    """
    v = jax.lax.stop_gradient(_decompose(a, None, "biorthogonal", None)[1])
    return _condition(v, jnp.linalg.inv(v)) if v.size else jnp.zeros(v.shape[:-1])


def _prepare(a, degen_rtol, gauge, broadening):
    a = as_square(a)
    rtol = default_rtol(a.dtype) if degen_rtol is None else float(degen_rtol)
    width = None if broadening is None else float(broadening)
    options = _Options(not jnp.iscomplexobj(a), rtol, gauge, width)
    return a.astype(jnp.result_type(a.dtype, jnp.complex64)), options


def _decompose(a, degen_rtol, gauge, broadening):
    a, options = _prepare(a, degen_rtol, gauge, broadening)
    if a.shape[-1] == 0:
        return jnp.zeros(a.shape[:-1], a.dtype), a
    a, exponent = scaled(a)
    width = jnp.ldexp(
        jnp.asarray(options.broadening or 0, real_dtype(a.dtype)), -exponent[..., 0, 0]
    )
    core = jnp.vectorize(functools.partial(_eig, options), signature="(n,n),()->(n),(n,n)")
    w, v = core(a, width)
    return times_power_of_two(w, exponent[..., 0]), v


def _condition(v, vinv) -> Float[Array, "... n"]:
    return jnp.linalg.norm(v, axis=-2) * jnp.linalg.norm(vinv, axis=-1)


def _unit_columns(v: Complex[Array, "... n n"]) -> Complex[Array, "... n n"]:
    """Unit norm, largest component real and positive (the first of equal ones)."""
    size = jnp.abs(jax.lax.stop_gradient(v))
    row = jnp.argmax(size >= 0.999 * size.max(-2, keepdims=True), axis=-2, keepdims=True)
    pivot = jnp.take_along_axis(v, row, axis=-2)
    scale = jnp.sqrt(jnp.sum(v.real**2 + v.imag**2, axis=-2, keepdims=True))
    return v * (jnp.conj(pivot) / (jnp.sqrt(pivot.real**2 + pivot.imag**2) * scale))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _eig(options: _Options, a: Complex[Array, "n n"], width: Float[Array, ""]):
    return _raw(a, options.real, True)


@_eig.defjvp
def _eig_jvp(options, primals, tangents):
    (a, width), (da, _) = primals, tangents
    w, v = _eig(options, a, width)
    vinv, k, flag = _perturbation(a, w, v, da)
    dw = jnp.diagonal(k) * flag
    if options.broadening is None:
        x = _rotation(_clusters(w, v, vinv, options.degen_rtol), a, w, v, vinv, k)
    else:
        gap = w[None, :] - w[:, None]
        x = k * jnp.conj(gap) / (gap.real**2 + gap.imag**2 + width**2)
    dv = matmul(v, x) * flag
    return (w, v), (dw, _regauge(v, dv) if options.gauge == "lapack" else dv)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _eigvals(options: _Options, a: Complex[Array, "n n"]):
    return _raw(a, options.real, False)[0]


@_eigvals.defjvp
def _eigvals_jvp(options, primals, tangents):
    w, v = _eig(options, primals[0], jnp.zeros((), real_dtype(primals[0].dtype)))
    _, k, flag = _perturbation(primals[0], w, v, tangents[0])
    return w, jnp.diagonal(k) * flag


def _perturbation(a, w, v, da):
    """``V^-1``, ``V^-1 dA V``, and NaN in place of 1 where the matrix is defective."""
    vinv = jnp.linalg.inv(v)
    flag = poison(jnp.ones((), real_dtype(v.dtype)), _defective(a, w, v, vinv))
    return vinv, matmul(vinv, da, v), flag


def _defective(a, w, v, vinv) -> Bool[Array, ""]:
    """Is the matrix defective, or so near it that rounding decides.

    Rounding splits the eigenvalue of a Jordan block of size 2 by sqrt(eps) and leaves condition
    numbers near 1/sqrt(eps), so those alone cannot tell: ill-conditioned neighbours must also be
    further apart than sqrt(eps) |A| times the condition number, or they would count as one level.
    """
    a, w, v, vinv = jax.lax.stop_gradient((a, w, v, vinv))
    n, eps = w.shape[0], eps_of(v.dtype)
    kappa = _condition(v, vinv)
    pair = jnp.maximum(kappa[:, None], kappa)
    gap = jnp.abs(w[:, None] - w[None, :]) + jnp.where(jnp.eye(n, dtype=bool), jnp.inf, 0.0)
    limit = jnp.maximum(100 * n * eps, eps**0.5) * jnp.linalg.norm(a)
    unresolved = (gap <= limit * pair) & (pair > eps**-0.25)
    return ~(jnp.max(kappa) < eps**-0.5) | unresolved.any()


WIDEST_LEVEL = 0.01
"""Eigenvalues further apart than this times max|w| never form a level."""


def _clusters(w, v, vinv, rtol: float) -> Bool[Array, "n n"]:
    """Transitive closure of "closer than rtol |A| times the condition number"."""
    w, v, vinv = jax.lax.stop_gradient((w, v, vinv))
    n = w.shape[0]
    kappa = _condition(v, vinv)
    scale = jnp.max(jnp.abs(w))
    # capped: what is this far apart is no level, however ill-conditioned
    relative = jnp.minimum(rtol * jnp.maximum(kappa[:, None], kappa), WIDEST_LEVEL)
    near = jnp.abs(w[:, None] - w[None, :]) <= relative * scale
    for _ in range(max(n - 1, 1).bit_length()):
        near = matmul(near.astype(jnp.float32), near.astype(jnp.float32)) > 0.5
    return near


def _rotation(same, a, w, v, vinv, k):
    h = jnp.where(same, matmul(vinv, a, v), 0.0)
    d = jax.lax.stop_gradient(w[None, :] - w[:, None])
    d = jnp.where(same, 1.0, d)

    def solve(_, rhs):
        return rhs / d

    return jax.lax.custom_linear_solve(
        lambda x: jnp.where(same, x, matmul(x, h) - matmul(h, x)),
        jnp.where(same, 0.0, k),
        solve,
        transpose_solve=solve,
    )


def _regauge(v, dv):
    """Add multiples of the vectors so that norms stay 1 and the pivot components real.

    The pivot is the largest component among those whose imaginary part LAPACK set to zero.
    """
    frozen = jax.lax.stop_gradient(v)
    size = jnp.where(frozen.imag == 0, jnp.abs(frozen), 0.5e-3 * jnp.abs(frozen))
    row = jnp.argmax(size, axis=0, keepdims=True)
    pivot = jnp.take_along_axis(v, row, axis=0)
    moved = jnp.take_along_axis(dv, row, axis=0)
    stretch = jnp.sum(v.real * dv.real + v.imag * dv.imag, axis=0, keepdims=True)
    turn = (moved / pivot).imag
    return dv - v * jax.lax.complex(stretch, turn)


def _raw(a, real: bool, vectors: bool):
    """LAPACK's ``geev``, in place on the CPU and through the host elsewhere."""
    a = jax.lax.stop_gradient(a.real if real else a)
    return jax.lax.platform_dependent(
        a,
        cpu=functools.partial(_raw_lapack, vectors=vectors),
        default=functools.partial(_raw_host, vectors=vectors),
    )


def _raw_lapack(a, vectors: bool):
    if vectors:
        return tuple(jnp.linalg.eig(a))
    return (jnp.linalg.eigvals(a),)


def _raw_host(a, vectors: bool):
    dtype = jnp.result_type(a.dtype, jnp.complex64)
    shapes = (jax.ShapeDtypeStruct(a.shape[:-1], dtype), jax.ShapeDtypeStruct(a.shape, dtype))

    def call(a):
        return _numpy_eig(np.asarray(a), dtype, vectors)

    return jax.pure_callback(call, shapes if vectors else shapes[:1], a, vmap_method="expand_dims")


def _numpy_eig(a: np.ndarray, dtype, vectors: bool):
    """NumPy's eigendecomposition of a stack; NaN where the input is not finite or it fails."""
    w, v = np.full(a.shape[:-1], np.nan, dtype), np.full(a.shape, np.nan, dtype)
    for index in np.ndindex(a.shape[:-2]):
        try:
            w[index], v[index] = np.linalg.eig(a[index])
        except np.linalg.LinAlgError:  # an exception must not cross into the compiled program
            continue
    return (w, v) if vectors else (w,)
