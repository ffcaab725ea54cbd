"""Attenuation of uniform-gas exchange to the short range erfc(omega r) / r.

P. M. W. Gill, R. D. Adamson, J. A. Pople, Mol. Phys. 88, 1005 (1996), eq. 11.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Float

# Power series for y = 1 / (4 a^2) below 1: the terms left out are below 1e-20 of the sum, and
# still below 1e-16 in its third derivative.
_TERMS = 22
_SERIES = tuple(
    -2.0 * (-1.0) ** k / (math.factorial(k) * (2 * k + 1) * (k + 1) * (k + 2))
    for k in range(1, _TERMS)
)
# Below this, exp(-1 / (4 a^2)) and erfc(1 / (2 a)) are below 1e-120.
_NEGLIGIBLE = 0.03


def fermi_wave_vector(rho: Float[Array, "..."]) -> Float[Array, "..."]:
    """k_F = (6 pi^2 rho)^(1/3) in 1 / bohr of one spin with density `rho`."""
    return jnp.cbrt(6.0 * math.pi**2 * rho)


def attenuation(a: Float[Array, "..."]) -> Float[Array, "..."]:
    """Short-range share of the exchange energy of a uniform gas: 1 at a = 0, 1/(36 a^2) at large a.

    Args:
        a: omega / (2 k_F), dimensionless, not negative.

    Every derivative is finite and keeps its relative accuracy.
    """
    return attenuated(jnp.ones_like(a), a)


def attenuated(factor: Float[Array, "..."], a: Float[Array, "..."]) -> Float[Array, "..."]:
    """factor * attenuation(a * sqrt(factor)) for factor > 0.

    At large a this hardly depends on the factor: the power series takes the part that does not out
    of it, before differentiation would have to cancel it.
    """
    bare = a * jnp.sqrt(factor)
    diffuse = bare > 0.5
    y = 0.25 / jnp.square(jnp.where(diffuse, a, 1.0))
    series = y * _series(y / jnp.where(diffuse, factor, 1.0))
    return jnp.where(diffuse, series, factor * _closed(jnp.where(diffuse, 0.25, bare)))


def _series(y):
    """The attenuation over y = 1 / (4 a^2)."""
    total = jnp.full_like(y, _SERIES[-1])
    for coefficient in reversed(_SERIES[:-1]):
        total = total * y + coefficient
    return total


def _closed(a):
    """The closed form, which cancels at large a."""
    small = a < _NEGLIGIBLE
    inner = jnp.where(small, 0.25, a)
    decay = jnp.where(small, 0.0, jnp.exp(-0.25 / jnp.square(inner)))
    erf = jnp.where(small, 1.0, jax.lax.erf(0.5 / inner))
    a2 = jnp.square(a)
    bracket = math.sqrt(math.pi) * erf + a * (4.0 * a2 - 3.0 + (2.0 - 4.0 * a2) * decay)
    return 1.0 - (8.0 / 3.0) * a * bracket
