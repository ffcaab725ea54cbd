"""Zero-valued functions that carry the derivative of an energy at fixed density."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def without_value(energy: jax.Array) -> jax.Array:
    """The zero-valued function with the derivative of `energy`."""
    return energy - jax.lax.stop_gradient(energy)


@jax.custom_jvp
def linear_differential(x: jax.Array, dual: jax.Array) -> jax.Array:
    """Zero, with the derivative ``<dual, dx>``: that of ``<dual, x>`` at fixed `dual`."""
    return jnp.zeros(())


@linear_differential.defjvp
def _linear_differential_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    return jnp.zeros(()), jnp.vdot(primals[1], tangents[0])
