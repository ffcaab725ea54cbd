"""Coulomb potentials of normalized s-type Gaussian charges, ``(a/pi)^(3/2) exp(-a r^2)``.

Functions of the squared distance, with derivatives of any order also where that is 0.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array

SMALL = 0.1
"""Arguments below which the series is summed: 10 terms are exact there."""

TERMS = 10

NORMALIZATION = 2.0 * math.sqrt(math.pi)
"""Times ``(a/pi)^(3/2)`` the coefficient of a basis function that is such a charge: the s function
has the spherical harmonic ``1/(2 sqrt(pi))`` in it.
"""


def potential(exponent: Array | np.ndarray, squared: Array) -> Array:
    """``erf(sqrt(a) r)/r``, hartree per e, from a (bohr^-2) and r^2 (bohr^2).

    The interaction of two such charges has the exponent ``a b/(a + b)``, and at distance 0 it is
    ``2 sqrt(a/pi)``.
    """
    return jnp.sqrt(exponent) * _reduced(squared * exponent)


def field(exponent: Array | np.ndarray, squared: Array) -> Array:
    """The potential's ``-(dV/dr)/r``, hartree/bohr^2 per e."""
    return _reduced_slope(squared * exponent) * (-2.0 * exponent**1.5)


def _reduced(t: Array) -> Array:
    """``erf(sqrt(t))/sqrt(t)``."""
    root = jnp.sqrt(jnp.where(t < SMALL, 1.0, t))
    return jnp.where(t < SMALL, _series(t, 0), jax.scipy.special.erf(root) / root)


def _reduced_slope(t: Array) -> Array:
    """The derivative of `_reduced`."""
    safe = jnp.where(t < SMALL, 1.0, t)
    slope = (jnp.exp(-safe) / math.sqrt(math.pi) - 0.5 * _reduced(safe)) / safe
    return jnp.where(t < SMALL, _series(t, 1), slope)


def _series(t: Array, order: int) -> Array:
    """The derivative of that order of ``2/sqrt(pi) sum_k (-t)^k/(k! (2 k + 1))``."""
    total = jnp.zeros_like(t)
    for k in reversed(range(order, TERMS + order)):
        coefficient = (-1) ** k / (math.factorial(k) * (2 * k + 1)) * math.perm(k, order)
        total = total * t + coefficient
    return 2.0 / math.sqrt(math.pi) * total
