"""Other starting points near a solution: orbitals turned at random where that costs little.

Where orbitals of nearly equal energy are partly filled (f and d shells, the hole of an atom on a
grid) there are many minima, and the way from a guess ends in one of them. The turns between an
occupied orbital i and an empty orbital a are normally distributed, with the standard deviation
``SPREAD exp(-(D_ai - D) / WIDTH)``, D_ai the difference of their energies and D the smallest one:
only the softest matter.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite._compile import adaptive_jit
from dqc_lite._types import Array, Float, Int
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.rotations import Surface, turned
from dqc_lite.scf.state import SCFState
from dqc_lite.terms import Hamiltonian

SPREAD = 1.0
"""Radian; a turn by pi/2 exchanges two orbitals."""

WIDTH = 0.1
"""Hartree."""


@functools.partial(adaptive_jit, static_argnums=(4,))
def shaken(
    hamiltonian: Hamiltonian,
    integrals: Any,
    state: SCFState,
    number: Int[Array, ""],
    reference: Reference,
) -> Float[Array, "set ao mo"]:
    """Orbitals of a state after random turns, the same for the same `number`."""
    surface = Surface.at(hamiltonian, integrals, reference, state.mo_coeff, state.fock)
    differences = jnp.where(surface.allowed(), surface.diagonal(), jnp.inf)
    softness = jnp.exp(-(differences - differences.min()) / WIDTH)
    noise = jax.random.normal(jax.random.key(number), differences.shape, differences.dtype)
    x = jnp.where(surface.allowed(), SPREAD * softness * noise, 0.0)
    return turned(state.mo_coeff, surface.layout.generator(x))
