"""Becke's exchange of 1988.

A. D. Becke, Phys. Rev. A 38, 3098 (1988).
"""

from __future__ import annotations

from typing import ClassVar

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.safe import x_arcsinh_x
from dqc_lite.xc.slater import UNIFORM_EXCHANGE, enhanced


@pytree
class B88Exchange:
    """-beta x^2 / (1 + gamma beta x arcsinh(x)) beside the uniform gas (libxc: gga_x_b88).

    Attributes:
        beta: fitted to exchange energies of atoms.
        gamma: 6, from the exchange hole far from a molecule.
    """

    beta: Float[Array, ""] | float = 0.0042
    gamma: Float[Array, ""] | float = 6.0

    level: ClassVar[str] = "gga"

    def factor(self, x2: Float[Array, "..."]) -> Float[Array, "..."]:
        """The enhancement factor at x^2 = |grad rho_s|^2 / rho_s^(8/3)."""
        damped = self.beta * x2 / (1.0 + self.gamma * self.beta * x_arcsinh_x(x2))
        return 1.0 - damped / UNIFORM_EXCHANGE

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return enhanced(density, self.factor(density.reduced_gradient_squared))


LABELS = {"gga_x_b88": B88Exchange}
