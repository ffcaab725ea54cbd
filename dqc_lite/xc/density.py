"""The local variables of semilocal functionals."""

from __future__ import annotations

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float


@pytree
class LocalDensity:
    """Density variables at points, per spin.

    Two channels are alpha and beta; one channel is a closed shell, whose two spins are alike: it
    holds the variables of one of them (half of the electron density), so that everything that is
    done per spin is done once.

    Attributes:
        rho: (spin, point), electrons / bohr^3 of each spin.
        sigma: (spin, point), |grad rho_s|^2.
        sigma_total: (point,), |grad (rho_a + rho_b)|^2.
        tau: (spin, point), sum_i |grad psi_is|^2 / 2 of each spin, hartree / bohr^3.
    """

    rho: Float[Array, "spin point"]
    sigma: Float[Array, "spin point"]
    sigma_total: Float[Array, " point"]
    tau: Float[Array, "spin point"]

    @property
    def spin_weight(self) -> float:
        """2 for one channel that stands for both spins, else 1."""
        return 2.0 if self.rho.shape[0] == 1 else 1.0

    @property
    def total(self) -> Float[Array, " point"]:
        """rho_a + rho_b."""
        return self.spin_weight * self.rho.sum(0)

    @property
    def tau_total(self) -> Float[Array, " point"]:
        """tau_a + tau_b."""
        return self.spin_weight * self.tau.sum(0)

    @property
    def polarization(self) -> Float[Array, " point"]:
        """(rho_a - rho_b) / rho, 0 where there is no density and for closed shells."""
        if self.rho.shape[0] == 1:
            return jnp.zeros_like(self.rho[0])
        total = self.total
        empty = total <= 0
        return jnp.where(empty, 0.0, (self.rho[0] - self.rho[1]) / jnp.where(empty, 1.0, total))

    def summed(self, per_spin: Float[Array, "spin point"]) -> Float[Array, " point"]:
        """Sum over both spins of something made for each channel."""
        return self.spin_weight * per_spin.sum(0)
