"""Eigenvalue optimization at crossings: generalized gradients where eigenvalues meet.

An eigenvalue of multiplicity m has no gradient but a set of them (Clarke),

    { U G U^H : G positive semidefinite (m, m), tr G = 1 },   U a basis of the eigenspace,

exact directional derivatives (the eigenvalues of U^H E U), and a steepest descent direction: minus
the element of least norm. The ordinary gradient is one arbitrary member of the set and need not
be a descent direction, which is why plain gradient descent stalls at crossings.

Sources: F. Clarke, Optimization and Nonsmooth Analysis (1983); M. Overton, SIAM J. Matrix Anal.
Appl. 9, 256 (1988); A. Lewis, Math. Program. 97, 155 (2003).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dqc_lite._types import Array, Bool, Float, Inexact, Int
from dqc_lite.errors import InputError
from dqc_lite.linalg._common import (
    Matrices,
    adjoint,
    as_square,
    cluster_ids,
    default_rtol,
    matmul,
    raw_eigh,
    symmetrize,
)

__all__ = [
    "EigenvalueSubgradient",
    "MinimalNorm",
    "eigenvalue_directional_derivatives",
    "eigenvalue_subgradient",
    "minimal_norm_subgradient",
]


class EigenvalueSubgradient(NamedTuple):
    """The generalized gradient of one eigenvalue, {U G U^H : G >= 0, tr G = 1}.

    ``value``: the eigenvalue. ``basis``: U in the columns where ``members`` is True, zero
    elsewhere, so that shapes are static. ``multiplicity``: m. ``position``: rank of the eigenvalue
    inside its level, 0 the lowest.
    """

    value: Float[Array, ""]
    basis: Inexact[Array, "n n"]
    members: Bool[Array, " n"]
    multiplicity: Int[Array, ""]
    position: Int[Array, ""]

    def element(self, g: Inexact[Array, "n n"] | None = None) -> Inexact[Array, "n n"]:
        """U G U^H; by default the barycentre, G = 1/m."""
        if g is None:
            return matmul(self.basis, adjoint(self.basis)) / self.multiplicity
        return matmul(self.basis, g, adjoint(self.basis))


class MinimalNorm(NamedTuple):
    """Element of least norm of a generalized gradient.

    ``value``: the function. ``subgradient``: shaped like the argument; minus it is a direction of
    descent. ``norm``: its Euclidean norm; the function falls at least at the rate ``norm`` along
    the unit descent direction, and 0 means stationary. ``gap``: bound on norm^2/2 minus its
    minimum, the certificate of the inner solver.
    """

    value: Float[Array, ""]
    subgradient: Any
    norm: Float[Array, ""]
    gap: Float[Array, ""]


def eigenvalue_subgradient(
    a: Matrices, k: int = -1, *, rtol: float | Array | None = None
) -> EigenvalueSubgradient:
    """Generalized gradient of the k-th lowest eigenvalue (default the largest) of Hermitian ``a``.

    Args:
        a: Hermitian (n, n); ``vmap`` for batches.
        k: index in ascending order, negative from the top.
        rtol: eigenvalues closer than ``rtol * max|w|`` belong to the level; default sqrt(epsilon).
            Larger values give the epsilon-subdifferential that optimization needs near a crossing.
    """
    w, v = raw_eigh(symmetrize(_single(a)))
    k = _index(k, w.shape[0])
    members, position = _level(w, k, rtol)
    return EigenvalueSubgradient(w[k], v * members, members, members.sum(), position)


def eigenvalue_directional_derivatives(
    a: Matrices, direction: Matrices, *, rtol: float | Array | None = None
) -> Float[Array, " n"]:
    """Exact one-sided derivatives of all ascending eigenvalues of ``a + t direction`` at t = 0+.

    Inside a level they are the eigenvalues of U^H direction U in ascending order. A spectral
    function sum_i c_i w_i, such as a gap, has the derivative sum_i c_i times these.
    """
    w, v = raw_eigh(symmetrize(_single(a)))
    k = matmul(adjoint(v), symmetrize(_single(direction)), v)
    ids = cluster_ids(w, default_rtol(w.dtype) if rtol is None else rtol)
    k = jnp.where(ids[:, None] == ids[None, :], k, 0)
    # Shifting each level by more than the range of k keeps the levels in order.
    shift = ids * (2 * jnp.abs(k).sum(-1).max() + jnp.finfo(w.dtype).tiny)
    return jnp.linalg.eigvalsh(k + jnp.diag(shift).astype(k.dtype)) - shift


def minimal_norm_subgradient(
    matrix: Callable,
    x,
    weights: int | Mapping[int, float] = -1,
    *,
    rtol: float | Array | None = None,
    steps: int = 300,
) -> MinimalNorm:
    """Least-norm element of the generalized gradient of sum_k c_k w_k(matrix(x)).

    Args:
        matrix: differentiable map from ``x`` (any pytree of real arrays) to Hermitian (n, n).
        x: the point.
        weights: one eigenvalue index, or ``{index: c}``; ``{-1: 1.0}`` is the largest eigenvalue,
            ``{k - 1: 1.0, k: -1.0}`` minus the gap above k states.
        rtol: see :func:`eigenvalue_subgradient`.
        steps: projected-gradient steps of the inner problem over the matrices G.

    When two weighted eigenvalues share a level the set is larger than Clarke's; a non-zero
    result is a descent direction all the same.
    """
    weights = {weights: 1.0} if isinstance(weights, int) else dict(weights)
    flat, unravel = ravel_pytree(x)
    a, pull = jax.vjp(lambda y: symmetrize(_single(matrix(unravel(y)))), flat)
    w, v = raw_eigh(a)
    terms = [(_index(k, w.shape[0]), float(c)) for k, c in weights.items()]
    members = jnp.stack([_level(w, k, rtol)[0] for k, _ in terms])
    coefficients = jnp.array([c for _, c in terms], w.dtype)

    def gradient_of(g):
        """x-space gradient for the stacked matrices G_k, in the eigenbasis."""
        total = matmul(v, jnp.tensordot(coefficients.astype(g.dtype), g, 1), adjoint(v))
        return pull(jnp.conj(total))[0]

    start = jax.vmap(lambda m: jnp.diag(m / m.sum()))(members).astype(v.dtype)
    g, gap = _least_norm(gradient_of, start, members, steps)
    direction = gradient_of(g)
    value = sum(c * w[k] for k, c in terms)
    return MinimalNorm(value, unravel(direction), jnp.linalg.norm(direction), gap)


def _least_norm(linear, start, members, steps):
    """argmin |linear(g)|^2/2 over stacked density matrices, by accelerated projected gradient."""

    def slope(g):
        value, pull = jax.vjp(linear, g)
        return jnp.conj(pull(value)[0])

    def power(_, g):
        g = slope(g)
        return g / jnp.maximum(jnp.linalg.norm(g), jnp.finfo(g.dtype).tiny)

    seed = symmetrize(start + 0.1 * jax.random.normal(jax.random.key(1), start.shape, start.dtype))
    bound = jnp.linalg.norm(slope(jax.lax.fori_loop(0, 30, power, seed)))
    rate = 0.8 / jnp.where(bound > 0, bound, 1)

    def step(_, state):
        g, previous, t = state
        t_new = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        y = g + (t - 1) / t_new * (g - previous)
        return jax.vmap(_project)(y - rate * slope(y), members), g, t_new

    g, _, _ = jax.lax.fori_loop(0, steps, step, (start, start, jnp.ones((), rate.dtype)))
    s = symmetrize(slope(g))
    lowest = jax.vmap(_lowest)(s, members).sum()
    return g, jnp.real(jnp.sum(jnp.conj(s) * g)) - lowest


def _project(g, member):
    """Nearest positive semidefinite matrix of trace 1 supported on the members."""
    inside = member[:, None] & member[None, :]
    far = 4 * (1 + jnp.abs(g).sum())
    g = jnp.where(inside, symmetrize(g), jnp.diag(jnp.where(member, 0, -far)).astype(g.dtype))
    w, v = jnp.linalg.eigh(g)
    return jnp.where(inside, matmul(v * _simplex(w), adjoint(v)), 0)


def _simplex(w):
    """Projection of ``w`` onto the probability simplex (ascending input)."""
    top = w[::-1]
    count = jnp.arange(1, w.shape[0] + 1)
    levels = (jnp.cumsum(top) - 1) / count
    active = jnp.sum(top > levels)
    return jnp.maximum(w - levels[active - 1], 0)


def _lowest(s, member):
    """Smallest eigenvalue of ``s`` on the members."""
    inside = member[:, None] & member[None, :]
    far = 4 * (1 + jnp.abs(s).sum())
    return jnp.linalg.eigvalsh(
        jnp.where(inside, s, jnp.diag(jnp.where(member, 0, far)).astype(s.dtype))
    )[0]


def _level(w, k, rtol):
    ids = cluster_ids(w, default_rtol(w.dtype) if rtol is None else rtol)
    members = ids == ids[k]
    return members, k - jnp.argmax(members)


def _index(k, n):
    if not -n <= k < n:
        raise InputError(f"eigenvalue index k={k} of a matrix of size {n}.")
    return k % n


def _single(a):
    a = as_square(a)
    if a.ndim != 2:
        raise InputError(f"expected one matrix, got shape {a.shape}; use jax.vmap for batches.")
    return a
