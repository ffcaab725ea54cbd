"""Correlation of Lee, Yang and Parr.

C. Lee, W. Yang and R. G. Parr, Phys. Rev. B 37, 785 (1988), without second derivatives of the
density: B. Miehlich, A. Savin, H. Stoll and H. Preuss, Chem. Phys. Lett. 157, 200 (1989).
"""

from __future__ import annotations

import math
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import LocalDensity

THOMAS_FERMI = 0.3 * (3.0 * math.pi**2) ** (2 / 3)


@pytree
class LYPCorrelation:
    """LYP correlation (libxc: gga_c_lyp).

    Attributes:
        a, b, c, d: fitted to the helium atom.
    """

    a: Float[Array, ""] | float = 0.04918
    b: Float[Array, ""] | float = 0.132
    c: Float[Array, ""] | float = 0.2533
    d: Float[Array, ""] | float = 0.349

    level: ClassVar[str] = "gga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        n = density.safe_total
        r = 1.0 / jnp.cbrt(n)
        screening = 1.0 / (1.0 + self.d * r)
        delta = r * (self.c + self.d * screening)
        omega = self.b * jnp.exp(-self.c * r) * screening
        opposite = density.opposite_product

        total, plain, own, other = self._gradients(density, n, r)
        gradients = (2.0 / 3.0) * (total - plain) + 0.25 * other
        shared = (7.0 * delta - 47.0) * total + (45.0 - delta) * plain + (delta - 11.0) * own
        gradients += opposite * shared / 72.0
        kinetic = THOMAS_FERMI * opposite * density.mean_power(8)
        return density.where_filled(
            self.a * n * (omega * (gradients - kinetic) - opposite * screening)
        )

    @staticmethod
    def _gradients(density: LocalDensity, n: Float[Array, " point"], r: Float[Array, " point"]):
        """|grad rho|^2 and three sums over the spins, of |grad rho_s|^2 times 1, 2 rho_s / rho and
        (2 rho_s' / rho)^2 of the other spin; all over rho^(8/3).
        """
        scale = (r / n) ** 2
        if density.closed_shell:
            both = 2.0 * density.sigma[0]
            sums = both, both, both
        else:
            (a, b), (aa, bb) = 2.0 * density.rho / n, density.sigma
            sums = aa + bb, aa * a + bb * b, aa * (b * b) + bb * (a * a)
        return (scale * density.sigma_total, *(scale * each for each in sums))


LABELS = {"gga_c_lyp": LYPCorrelation}
