"""Perdew's correlation of 1986.

J. P. Perdew, Phys. Rev. B 33, 8822 (1986).
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc import safe
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.pz81 import PZ81
from dqc_lite.xc.vwn import VWN5


@pytree
class P86Correlation:
    """P86 correlation (libxc: gga_c_p86).

    It depends on |grad rho| also in odd powers: second derivatives with respect to its square
    diverge where the gradient vanishes, and are left out there.

    Attributes:
        alpha, beta, gamma, delta, aa, bb: of the gradient coefficient C, equation 6.
        ftilde: of the cutoff of large gradients, equation 9.
        uniform: correlation of the uniform gas.
    """

    alpha: Float[Array, ""] | float = 0.023266
    beta: Float[Array, ""] | float = 7.389e-6
    gamma: Float[Array, ""] | float = 8.723
    delta: Float[Array, ""] | float = 0.472
    aa: Float[Array, ""] | float = 0.001667
    bb: Float[Array, ""] | float = 0.002568
    ftilde: Float[Array, ""] | float = 1.745 * 0.11
    uniform: PZ81 | VWN5 = dataclasses.field(default_factory=PZ81)

    level: ClassVar[str] = "gga"

    @classmethod
    def with_vwn(cls) -> P86Correlation:
        """On the uniform gas of Vosko, Wilk and Nusair (libxc: gga_c_p86vwn)."""
        return cls(uniform=VWN5())

    @classmethod
    def with_exact_cutoff(cls) -> P86Correlation:
        """ftilde = 0.11 (9 pi)^(1/6) with all digits (libxc: gga_c_p86_ft)."""
        return cls(ftilde=0.11 * (9.0 * math.pi) ** (1 / 6))

    def gradient_coefficient(self, rs: Float[Array, " point"]) -> Float[Array, " point"]:
        """C of equation 6."""
        numerator = self.bb + rs * (self.alpha + rs * self.beta)
        cubic = self.delta + 1e4 * self.beta * rs
        return self.aa + numerator / (1.0 + rs * (self.gamma + rs * cubic))

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        n = density.safe_total
        c = self.gradient_coefficient(density.wigner_seitz_radius)
        reduced = density.safe_sigma_total / (n * n * jnp.cbrt(n))
        cutoff = jnp.exp(-self.ftilde * (self.aa + self.bb) / c * safe.sqrt(reduced))
        gradient = reduced * cutoff * c / jnp.sqrt(density.mean_power(5))
        return density.where_filled(n * (self.uniform.per_particle(density) + gradient))


LABELS = {
    "gga_c_p86": P86Correlation,
    "gga_c_p86vwn": P86Correlation.with_vwn,
    "gga_c_p86_ft": P86Correlation.with_exact_cutoff,
}
