"""Becke's correlation of 1995, with the kinetic energy density, free of self-correlation.

A. D. Becke, J. Chem. Phys. 104, 1040 (1996). PW6B95 and PWB6K: Y. Zhao, D. G. Truhlar, J. Phys.
Chem. A 109, 5656 (2005).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc import reduced
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.pw92 import PW92


@pytree
class B95Correlation:
    """Opposite spins / (1 + a (x_a^2 + x_b^2)) + equal ones alpha / (1 + b x^2)^2 (mgga_c_bc95).

    Of the uniform gas; alpha = (tau - tau_W) / tau_u of the spin.

    Attributes:
        same, opposite: b and a.
        uniform: correlation of the uniform gas.
    """

    same: Float[Array, ""] | float = 0.038
    opposite: Float[Array, ""] | float = 0.0031
    uniform: PW92 = dataclasses.field(default_factory=PW92.modified)

    level: ClassVar[str] = "mgga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        rho, x2 = density.safe_rho, density.reduced_gradient_squared
        of_spin = rho * self.uniform.polarized_per_particle(rho)
        opposite = self.uniform.energy_density(density) - density.summed(of_spin)
        same = of_spin * reduced.of_spins(density).alpha / (1.0 + self.same * x2) ** 2
        return density.summed(same) + opposite / (1.0 + self.opposite * density.summed(x2))


LABELS = {
    "mgga_c_bc95": B95Correlation,
    "mgga_c_bc95_pw6b95": functools.partial(B95Correlation, 0.03668, 0.00262),
    "mgga_c_bc95_pwb6k": functools.partial(B95Correlation, 0.04120, 0.00353),
}
"""The last two are libxc's mgga_c_bc95 with the parameters of these functionals."""
