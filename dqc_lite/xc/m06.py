"""Minnesota functionals of 2005 and 2006.

M05: Y. Zhao, N. E. Schultz and D. G. Truhlar, J. Chem. Phys. 123, 161103 (2005); M05-2X: J. Chem.
Theory Comput. 2, 364 (2006); M06-L: Y. Zhao and D. G. Truhlar, J. Chem. Phys. 125, 194101 (2006);
M06-HF: J. Phys. Chem. A 110, 13126 (2006); M06 and M06-2X: Theor. Chem. Acc. 120, 215 (2008).

The exact exchange that belongs to the hybrids is not part of the components here.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc import reduced
from dqc_lite.xc.b97 import series
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.leaves import leaf
from dqc_lite.xc.pbe import PBEExchange
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.reduced import UNIFORM_TAU, horner
from dqc_lite.xc.slater import S_SQUARED, enhanced

Scalar = Float[Array, ""] | float


def vsxc(
    d: Float[Array, "6"], alpha: Scalar, x2: Float[Array, "..."], z: Float[Array, "..."]
) -> Float[Array, "..."]:
    """h(x, z) of T. Van Voorhis and G. E. Scuseria, J. Chem. Phys. 109, 400 (1998)."""
    inverse = 1.0 / (1.0 + alpha * (x2 + z))
    second = (d[3] * x2 + d[4] * z) * x2 + d[5] * z * z
    return inverse * (d[0] + inverse * (d[1] * x2 + d[2] * z + inverse * second))


@pytree
class MinnesotaExchange:
    """F = F_PBE(s) sum_i a_i w^i + h(x, z), w = (tau_u - tau) / (tau_u + tau).

    libxc: mgga_x_m06_l, hyb_mgga_x_m06 and the others in `LABELS`.

    Attributes:
        a: (12,), of the powers of w.
        d: (6,), of h; None without h.
        alpha: of h.
        scale: factor before everything.
        gga: PBE's exchange.
    """

    a: Float[Array, "12"]
    d: Float[Array, "6"] | None = None
    alpha: Scalar = 0.00186726
    scale: Scalar = 1.0
    gga: PBEExchange = dataclasses.field(default_factory=PBEExchange)

    level: ClassVar[str] = "mgga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        p, t, _ = reduced.of_spins(density)
        factor = self.gga.factor(p) * horner(self.a, (1.0 - t) / (1.0 + t))
        if self.d is not None:
            z = 2.0 * UNIFORM_TAU * (t - 1.0)
            factor += vsxc(self.d, self.alpha, p / S_SQUARED, z)
        return enhanced(density, self.scale * factor)


@pytree
class MinnesotaCorrelation:
    """Uniform gas of equal and opposite spins, enhanced by B97's series and by h(x, z).

    libxc: mgga_c_m06_l, mgga_c_m06 and the others in `LABELS`.

    Attributes:
        same, opposite: (5,), of the powers of gamma x^2 / (1 + gamma x^2).
        d_same, d_opposite: (6,), of h; None without h.
        gamma_same, gamma_opposite: of the series.
        alpha_same, alpha_opposite: of h.
        tau_cutoff: tau / rho^(5/3) below which libxc takes the series of equal spins away.
        uniform: correlation of the uniform gas.
    """

    same: Float[Array, "5"]
    opposite: Float[Array, "5"]
    d_same: Float[Array, "6"] | None = None
    d_opposite: Float[Array, "6"] | None = None
    gamma_same: Scalar = 0.06
    gamma_opposite: Scalar = 0.0031
    alpha_same: Scalar = 0.00515088
    alpha_opposite: Scalar = 0.00304966
    tau_cutoff: Scalar = 1e-10
    uniform: PW92 = dataclasses.field(default_factory=PW92.modified)

    level: ClassVar[str] = "mgga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        variables = reduced.of_spins(density)
        x2 = density.reduced_gradient_squared
        z = 2.0 * UNIFORM_TAU * (variables.t - 1.0)
        rho = density.safe_rho
        of_spin = rho * self.uniform.polarized_per_particle(rho)
        of_both = density.safe_total * self.uniform.per_particle(density)

        moving = -jnp.expm1(-((2.0 * UNIFORM_TAU / self.tau_cutoff * variables.t) ** 2))
        factor = series(self.same, self.gamma_same, x2) * moving
        if self.d_same is not None:
            factor += vsxc(self.d_same, self.alpha_same, x2, z)
        # 1 - tau_W / tau: no correlation of one orbital with itself
        same = density.summed(of_spin * factor * (1.0 - variables.z))

        x2, z = density.summed(x2), density.summed(z)
        factor = series(self.opposite, self.gamma_opposite, x2)
        if self.d_opposite is not None:
            factor += vsxc(self.d_opposite, self.alpha_opposite, x2, z)
        return density.where_filled(same + (of_both - density.summed(of_spin)) * factor)


def m06_l_exchange() -> MinnesotaExchange:
    """M06-L (libxc: mgga_x_m06_l)."""
    return MinnesotaExchange(
        a=leaf([
            0.3987756, 0.2548219, 0.3923994, -2.103655, -6.302147, 10.97615,
            30.97273, -23.18489, -56.7348, 21.60364, 34.21814, -9.049762,
        ]),
        d=leaf([0.6012244, 0.004748822, -0.008635108, -9.308062e-06, 4.482811e-05, 0.0]),
    )  # fmt: skip


def m06_exchange() -> MinnesotaExchange:
    """M06, beside 27 % exact exchange (libxc: hyb_mgga_x_m06)."""
    return MinnesotaExchange(
        a=leaf([
            0.5877943, -0.1371776, 0.2682367, -2.515898, -2.978892, 8.710679,
            16.88195, -4.489724, -32.99983, -14.4905, 20.43747, 12.56504,
        ]),
        d=leaf([0.1422057, 0.0007370319, -0.01601373, 0.0, 0.0, 0.0]),
    )  # fmt: skip


def m06_2x_exchange() -> MinnesotaExchange:
    """M06-2X, beside 54 % exact exchange (libxc: hyb_mgga_x_m06_2x)."""
    return MinnesotaExchange(
        a=leaf([
            0.46, -0.2206052, -0.09431788, 2.164494, -2.556466, -14.22133,
            15.55044, 35.98078, -27.22754, -39.24093, 15.22808, 15.22227,
        ]),
    )  # fmt: skip


def m06_hf_exchange() -> MinnesotaExchange:
    """M06-HF, beside 100 % exact exchange (libxc: hyb_mgga_x_m06_hf)."""
    return MinnesotaExchange(
        a=leaf([
            0.1179732, -1.066708, -0.1462405, 7.481848, 3.776679, -44.36118,
            -18.30962, 100.3903, 38.6436, -98.06018, -25.57716, 35.90404,
        ]),
        d=leaf([-0.1179732, -0.0025, -0.01180065, 0.0, 0.0, 0.0]),
    )  # fmt: skip


def m05_exchange() -> MinnesotaExchange:
    """M05, beside 28 % exact exchange (libxc: hyb_mgga_x_m05)."""
    return MinnesotaExchange(
        a=leaf([
            1.0, 0.08151, -0.43956, -3.22422, 2.01819, 8.79431,
            -0.00295, 9.82029, -4.82351, -48.17574, 3.64802, 34.02248,
        ]),
        scale=0.72,
    )  # fmt: skip


def m05_2x_exchange() -> MinnesotaExchange:
    """M05-2X, beside 56 % exact exchange (libxc: hyb_mgga_x_m05_2x)."""
    return MinnesotaExchange(
        a=leaf([
            1.0, -0.56833, -1.30057, 5.5007, 9.06402, -32.21075,
            -23.73298, 70.22996, 29.88614, -60.25778, -13.22205, 15.23694,
        ]),
        scale=0.44,
    )  # fmt: skip


def m06_l_correlation() -> MinnesotaCorrelation:
    """M06-L (libxc: mgga_c_m06_l)."""
    return MinnesotaCorrelation(
        same=leaf([0.5349466, 0.539662, -31.61217, 51.49592, -29.19613]),
        opposite=leaf([0.6042374, 177.6783, -251.3252, 76.35173, -12.55699]),
        d_same=leaf([0.4650534, 0.1617589, 0.1833657, 0.00046921, -0.004990573, 0.0]),
        d_opposite=leaf([0.3957626, -0.5614546, 0.01403963, 0.0009831442, -0.003577176, 0.0]),
    )


def m06_correlation() -> MinnesotaCorrelation:
    """M06 (libxc: mgga_c_m06)."""
    return MinnesotaCorrelation(
        same=leaf([0.5094055, -1.491085, 17.23922, -38.59018, 28.45044]),
        opposite=leaf([3.741539, 218.7098, -453.1252, 293.6479, -62.8747]),
        d_same=leaf([0.4905945, -0.1437348, 0.2357824, 0.001871015, -0.003788963, 0.0]),
        d_opposite=leaf([-2.741539, -0.6720113, -0.07932688, 0.001918681, -0.002032902, 0.0]),
    )


def m06_2x_correlation() -> MinnesotaCorrelation:
    """M06-2X (libxc: mgga_c_m06_2x)."""
    return MinnesotaCorrelation(
        same=leaf([0.3097855, -5.528642, 13.4742, -32.13623, 28.46742]),
        opposite=leaf([0.8833596, 33.57972, -70.43548, 49.78271, -18.52891]),
        d_same=leaf([0.6902145, 0.09847204, 0.2214797, -0.001968264, -0.006775479, 0.0]),
        d_opposite=leaf([0.1166404, -0.09120847, -0.06726189, 6.72058e-05, 0.0008448011, 0.0]),
    )


def m06_hf_correlation() -> MinnesotaCorrelation:
    """M06-HF (libxc: mgga_c_m06_hf)."""
    return MinnesotaCorrelation(
        same=leaf([0.1023254, -2.453783, 29.1318, -34.94358, 23.15955]),
        opposite=leaf([1.674634, 57.32017, 59.55416, -231.1007, 125.5199]),
        d_same=leaf([0.8976746, -0.234583, 0.2368173, -0.000991389, -0.01146165, 0.0]),
        d_opposite=leaf(
            [-0.6746338, -0.1534002, -0.09021521, -0.001292037, -0.0002352983, 0.0]
        ),
    )


def m05_correlation() -> MinnesotaCorrelation:
    """M05 (libxc: mgga_c_m05)."""
    return MinnesotaCorrelation(
        same=leaf([1.0, 3.77344, -26.04463, 30.69913, -9.22695]),
        opposite=leaf([1.0, 3.78569, -14.15261, -7.46589, 17.94491]),
    )


def m05_2x_correlation() -> MinnesotaCorrelation:
    """M05-2X (libxc: mgga_c_m05_2x)."""
    return MinnesotaCorrelation(
        same=leaf([1.0, -3.0543, 7.61854, 1.47665, -11.92365]),
        opposite=leaf([1.0, 1.09297, -3.79171, 2.8281, -10.58909]),
    )


LABELS = {
    "mgga_x_m06_l": m06_l_exchange,
    "hyb_mgga_x_m06": m06_exchange,
    "hyb_mgga_x_m06_2x": m06_2x_exchange,
    "hyb_mgga_x_m06_hf": m06_hf_exchange,
    "hyb_mgga_x_m05": m05_exchange,
    "hyb_mgga_x_m05_2x": m05_2x_exchange,
    "mgga_c_m06_l": m06_l_correlation,
    "mgga_c_m06": m06_correlation,
    "mgga_c_m06_2x": m06_2x_correlation,
    "mgga_c_m06_hf": m06_hf_correlation,
    "mgga_c_m05": m05_correlation,
    "mgga_c_m05_2x": m05_2x_correlation,
}
