"""Exchange of the PBE hole, of full and of short range.

Hole: M. Ernzerhof, J. P. Perdew, J. Chem. Phys. 109, 3313 (1998). Its screened energy: J. Heyd,
G. E. Scuseria, M. Ernzerhof, J. Chem. Phys. 118, 8207 (2003), erratum 124, 219906 (2006); J. Heyd,
G. E. Scuseria, J. Chem. Phys. 120, 7274 (2004). Rescaled gradient: T. M. Henderson et al.,
J. Chem. Phys. 131, 044108 (2009). The constants and the places where one fit gives way to another
are those of libxc's gga_x_wpbeh.

In y = k_F |r - r'| the hole is, with H, F and G functions of s,

    J(y) = [-A / y^2 / (1 + 4 A y^2 / 9) + (A / y^2 + B + C (1 + s^2 F) y^2 + E (1 + s^2 G) y^4)
            e^(-D y^2)] e^(-s^2 H y^2),

and the enhancement factor is -8/9 int_0^inf y J(y) erfc(w y) dy, w = omega / k_F.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc import screened_moments
from dqc_lite.xc.attenuation import fermi_wave_vector
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.leaves import default
from dqc_lite.xc.slater import S_SQUARED, enhanced

# s saturates at _LARGEST, to keep the Lieb-Oxford bound; left alone below 1, constant above 15.
_LARGEST = 8.572844
# Below this s, E G is given by a polynomial.
_SMALL_S = 0.08
# erfc(x) = e^(-b x^2) sum_k a_k x^k with a_0 = 1, and for w > 14 just e^(-2 x^2).
_DECAY, _DECAY_FAR, _FAR = 1.455915450052607, 2.0, 14.0
_ERFC = (
    -1.128223946706117, 1.452736265762971, -1.243162299390327, 0.971824836115601,
    -0.568861079687373, 0.246880514820192, -0.065032363850763, 0.008401793031216,
)  # fmt: skip
# Added to s^2 H + b w^2, which is zero without gradient in the unscreened hole.
_TINY = 1e-40


@pytree
class PBEHole:
    """The hole's parameters.

    Attributes:
        hole: A, B, C, D, E.
        h: H = (h0 s^2 + h1 s^4) / (1 + h2 s^4 + h3 s^5 + h4 s^6).
        f: F = f0 H + f1.
        g: E G = g0 + g1 s^2 + g2 s^4 at s < 0.08, where its closed form cancels.
    """

    hole: Float[Array, "5"] = default(
        1.0161144, -0.37170836, -0.077215461, 0.57786348, -0.051955731
    )  # fmt: skip
    h: Float[Array, "5"] = default(0.00979681, 0.0410834, 0.187440, 0.00120824, 0.0347188)
    f: Float[Array, "2"] = default(6.4753871, 0.47965830)
    g: Float[Array, "3"] = default(-0.02628417880, -0.07117647788, 0.08534541323)

    def factor(
        self, s2: Float[Array, "*shape"], w: Float[Array, "*shape"] | None = None
    ) -> Float[Array, "*shape"]:
        """Enhancement factor at s^2 and w = omega / k_F >= 0; None: not screened."""
        s2 = _rescaled(s2)
        a, b, c = self.hole[0], self.hole[1], self.hole[2]
        reduced_h = self._reduced_h(s2)
        h = s2 * reduced_h
        gaussian = self.hole[3] + jnp.square(s2) * reduced_h
        first = 1.0 + s2 * (self.f[0] * h + self.f[1])
        second = self._second(s2, reduced_h, gaussian, first)
        t0, t1, t2 = _gaussian_moments(gaussian, w)
        tail = self._tail(s2 * h, w)
        return -(8.0 / 9.0) * (a * tail + b * t0 + c * first * t1 + second * t2)

    def _reduced_h(self, s2):
        """H / s^2."""
        s = jnp.where(s2 > 1e-20, jnp.sqrt(jnp.where(s2 > 1e-20, s2, 1.0)), 0.0)
        s4 = jnp.square(s2)
        denominator = 1.0 + s4 * (self.h[2] + self.h[3] * s + self.h[4] * s2)
        return (self.h[0] + self.h[1] * s2) / denominator

    def _second(self, s2, reduced_h, gaussian, first):
        """E (1 + s^2 G): makes the hole hold one electron, in the closed form without E."""
        a, b, c, _, e = self.hole
        small = s2 < _SMALL_S**2
        root = 1.5 * s2 * jnp.sqrt(reduced_h / a)
        own = jnp.exp(jnp.square(root)) * jax.lax.erfc(root)
        rest = gaussian * (6.0 * c * first + gaussian * (4.0 * b + 8.0 * a * gaussian))
        norm = 12.0 * math.sqrt(math.pi) * gaussian**3 * jnp.sqrt(gaussian)
        closed = -(rest + norm * (1.0 - jnp.sqrt(a) * own)) / 15.0
        series = e + s2 * (self.g[0] + s2 * (self.g[1] + s2 * self.g[2]))
        return jnp.where(small, series, closed)

    def _tail(self, s2h, w):
        """int (dy / y) [e^(-D y^2) - 1 / (1 + 4 A y^2 / 9)] e^(-s^2 H y^2) erfc(w y)."""
        d, cut = self.hole[3], (4.0 / 9.0) * self.hole[0]
        if w is None:
            h = s2h + _TINY
            return 0.5 * (screened_moments.near(h / cut)[0] + jnp.log(cut / (d + h)))
        beyond = w > _FAR
        h = s2h + jnp.where(beyond, _DECAY_FAR, _DECAY) * jnp.square(w) + _TINY
        q = d + h
        small = h < screened_moments.SMALL * cut
        near = screened_moments.near(jnp.where(small, h / cut, 1.0))
        far = screened_moments.far(jnp.where(small, screened_moments.SMALL, h / cut))
        log = jnp.where(small, near[0] + jnp.log(cut / q), far[0] - jnp.log1p(d / h))
        moments = jnp.where(small, near[1:], far[1:])
        over_q, over_h = w / jnp.sqrt(q), w / jnp.sqrt(h)
        total_q = total_h = jnp.zeros_like(w)
        for k in range(len(_ERFC), 0, -1):
            scale = _ERFC[k - 1] * math.gamma(0.5 * k)
            total_q = over_q * (total_q + scale)
            total_h = over_h * (total_h + scale * moments[k - 1])
        return 0.5 * (log + jnp.where(beyond, 0.0, total_q - total_h))


def _rescaled(s2):
    """s^2 of s -> s - ln(1 + e^(s - 8.57...)) between 1 and 15, and 8.57... above."""
    between = (s2 >= 1.0) & (s2 <= 225.0)
    s = jnp.sqrt(jnp.where(between, s2, 1.0))
    bent = jnp.square(s - jnp.log1p(jnp.exp(s - _LARGEST)))
    return jnp.where(s2 < 1.0, s2, jnp.where(between, bent, _LARGEST**2))


def _gaussian_moments(a, w):
    """int y^(2n+1) e^(-a y^2) erfc(w y) dy for n = 0, 1, 2, by -d/da from
    1 / (2 r (r + w)), r^2 = a + w^2; without cancellation."""
    if w is None:
        inverse = 1.0 / a
        return 0.5 * inverse, 0.5 * jnp.square(inverse), inverse**3
    r = jnp.sqrt(a + jnp.square(w))
    inverse, mixed = 1.0 / r, 1.0 / (r + w)
    u = w * inverse
    both = inverse * mixed
    t0 = 0.5 * both
    t1 = 0.25 * (2.0 + u) * jnp.square(both)
    t2 = 0.125 * (8.0 + u * (9.0 + 3.0 * u)) * both**3
    return t0, t1, t2


@pytree
class PBEHoleExchange:
    """Exchange energy of the unscreened hole (libxc: gga_x_wpbeh with its default omega = 0)."""

    hole: PBEHole = dataclasses.field(default_factory=PBEHole)

    level: ClassVar[str] = "gga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return enhanced(density, self.hole.factor(S_SQUARED * density.reduced_gradient_squared))


@pytree
class WPBEHExchange:
    """Exchange energy of the hole with erfc(omega r) / r (libxc: gga_x_wpbeh).

    Attributes:
        hole: its parameters.
        omega_scale: the hole is screened with `omega_scale` times the functional's omega.
    """

    hole: PBEHole = dataclasses.field(default_factory=PBEHole)
    omega_scale: Float[Array, ""] | float = 1.0

    level: ClassVar[str] = "gga"
    attenuated: ClassVar[bool] = True

    def energy_density(
        self, density: LocalDensity, omega: Float[Array, ""] | float
    ) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3; omega in 1 / bohr, not negative."""
        w = self.omega_scale * omega / fermi_wave_vector(density.safe_rho)
        return enhanced(density, self.hole.factor(S_SQUARED * density.reduced_gradient_squared, w))


LABELS = {
    "gga_x_wpbeh": WPBEHExchange,
    "gga_x_wpbeh_unscreened": PBEHoleExchange,
    "gga_x_wpbeh_hse03": functools.partial(WPBEHExchange, omega_scale=2.0 ** (5 / 6)),
}
"""The last two are libxc's gga_x_wpbeh at omega = 0, and at 2^(5/6) omega as HSE03 wants it."""

FUNCTIONALS = {
    # O. A. Vydrov, G. E. Scuseria, J. Chem. Phys. 125, 234109 (2006)
    "hyb_gga_xc_lc_wpbe": dict(
        components=[(1.0, "gga_x_wpbeh"), (1.0, "gga_c_pbe")],
        exact_exchange=None,
        long_range_exchange=1.0,
        omega=0.4,
        vv10=None,
    ),
    # Heyd, Scuseria, Ernzerhof, as above: the hole and exact exchange with different omega
    "hyb_gga_xc_hse03": dict(
        components=[
            (1.0, "gga_x_wpbeh_unscreened"),
            (-0.25, "gga_x_wpbeh_hse03"),
            (1.0, "gga_c_pbe"),
        ],
        exact_exchange=0.25,
        long_range_exchange=-0.25,
        omega=0.15 / math.sqrt(2.0),
        vv10=None,
    ),
    # A. V. Krukau et al., J. Chem. Phys. 125, 224106 (2006)
    "hyb_gga_xc_hse06": dict(
        components=[
            (1.0, "gga_x_wpbeh_unscreened"),
            (-0.25, "gga_x_wpbeh"),
            (1.0, "gga_c_pbe"),
        ],
        exact_exchange=0.25,
        long_range_exchange=-0.25,
        omega=0.11,
        vv10=None,
    ),
}
