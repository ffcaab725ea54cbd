"""Attenuation of uniform-gas exchange to the short range erfc(omega r) / r.

P. M. W. Gill, R. D. Adamson, J. A. Pople, Mol. Phys. 88, 1005 (1996), eq. 11.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Float

# Power series for 1 / (4 a^2) below 1: the terms left out are below 1e-20 of the sum, and still
# below 1e-16 in its third derivative.
_TERMS = 22
_SERIES = tuple(
    -2.0 * (-1.0) ** k / (math.factorial(k) * (2 * k + 1) * (k + 1) * (k + 2))
    for k in range(1, _TERMS)
)
# Below this, exp(-1 / (4 a^2)) and erfc(1 / (2 a)) are below 1e-120.
_NEGLIGIBLE = 0.03


def fermi_wave_vector(rho: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """k_F = (6 pi^2 rho)^(1/3) in 1 / bohr of one spin with density `rho`."""
    return jnp.cbrt(6.0 * math.pi**2 * rho)


def attenuation(a: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Short-range share of the exchange energy of a uniform gas: 1 at a = 0, 1/(36 a^2) at large a.

    Args:
        a: omega / (2 k_F), dimensionless, not negative; k_F the Fermi wave vector of the spin.

    Every derivative is finite and keeps its relative accuracy: the closed form cancels at large a
    and gives way to the power series in 1 / (4 a^2) there.
    """
    diffuse = a > 0.5
    small = a < _NEGLIGIBLE
    inner = jnp.where(diffuse | small, 0.25, a)
    y = 0.25 / jnp.square(inner)
    decay = jnp.where(small, 0.0, jnp.exp(-y))
    erf = jnp.where(small, 1.0, jax.lax.erf(0.5 / inner))
    a_closed = jnp.where(diffuse, 0.25, a)
    a2 = jnp.square(a_closed)
    bracket = math.sqrt(math.pi) * erf + a_closed * (4.0 * a2 - 3.0 + (2.0 - 4.0 * a2) * decay)
    closed = 1.0 - (8.0 / 3.0) * a_closed * bracket
    return jnp.where(diffuse, _series(0.25 / jnp.square(jnp.where(diffuse, a, 1.0))), closed)


def _series(y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    total = jnp.full_like(y, _SERIES[-1])
    for coefficient in reversed(_SERIES[:-1]):
        total = total * y + coefficient
    return total * y
