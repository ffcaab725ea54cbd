"""Zero-valued functions that carry a derivative, and sums of tangents, each one compiled call.

The energy at fixed density has a derivative that is cheaper than its value: a function of value
zero that has this derivative is added. Outside of `jax.jit` every operation on a tangent is a
program of its own in JAX, and in reverse mode its transpose another one: that is what a first
gradient would wait for, so that the helpers here are compiled as a whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit


def zero(shape: tuple[int, ...] = ()) -> Array:
    """0 in double precision; made by NumPy, which compiles nothing."""
    return jax.device_put(np.zeros(shape))


def is_zero(tangent: Any) -> bool:
    """Is this the symbolic zero of an argument that does not move."""
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


@adaptive_jit
def inner(slopes: list[Array], moves: list[Array | None]) -> Float[Array, ""]:
    """``sum_i <slopes_i, moves_i>`` over the moves that are not None."""
    pairs = zip(slopes, moves, strict=True)
    products = (jnp.vdot(slope, move) for slope, move in pairs if move is not None)
    return jnp.asarray(sum(products))


@adaptive_jit
def total(parts: list[Array]) -> Array:
    """The sum."""
    return jnp.asarray(sum(parts))


@jax.custom_jvp
def summed(parts: list[Array]) -> Float[Array, ""]:
    """Zero, with the sum of the derivatives of zero-valued parts."""
    return zero()


def _summed_jvp(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    moves = [t for t in tangents[0] if not is_zero(t)]
    if not moves:
        return zero(), zero()
    return zero(), moves[0] if len(moves) == 1 else total(moves)


summed.defjvp(_summed_jvp, symbolic_zeros=True)


def without_value(energy: jax.Array) -> jax.Array:
    """The zero-valued function with the derivative of `energy`."""
    return energy - jax.lax.stop_gradient(energy)


@jax.custom_jvp
def linear_differential(x: jax.Array, dual: jax.Array) -> jax.Array:
    """Zero, with the derivative ``<dual, dx>``: that of ``<dual, x>`` at fixed `dual`."""
    return zero()


def _linear_differential_jvp(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    move = tangents[0]
    return zero(), zero() if is_zero(move) else inner([primals[1]], [move])


linear_differential.defjvp(_linear_differential_jvp, symbolic_zeros=True)


def differential_of(gradient: Callable[[tuple[int, ...], Any, Any], list]) -> Callable:
    """A zero-valued function ``(moving, fixed)`` with a given gradient along `moving`.

    ``gradient(moved, moving, fixed)`` returns the derivatives with respect to those leaves of the
    pytree `moving` whose numbers are in `moved`: the ones that do move, so that nothing is computed
    for the others. `fixed` is kept fixed here and differentiated at higher order.
    """

    # leaves, since JAX fills the pytrees of tangents with markers that are no arrays
    @functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
    def of_leaves(structures: tuple, moving: list, fixed: list) -> jax.Array:
        return zero()

    def rule(structures: tuple, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        moves = tangents[0]
        moved = tuple(i for i, t in enumerate(moves) if not is_zero(t))
        if not moved:
            return zero(), zero()
        slopes = gradient(moved, *map(jax.tree.unflatten, structures, primals))
        return zero(), inner(list(slopes), [moves[i] for i in moved])

    of_leaves.defjvp(rule, symbolic_zeros=True)

    def function(moving: Any, fixed: Any) -> jax.Array:
        leaves, structures = zip(*map(jax.tree.flatten, (moving, fixed)), strict=True)
        return of_leaves(structures, *leaves)

    return function


def differential_on_grid(gradient: Callable) -> Callable:
    """``at(grid_level)``: `differential_of` ``gradient(grid_level, moved, moving, fixed)``."""

    @functools.cache
    def at(level: Any) -> Callable:
        return differential_of(
            lambda moved, moving, fixed: gradient(level, moved, strongly_typed(moving), fixed)
        )

    return at


def strongly_typed(tree: Any) -> Any:
    """Leaves as float64 arrays: those of Python numbers would change type along a sum."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tree)
