"""Nonlocal correlation VV10: O. A. Vydrov, T. Van Voorhis, J. Chem. Phys. 133, 244103 (2010).

E = int rho(r) [beta + 1/2 int rho(r') Phi(r, r') dr'] dr,  Phi = -3 / (2 g g' (g + g')),
g = omega_0(r) |r - r'|^2 + kappa(r), g' = omega_0(r') |r - r'|^2 + kappa(r').

The double sum runs over every pair of grid points: `dqc_lite.xc.pair_sum`.
"""

from __future__ import annotations

import math

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.pair_sum import pair_sum

# Points with less electrons per bohr^3 are left out, as in PySCF.
DENSITY_THRESHOLD = 1e-8


@pytree
class VV10:
    """Nonlocal correlation with parameters b (short-range damping) and C (asymptotic C6)."""

    b: Float[Array, ""] | float = 6.0
    c: Float[Array, ""] | float = 0.01

    def energy(
        self,
        rho: Float[Array, " point"],
        sigma: Float[Array, " point"],
        weights: Float[Array, " point"],
        coords: Float[Array, "point 3"],
    ) -> Float[Array, ""]:
        """`nonlocal_energy` with these parameters."""
        return nonlocal_energy((self.b, self.c), rho, sigma, weights, coords)


def nonlocal_energy(
    parameters: tuple[Float[Array, ""] | float, Float[Array, ""] | float],
    rho: Float[Array, " point"],
    sigma: Float[Array, " point"],
    weights: Float[Array, " point"],
    coords: Float[Array, "point 3"],
    *,
    block: int | None = None,
) -> Float[Array, ""]:
    """VV10 energy, hartree, differentiable to any order in every array argument.

    Args:
        parameters: (b, C).
        rho: electron density of both spins, bohr^-3; points below `DENSITY_THRESHOLD` are left out.
        sigma: |grad rho|^2.
        weights: quadrature weights, bohr^3.
        coords: bohr.
        block: rows of the pair sum made at once; memory is a few times block * point numbers. By
            default as many as fit the cache of a CPU core, or more on an accelerator.
    """
    b, c = parameters
    kept = rho >= DENSITY_THRESHOLD
    rho, sigma = jnp.where(kept, rho, 1.0), jnp.where(kept, sigma, 0.0)
    charge = jnp.where(kept, weights, 0.0) * rho
    omega, kappa = _frequency(c, rho, sigma), _damping(b, rho)
    beta = (3.0 / b**2) ** 0.75 / 32.0
    return beta * charge.sum() - 0.75 * pair_sum(charge, omega, kappa, coords, block)


def _frequency(c, rho, sigma):
    """omega_0 = sqrt(omega_g^2 + omega_p^2 / 3), hartree."""
    return jnp.sqrt(c * jnp.square(sigma / jnp.square(rho)) + (4.0 * math.pi / 3.0) * rho)


def _damping(b, rho):
    """kappa = b v_F^2 / omega_p (hartree bohr^2): keeps the kernel finite where points meet."""
    return b * (1.5 * math.pi * (9.0 * math.pi) ** (-1.0 / 6.0)) * rho ** (1.0 / 6.0)
