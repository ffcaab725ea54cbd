"""Preconditioned minimal residuals for symmetric systems, definite or not.

C. C. Paige, M. A. Saunders, SIAM J. Numer. Anal. 12, 617 (1975); with a positive preconditioner:
Elman, Silvester, Wathen, Finite Elements and Fast Iterative Solvers, algorithm 4.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Bool, Float, Int

MAX_STEPS = 80
"""Lanczos steps before a restart."""

RESTARTS = 4
"""Times the true residual is solved for again at most."""


ACCEPTED = 1e-8
"""Relative residual above which an answer does not count."""

SINGULAR = 1e-4
"""Eigenvalue of the preconditioned operator below which it is singular."""


class Response(NamedTuple):
    """x with its relative residual and the smallest modulus of an eigenvalue met on the way."""

    x: Array
    residual: Float[Array, ""]
    smallest: Float[Array, ""]
    products: Int[Array, ""]

    def solved(self) -> Bool[Array, ""]:
        """Whether the answer counts."""
        return (self.residual < ACCEPTED) & ~(self.smallest < SINGULAR)

    def x_or_nan(self) -> Array:
        """x, or NaN: never a number that nobody checked."""
        return self.x * jnp.where(self.solved(), 1.0, jnp.nan)


def solve(
    operator: Callable[[Array], Array], b: Array, preconditioner: Array, tolerance: float = 1e-10
) -> Response:
    """Solve ``operator(x) = b`` until ``|b - A x| < tolerance |b|``.

    Norms are those of ``M^-1``, M the diagonal positive `preconditioner`, and eigenvalues those of
    ``M^-1/2 A M^-1/2``: those of the Lanczos matrix, which holds every direction that x has taken.
    """
    size = _norm(b, preconditioner)

    def unfinished(state: tuple) -> Bool[Array, ""]:
        _, r, _, _, count, progress = state
        large = _norm(r, preconditioner) > tolerance * size
        return large & (count < RESTARTS) & progress

    def again(state: tuple) -> tuple:
        x, r, smallest, products, count, _ = state
        step, lowest, steps = _lanczos(operator, r, preconditioner, tolerance * size)
        moved = x + step
        left = b - operator(moved)
        better = _norm(left, preconditioner) < _norm(r, preconditioner)
        x, r = jnp.where(better, moved, x), jnp.where(better, left, r)
        smallest = jnp.minimum(smallest, lowest)
        return x, r, smallest, products + steps + 1, count + 1, better

    zero = jnp.zeros((), int)
    start = (jnp.zeros_like(b), b, jnp.asarray(jnp.inf), zero, zero, jnp.asarray(True))
    x, r, smallest, products, *_ = jax.lax.while_loop(unfinished, again, start)
    left = _norm(r, preconditioner) / jnp.where(size > 0, size, 1.0)
    return Response(x, left, smallest, products)


def _norm(r: Array, m: Array) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(r * r / m))


class _Step(NamedTuple):
    x: Array
    v: Array
    v_old: Array
    z: Array
    w: Array
    w_old: Array
    gamma: Array
    gamma_old: Array
    eta: Array
    cosine: Array
    cosine_old: Array
    sine: Array
    sine_old: Array
    diagonal: Array
    beside: Array
    count: Array


def _lanczos(
    operator: Callable, b: Array, m: Array, limit: Array
) -> tuple[Array, Float[Array, ""], Int[Array, ""]]:
    """One run from x = 0: x, the smallest eigenvalue modulus of the Lanczos matrix, steps."""
    one, zero, none = jnp.ones(()), jnp.zeros(()), jnp.zeros_like(b)
    gamma = _norm(b, m)
    start = _Step(
        x=none, v=b, v_old=none, z=b / m, w=none, w_old=none, gamma=gamma, gamma_old=one,
        eta=gamma, cosine=one, cosine_old=one, sine=zero, sine_old=zero,
        diagonal=jnp.ones(MAX_STEPS), beside=jnp.zeros(MAX_STEPS), count=jnp.zeros((), int),
    )  # fmt: skip

    def unfinished(s: _Step) -> Bool[Array, ""]:
        return (jnp.abs(s.eta) > 0.5 * limit) & (s.count < MAX_STEPS) & (s.gamma > 0)

    last = jax.lax.while_loop(unfinished, lambda s: _advance(operator, m, s), start)
    beside = jnp.where(jnp.arange(MAX_STEPS) < last.count - 1, last.beside, 0.0)[:-1]
    matrix = jnp.diag(last.diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1)
    eigenvalues = jnp.abs(jnp.linalg.eigvalsh(matrix))
    return last.x, jnp.min(eigenvalues), last.count


def _advance(operator: Callable, m: Array, s: _Step) -> _Step:
    z = s.z / s.gamma
    az = operator(z)
    delta = jnp.vdot(az, z)
    v = az - (delta / s.gamma) * s.v - (s.gamma / s.gamma_old) * s.v_old
    z_new = v / m
    gamma = jnp.sqrt(jnp.maximum(jnp.vdot(z_new, v), 0.0))
    a0 = s.cosine * delta - s.cosine_old * s.sine * s.gamma
    a1 = jnp.sqrt(a0**2 + gamma**2)
    a2 = s.sine * delta + s.cosine_old * s.cosine * s.gamma
    a3 = s.sine_old * s.gamma
    a1 = jnp.where(a1 > 0, a1, jnp.inf)
    cosine, sine = a0 / a1, gamma / a1
    w = (z - a3 * s.w_old - a2 * s.w) / a1
    return _Step(
        x=s.x + cosine * s.eta * w, v=v, v_old=s.v, z=z_new, w=w, w_old=s.w,
        gamma=gamma, gamma_old=s.gamma, eta=-sine * s.eta,
        cosine=cosine, cosine_old=s.cosine, sine=sine, sine_old=s.sine,
        diagonal=s.diagonal.at[s.count].set(delta), beside=s.beside.at[s.count].set(gamma),
        count=s.count + 1,
    )  # fmt: skip
