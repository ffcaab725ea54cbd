"""N12, N12-SX and GAM: exchange as a power series in the density and its gradient.

N12: R. Peverati, D. G. Truhlar, J. Chem. Theory Comput. 8, 2310 (2012); N12-SX: Phys. Chem. Chem.
Phys. 14, 16187 (2012); GAM: H. S. Yu, W. Zhang, P. Verma, X. He, D. G. Truhlar, Phys. Chem. Chem.
Phys. 17, 12146 (2015).
"""

from __future__ import annotations

import functools
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.b97 import B97Correlation, series
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.leaves import leaf
from dqc_lite.xc.slater import enhanced


def density_variable(
    omega: Float[Array, ""] | float, rho: Float[Array, "..."]
) -> Float[Array, "..."]:
    """v = omega rho^(1/3) / (1 + omega rho^(1/3)) of a spin."""
    scaled = omega * jnp.cbrt(rho)
    return scaled / (1.0 + scaled)


@pytree
class N12Exchange:
    """F = sum_ij c_ij v^i u^j, u = gamma x^2 / (1 + gamma x^2) (libxc: gga_x_n12, gga_x_gam,
    hyb_gga_x_n12_sx).

    Attributes:
        coefficients: (4, 4), c.
        gamma: of u.
        of_density: omega of v (see `density_variable`), bohr.
    """

    coefficients: Float[Array, "4 4"]
    gamma: Float[Array, ""] | float = 0.004
    of_density: Float[Array, ""] | float = 2.5

    level: ClassVar[str] = "gga"

    @classmethod
    def fit(cls, label: str) -> N12Exchange:
        """The fit of that libxc label."""
        return cls(leaf(EXCHANGE[label]))

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        v = density_variable(self.of_density, density.safe_rho)
        x2 = density.reduced_gradient_squared
        rows = [series(row, self.gamma, x2) for row in self.coefficients]
        factor = rows[0] + v * (rows[1] + v * (rows[2] + v * rows[3]))
        return enhanced(density, factor)


def _correlation(label: str) -> B97Correlation:
    same, opposite = map(leaf, CORRELATION[label])
    return B97Correlation(same, opposite)


EXCHANGE = {
    "gga_x_n12": (
        (1.00000, 0.507880, 0.168233, 0.128887),
        (0.0860211, -17.1008, 65.0814, -70.1726),
        (-0.390755, 51.3392, -166.220, 142.738),
        (0.403611, -34.4631, 76.1661, -2.41834),
    ),
    "gga_x_gam": (
        (1.32730, 0.886102, -5.73833, 8.60197),
        (-0.786018, -4.78787, 3.90989, -2.11611),
        (0.802575, 14.4363, 8.42735, -6.21552),
        (-0.142331, -13.4598, 1.52355, -10.0530),
    ),
    "hyb_gga_x_n12_sx": (
        (0.681116, 1.88858, 1.78590, 0.879456),
        (-0.0812270, -1.08723, -4.18682, -30.0000),
        (0.536236, -5.45678, 30.0000, 55.1105),
        (-0.709913, 13.0001, -72.4877, 29.8363),
    ),
}

CORRELATION = {
    "gga_c_n12": (
        (1.00000, -5.53170, 30.7958, -56.4196, 32.1250),
        (1.00000, 3.24511, -25.2893, 14.4407, 19.6870),
    ),
    "gga_c_n12_sx": (
        (2.63373, -1.05450, -0.729853, 4.94024, -7.31760),
        (0.833615, 3.24128, -10.6407, -16.0471, 25.1047),
    ),
    "gga_c_gam": (
        (0.231765, 0.575592, -3.43391, -5.77281, 9.52448),
        (0.860548, -2.94135, 15.4176, -5.99825, -23.4119),
    ),
}
"""Equal and opposite spins."""

LABELS = {label: functools.partial(N12Exchange.fit, label) for label in EXCHANGE} | {
    label: functools.partial(_correlation, label) for label in CORRELATION
}

FUNCTIONALS = {
    "hyb_gga_x_n12_sx": dict(
        components=[(1.0, "hyb_gga_x_n12_sx")],
        exact_exchange=0.25,
        long_range_exchange=-0.25,
        omega=0.11,
    ),
}
