"""Elementary functions of squared arguments, with right derivatives of every order at zero."""

from __future__ import annotations

import math

import jax.numpy as jnp

from dqc_lite._types import Array, Float

_SERIES_BELOW = 0.03
_SERIES = tuple(
    (-1) ** k * math.comb(2 * k, k) / (4**k * (2 * k + 1)) for k in range(15)
)  # asinh(x) / x in powers of x^2


def x_arcsinh_x(y: Float[Array, "..."]) -> Float[Array, "..."]:
    """x arcsinh(x) of y = x^2 >= 0: analytic in y, while x = sqrt(y) is not."""
    small = y < _SERIES_BELOW
    near = jnp.where(small, y, 0.0)
    series = jnp.zeros_like(y)
    for coefficient in reversed(_SERIES):
        series = series * near + coefficient
    x = jnp.sqrt(jnp.where(small, 1.0, y))
    return jnp.where(small, near * series, x * jnp.arcsinh(x))


TINY = 1e-40
"""Arguments up to this count as zero; three derivatives of y^(1/2) stay finite above it."""


def power(y: Float[Array, "..."], exponent: float) -> Float[Array, "..."]:
    """y^exponent for y >= 0; at y = 0 it and its derivatives are zero, also those that diverge."""
    positive = y > TINY
    return jnp.where(positive, jnp.where(positive, y, 1.0) ** exponent, 0.0)


def sqrt(y: Float[Array, "..."]) -> Float[Array, "..."]:
    """sqrt(y) for y >= 0; at y = 0 its derivatives, which diverge, are zero."""
    positive = y > TINY
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, y, 1.0)), 0.0)
