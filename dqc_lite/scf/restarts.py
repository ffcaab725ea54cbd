"""Other starting points near a solution: orbitals turned at random where that costs little.

Where orbitals of nearly equal energy are partly filled (f and d shells, the hole of an atom on a
grid) there are many minima, and the way from a guess ends in one of them. The turns between an
occupied orbital i and an empty orbital a are normally distributed, with the standard deviation
``SPREAD exp(-(D_ai - D) / WIDTH)``, D_ai the difference of their energies and D the smallest one:
only the softest matter.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Float, Int
from dqc_lite.scf.rotations import Surface

SPREAD = 1.0
"""Radian; a turn by pi/2 exchanges two orbitals."""

WIDTH = 0.1
"""Hartree."""


def random_turn(surface: Surface, number: Int[Array, ""]) -> Float[Array, "set row column"]:
    """The rotation x, the same for the same `number`."""
    differences = jnp.where(surface.allowed(), surface.diagonal(), jnp.inf)
    softness = jnp.exp(-(differences - differences.min()) / WIDTH)
    noise = jax.random.normal(jax.random.key(number), differences.shape, differences.dtype)
    return jnp.where(surface.allowed(), SPREAD * softness * noise, 0.0)
