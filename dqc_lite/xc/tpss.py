"""TPSS and revTPSS.

J. Tao, J. P. Perdew, V. N. Staroverov and G. E. Scuseria, Phys. Rev. Lett. 91, 146401 (2003),
whose equation numbers are used here; J. P. Perdew, V. N. Staroverov, J. Tao and G. E. Scuseria,
Phys. Rev. A 78, 052513 (2008) for the details; revTPSS: J. P. Perdew, A. Ruzsinszky, G. I. Csonka,
L. A. Constantin and J. Sun, Phys. Rev. Lett. 103, 026403 (2009).
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.xc import reduced
from dqc_lite.xc.density import WIGNER_SEITZ, LocalDensity, over_spins
from dqc_lite.xc.leaves import default
from dqc_lite.xc.pbe import BETA, GAMMA, gradient_corrected, reduced_gradient
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.slater import enhanced

MU_GE = 10.0 / 81.0
"""Coefficient of s^2 in the gradient expansion of exchange."""

Scalar = Float[Array, ""] | float


@pytree
class TPSSExchange:
    """F = 1 + kappa - kappa / (1 + x / kappa), x(p, z) of equation 10 (libxc: mgga_x_tpss).

    Attributes:
        b: of equation 7.
        c, e, mu: of equation 10.
        kappa: the limit of F - 1 at large gradients.
        power: of z in the term with c.
    """

    b: Scalar = 0.40
    c: Scalar = 1.59096
    e: Scalar = 1.537
    kappa: Scalar = 0.804
    mu: Scalar = 0.21951
    power: int = static(default=2)

    level: ClassVar[str] = "mgga"

    @classmethod
    def revised(cls) -> TPSSExchange:
        """revTPSS (libxc: mgga_x_revtpss)."""
        return cls(c=2.35203946, e=2.16769874, mu=0.14, power=3)

    def factor(self, variables: reduced.Reduced) -> Float[Array, "..."]:
        """The enhancement factor."""
        p, alpha, inverse_t = variables.p, variables.alpha, variables.inverse_t
        z = reduced.WEIZSAECKER * p * inverse_t
        q = 0.45 * (alpha - 1.0) / jnp.sqrt(1.0 + self.b * alpha * (alpha - 1.0)) + 2.0 / 3.0 * p
        # ((3 z / 5)^2 / 2 + p^2 / 2)^(1/2): the first term is p / t squared
        mixed = p * jnp.sqrt(0.5 + 0.5 * inverse_t**2)
        root_e = jnp.sqrt(self.e)
        series = MU_GE + p * (MU_GE**2 / self.kappa + self.e * self.mu * p)
        series += self.c * z**self.power / (1.0 + z * z) ** 2
        x = series * p + q * (146.0 / 2025.0 * q - 73.0 / 405.0 * mixed)
        x = (x + 0.72 * MU_GE * root_e * z * z) / (1.0 + root_e * p) ** 2
        return 1.0 + self.kappa * x / (self.kappa + x)

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return enhanced(density, self.factor(reduced.of_spins(density)))


def hu_langreth(
    rs: Float[Array, "..."], beta: Scalar, numerator: Scalar, denominator: Scalar
) -> Float[Array, "..."]:
    """The coefficient of the gradient in correlation, as it depends on the density.

    C. D. Hu and D. C. Langreth, Phys. Rev. B 33, 943 (1986).
    """
    return beta * (1.0 + numerator * rs) / (1.0 + denominator * rs)


_T_SQUARED = (math.pi / 3.0) ** (1 / 3) / 16.0
"""t^2 phi^2 over |grad rho|^2 / rho^(7/3)."""


def _after(
    first: Float[Array, " point"], others: Float[Array, "spin point"]
) -> Float[Array, "parts point"]:
    return jnp.concatenate([first[None], others])


@pytree
class TPSSCorrelation:
    """PBE's correlation, free of self-correlation (libxc: mgga_c_tpss).

    Attributes:
        beta, gamma: of PBE.
        d: of equation 11.
        c: (4,), the coefficients of 1, zeta^2, zeta^4, zeta^6 in equation 13.
        uniform: correlation of the uniform gas.
    """

    beta: Scalar = BETA
    gamma: Scalar = GAMMA
    d: Scalar = 2.8
    c: Float[Array, "4"] = default(0.53, 0.87, 0.50, 2.26)
    uniform: PW92 = dataclasses.field(default_factory=PW92.modified)

    level: ClassVar[str] = "mgga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        rho = density.safe_total
        z = reduced.of_total(density, density.wigner_seitz_radius).z
        z2 = z * z
        energies = self._semilocal(density)
        energy, alone = energies[0], energies[1:]
        # the energy of the spins alone, weighted by their parts of the density
        apart = density.summed(density.safe_rho / rho * jnp.where(alone > energy, alone, energy))
        c = self._weight(density)
        energy = energy * (1.0 + c * z2) - (1.0 + c) * z2 * apart
        return density.where_filled(rho * energy * (1.0 + self.d * energy * z2 * z))

    def _semilocal(self, density: LocalDensity) -> Float[Array, "parts point"]:
        """PBE's energies per electron: of both spins, then of each spin without the other."""
        phi = density.mean_power(2)
        rho = density.safe_rho
        cbrt = jnp.cbrt(rho)
        # phi = 2^(-1/3) at full polarization
        t2 = _T_SQUARED * 2.0 ** (2 / 3) * density.safe_sigma / (rho * rho * cbrt)
        t2 = _after(reduced_gradient(density, phi), t2)
        phi3 = _after(phi**3, jnp.full_like(rho, 0.5))
        rs = _after(density.wigner_seitz_radius, WIGNER_SEITZ / cbrt)
        uniform = _after(
            self.uniform.per_particle(density), self.uniform.polarized_per_particle(rho)
        )
        return gradient_corrected(t2, uniform, phi3, self._gradient_coefficient(rs), self.gamma)

    def _gradient_coefficient(
        self, rs: Float[Array, "parts point"]
    ) -> Float[Array, "..."] | Scalar:
        return self.beta

    def _weight(self, density: LocalDensity) -> Float[Array, " point"] | Scalar:
        """C(zeta, xi) of equations 13 and 14."""
        if density.closed_shell:
            return self.c[0]
        weight = reduced.horner(self.c, density.polarization**2)
        part = density.rho / density.safe_total
        # n^2 |grad zeta|^2 / 4, with 2 grad n_a . grad n_b = sigma_total - sigma_a - sigma_b
        sigma = density.safe_sigma
        cross = density.safe_sigma_total - over_spins(sigma)
        product = part[0] * part[1]
        slope = part[1] ** 2 * sigma[0] + part[0] ** 2 * sigma[1] - product * cross
        xi2 = slope / (density.safe_total * jnp.cbrt(3.0 * math.pi**2 * density.safe_total)) ** 2
        both = jnp.logical_and(density.occupied[0], density.occupied[1])
        product = jnp.where(both, product, 1.0)
        ratio = 2.0 ** (-8 / 3) * xi2 * density.mean_power(4) / (product * jnp.cbrt(product))
        return weight / jnp.where(both, 1.0 + ratio, 1.0) ** 4


@pytree
class RevTPSSCorrelation(TPSSCorrelation):
    """revTPSS correlation (libxc: mgga_c_revtpss).

    Attributes:
        beta, beta_numerator, beta_denominator: of `hu_langreth`.
    """

    beta: Scalar = 0.066724550603149220
    beta_numerator: Scalar = 0.1
    beta_denominator: Scalar = 0.1778
    c: Float[Array, "4"] = default(0.59, 0.9269, 0.6225, 2.154)

    def _gradient_coefficient(self, rs: Float[Array, "parts point"]) -> Float[Array, "parts point"]:
        return hu_langreth(rs, self.beta, self.beta_numerator, self.beta_denominator)


LABELS = {
    "mgga_x_tpss": TPSSExchange,
    "mgga_x_revtpss": TPSSExchange.revised,
    "mgga_c_tpss": TPSSCorrelation,
    "mgga_c_revtpss": RevTPSSCorrelation,
}
