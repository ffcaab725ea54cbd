"""Short-range exchange from any enhancement factor, and CAM-B3LYP.

H. Iikura, T. Tsuneda, T. Yanai, K. Hirao, J. Chem. Phys. 115, 3540 (2001).
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.attenuation import attenuated, fermi_wave_vector
from dqc_lite.xc.b88 import B88Exchange
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.slater import enhanced


@pytree
class ITYHExchange:
    """The uniform gas's attenuation with k_F / sqrt(F) for k_F (libxc: gga_x_ityh, with B88).

    Attributes:
        full_range: exchange whose ``factor(x^2)`` is F > 0.
    """

    full_range: Any = dataclasses.field(default_factory=B88Exchange)

    level: ClassVar[str] = "gga"
    attenuated: ClassVar[bool] = True

    def energy_density(
        self, density: LocalDensity, omega: Float[Array, ""] | float
    ) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3; omega in 1 / bohr, not negative."""
        factor = self.full_range.factor(density.reduced_gradient_squared)
        a = 0.5 * omega / fermi_wave_vector(density.safe_rho)
        return enhanced(density, attenuated(factor, a))


LABELS = {"gga_x_ityh": ITYHExchange}

FUNCTIONALS = {
    # T. Yanai, D. P. Tew, N. C. Handy, Chem. Phys. Lett. 393, 51 (2004)
    "hyb_gga_xc_cam_b3lyp": dict(
        components=[
            (0.35, "gga_x_b88"),
            (0.46, "gga_x_ityh"),
            (0.19, "lda_c_vwn"),
            (0.81, "gga_c_lyp"),
        ],
        exact_exchange=0.19,
        long_range_exchange=0.46,
        omega=0.33,
        vv10=None,
    ),
}
