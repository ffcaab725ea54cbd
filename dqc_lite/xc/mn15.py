"""Minnesota functionals from 2008 on: M11, MN15 and MN15-L.

M11: R. Peverati, D. G. Truhlar, J. Phys. Chem. Lett. 2, 2810 (2011); MN15-L: H. S. Yu, X. He,
D. G. Truhlar, J. Chem. Theory Comput. 12, 1280 (2016); MN15: H. S. Yu, X. He, S. L. Li,
D. G. Truhlar, Chem. Sci. 7, 5032 (2016). w = (tau_u - tau) / (tau_u + tau).

The exact exchange that belongs to the hybrids is not part of the components here.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc import reduced
from dqc_lite.xc.attenuation import attenuation, fermi_wave_vector
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.leaves import leaf
from dqc_lite.xc.n12 import density_variable
from dqc_lite.xc.pbe import PBECorrelation, PBEExchange, RPBEExchange
from dqc_lite.xc.reduced import horner
from dqc_lite.xc.slater import S_SQUARED, enhanced
from dqc_lite.xc.tpss import MU_GE


def _of_tau(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """w of t = tau / tau_u."""
    return (1.0 - t) / (1.0 + t)


POWERS = [(i, j, 6 - i - j) for i in range(4) for j in range(4 - i)]
"""(i, j, number of powers of w) of the terms v^i u^j of `MN15Exchange`."""


@pytree
class MN15Exchange:
    """F = sum_ijk c_ijk v^i u^j w^k, i + j <= 3, i + j + k <= 5.

    u = gamma x^2 / (1 + gamma x^2), v of the density as in N12 (libxc: mgga_x_mn15_l,
    hyb_mgga_x_mn15).

    Attributes:
        coefficients: (40,), c in the order of i, j, k.
        gamma: of u.
        of_density: omega of v, bohr.
    """

    coefficients: Float[Array, "40"]
    gamma: Float[Array, ""] | float = 0.004
    of_density: Float[Array, ""] | float = 2.5

    level: ClassVar[str] = "mgga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        p, t, _ = reduced.of_spins(density)
        v = density_variable(self.of_density, density.safe_rho)
        scaled = self.gamma / S_SQUARED * p
        u, w = scaled / (1.0 + scaled), _of_tau(t)
        powers_v, powers_u = ([1.0, y, y * y, y * y * y] for y in (v, u))
        factor, start = jnp.zeros(()), 0
        for i, j, count in POWERS:
            part = horner(self.coefficients[start : start + count], w)
            factor = factor + powers_v[i] * powers_u[j] * part
            start += count
        return enhanced(density, factor)


@pytree
class M11Exchange:
    """(F_PBE sum_i a_i w^i + F_RPBE sum_i b_i w^i) of short range (libxc: hyb_mgga_x_m11).

    Attributes:
        a, b: (power,), of both series.
        pbe, rpbe: the factors.
    """

    a: Float[Array, " power"]
    b: Float[Array, " power"]
    pbe: PBEExchange = dataclasses.field(default_factory=lambda: PBEExchange(mu=0.21951))
    rpbe: RPBEExchange = dataclasses.field(
        default_factory=lambda: RPBEExchange(kappa=0.552, mu=MU_GE)
    )

    level: ClassVar[str] = "mgga"
    attenuated: ClassVar[bool] = True

    def energy_density(
        self, density: LocalDensity, omega: Float[Array, ""] | float
    ) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3; omega in 1 / bohr, not negative."""
        p, t, _ = reduced.of_spins(density)
        w = _of_tau(t)
        factor = self.pbe.factor(p) * horner(self.a, w) + self.rpbe.factor(p) * horner(self.b, w)
        screened = attenuation(0.5 * omega / fermi_wave_vector(density.safe_rho))
        return enhanced(density, factor * screened)


@pytree
class M08Correlation:
    """The uniform gas times sum_i a_i w^i, and PBE's gradient part times sum_i b_i w^i.

    w is of both spins beside the unpolarized gas (libxc: mgga_c_m11, mgga_c_mn15 and the others in
    `LABELS`; the form is that of M08-HX).

    Attributes:
        a, b: (power,), of both series.
        pbe: PBE's correlation.
    """

    a: Float[Array, " power"]
    b: Float[Array, " power"]
    pbe: PBECorrelation = dataclasses.field(default_factory=PBECorrelation)

    level: ClassVar[str] = "mgga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        uniform, whole = self.pbe.uniform.per_particle(density), self.pbe.per_particle(density)
        w = _of_tau(reduced.of_total(density, density.wigner_seitz_radius).t)
        energy = horner(self.a, w) * uniform + horner(self.b, w) * (whole - uniform)
        return density.where_filled(density.safe_total * energy)


MN15_EXCHANGE = {
    "mgga_x_mn15_l": (
        0.670864162, -0.822003903, -1.022407046, 1.689460986, -0.00562032, -0.110293849,
        0.972245178, -6.697641991, -4.322814495, -6.786641376, -5.687461462, 9.419643818,
        11.83939406, 5.086951311, 4.302369948, -8.07344065, 2.429988978, 11.09485698,
        1.247333909, 3.700485291, 0.867791614, -0.591190518, -0.295305435, -5.825759145,
        2.537532196, 3.143390933, 2.939126332, 0.599342114, 2.241702738, 2.035713838,
        -1.525344043, -2.325875691, 1.141940663, -1.563165026, 7.882032871, 11.93400684,
        9.852928303, 0.584030245, -0.720941131, -2.836037078,
    ),
    "hyb_mgga_x_mn15": (
        0.073852235, -0.839976156, -3.082660125, -1.02881285, -0.811697255, -0.063404387,
        2.54805518, -5.031578906, 0.31702159, 2.981868205, -0.749503735, 0.231825661,
        1.261961411, 1.665920815, 7.483304941, -2.544245723, 1.384720031, 6.902569885,
        1.657399451, 2.98526709, 6.89391326, 2.489813993, 1.454724691, -5.054324071, 2.35273334,
        1.299104132, 1.203168217, 0.121595877, 8.048348238, 21.91203659, -1.852335832,
        -3.4722735, -1.564591493, -2.29578769, 3.666482991, 10.87074639, 9.696691388,
        0.630701064, -0.505825216, -3.562354535,
    ),
}  # fmt: skip

M11_EXCHANGE = {
    "hyb_mgga_x_m11": (
        (
            -0.183999, -13.9046703, 11.8206837, 31.0098465, -51.9625696, 15.5750312, -6.9477573,
            -158.465014, -1.48447565, 55.1042124, -13.4714184,
        ),
        (
            0.755999, 13.7137944, -12.7998304, -29.3428814, 59.1075674, -22.7604866, -10.276934,
            164.752731, 18.5349258, -55.6825639, 7.47980859,
        ),
    ),
}  # fmt: skip

CORRELATION = {
    "mgga_c_m11": (
        (
            1.0, 0.0, -3.893325, -2.1688455, 9.34972, -19.84514, 2.3455253, 79.246513, 9.6042757,
            -67.856719, -9.1841067,
        ),
        (
            0.72239798, 0.43730564, -16.088809, -65.542437, 32.05723, 186.17888, 20.483468,
            -70.853739, 44.483915, -94.484747, -114.59868,
        ),
    ),
    "mgga_c_mn15_l": (
        (
            0.952058087, -0.756954364, 5.677396094, -5.017104782, -5.10654071, -4.812053335,
            3.397640087, 1.980041517, 10.1231046,
        ),
        (
            0.819504932, -7.689358913, -0.70532663, -0.600096421, 11.03332527, 5.861969337,
            8.913865465, 5.74529876, 4.254880837,
        ),
    ),
    "mgga_c_mn15": (
        (
            1.093250748, -0.269735037, 6.368997613, -0.245337101, -1.587103441, 0.124698862,
            1.605819855, 0.466206031, 3.484978654,
        ),
        (
            1.427424993, -3.57883682, 7.398727547, 3.927810559, 2.789804639, 4.988320462,
            3.079464318, 3.521636859, 4.769671992,
        ),
    ),
}  # fmt: skip
"""Both series."""


def _mn15(label: str) -> MN15Exchange:
    return MN15Exchange(leaf(MN15_EXCHANGE[label]))


def _made(kind: type, fit: tuple):
    return kind(*map(leaf, fit))


LABELS = (
    {label: functools.partial(_mn15, label) for label in MN15_EXCHANGE}
    | {k: functools.partial(_made, M11Exchange, v) for k, v in M11_EXCHANGE.items()}
    | {k: functools.partial(_made, M08Correlation, v) for k, v in CORRELATION.items()}
)

FUNCTIONALS = {
    "hyb_mgga_x_m11": dict(
        components=[(1.0, "hyb_mgga_x_m11")],
        exact_exchange=0.428,
        long_range_exchange=0.572,
        omega=0.25,
    ),
}
