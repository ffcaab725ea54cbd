"""The lowest eigenpair of a symmetric operator that is expensive to apply.

E. R. Davidson, J. Comput. Phys. 17, 87 (1975), in blocks. Each vector is multiplied once (block
LOBPCG applies the operator three times as often). The first vectors are the lowest elements of the
diagonal and pseudo-random ones: the operator may keep symmetries, and a search that starts within
some of them would stay there and miss an eigenvector of another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Bool, Float, Int

START, BLOCK, SPACE = 6, 2, 32
"""Vectors at the beginning (a multiple of the block), added a time, and kept at most."""

SOFTEST = 0.05
"""Smallest denominator of the preconditioner."""

ABSENT = 1e9
"""Ritz value of an empty place of the basis."""


class Lowest(NamedTuple):
    """The lowest eigenvalue found, its vector, and what it took."""

    value: Float[Array, ""]
    vector: Float[Array, " n"]
    residual: Float[Array, ""]
    products: Int[Array, ""]


class _Space(NamedTuple):
    basis: Float[Array, "m n"]
    images: Float[Array, "m n"]
    done: Int[Array, ""]
    values: Float[Array, " b"]
    vectors: Float[Array, "b n"]
    residuals: Float[Array, "b n"]
    products: Int[Array, ""]


def lowest(
    operator: Callable[[Array], Array],
    diagonal: Float[Array, " n"],
    allowed: Bool[Array, " n"],
    tol: float,
    max_products: int,
) -> Lowest:
    """Lowest eigenpair among the `allowed` coordinates; 0 where there are none.

    Args:
        operator: applied to one vector; maps allowed coordinates to allowed ones.
        diagonal: approximate diagonal, the preconditioner.
        tol: norm of the residual; the error of the eigenvalue is about its square over the gap.
    """
    n = len(diagonal)
    places = np.arange(SPACE)

    def rayleigh_ritz(s: _Space) -> _Space:
        filled = (places < s.done) & (jnp.vecdot(s.basis, s.basis) > 0.5)
        both = filled & filled[:, None]
        projected = jnp.where(both, s.basis @ s.images.T, 0.0)
        projected = 0.5 * (projected + projected.T) + jnp.diag(jnp.where(filled, 0.0, ABSENT))
        values, c = jnp.linalg.eigh(projected)
        values, c = values[:BLOCK], c[:, :BLOCK].T
        vectors, images = c @ s.basis, c @ s.images
        return s._replace(
            values=values, vectors=vectors, residuals=images - values[:, None] * vectors
        )

    def full(s: _Space) -> Array:
        return s.done + BLOCK > SPACE

    def collapse(s: _Space) -> _Space:
        images = s.residuals + s.values[:, None] * s.vectors
        return s._replace(
            basis=jnp.zeros_like(s.basis).at[:BLOCK].set(s.vectors),
            images=jnp.zeros_like(s.images).at[:BLOCK].set(images),
            done=jnp.zeros_like(s.done) + BLOCK,
        )  # fmt: skip

    def extend(s: _Space) -> _Space:
        """New vectors from the residuals, unless vectors of the start are waiting."""
        s = jax.lax.cond(full(s), collapse, lambda same: same, s)
        new = s.residuals / jnp.maximum(diagonal - s.values[:, None], SOFTEST)
        new = _orthonormal(new, s.basis)
        waiting = s.done < START
        old = jax.lax.dynamic_slice_in_dim(s.basis, s.done, BLOCK)
        new = jnp.where(waiting, old, new)
        image = jax.lax.map(operator, new)
        return s._replace(
            basis=jax.lax.dynamic_update_slice_in_dim(s.basis, new, s.done, 0),
            images=jax.lax.dynamic_update_slice_in_dim(s.images, image, s.done, 0),
            done=s.done + BLOCK, products=s.products + BLOCK,
        )  # fmt: skip

    def unfinished(s: _Space) -> Array:
        size = jnp.linalg.norm(s.residuals, axis=1)
        # the second pair, roughly: it might be about to cross the first
        poor = (size[0] > tol) | ((size[1] > 100 * tol) & (s.values[1] < 0.5 * ABSENT))
        waiting = s.done < START
        return (waiting & (s.products < START)) | (poor & (s.products < max_products))

    empty = jnp.zeros((BLOCK, n))
    basis = jnp.zeros((SPACE, n)).at[: min(START, n)].set(_start(diagonal, allowed))
    zero = jnp.zeros((), int)
    space = _Space(basis, jnp.zeros_like(basis), zero, empty[:, 0], empty, empty, zero)
    space = jax.lax.while_loop(unfinished, lambda s: rayleigh_ritz(extend(s)), space)
    some = allowed.any()
    return Lowest(
        jnp.where(some, space.values[0], 0.0), space.vectors[0],
        jnp.where(some, jnp.linalg.norm(space.residuals[0]), 0.0), space.products,
    )  # fmt: skip


def _start(diagonal: Float[Array, " n"], allowed: Bool[Array, " n"]) -> Float[Array, "start n"]:
    """Unit vectors of the lowest diagonal and irregular ones weighted towards it, orthonormal."""
    n = len(diagonal)
    size = min(START, n)
    pure = min(START - BLOCK, n)
    _, order = jax.lax.top_k(jnp.where(allowed, -diagonal, -jnp.inf), pure)
    units = jax.nn.one_hot(order, n)
    # a quadratic phase at an irrational rate, one for each vector
    phase = np.sqrt(2.0) * np.arange(n) ** 2 * np.arange(1, size - pure + 1)[:, None]
    noise = jnp.cos(phase) / (1.0 + jnp.maximum(diagonal - diagonal.min(), 0.0)) ** 2
    vectors = jnp.concatenate([units, noise]) * allowed
    return _orthonormal(vectors, jnp.zeros_like(vectors))


def _orthonormal(new: Float[Array, "b n"], basis: Float[Array, "m n"]) -> Float[Array, "b n"]:
    """An orthonormal basis of the part of `new` outside `basis`; zero rows where there is none."""

    def outside(block: Array) -> Array:
        size = jnp.sqrt(jnp.vecdot(block, block))[:, None]
        block = block / jnp.where(size > 0, size, 1.0)
        return block - (block @ basis.T) @ basis

    new = outside(outside(new))
    w, u = jnp.linalg.eigh(new @ new.T, symmetrize_input=False)
    return jnp.where(w > 1e-10, jax.lax.rsqrt(w), 0.0)[:, None] * (u.T @ new)
