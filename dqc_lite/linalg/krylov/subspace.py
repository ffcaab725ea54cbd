"""Steps and lowest eigenpairs of a symmetric operator that is expensive to apply, in a subspace.

The space of the vectors tried so far grows by the preconditioned residual, and in it the problem is
solved exactly: the lowest eigenpair (E. R. Davidson, J. Comput. Phys. 17, 87 (1975)), or the lowest
point of ``2 g.x + x.H x`` within ``|x| <= radius``, where ``(H + s) x = -g`` with a shift s >= 0
(J. More, D. Sorensen, SIAM J. Sci. Stat. Comput. 4, 553 (1983)). Each vector is multiplied once.
The first vectors of a search for an eigenpair are the lowest elements of the diagonal and pseudo-
random ones: the operator may keep symmetries, and a search that starts within some of them would
stay there and miss an eigenvector of another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Bool, Float, Int

UNITS, NOISE, SPACE = 4, 2, 32
"""First vectors of an eigenvalue problem, of either kind, and vectors kept at most."""

SOFTEST = 0.05
"""Smallest denominator of the preconditioner."""

ABSENT = 1e9
"""Ritz value of an empty place of the basis."""

LOOSE = 100.0
"""How much more the residual of the second pair may be: it might be about to cross the first."""

BISECTIONS = 60


class Question(NamedTuple):
    """What is wanted of an operator H.

    Attributes:
        lowest: the lowest eigenpair, else the step.
        gradient: g, which an eigenpair has nothing to do with.
        radius: of the step.
        diagonal: approximate diagonal of H, the preconditioner.
        allowed: coordinates that count; H maps them to themselves.
        tolerance: norm of the residual; the error of an eigenvalue is about its square over the
            gap.
        most: applications of H.
    """

    lowest: Bool[Array, ""]
    gradient: Float[Array, " n"]
    radius: Float[Array, ""]
    diagonal: Float[Array, " n"]
    allowed: Bool[Array, " n"]
    tolerance: Float[Array, ""]
    most: Int[Array, ""]


class Answer(NamedTuple):
    """Vector and value: eigenpair, or step and ``2 g.x + x.H x`` (0 without coordinates)."""

    vector: Float[Array, " n"]
    value: Float[Array, ""]
    residual: Float[Array, ""]
    products: Int[Array, ""]


class _Space(NamedTuple):
    """Vectors with their images, and the two best combinations of them.

    ``done`` rows of the basis count, those after them are waiting; ``shifts`` belong to the
    residuals ``H x + shift x (+ g)``.
    """

    basis: Float[Array, "m n"]
    images: Float[Array, "m n"]
    done: Int[Array, ""]
    waiting: Int[Array, ""]
    vectors: Float[Array, "2 n"]
    shifts: Float[Array, " 2"]
    residuals: Float[Array, "2 n"]
    products: Int[Array, ""]


def answer(operator: Callable[[Array], Array], q: Question) -> Answer:
    """Apply `operator`, to one vector at a time, until the question is answered."""

    def unfinished(s: _Space) -> Bool[Array, ""]:
        return (s.waiting > 0) | (_poor(s, q).any() & (s.products < q.most))

    def enlarged(s: _Space) -> _Space:
        s, new = _wanted(s, q)
        return _solved(_with(s, new, operator(new)), q)

    s = jax.lax.while_loop(unfinished, enlarged, _start(q))
    x = s.vectors[0]
    change = jnp.vdot(x, _images(s, q)[0] + 2.0 * q.gradient)
    value = jnp.where(q.lowest, -s.shifts[0], change)
    some, residual = q.allowed.any(), jnp.linalg.norm(s.residuals[0])
    return Answer(x, jnp.where(some, value, 0.0), jnp.where(some, residual, 0.0), s.products)


def _start(q: Question) -> _Space:
    """The first vectors: of an eigenpair unit ones and noise, of a step the gradient."""
    n = q.diagonal.size
    several = _several(q)
    step = _preconditioned(q.gradient, jnp.zeros(()), q)
    one = np.eye(len(several), 1) * step
    count = jnp.where(q.lowest, len(several), jnp.where(jnp.vdot(step, step) > 0, 1, 0))
    none, empty = jnp.zeros((), int), jnp.zeros((2, n))
    return _Space(
        _alone(jnp.where(q.lowest, several, one)), jnp.zeros((SPACE, n)), none, count.astype(int),
        empty, jnp.zeros(2), empty, none,
    )  # fmt: skip


def _several(q: Question) -> Float[Array, "start n"]:
    """Unit vectors of the lowest diagonal and irregular ones weighted towards it."""
    n = q.diagonal.size
    lowest, _ = jax.lax.top_k(jnp.where(q.allowed, -q.diagonal, -jnp.inf), min(UNITS, n))
    units = jnp.where(-q.diagonal == lowest[:, None], 1.0, 0.0)
    # a quadratic phase at an irrational rate, one for each vector
    phase = np.sqrt(2.0) * np.arange(n) ** 2 * np.arange(1, 1 + NOISE)[:, None]
    noise = jnp.cos(phase) / (1.0 + jnp.maximum(q.diagonal - q.diagonal.min(), 0.0)) ** 2
    return jnp.concatenate([units, noise]) * q.allowed


def _preconditioned(residual: Array, shift: Array, q: Question) -> Array:
    diagonal = jnp.where(q.lowest, q.diagonal, jnp.abs(q.diagonal))
    return residual / jnp.maximum(diagonal + shift, SOFTEST)


def _poor(s: _Space, q: Question) -> Bool[Array, " 2"]:
    """Which combinations are not accurate yet."""
    limits = q.tolerance * np.array([1.0, LOOSE])
    # an empty place has a Ritz value, but is no vector
    return (jnp.linalg.norm(s.residuals, axis=1) > limits) & (-s.shifts < 0.5 * ABSENT)


def _wanted(s: _Space, q: Question) -> tuple[_Space, Float[Array, " n"]]:
    """A space with room, and the next vector: of unit length, or zero where there is no other."""
    s = jax.lax.cond(s.done == SPACE, lambda s: _collapsed(s, q), lambda same: same, s)
    first = _poor(s, q)[0]
    residual, shift = (jnp.where(first, *x) for x in (s.residuals, s.shifts))
    place = np.arange(SPACE)[:, None]
    waiting = jnp.where(place == s.done, s.basis, 0.0).sum(0)
    new = jnp.where(s.waiting > 0, waiting, _preconditioned(residual, shift, q))
    used = jnp.where(place < s.done, s.basis, 0.0)

    def outside(_: Any, x: Array) -> Array:
        size = jnp.linalg.norm(x)
        x = x / jnp.where(size > 0, size, 1.0)
        return x - (used @ x) @ used

    # what is left of a vector within the space is rounding, and shrinks each time
    new = jax.lax.fori_loop(0, 3, outside, new)
    size = jnp.linalg.norm(new)
    return s, new * jnp.where(size > 0.5, 1.0 / jnp.maximum(size, 0.5), 0.0)


def _with(s: _Space, new: Float[Array, " n"], image: Float[Array, " n"]) -> _Space:
    here = (np.arange(SPACE) == s.done)[:, None]
    return s._replace(
        basis=jnp.where(here, new, s.basis), images=jnp.where(here, image, s.images),
        done=s.done + 1, waiting=jnp.maximum(s.waiting - 1, 0), products=s.products + 1,
    )  # fmt: skip


def _solved(s: _Space, q: Question) -> _Space:
    """The answer within the space."""
    there = (np.arange(SPACE) < s.done) & (jnp.vecdot(s.basis, s.basis) > 0.5)
    projected = jnp.where(there & there[:, None], s.basis @ s.images.T, 0.0)
    projected = 0.5 * (projected + projected.T) + jnp.diag(jnp.where(there, 0.0, ABSENT))
    w, u = jnp.linalg.eigh(projected, symmetrize_input=False)
    g = u.T @ (there * (s.basis @ q.gradient))
    shift = _shift(w, g, q.radius)
    step = jnp.stack([u @ (-g / (w + shift)), jnp.zeros(SPACE)])
    combinations = jnp.where(q.lowest, u[:, :2].T, step)
    shifts = jnp.where(q.lowest, -w[:2], jnp.stack([shift, jnp.zeros(())]))
    x, image = combinations @ s.basis, combinations @ s.images
    residuals = image + shifts[:, None] * x + _inhomogeneous(q)
    return s._replace(vectors=x, shifts=shifts, residuals=residuals)


def _shift(w: Float[Array, " m"], g: Float[Array, " m"], radius: Array) -> Float[Array, ""]:
    """The smallest s >= 0 with w + s > 0 and ``|g / (w + s)| <= radius``, by bisection."""
    least = jnp.maximum(0.0, 1e-8 - w[0])

    def halved(_: Any, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = 0.5 * (low + high)
        inside = jnp.linalg.norm(g / (w + middle)) <= radius
        return jnp.where(inside, low, middle), jnp.where(inside, middle, high)

    enough = least + jnp.linalg.norm(g) / radius
    _, high = jax.lax.fori_loop(0, BISECTIONS, halved, (least, enough))
    return jnp.where(jnp.linalg.norm(g / (w + least)) <= radius, least, high)


def _collapsed(s: _Space, q: Question) -> _Space:
    """The best combinations alone, orthonormal, in a space that was full."""
    size = jnp.linalg.norm(s.vectors, axis=1)[:, None]
    scale = jnp.where(size > 0, 1.0 / jnp.where(size > 0, size, 1.0), 0.0)
    return s._replace(
        basis=_alone(scale * s.vectors), images=_alone(scale * _images(s, q)),
        done=jnp.zeros_like(s.done) + 2,
    )


def _alone(vectors: Float[Array, "b n"]) -> Float[Array, "m n"]:
    """A space of them and empty places."""
    return jnp.pad(vectors, ((0, SPACE - len(vectors)), (0, 0)))


def _images(s: _Space, q: Question) -> Float[Array, "2 n"]:
    """H x, from the residuals H x + shift x (+ g)."""
    return s.residuals - s.shifts[:, None] * s.vectors - _inhomogeneous(q)


def _inhomogeneous(q: Question) -> Float[Array, "2 n"]:
    return jnp.stack([jnp.where(q.lowest, 0.0, q.gradient), jnp.zeros_like(q.gradient)])
