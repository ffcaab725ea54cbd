"""Terms are frozen dataclasses whose fields are all leaves unless marked static."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp


def static() -> dataclasses.Field:
    """A field that is part of the structure, not a leaf."""
    return dataclasses.field(metadata={"static": True})


def term(cls: type) -> type:
    """Register a class as a frozen dataclass and pytree."""
    cls = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(cls)
    meta = [f.name for f in fields if f.metadata.get("static")]
    data = [f.name for f in fields if f.name not in meta]
    return jax.tree_util.register_dataclass(cls, data_fields=data, meta_fields=meta)


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
