"""The local variables of semilocal functionals."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import lax

from dqc_lite._pytree import pytree
from dqc_lite._select import select
from dqc_lite._types import Array, Bool, Float

EMPTY = 1e-20
"""Densities (electrons / bohr^3) up to this are no density: energies and derivatives are zero.

It stands far below what contributes to any integral, and far above where the third derivative of a
functional, some rho^-9 of large terms that cancel, leaves the range of double precision.
"""

WIGNER_SEITZ = (3.0 / (4.0 * math.pi)) ** (1 / 3)


def over_spins(values: Float[Array, "spin point"]) -> Float[Array, " point"]:
    """Sum over the channels; entry by entry, as XLA's reductions part the loops over points."""
    return values[0] if values.shape[0] == 1 else values[0] + values[1]


@pytree
class LocalDensity:
    """Density variables at points, per spin.

    Two channels are alpha and beta; one channel is a closed shell, whose two spins are alike: it
    holds the variables of one of them (half of the electron density), so that everything that is
    done per spin is done once.

    Functionals divide by densities, also where there are none. The variables with `safe` in their
    names are harmless there (density and tau 1, gradient 0, with zero derivatives); `summed` and
    `where_filled` put zeros in the place of what was made of them. So values and derivatives of
    every order are finite, and those with respect to the density of an empty spin, which diverge,
    are left out.

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
    def closed_shell(self) -> bool:
        """Whether one channel stands for both spins (known while tracing)."""
        return self.rho.shape[0] == 1

    @property
    def spin_weight(self) -> float:
        """2 for one channel that stands for both spins, else 1."""
        return 2.0 if self.closed_shell else 1.0

    @property
    def total(self) -> Float[Array, " point"]:
        """rho_a + rho_b."""
        return self.spin_weight * over_spins(self.rho)

    @property
    def tau_total(self) -> Float[Array, " point"]:
        """tau_a + tau_b."""
        return self.spin_weight * over_spins(self.tau)

    @property
    def occupied(self) -> Bool[Array, "spin point"]:
        """Where a spin has density."""
        return self.rho > EMPTY

    @property
    def filled(self) -> Bool[Array, " point"]:
        """Where there is density."""
        return jnp.logical_or(self.occupied[0], self.occupied[-1])

    @property
    def safe_rho(self) -> Float[Array, "spin point"]:
        """rho of each spin, 1 where it is empty."""
        return select(self.occupied, self.rho, 1.0)

    @property
    def safe_sigma(self) -> Float[Array, "spin point"]:
        """|grad rho_s|^2 of each spin, 0 where it is empty."""
        return select(self.occupied, self.sigma, 0.0)

    @property
    def safe_tau(self) -> Float[Array, "spin point"]:
        """tau of each spin, 1 where it is empty."""
        return select(self.occupied, self.tau, 1.0)

    @property
    def safe_total(self) -> Float[Array, " point"]:
        """rho_a + rho_b, 1 where there is no density."""
        return select(self.filled, self.total, 1.0)

    @property
    def safe_sigma_total(self) -> Float[Array, " point"]:
        """|grad (rho_a + rho_b)|^2, 0 where there is no density."""
        return select(self.filled, self.sigma_total, 0.0)

    @property
    def safe_tau_total(self) -> Float[Array, " point"]:
        """tau_a + tau_b, 1 where there is no density."""
        return select(self.filled, self.tau_total, 1.0)

    @property
    def reduced_gradient_squared(self) -> Float[Array, "spin point"]:
        """x_s^2 = |grad rho_s|^2 / rho_s^(8/3), 0 for an empty spin."""
        rho = self.safe_rho
        return self.safe_sigma / (rho * jnp.cbrt(rho)) ** 2

    @property
    def wigner_seitz_radius(self) -> Float[Array, " point"]:
        """r_s = (3 / (4 pi rho))^(1/3) in bohr, of density 1 where there is none."""
        return WIGNER_SEITZ / jnp.cbrt(self.safe_total)

    @property
    def polarization(self) -> Float[Array, " point"]:
        """zeta = (rho_a - rho_b) / rho, 0 where there is no density and for closed shells."""
        if self.closed_shell:
            return jnp.zeros_like(self.sigma_total)
        return select(self.filled, (self.rho[0] - self.rho[1]) / self.safe_total, 0.0)

    @property
    def opposite_product(self) -> Float[Array, " point"]:
        """1 - zeta^2 = 4 rho_a rho_b / rho^2, without cancellation at full polarization."""
        if self.closed_shell:
            return jnp.ones_like(self.sigma_total)
        return 4.0 * self.rho[0] * self.rho[1] / self.safe_total**2

    def mean_power(self, thirds: int) -> Float[Array, " point"]:
        """((1 + zeta)^(k/3) + (1 - zeta)^(k/3)) / 2 for k = `thirds`; 1 without density."""
        if self.closed_shell:
            return jnp.ones_like(self.sigma_total)
        # each channel by itself: parting an array of both in the middle parts XLA's loops
        total = self.safe_total
        powers = (
            select(rho > EMPTY, lax.integer_pow(jnp.cbrt(2.0 * safe / total), thirds), 0.0)
            for rho, safe in zip(self.rho, self.safe_rho, strict=True)
        )
        return select(self.filled, 0.5 * jnp.asarray(sum(powers)), 1.0)

    @property
    def spin_interpolation(self) -> Float[Array, " point"]:
        """f(zeta): 0 for equal spins, 1 at full polarization, as exchange goes between them."""
        return (self.mean_power(4) - 1.0) / (2.0 ** (1 / 3) - 1.0)

    def summed(self, per_spin: Float[Array, "spin point"]) -> Float[Array, " point"]:
        """Sum over both spins of something made for each channel, empty ones left out."""
        return self.spin_weight * over_spins(select(self.occupied, per_spin, 0.0))

    def where_filled(self, values: Float[Array, " point"]) -> Float[Array, " point"]:
        """`values`, 0 where there is no density."""
        return select(self.filled, values, 0.0)
