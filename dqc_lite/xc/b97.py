"""Becke's systematic functionals of 1997, and their refits.

A. D. Becke, J. Chem. Phys. 107, 8554 (1997): exchange, correlation of equal and of opposite spins,
each the uniform gas times a power series in u = gamma x^2 / (1 + gamma x^2).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.leaves import leaf
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.slater import enhanced


def series(
    coefficients: Float[Array, " term"], gamma: Float[Array, ""] | float, x2: Float[Array, "..."]
) -> Float[Array, "..."]:
    """sum_i c_i u^i with u = gamma x^2 / (1 + gamma x^2)."""
    u = gamma * x2 / (1.0 + gamma * x2)
    result = jnp.full_like(u, coefficients[-1])
    for i in reversed(range(coefficients.shape[0] - 1)):
        result = coefficients[i] + u * result
    return result


@pytree
class B97Exchange:
    """The exchange part.

    Attributes:
        coefficients: (term,), of the power series.
        gamma: of u.
    """

    coefficients: Float[Array, " term"]
    gamma: Float[Array, ""] | float = 0.004

    level: ClassVar[str] = "gga"

    def factor(self, x2: Float[Array, "..."]) -> Float[Array, "..."]:
        """The enhancement factor at x^2 = |grad rho_s|^2 / rho_s^(8/3)."""
        return series(self.coefficients, self.gamma, x2)

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return enhanced(density, self.factor(density.reduced_gradient_squared))


@pytree
class B97Correlation:
    """The correlation part: equal and opposite spins (Stoll's partition of the uniform gas).

    Attributes:
        same, opposite: (term,), coefficients of the two power series.
        gamma_same, gamma_opposite: of u.
        uniform: correlation of the uniform gas.
    """

    same: Float[Array, " term"]
    opposite: Float[Array, " term"]
    gamma_same: Float[Array, ""] | float = 0.2
    gamma_opposite: Float[Array, ""] | float = 0.006
    uniform: PW92 = dataclasses.field(default_factory=PW92)

    level: ClassVar[str] = "gga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        rho, x2 = density.safe_rho, density.reduced_gradient_squared
        same = rho * self.uniform.polarized_per_particle(rho)
        opposite = self.uniform.energy_density(density) - density.summed(same)
        same = density.summed(same * series(self.same, self.gamma_same, x2))
        mean = 0.5 * density.summed(x2)
        return same + opposite * series(self.opposite, self.gamma_opposite, mean)


@pytree
class B97:
    """Exchange and correlation of one fit, without any exact exchange that belongs to it."""

    exchange: B97Exchange
    correlation: B97Correlation

    level: ClassVar[str] = "gga"

    @classmethod
    def fit(cls, label: str) -> B97:
        """The fit of that libxc label."""
        x, same, opposite = (leaf(c) for c in FITS[label])
        return cls(B97Exchange(x), B97Correlation(same, opposite))

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return self.exchange.energy_density(density) + self.correlation.energy_density(density)


FITS: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    # Becke, J. Chem. Phys. 107, 8554 (1997)
    "hyb_gga_xc_b97": (
        (0.8094, 0.5073, 0.7481),
        (0.1737, 2.3487, -2.4868),
        (0.9454, 0.7471, -4.5961),
    ),
    # Hamprecht, Cohen, Tozer, Handy, J. Chem. Phys. 109, 6264 (1998)
    "hyb_gga_xc_b97_1": (
        (0.789518, 0.573805, 0.660975),
        (0.0820011, 2.71681, -2.87103),
        (0.955689, 0.788552, -5.47869),
    ),
    # Wilson, Bradley, Tozer, J. Chem. Phys. 115, 9233 (2001)
    "hyb_gga_xc_b97_2": (
        (0.827642, 0.047840, 1.76125),
        (0.585808, -0.691682, 0.394796),
        (0.999849, 1.40626, -7.44060),
    ),
    # Keal, Tozer, J. Chem. Phys. 123, 121103 (2005)
    "hyb_gga_xc_b97_3": (
        (0.7334648, 0.292527, 3.338789, -10.51158, 10.60907),
        (0.5623649, -1.32298, 6.359191, -7.464002, 1.827082),
        (1.13383, -2.811967, 7.431302, -1.969342, -11.74423),
    ),
    # Boese, Martin, J. Chem. Phys. 121, 3405 (2004)
    "hyb_gga_xc_b97_k": (
        (0.507863, 1.46873, -1.51301),
        (0.12355, 2.65399, -3.20694),
        (1.58613, -6.20977, 6.46106),
    ),
    # Schmider, Becke, J. Chem. Phys. 108, 9624 (1998)
    "hyb_gga_xc_sb98_1a": (
        (0.845975, 0.228183, 0.749949),
        (-0.817637, -0.054676, 0.592163),
        (0.975483, 0.398379, -3.7354),
    ),
    "hyb_gga_xc_sb98_1b": (
        (0.800103, -0.084192, 1.47742),
        (1.44946, -2.37073, 2.13564),
        (0.977621, 0.931199, -4.76973),
    ),
    "hyb_gga_xc_sb98_1c": (
        (0.810936, 0.49609, 0.772385),
        (0.262077, 2.12576, -2.30465),
        (0.939269, 0.898121, -4.91276),
    ),
    "hyb_gga_xc_sb98_2a": (
        (0.7492, 0.402322, 0.620779),
        (1.26686, 1.67146, -1.22565),
        (0.964641, 0.050527, -3.01966),
    ),
    "hyb_gga_xc_sb98_2b": (
        (0.770587, 0.180767, 0.955246),
        (0.170473, 1.24051, -0.862711),
        (0.965362, 0.8633, -4.61778),
    ),
    "hyb_gga_xc_sb98_2c": (
        (0.790194, 0.400271, 0.832857),
        (-0.120163, 2.82332, -2.59412),
        (0.934715, 1.14105, -5.33398),
    ),
    # Cohen, Handy, Chem. Phys. Lett. 316, 160 (2000)
    "hyb_gga_xc_b97_1p": (
        (0.8773, 0.2149, 1.5204),
        (0.2228, 1.3678, -1.5068),
        (0.9253, 2.027, -7.3431),
    ),
    # Boese, Chandra, Martin, Marx, J. Chem. Phys. 119, 5965 (2003)
    "gga_xc_hcth_407p": (
        (1.08018, -0.4117, 2.4368, 1.389, -1.3529),
        (0.80302, -1.0479, 4.9807, -12.89, 9.6446),
        (0.73604, 3.027, -10.075, 20.611, -29.418),
    ),
    # Menconi, Wilson, Tozer, J. Chem. Phys. 114, 3958 (2001)
    "gga_xc_hcth_p14": (
        (1.03161, -0.360781, 3.51994, -4.95944, 2.41165),
        (2.82414, 0.0318843, -1.78512, 2.39795, -0.876909),
        (0.0821827, 4.56466, -13.5529, 13.382, -3.17493),
    ),
    "gga_xc_hcth_p76": (
        (1.16525, -0.583033, 2.51769, 3.81278, -5.45906),
        (-3.92143, -1.10098, -0.091405, -0.859723, 2.07184),
        (0.192949, -5.73335, 50.8757, -135.475, 101.268),
    ),
    # Verma, Truhlar, J. Phys. Chem. Lett. 8, 380 (2017)
    "gga_xc_hle16": (
        (1.3523, -0.64792375, 4.282025, -3.2862625, 2.8606875),
        (0.593885, -1.20146, 2.808705, -4.589615, 3.12399),
        (0.294538, 2.21187, -9.6109, 21.28605, -21.0026),
    ),
    # Cohen, Handy, Chem. Phys. Lett. 316, 160 (2000)
    "gga_xc_b97_gga1": (
        (1.1068, -0.8765, 4.2639),
        (0.4883, -2.117, 2.3235),
        (0.7961, 5.7060, -14.9820),
    ),
    # Grimme, J. Comput. Chem. 27, 1787 (2006)
    "gga_xc_b97_d": (
        (1.08662, -0.52127, 3.25429),
        (0.22340, -1.56208, 1.94293),
        (0.69041, 6.30270, -14.9712),
    ),
    # Brandenburg, Bannwarth, Hansen, Grimme, J. Chem. Phys. 148, 064104 (2018)
    "gga_xc_b97_3c": (
        (1.076616, -0.469912, 3.322442),
        (0.543788, -1.444420, 1.637436),
        (0.635047, 5.532103, -15.301575),
    ),
    # Hamprecht, Cohen, Tozer, Handy, J. Chem. Phys. 109, 6264 (1998)
    "gga_xc_hcth_93": (
        (1.09320, -0.744056, 5.59920, -6.78549, 4.49357),
        (0.222601, -0.0338622, -0.0125170, -0.802496, 1.55396),
        (0.729974, 3.35287, -11.5430, 8.08564, -4.47857),
    ),
    # Boese, Doltsinis, Handy, Sprik, J. Chem. Phys. 112, 1670 (2000): 120 and 147
    "gga_xc_hcth_120": (
        (1.09163, -0.747215, 5.07833, -4.10746, 1.17173),
        (0.489508, -0.260699, 0.432917, -1.99247, 2.48531),
        (0.514730, 6.92982, -24.7073, 23.1098, -11.3234),
    ),
    "gga_xc_hcth_147": (
        (1.09025, -0.799194, 5.57212, -5.86760, 3.04544),
        (0.562576, 0.0171436, -1.30636, 1.05747, 0.885429),
        (0.542352, 7.01464, -28.3822, 35.0329, -20.4284),
    ),
    # Boese, Handy, J. Chem. Phys. 114, 5497 (2001)
    "gga_xc_hcth_407": (
        (1.08184, -0.518339, 3.42562, -2.62901, 2.28855),
        (1.18777, -2.40292, 5.61741, -9.17923, 6.24798),
        (0.589076, 4.42374, -19.2218, 42.5721, -42.0052),
    ),
}

LABELS: dict[str, Callable[[], B97]] = {label: functools.partial(B97.fit, label) for label in FITS}
