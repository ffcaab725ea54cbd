"""Derivatives put together, each by one compiled program.

Outside of `jax.jit` every operation on a tangent is a program of its own in JAX, and in reverse
mode its transpose another one: that is what a first gradient would wait for.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._compile import adaptive_jit
from dqc_lite._types import Array, Float


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
    return sum(jnp.vdot(slope, move) for slope, move in pairs if move is not None)


@adaptive_jit
def total(parts: list[Array]) -> Array:
    """The sum."""
    return sum(parts)


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
