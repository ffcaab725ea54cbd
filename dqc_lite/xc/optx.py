"""Handy and Cohen's optimized exchange.

N. C. Handy and A. J. Cohen, Mol. Phys. 99, 403 (2001).
"""

from __future__ import annotations

from typing import ClassVar

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.slater import UNIFORM_EXCHANGE, enhanced


@pytree
class OPTX:
    """F = a + b u^2, u = gamma x^2 / (1 + gamma x^2) (libxc: gga_x_optx).

    Attributes:
        a: factor of the uniform gas.
        b: of the gradient term, in units of the uniform gas (1.43169 in the paper's units).
        gamma: fitted to exchange energies of atoms.
    """

    a: Float[Array, ""] | float = 1.05151
    b: Float[Array, ""] | float = -1.43169 / UNIFORM_EXCHANGE
    gamma: Float[Array, ""] | float = 0.006

    level: ClassVar[str] = "gga"

    def factor(self, x2: Float[Array, "..."]) -> Float[Array, "..."]:
        """The enhancement factor at x^2 = |grad rho_s|^2 / rho_s^(8/3)."""
        scaled = self.gamma * x2
        u = scaled / (1.0 + scaled)
        return self.a + self.b * u * u

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return enhanced(density, self.factor(density.reduced_gradient_squared))


LABELS = {"gga_x_optx": OPTX}
