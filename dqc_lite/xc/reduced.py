"""Dimensionless variables of meta-GGAs.

With tau_u the kinetic energy density of the uniform gas of the same density and tau_W =
|grad rho|^2 / (8 rho) the one of a single orbital (von Weizsaecker), the variables are the squared
reduced gradient p = s^2 = 3 tau_W / (5 tau_u) and t = tau / tau_u. tau >= tau_W holds for all
densities of orbitals and is nowhere enforced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from dqc_lite._types import Array, Float
from dqc_lite.xc.density import WIGNER_SEITZ, LocalDensity
from dqc_lite.xc.slater import S_SQUARED

WEIZSAECKER = 5.0 / 3.0
"""tau_W / tau_u over p."""

UNIFORM_TAU = 0.3 * (6.0 * math.pi**2) ** (2 / 3)
"""tau_u of one spin, hartree / bohr^3, over rho_s^(5/3)."""

_TINY = 1e-30


class Reduced(NamedTuple):
    """Of the spins or of the whole density.

    Attributes:
        p: s^2.
        t: tau / tau_u.
        alpha: (tau - tau_W) / tau_u, t - 5 p / 3 without the rounding of p and t: 0 for one
            orbital, 1 for the uniform gas.
    """

    p: Float[Array, "..."]
    t: Float[Array, "..."]
    alpha: Float[Array, "..."]

    @property
    def inverse_t(self) -> Float[Array, "..."]:
        """tau_u / tau, 0 where there is no tau."""
        moving = self.t > _TINY
        return jnp.where(moving, 1.0 / jnp.where(moving, self.t, 1.0), 0.0)

    @property
    def z(self) -> Float[Array, "..."]:
        """tau_W / tau: 1 for one orbital, 0 for the uniform gas; 0 where there is no tau."""
        return WEIZSAECKER * self.p * self.inverse_t


def of_spins(density: LocalDensity) -> Reduced:
    """Variables (spin, point) of each spin, beside the uniform gas of that spin alone."""
    return _reduced(
        density.safe_rho,
        1.0 / jnp.cbrt(density.safe_rho),
        density.safe_sigma,
        density.safe_tau,
        S_SQUARED,
        1.0 / UNIFORM_TAU,
    )


def of_total(density: LocalDensity, rs: Float[Array, " point"]) -> Reduced:
    """Variables (point,) of both spins together, beside the unpolarized gas of density rho.

    `rs` is the Wigner-Seitz radius of the density. The gas of the same polarization has
    `mean_power`(5) times the tau of the unpolarized one.
    """
    return _reduced(
        density.safe_total,
        rs * (1.0 / WIGNER_SEITZ),
        density.safe_sigma_total,
        density.safe_tau_total,
        2.0 ** (2 / 3) * S_SQUARED,
        2.0 ** (2 / 3) / UNIFORM_TAU,
    )


def _reduced(rho, length, sigma, tau, p_unit: float, t_unit: float) -> Reduced:
    """Of `length` = rho^(-1/3); the units are p and t over sigma and tau at rho = 1."""
    square = length * length
    fourth = square * square
    fifth = t_unit * (fourth * length)
    excess = tau - 0.125 * sigma / rho
    return Reduced(sigma * (p_unit * (fourth * fourth)), tau * fifth, excess * fifth)


def horner(
    coefficients: Float[Array, " power"] | Sequence[Array | float], x: Float[Array, "..."]
) -> Float[Array, "..."]:
    """sum_k coefficients[k] x^k."""
    *lower, total = (coefficients[k] for k in range(len(coefficients)))
    for coefficient in reversed(lower):
        total = total * x + coefficient
    return jnp.asarray(total)
