"""The omegaB97 family: B97 with attenuated exchange beside long-range exact exchange.

J.-D. Chai, M. Head-Gordon, J. Chem. Phys. 128, 084106 (2008).
"""

from __future__ import annotations

import functools
from typing import ClassVar

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.attenuation import attenuation, fermi_wave_vector
from dqc_lite.xc.b97 import B97Correlation, B97Exchange
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.leaves import leaf
from dqc_lite.xc.slater import enhanced


@pytree
class OmegaB97:
    """Short-range exchange and correlation of one fit, without the other terms that belong to it.

    Attributes:
        exchange: its factor multiplies the short-range exchange of the uniform gas.
        correlation: as in B97.
    """

    exchange: B97Exchange
    correlation: B97Correlation

    level: ClassVar[str] = "gga"
    attenuated: ClassVar[bool] = True

    @classmethod
    def fit(cls, label: str) -> OmegaB97:
        """The fit of that libxc label."""
        x, same, opposite = (leaf(c) for c in FITS[label])
        return cls(B97Exchange(x), B97Correlation(same, opposite))

    def energy_density(
        self, density: LocalDensity, omega: Float[Array, ""] | float
    ) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3; omega in 1 / bohr, not negative."""
        factor = self.exchange.factor(density.reduced_gradient_squared)
        screened = attenuation(0.5 * omega / fermi_wave_vector(density.safe_rho))
        return enhanced(density, factor * screened) + self.correlation.energy_density(density)


FITS: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "hyb_gga_xc_wb97": (
        (1.00000, 1.13116, -2.74915, 12.0900, -5.71642),
        (1.00000, -2.55352, 11.8926, -26.9452, 17.0927),
        (1.00000, 3.99051, -17.0066, 1.07292, 8.88211),
    ),
    "hyb_gga_xc_wb97x": (
        (0.842294, 0.726479, 1.04760, -5.70635, 13.2794),
        (1.00000, -4.33879, 18.2308, -31.7430, 17.2901),
        (1.00000, 2.37031, -11.3995, 6.58405, -3.78132),
    ),
    # Chai, Head-Gordon, Phys. Chem. Chem. Phys. 10, 6615 (2008): made for a dispersion correction
    "hyb_gga_xc_wb97x_d": (
        (0.777964, 0.661160, 0.574541, -5.25671, 11.6386),
        (1.00000, -6.90539, 31.3343, -51.0533, 26.4423),
        (1.00000, 1.79413, -12.0477, 14.0847, -8.50809),
    ),
    # Lin, Li, Mao, Chai, J. Chem. Theory Comput. 9, 263 (2013): made for D3(0)
    "hyb_gga_xc_wb97x_d3": (
        (0.804272, 0.698900, 0.508940, -3.744903, 10.060790),
        (1.00000, -4.868902, 21.295726, -36.020866, 19.177018),
        (1.00000, 2.433266, -15.446008, 17.644390, -8.879494),
    ),
    # Mardirossian, Head-Gordon, Phys. Chem. Chem. Phys. 16, 9904 (2014): with VV10
    "hyb_gga_xc_wb97x_v": (
        (0.833, 0.603, 1.194),
        (0.556, -0.257),
        (1.219, -1.850),
    ),
}

LABELS = {label: functools.partial(OmegaB97.fit, label) for label in FITS}


def _functional(
    label: str, short_range: float, omega: float, vv10: tuple[float, float] | None = None
) -> dict:
    """All exact exchange at long range, `short_range` of it at short range."""
    return dict(
        components=[(1.0, label)],
        exact_exchange=short_range or None,
        long_range_exchange=1.0 - short_range,
        omega=omega,
        vv10=vv10,
    )


FUNCTIONALS = {
    "hyb_gga_xc_wb97": _functional("hyb_gga_xc_wb97", 0.0, 0.4),
    "hyb_gga_xc_wb97x": _functional("hyb_gga_xc_wb97x", 0.157706, 0.3),
    "hyb_gga_xc_wb97x_d": _functional("hyb_gga_xc_wb97x_d", 0.222036, 0.2),
    "hyb_gga_xc_wb97x_d3": _functional("hyb_gga_xc_wb97x_d3", 0.195728, 0.25),
    "hyb_gga_xc_wb97x_v": _functional("hyb_gga_xc_wb97x_v", 0.167, 0.3, (6.0, 0.01)),
}
