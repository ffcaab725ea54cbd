"""Exchange and correlation of Perdew, Burke and Ernzerhof, and their relatives.

J. P. Perdew, K. Burke and M. Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996).
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.slater import S_SQUARED, enhanced

BETA = 0.06672455060314922
GAMMA = (1.0 - math.log(2.0)) / math.pi**2


@pytree
class PBEExchange:
    """F = 1 + kappa - kappa / (1 + mu s^2 / kappa) (libxc: gga_x_pbe).

    Attributes:
        kappa: the limit of F - 1 at large gradients.
        mu: the coefficient of s^2 at small gradients.
    """

    kappa: Float[Array, ""] | float = 0.804
    mu: Float[Array, ""] | float = BETA * math.pi**2 / 3.0

    level: ClassVar[str] = "gga"

    @classmethod
    def solids(cls) -> PBEExchange:
        """PBEsol: Perdew et al., Phys. Rev. Lett. 100, 136406 (2008) (libxc: gga_x_pbe_sol)."""
        return cls(mu=10.0 / 81.0)

    @classmethod
    def revised(cls) -> PBEExchange:
        """revPBE: Zhang and Yang, Phys. Rev. Lett. 80, 890 (1998) (libxc: gga_x_pbe_r)."""
        return cls(kappa=1.245)

    def factor(self, s2: Float[Array, "..."]) -> Float[Array, "..."]:
        """The enhancement factor at s^2."""
        return 1.0 + self.kappa * self.mu * s2 / (self.kappa + self.mu * s2)

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return enhanced(density, self.factor(S_SQUARED * density.reduced_gradient_squared))


@pytree
class RPBEExchange:
    """F = 1 + kappa (1 - exp(-mu s^2 / kappa)) (libxc: gga_x_rpbe).

    B. Hammer, L. B. Hansen and J. K. Norskov, Phys. Rev. B 59, 7413 (1999).
    """

    kappa: Float[Array, ""] | float = 0.804
    mu: Float[Array, ""] | float = BETA * math.pi**2 / 3.0

    level: ClassVar[str] = "gga"

    def factor(self, s2: Float[Array, "..."]) -> Float[Array, "..."]:
        """The enhancement factor at s^2."""
        return 1.0 - self.kappa * jnp.expm1(-self.mu * s2 / self.kappa)

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return enhanced(density, self.factor(S_SQUARED * density.reduced_gradient_squared))


def reduced_gradient(density: LocalDensity, phi: Float[Array, " point"]) -> Float[Array, " point"]:
    """t^2 = |grad rho|^2 / (2 phi k_s rho)^2, with k_s the Thomas-Fermi screening wave number."""
    rho = density.safe_total
    screening = 16.0 * (3.0 / math.pi) ** (1 / 3) * jnp.cbrt(rho)
    return density.safe_sigma_total / (screening * (phi * rho) ** 2)


def gradient_corrected(
    t2: Float[Array, " point"],
    uniform: Float[Array, " point"],
    phi3: Float[Array, " point"],
    beta: Float[Array, " point"] | float,
    gamma: Float[Array, ""] | float,
) -> Float[Array, " point"]:
    """Energy per electron, hartree: e_c of the uniform gas (`uniform`) plus H of equation 7.

    With E = exp(-e_c / (gamma phi^3)) - 1 and u = A t^2 = beta t^2 / (gamma E), the argument of the
    logarithm in H is 1 + E - E / (1 + u + u^2), and e_c = -gamma phi^3 log(1 + E). The sum is one
    logarithm, in which nothing cancels where a large gradient leaves little of e_c.
    """
    scale = gamma * phi3
    m = jnp.expm1(uniform / scale)  # -E / (1 + E)
    u = -(beta / gamma) * t2 * (1.0 + m) / m
    return scale * jnp.log1p(m / (1.0 + u + u * u))


@pytree
class PBECorrelation:
    """PBE correlation (libxc: gga_c_pbe).

    Attributes:
        beta, gamma: of equation 7.
        uniform: correlation of the uniform gas.
    """

    beta: Float[Array, ""] | float = BETA
    gamma: Float[Array, ""] | float = GAMMA
    uniform: PW92 = dataclasses.field(default_factory=PW92.modified)

    level: ClassVar[str] = "gga"

    @classmethod
    def solids(cls) -> PBECorrelation:
        """PBEsol: Perdew et al., Phys. Rev. Lett. 100, 136406 (2008) (libxc: gga_c_pbe_sol)."""
        return cls(beta=0.046)

    def per_particle(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per electron, hartree (of the uniform gas of density 1 where there is none)."""
        uniform = self.uniform.per_particle(density)
        phi = density.mean_power(2)
        t2 = reduced_gradient(density, phi)
        return gradient_corrected(t2, uniform, phi**3, self.beta, self.gamma)

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return density.where_filled(density.safe_total * self.per_particle(density))


LABELS = {
    "gga_x_pbe": PBEExchange,
    "gga_x_pbe_sol": PBEExchange.solids,
    "gga_x_pbe_r": PBEExchange.revised,
    "gga_x_rpbe": RPBEExchange,
    "gga_c_pbe": PBECorrelation,
    "gga_c_pbe_sol": PBECorrelation.solids,
}
