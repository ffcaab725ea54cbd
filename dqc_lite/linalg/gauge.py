"""Does a function of eigenvalues and eigenvectors have a derivative, and which.

A function h(w, V) of the eigenpairs of a matrix falls, at a repeated eigenvalue, into one of three:
invariant under the choice of basis inside the level (``eigh`` is exact); smooth as a function of
the matrix although its formula is not invariant nearby, such as V f(w) V^H or second-order
perturbation theory (no rule that reads only (w, V) and its cotangents can be right: the gradient
needs :func:`spectral_value_and_grad`); or dependent on the basis (no derivative exists).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Bool, Float
from dqc_lite.linalg._common import (
    adjoint,
    as_square,
    cluster_mask,
    default_rtol,
    eps_of,
    matmul,
    raw_eigh,
    symmetrize,
)
from dqc_lite.linalg.eigh import random_gauge

__all__ = ["GaugeReport", "gauge_check", "spectral_value_and_grad"]


class GaugeReport(NamedTuple):
    """Figures of :func:`gauge_check`, all relative, and what they mean.

    ``value_change``, ``phase_change``: change of h when the vectors of a level are mixed at
    random, and when every vector gets a random sign (complex: phase). ``basis_dependence``,
    ``phase_dependence``: off-diagonal and diagonal anti-Hermitian part of V^H Vbar inside the
    levels. ``eigenvalue_spread``: how unequally h weights eigenvalues of one level.
    ``gradient_change``: difference of ``spectral_value_and_grad`` in two bases.
    """

    value_change: Float[Array, ""]
    phase_change: Float[Array, ""]
    basis_dependence: Float[Array, ""]
    phase_dependence: Float[Array, ""]
    eigenvalue_spread: Float[Array, ""]
    gradient_change: Float[Array, ""]
    depends_on_basis: Bool[Array, ""]
    depends_on_phase: Bool[Array, ""]
    depends_on_individual_eigenvalues: Bool[Array, ""]
    smooth_in_matrix: Bool[Array, ""]

    @property
    def eigh_is_exact(self) -> Bool[Array, ""]:
        """First derivatives through ``eigh`` are exact for this function at this matrix."""
        return ~(
            self.depends_on_basis | self.depends_on_phase | self.depends_on_individual_eigenvalues
        )

    def __str__(self) -> str:
        lines = [f"{name:34s}{float(x):10.1e}" for name, x in zip(self._fields, self, strict=True)]
        lines = lines[:6] + [
            f"{name:34s}{bool(x)!s:>10s}"
            for name, x in zip(self._fields[6:], self[6:], strict=True)
        ]
        if self.eigh_is_exact:
            verdict = "differentiate through eigh"
        elif self.smooth_in_matrix:
            verdict = "smooth in the matrix: use funm, eigh_block or spectral_value_and_grad"
        else:
            verdict = "no derivative at this matrix"
        return "\n".join([*lines, f"verdict: {verdict}"])


def gauge_check(h: Callable, *, degen_rtol: float | None = None) -> Callable:
    """A function of one Hermitian matrix that reports how ``h(w, v)`` depends on its eigenpairs.

    Args:
        h: ``h(eigenvalues, eigenvectors) -> real scalar``, differentiable by JAX.
        degen_rtol: eigenvalues closer than this times max|w| form a level; default sqrt(epsilon).

    Returns:
        ``check(a) -> GaugeReport`` for ``a`` (n, n); works under ``jit`` and ``vmap``.
        Dependence is declared above the square root of the precision.
    """

    def check(a) -> GaugeReport:
        a = symmetrize(as_square(a))
        w, v = raw_eigh(a)
        same = cluster_mask(w, _rtol(degen_rtol, w))
        mixed = matmul(v, random_gauge(same, v.dtype))
        value, wbar, vbar = _cotangents(h, w, mixed)
        n = matmul(adjoint(mixed), vbar)
        skew = jnp.where(same, jnp.abs(n - adjoint(n)) / 2, 0)
        diagonal = jnp.eye(w.shape[0], dtype=bool)
        scale = jnp.abs(value) + jnp.abs(vbar).max()
        spread = jnp.where(same, jnp.abs(wbar[:, None] - wbar[None, :]), 0).max()
        figures = [
            _ratio(jnp.abs(h(w, v) - value), scale),
            _ratio(jnp.abs(h(w, v * _random_phases(v)) - h(w, v)), scale),
            _ratio(jnp.where(diagonal, 0, skew).max(), jnp.abs(vbar).max()),
            _ratio(jnp.where(diagonal, skew, 0).max(), jnp.abs(vbar).max()),
            _ratio(spread, jnp.abs(wbar).max()),
        ]
        return _report(figures, _gradients(h, a, degen_rtol), eps_of(w.dtype) ** 0.5)

    return check


def spectral_value_and_grad(h: Callable, *, degen_rtol: float | None = None) -> Callable:
    """Exact value and gradient of a ``h(w, v)`` that is a smooth function of the matrix.

    For existing code written with eigenpairs, such as second-order perturbation theory over
    canonical orbitals or ``v @ diag(f(w)) @ v.T``. Inside a level the quotient
    N_ij / (w_j - w_i), N the anti-Hermitian part of V^H Vbar, is replaced by its limit dN_ij/dw_j,
    one Jacobian-vector product per state of a level. First derivative only.

    Args:
        h: ``h(eigenvalues, eigenvectors) -> real scalar``, twice differentiable by JAX.
        degen_rtol: eigenvalues closer than this times max|w| form a level; default
            epsilon^(1/3), where the two forms are equally accurate (4e-11).

    Returns:
        ``run(a) -> (value, gradient)``, the gradient Hermitian and in JAX's convention
        (as ``jax.grad``). The gradient is NaN where two bases of a level disagree, that is where
        ``h`` is not a differentiable function of the matrix.
    """

    def run(a):
        a = symmetrize(as_square(a))
        value, gradient, other, defect = _gradients(h, a, degen_rtol)
        rtol = eps_of(a.dtype) ** (1 / 3) if degen_rtol is None else degen_rtol
        agree = jnp.abs(gradient - other).max() <= 100 * rtol * jnp.abs(gradient).max()
        agree &= defect <= eps_of(a.dtype) ** 0.5
        return value, jnp.conj(gradient) * jnp.where(agree, 1.0, jnp.nan).astype(value.dtype)

    return run


def _gradients(h, a, degen_rtol):
    """Value and the gradient, computed in the basis of the solver and in a random one."""
    w, v = raw_eigh(a)
    rtol = eps_of(w.dtype) ** (1 / 3) if degen_rtol is None else degen_rtol
    same = cluster_mask(w, rtol)
    value, gradient, defect = _gradient(h, w, v, same)
    turned = matmul(v, random_gauge(same, v.dtype))
    _, other, again = _gradient(h, w, turned, same)
    return value, gradient, other, jnp.maximum(defect, again)


def _gradient(h, w, v, same):
    """V X V^H with X_ij = N_ij/(w_j - w_i) between levels, its limit inside, wbar on top.

    Also how far, relative to Vbar, N inside a level is from vanishing with the gap, as it must.
    """
    value, wbar, vbar = _cotangents(h, w, v)
    gap = w[None, :] - w[:, None]
    limits = _limits(h, w, v, same.sum(0) > 1)
    skew = _skew(h, w, v)
    defect = jnp.abs(jnp.where(same, skew - limits * gap, 0)).max()
    x = jnp.where(same, symmetrize(limits), skew / jnp.where(same, 1, gap))
    x = jnp.where(jnp.eye(w.shape[0], dtype=bool), wbar, x)
    return value, matmul(v, x, adjoint(v)), _ratio(defect, jnp.abs(vbar).max())


def _limits(h, w, v, crowded):
    """T_ij = dN_ij/dw_j, column by column, only for the states of repeated levels."""

    def column(j):
        unit = jnp.zeros_like(w).at[j].set(1)
        return jax.jvp(lambda u: _skew(h, u, v), (w,), (unit,))[1][:, j]

    def guarded(j):
        return jax.lax.cond(crowded[j], column, lambda _: jnp.zeros_like(v[:, 0]), j)

    return jax.lax.map(guarded, jnp.arange(w.shape[0])).T


def _skew(h, w, v):
    n = matmul(adjoint(v), _cotangents(h, w, v)[2])
    return (n - adjoint(n)) / 2


def _cotangents(h, w, v):
    """h, dh/dw, and Vbar with dh = Re tr(Vbar^H dV)."""
    value, (wbar, vbar) = jax.value_and_grad(h, argnums=(0, 1))(w, v)
    return value, wbar, jnp.conj(vbar)


def _report(figures, gradients, tol):
    change, phase, basis, diagonal, spread = figures
    _, gradient, other, _ = gradients
    difference = _ratio(jnp.abs(gradient - other).max(), jnp.abs(gradient).max())
    on_basis = ~((change <= tol) & (basis <= tol))
    on_phase = ~((phase <= tol) & (diagonal <= tol))
    smooth = (difference <= 100 * tol) & ~on_basis & ~on_phase
    return GaugeReport(*figures, difference, on_basis, on_phase, ~(spread <= tol), smooth)


def _random_phases(v):
    key = jax.random.key(33)
    if jnp.iscomplexobj(v):
        return jnp.exp(1j * jax.random.uniform(key, v.shape[-1:], maxval=6.0)).astype(v.dtype)
    return jax.random.rademacher(key, v.shape[-1:], dtype=v.dtype)


def _ratio(x, scale):
    return x / jnp.where(scale > 0, scale, 1)


def _rtol(degen_rtol, w):
    return default_rtol(w.dtype) if degen_rtol is None else degen_rtol
