"""SOGGA11 and SOGGA11-X: power series in two functions of the gradient.

R. Peverati, Y. Zhao, D. G. Truhlar, J. Phys. Chem. Lett. 2, 1991 (2011); R. Peverati,
D. G. Truhlar, J. Chem. Phys. 135, 191102 (2011).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.pbe import reduced_gradient
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.reduced import horner
from dqc_lite.xc.slater import S_SQUARED, enhanced
from dqc_lite.xc.tpss import MU_GE

BETA = 0.004235 * 15.75592
"""The gradient coefficient of correlation, 0.004235 nu with the nu of the authors' program."""


def _both(a: Float[Array, "6"], b: Float[Array, "6"], y: Float[Array, "..."]):
    """sum_i a_i (1 - 1 / (1 + y))^i + sum_i b_i (1 - e^(-y))^i."""
    return horner(a, y / (1.0 + y)) + horner(b, -jnp.expm1(-y))


@pytree
class SOGGA11Exchange:
    """The sum in y = mu s^2 / kappa (libxc: gga_x_sogga11, hyb_gga_x_sogga11_x).

    Attributes:
        a, b: (6,), of both series.
        kappa, mu: of y.
    """

    a: Float[Array, "6"]
    b: Float[Array, "6"]
    kappa: Float[Array, ""] | float = 0.552
    mu: Float[Array, ""] | float = MU_GE

    level: ClassVar[str] = "gga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        y = self.mu / self.kappa * S_SQUARED * density.reduced_gradient_squared
        return enhanced(density, _both(self.a, self.b, y))


@pytree
class SOGGA11Correlation:
    """The uniform gas times the sum in y = -beta phi^3 t^2 / e_c (libxc: gga_c_sogga11).

    Attributes:
        a, b: (6,), of both series.
        beta: of y.
        uniform: correlation of the uniform gas, e_c per electron.
    """

    a: Float[Array, "6"]
    b: Float[Array, "6"]
    beta: Float[Array, ""] | float = BETA
    uniform: PW92 = dataclasses.field(default_factory=PW92.modified)

    level: ClassVar[str] = "gga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        uniform, phi = self.uniform.per_particle(density), density.mean_power(2)
        y = -self.beta * phi**3 * reduced_gradient(density, phi) / uniform
        energy = density.safe_total * uniform * _both(self.a, self.b, y)
        return density.where_filled(energy)


EXCHANGE = {
    "gga_x_sogga11": (
        (0.50000, -2.95535, 15.7974, -91.1804, 96.2030, 0.18683),
        (0.50000, 3.50743, -12.9523, 49.7870, -33.2545, -11.1396),
    ),
    "hyb_gga_x_sogga11_x": (
        (0.29925, 3.21638, -3.55605, 7.65852, -11.2830, 5.25813),
        (0.29925, -2.88595, 3.23617, -2.45393, -3.75495, 3.96613),
    ),
}

CORRELATION = {
    "gga_c_sogga11": (
        (0.50000, -4.62334, 8.00410, -130.226, 38.2685, 69.5599),
        (0.50000, 3.62334, 9.36393, 34.5114, -18.5684, -0.16519),
    ),
    "gga_c_sogga11_x": (
        (0.50000, 78.2439, 25.7211, -13.8830, -9.87375, -14.1357),
        (0.50000, -79.2439, 16.3725, 2.08129, 7.50769, -10.1861),
    ),
}


def _made(kind: type, fit: tuple):
    return kind(*map(np.array, fit))


LABELS = {k: functools.partial(_made, SOGGA11Exchange, v) for k, v in EXCHANGE.items()} | {
    k: functools.partial(_made, SOGGA11Correlation, v) for k, v in CORRELATION.items()
}
