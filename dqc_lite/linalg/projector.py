"""Projector onto the lowest k states: no tolerance, only the gap across the cut enters.

dP = S(dA), where S solves the occupied-virtual Sylvester equation: with P = V_o V_o^H, Q = 1 - P,

    Q S(E) P = V_v [ (V_v^H E V_o)_ai / (e_i - e_a) ] V_o^H,    P S(E) Q likewise,  zero elsewhere.

S is a primitive whose own derivative is written with P, S and matrix products only (from
P^2 = P and [A, P] = 0), so every order and mode follows and no gap inside a block ever appears:

    D^2 P[E, F] = S( ([E, Y] + [F, X]) (2P - 1) ) + G - PG - GP,
    X = S(E),  Y = S(F),  G = XY + YX.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.interpreters import ad

from dqc_lite._types import Array, Bool, Float, Inexact
from dqc_lite.errors import InputError
from dqc_lite.linalg._common import Matrices, adjoint, as_square, matmul, poison, raw_eigh, rounding
from dqc_lite.linalg._primitive import define, is_zero
from dqc_lite.linalg.eigh import back_transform, reduce_generalized

__all__ = ["ProjectorStatus", "density_matrix", "spectral_gap", "spectral_projector"]


class ProjectorStatus(NamedTuple):
    """``gap`` = w[k] - w[k-1] (infinite for k = 0 or n); ``defined``: is it above rounding."""

    gap: Float[Array, " ..."]
    defined: Bool[Array, " ..."]


def spectral_projector(
    a: Matrices,
    k: int,
    b: Matrices | None = None,
    *,
    return_status: bool = False,
):
    """Projector P onto the eigenvectors of the ``k`` lowest eigenvalues of ``a v = w b v``.

    Derivatives with respect to ``a`` and ``b`` are exact at every order and in every mode, with
    degenerate levels on either side of the cut. Error of order m: epsilon / (gap/max|w|)^m.

    Args:
        a: Hermitian (..., n, n).
        k: number of states, static, 0 <= k <= n.
        b: Hermitian positive definite, or None.
        return_status: also return a :class:`ProjectorStatus`.

    Returns:
        P (..., n, n) with P^2 = P, P^H = P, tr P = k. With ``b``: P = C C^H over vectors
        normalized by C^H b C = 1, so P b P = P and tr(P b) = k. NaN, in value and derivatives,
        where the cut splits a level (gap within rounding, 4 n epsilon max|w|).

    Raises:
        InputError: ``k`` outside 0..n, or shapes that do not fit.
    """
    a = as_square(a)
    _check_count(k, a.shape[-1])
    reduced, factor = reduce_generalized(a, b)
    w, v = raw_eigh(reduced)
    status = _status(w, k, noise(factor, w))
    projector = _projector_p.bind(reduced, w, poison(v, ~status.defined), k=int(k))
    if factor is not None:
        projector = back_transform(factor, adjoint(back_transform(factor, projector)))
    return (projector, status) if return_status else projector


def density_matrix(f: Matrices, s: Matrices | None, nocc: int) -> Inexact[Array, "... n n"]:
    """One-spin density matrix C_o C_o^H of the ``nocc`` lowest states of F C = S C e.

    ``spectral_projector(f, nocc, s)`` under the name used in electronic structure.
    """
    return spectral_projector(f, nocc, s)


def spectral_gap(a: Matrices, k: int, b: Matrices | None = None) -> ProjectorStatus:
    """Gap above the ``k`` lowest states and whether their projector is defined (no derivative).

    Raises:
        InputError: not square, or ``k`` outside 0..n.
    """
    a = as_square(a)
    _check_count(k, a.shape[-1])
    reduced, factor = reduce_generalized(a, b)
    w = raw_eigh(reduced)[0]
    return _status(w, k, noise(factor, w))


def _check_count(k: int, n: int) -> None:
    if not 0 <= k <= n:
        raise InputError(f"k={k} states of a matrix of size {n}; need 0 <= k <= n.")


def noise(factor: Array | None, w: Float[Array, "... n"]) -> Float[Array, " ..."]:
    """Error of the eigenvalues: rounding, times the condition number of ``b`` = L L^H."""
    error = rounding(w)[..., 0]
    if factor is None:
        return error
    factor = jax.lax.stop_gradient(factor)
    eye = jnp.broadcast_to(jnp.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
    inverse = jax.lax.linalg.triangular_solve(factor, eye, left_side=True, lower=True)
    norms = [jnp.abs(x).sum(-2).max(-1, initial=0.0) for x in (factor, inverse)]
    return error * (norms[0] * norms[1]) ** 2


def _status(w: Float[Array, "... n"], k: int, error: Float[Array, " ..."]) -> ProjectorStatus:
    if k in (0, w.shape[-1]):
        gap = jnp.full(w.shape[:-1], jnp.inf, w.dtype)
        return ProjectorStatus(gap, jnp.isfinite(w).all(-1))
    gap = w[..., k] - w[..., k - 1]
    return ProjectorStatus(gap, gap > error)


def _projector(a, w, v, *, k):
    """Value: V_o V_o^H. ``a`` is an argument so that derivatives can be taken."""
    return matmul(v[..., :k], adjoint(v[..., :k]))


def _response(a, w, v, e, *, k):
    """S(e): the occupied-virtual response of the projector to the perturbation ``e``."""
    occ, vir = v[..., :k], v[..., k:]
    inverse = 1.0 / (w[..., None, :k] - w[..., k:, None])
    down = matmul(vir, matmul(adjoint(vir), e, occ) * inverse, adjoint(occ))
    up_block = matmul(adjoint(occ), e, vir) * jnp.swapaxes(inverse, -1, -2)
    return down + matmul(occ, up_block, adjoint(vir))


_projector_p = define("spectral_projector", _projector)
_response_p = define("spectral_projector_response", _response)


def _projector_jvp(primals, tangents, *, k):
    a, w, v = primals
    value = _projector_p.bind(a, w, v, k=k)
    if is_zero(tangents[0]):
        return value, jnp.zeros_like(value)
    return value, _response_p.bind(a, w, v, tangents[0], k=k)


def _response_jvp(primals, tangents, *, k):
    a, w, v, e = primals
    da, de = tangents[0], tangents[3]
    x = _response_p.bind(a, w, v, e, k=k)
    out = jnp.zeros_like(x) if is_zero(de) else _response_p.bind(a, w, v, de, k=k)
    if not is_zero(da):
        out = out + _second_derivative(a, w, v, e, x, da, k)
    return x, out


def _second_derivative(a, w, v, e, x, f, k):
    p = _projector_p.bind(a, w, v, k=k)
    y = _response_p.bind(a, w, v, f, k=k)
    force = matmul(e, y) - matmul(y, e) + matmul(f, x) - matmul(x, f)
    g = matmul(x, y) + matmul(y, x)
    rotated = _response_p.bind(a, w, v, 2 * matmul(force, p) - force, k=k)
    return rotated + g - matmul(p, g) - matmul(g, p)


def _response_transpose(ct, a, w, v, e, *, k):
    """tr(G S(E)) is symmetric in G and E, and JAX pairs without conjugation."""
    if is_zero(ct):
        return None, None, None, None
    swapped = _response_p.bind(a, w, v, jnp.swapaxes(ct, -1, -2), k=k)
    return None, None, None, jnp.swapaxes(swapped, -1, -2)


ad.primitive_jvps[_projector_p] = _projector_jvp
ad.primitive_jvps[_response_p] = _response_jvp
ad.primitive_transposes[_response_p] = _response_transpose
