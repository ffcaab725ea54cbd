"""SCAN, rSCAN and r2SCAN.

SCAN: J. Sun, A. Ruzsinszky and J. P. Perdew, Phys. Rev. Lett. 115, 036402 (2015), with its
supplement; rSCAN: A. P. Bartok and J. R. Yates, J. Chem. Phys. 150, 161101 (2019); r2SCAN:
J. W. Furness, A. D. Kaplan, J. Ning, J. P. Perdew and J. Sun, J. Phys. Chem. Lett. 11, 8208 (2020).

In alpha = (tau - tau_W) / tau_u they interpolate between a form for one orbital (alpha = 0) and one
for slowly varying densities (alpha = 1): F = (1 - f(alpha)) h1 + f(alpha) h0.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from dqc_lite._pytree import pytree
from dqc_lite._select import select
from dqc_lite._types import Array, Float
from dqc_lite.xc import reduced
from dqc_lite.xc.density import EMPTY, WIGNER_SEITZ, LocalDensity
from dqc_lite.xc.leaves import leaf
from dqc_lite.xc.pbe import GAMMA
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.reduced import UNIFORM_TAU, WEIZSAECKER, horner
from dqc_lite.xc.slater import enhanced
from dqc_lite.xc.tpss import MU_GE, hu_langreth

Scalar = Float[Array, ""] | float

_INVERSE_TAU = 2.0 ** (2 / 3) / UNIFORM_TAU / WIGNER_SEITZ**5
"""1 / (rs^5 tau_u) of the unpolarized gas."""

B2 = math.sqrt(5913.0 / 405000.0)
B1 = 511.0 / 13500.0 / (2.0 * B2)
_ONE_MINUS_TWELFTH_POWER = (6.0, -15.0, 20.0, -15.0, 6.0, -1.0)
"""(1 - zeta^12) / y in powers of y = 1 - zeta^2."""
_FLAT_WITHIN = 1e-3
_FLAT_BELOW = 1e-8
_POLYNOMIAL_UP_TO = 2.5


@pytree
class Switch:
    """f(alpha): 1 at alpha = 0, 0 at alpha = 1, towards -d beyond.

    Attributes:
        c1: of exp(-c1 alpha / (1 - alpha)), alpha < 1.
        c2, d: of -d exp(c2 / (1 - alpha)), alpha > 1.
        polynomial: (8,), coefficients of the powers of alpha between 0 and 2.5 in rSCAN and r2SCAN;
            None in SCAN, whose derivatives all vanish at alpha = 1.
    """

    c1: Scalar
    c2: Scalar
    d: Scalar
    polynomial: Float[Array, "8"] | None = None

    def __call__(self, alpha: Float[Array, "..."]) -> Float[Array, "..."]:
        """f, with all derivatives finite for every alpha."""
        return self.shares(alpha)[0]

    def shares(self, alpha: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """(f, 1 - f), each with its digits where it is small: around alpha = 1 and alpha = 0."""
        if self.polynomial is None:
            # exp(-c / 0.001) is 0 in double precision, and so are its derivatives
            inside = jnp.abs(alpha - 1.0) < _FLAT_WITHIN
            between = jnp.zeros_like(alpha), jnp.ones_like(alpha)
            left = alpha < 1.0
        else:
            inside = (alpha > 0.0) & (alpha <= _POLYNOMIAL_UP_TO)
            x = jnp.where(inside, alpha, 0.0)
            change = x * horner(self.polynomial[1:], x)
            between = self.polynomial[0] + change, (1.0 - self.polynomial[0]) - change
            left = alpha <= 0.0
        alpha = jnp.where(inside, 0.0, alpha)
        left |= inside
        u = 1.0 / (1.0 - alpha)
        exponent = jnp.where(left, -self.c1 * alpha, self.c2) * u
        f = jnp.where(left, 1.0, -self.d) * jnp.exp(exponent)
        rest = 1.0 - f
        if self.polynomial is None:
            rest = jnp.where(left, -jnp.expm1(exponent), rest)
        return jnp.where(inside, between[0], f), jnp.where(inside, between[1], rest)

    @property
    def slope(self) -> Float[Array, ""]:
        """f'(1) of the polynomial."""
        assert self.polynomial is not None
        return jnp.arange(8) @ self.polynomial


def _exchange_switch() -> Switch:
    return Switch(0.667, 0.8, 1.24)


def _regularized_exchange_switch() -> Switch:
    polynomial = (
        1.0, -0.667, -0.4445555, -0.663086601049, 1.451297044490, -0.887998041597,
        0.234528941479, -0.023185843322,
    )  # fmt: skip
    return Switch(0.667, 0.8, 1.24, leaf(polynomial))


def _correlation_switch() -> Switch:
    return Switch(0.64, 1.5, 0.7)


def _regularized_correlation_switch() -> Switch:
    polynomial = (
        1.0, -0.64, -0.4352, -1.535685604549, 3.061560252175, -1.915710236206, 0.516884468372,
        -0.051848879792,
    )  # fmt: skip
    return Switch(0.64, 1.5, 0.7, leaf(polynomial))


def _regularized(alpha: Float[Array, "..."], alpha_r: Scalar) -> Float[Array, "..."]:
    """rSCAN's alpha^3 / (alpha^2 + alpha_r)."""
    return alpha * alpha * alpha / (alpha * alpha + alpha_r)


@pytree
class SCANExchange:
    """SCAN exchange (libxc: mgga_x_scan).

    Attributes:
        k1: the limit of h1 - 1 at large gradients.
        h0: enhancement of one orbital.
        a1: of the decay 1 - exp(-a1 / s^(1/2)) at large gradients.
        switch: f(alpha).
    """

    k1: Scalar = 0.065
    h0: Scalar = 1.174
    a1: Scalar = 4.9479
    switch: Switch = dataclasses.field(default_factory=_exchange_switch)

    level: ClassVar[str] = "mgga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        variables = reduced.of_spins(density)
        alpha = self._alpha(variables, density)
        x = self._slowly_varying(variables.p, alpha)
        h1 = 1.0 + self.k1 * x / (self.k1 + x)
        # h1 and h0 are alike, so that the digits of 1 - f do not matter
        factor = h1 + (self.h0 - h1) * self.switch(alpha)
        return enhanced(density, factor * self._decay(variables.p))

    def _alpha(self, variables: reduced.Reduced, _: LocalDensity) -> Float[Array, "spin point"]:
        return variables.alpha

    def _slowly_varying(self, p, alpha) -> Float[Array, "spin point"]:
        """x of h1."""
        b4 = MU_GE**2 / self.k1 - 1606.0 / 18225.0 - B1**2
        away = 1.0 - alpha
        mixed = B1 * p + B2 * away * jnp.exp(-0.5 * away * away)
        return p * (MU_GE + b4 * p * jnp.exp(-b4 / MU_GE * p)) + mixed * mixed

    def _decay(self, p: Float[Array, "spin point"]) -> Float[Array, "spin point"]:
        """g(s), s = p^(1/2)."""
        # exp(-a1 / s^(1/2)) is 0 in double precision for s < 1e-4, and so are its derivatives
        varying = p > _FLAT_BELOW
        root = lax.rsqrt(jnp.sqrt(jnp.where(varying, p, 1.0)))
        return jnp.where(varying, 1.0 - jnp.exp(-self.a1 * root), 1.0)


@pytree
class RSCANExchange(SCANExchange):
    """rSCAN exchange (libxc: mgga_x_rscan).

    Attributes:
        tau_r: added to the tau of the uniform gas (both spins), hartree / bohr^3.
        alpha_r: of alpha^3 / (alpha^2 + alpha_r).
    """

    switch: Switch = dataclasses.field(default_factory=_regularized_exchange_switch)
    tau_r: Scalar = 1e-4
    alpha_r: Scalar = 1e-3

    def _alpha(
        self, variables: reduced.Reduced, density: LocalDensity
    ) -> Float[Array, "spin point"]:
        rho = density.safe_rho
        uniform = UNIFORM_TAU * rho * jnp.cbrt(rho) ** 2
        alpha = variables.alpha * uniform / (uniform + 0.5 * self.tau_r)
        return _regularized(alpha, self.alpha_r)


@pytree
class R2SCANExchange(SCANExchange):
    """r2SCAN exchange (libxc: mgga_x_r2scan).

    Attributes:
        eta: of alpha = (tau - tau_W) / (tau_u + eta tau_W).
        dp2: damping of the gradient expansion's correction.
    """

    switch: Switch = dataclasses.field(default_factory=_regularized_exchange_switch)
    eta: Scalar = 1e-3
    dp2: Scalar = 0.361

    def _alpha(self, variables: reduced.Reduced, _: LocalDensity) -> Float[Array, "spin point"]:
        return variables.alpha / (1.0 + self.eta * WEIZSAECKER * variables.p)

    def _slowly_varying(self, p, _) -> Float[Array, "spin point"]:
        correction = (20.0 / 27.0 + WEIZSAECKER * self.eta) * self.switch.slope * (self.h0 - 1.0)
        return p * (MU_GE + correction * jnp.exp(-p * p / self.dp2**4))


@pytree
class SCANCorrelation:
    """SCAN correlation (libxc: mgga_c_scan).

    Attributes:
        b1, b2, b3: of the energy of one orbital without gradient, b1 / (1 + b2 rs^(1/2) + b3 rs).
        chi: of the dependence of the energy of one orbital on the gradient.
        g: of its dependence on the polarization.
        beta, beta_numerator, beta_denominator: of `hu_langreth`.
        gamma: of PBE.
        uniform: correlation of the uniform gas.
        switch: f(alpha).
    """

    b1: Scalar = 0.0285764
    b2: Scalar = 0.0889
    b3: Scalar = 0.125541
    chi: Scalar = 0.12802585262625815
    g: Scalar = 2.363
    beta: Scalar = 0.066724550603149220
    beta_numerator: Scalar = 0.1
    beta_denominator: Scalar = 0.1778
    gamma: Scalar = GAMMA
    uniform: PW92 = dataclasses.field(default_factory=PW92.modified)
    switch: Switch = dataclasses.field(default_factory=_correlation_switch)

    level: ClassVar[str] = "mgga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        gas = _Gas.of(density)
        p, _, alpha = reduced.of_total(density, gas.rs)
        f, rest = self.switch.shares(self._alpha(p, alpha, gas))
        e0 = self._one_orbital(p, gas)
        e1 = self._slowly_varying(p, gas)
        return density.where_filled(density.safe_total * (e1 * rest + e0 * f))

    def _alpha(self, p, alpha, gas: _Gas) -> Float[Array, " point"]:
        """The switch's variable; `alpha` is beside the unpolarized gas."""
        return alpha / gas.mean5

    def _one_orbital_gas(self, gas: _Gas) -> tuple[Array, Array, Scalar]:
        """(u, -rs du / drs, factor) of the energy per electron -b1 u factor at alpha = p = 0."""
        root, linear = self.b2 * jnp.sqrt(gas.rs), self.b3 * gas.rs
        u = 1.0 / (1.0 + root + linear)
        slope = u * u * (0.5 * root + linear)
        if gas.density.closed_shell:
            return u, slope, 1.0
        factor = 1.0 - self.g * (gas.mean4 - 1.0)
        product = gas.density.opposite_product
        return u, slope, factor * product * horner(_ONE_MINUS_TWELFTH_POWER, product)

    def _one_orbital(self, p, gas: _Gas) -> Float[Array, " point"]:
        """Energy per electron at alpha = 0."""
        u, _, factor = self._one_orbital_gas(gas)
        fall = _fourth_root_fall(4.0 * self.chi * p)
        return self.b1 * jnp.log1p(jnp.expm1(-u) * fall) * factor

    def _slowly_varying(self, p, gas: _Gas) -> Float[Array, " point"]:
        """Energy per electron at alpha = 1."""
        return self._with_gradient(p, gas.energy(self.uniform), 0.0, gas)

    def _with_gradient(self, p, uniform, correction, gas: _Gas) -> Float[Array, " point"]:
        """PBE's form with (1 + 4 y)^(-1/4), y = (beta t^2 / gamma - correction) / w.

        With w = exp(-uniform / scale) - 1, uniform + scale log(1 + w (1 - (1 + 4 y)^(-1/4))) is
        one logarithm, as in `dqc_lite.xc.pbe.gradient_corrected`.
        """
        beta = hu_langreth(gas.rs, self.beta, self.beta_numerator, self.beta_denominator)
        t2 = _T_SQUARED * p / (gas.rs * gas.mean2 * gas.mean2)
        scale = self.gamma * gas.mean2 * gas.mean2 * gas.mean2
        m = jnp.expm1(uniform / scale)  # -w / (1 + w)
        y = (correction - beta / self.gamma * t2) * (1.0 + m) / m
        return scale * jnp.log1p(m * _fourth_root_fall(4.0 * y))


_T_SQUARED = math.pi / 4.0 * (9.0 * math.pi / 4.0) ** (1 / 3)
"""t^2 phi^2 rs over s^2."""


class _Gas(NamedTuple):
    """The uniform gas of a density; `mean2`, ... are `LocalDensity.mean_power` of 2, ..."""

    density: LocalDensity
    rs: Float[Array, " point"]
    mean2: Float[Array, " point"] | float = 1.0
    mean4: Float[Array, " point"] | float = 1.0
    mean5: Float[Array, " point"] | float = 1.0

    @classmethod
    def of(cls, density: LocalDensity) -> _Gas:
        rs = density.wigner_seitz_radius
        if density.closed_shell:
            return cls(density, rs)
        total = density.safe_total

        def powers(rho):
            occupied = rho > EMPTY
            root = select(occupied, jnp.cbrt(2.0 * select(occupied, rho, 1.0) / total), 0.0)
            square = root * root
            fourth = square * square
            return square, fourth, fourth * root

        # each spin by itself: parting an array of both in the middle parts XLA's loops
        a, b = map(powers, density.rho)
        means = (select(density.filled, 0.5 * (x + y), 1.0) for x, y in zip(a, b, strict=True))
        return cls(density, rs, *means)

    def energy(self, uniform: PW92) -> Float[Array, " point"]:
        """Correlation energy per electron."""
        return self._interpolated(uniform, uniform.of_radius(self.rs, self.density.closed_shell))

    def energy_and_slope(
        self, uniform: PW92
    ) -> tuple[Float[Array, " point"], Float[Array, " point"]]:
        """The same and its rs d / d rs."""

        def of_radius(rs):
            return uniform.of_radius(rs, self.density.closed_shell)

        g, slope = jax.jvp(of_radius, (self.rs,), (self.rs,))
        return self._interpolated(uniform, g), self._interpolated(uniform, slope)

    def _interpolated(self, uniform: PW92, g) -> Float[Array, " point"]:
        f = (self.mean4 - 1.0) / (2.0 ** (1 / 3) - 1.0)
        return uniform.interpolated(g, f, self.density.polarization**4)


def _fourth_root_fall(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """(1 + x)^(-1/4)."""
    return lax.rsqrt(jnp.sqrt(1.0 + x))


@pytree
class RSCANCorrelation(SCANCorrelation):
    """rSCAN correlation (libxc: mgga_c_rscan).

    Attributes:
        tau_r: added to the tau of the uniform gas, hartree / bohr^3.
        alpha_r: of alpha^3 / (alpha^2 + alpha_r).
    """

    switch: Switch = dataclasses.field(default_factory=_regularized_correlation_switch)
    tau_r: Scalar = 1e-4
    alpha_r: Scalar = 1e-3

    def _alpha(self, p, alpha, gas: _Gas) -> Float[Array, " point"]:
        # tau_u / (tau_u + tau_r), tau_u being that of the unpolarized gas
        part = 1.0 / (1.0 + self.tau_r * _INVERSE_TAU * gas.rs**5)
        return _regularized(alpha * part / gas.mean5, self.alpha_r)


@pytree
class R2SCANCorrelation(SCANCorrelation):
    """r2SCAN correlation (libxc: mgga_c_r2scan).

    Attributes:
        eta: of alpha = (tau - tau_W) / (tau_u + eta tau_W).
        dp2: damping of the gradient expansion's correction.
    """

    switch: Switch = dataclasses.field(default_factory=_regularized_correlation_switch)
    eta: Scalar = 1e-3
    dp2: Scalar = 0.361

    def _alpha(self, p, alpha, gas: _Gas) -> Float[Array, " point"]:
        return alpha / (gas.mean5 + self.eta * WEIZSAECKER * p)

    def _slowly_varying(self, p, gas: _Gas) -> Float[Array, " point"]:
        # both gases, and rs d / d rs of them
        lsda1, slope1 = gas.energy_and_slope(self.uniform)
        u, slope0, factor = self._one_orbital_gas(gas)
        lsda0, slope0 = -self.b1 * factor * u, self.b1 * factor * slope0
        correction = 20.0 * (slope0 - slope1) - 45.0 * self.eta * (lsda0 - lsda1)
        correction *= p * jnp.exp(-p * p / self.dp2**4)
        correction *= self.switch.slope / (27.0 * self.gamma)
        correction = correction / (gas.mean5 * gas.mean2**3)
        return self._with_gradient(p, lsda1, correction, gas)


LABELS = {
    "mgga_x_scan": SCANExchange,
    "mgga_x_rscan": RSCANExchange,
    "mgga_x_r2scan": R2SCANExchange,
    "mgga_c_scan": SCANCorrelation,
    "mgga_c_rscan": RSCANCorrelation,
    "mgga_c_r2scan": R2SCANCorrelation,
}
