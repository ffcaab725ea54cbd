"""B97M-V and omegaB97M-V: power series in the gradient and the kinetic energy density.

N. Mardirossian, M. Head-Gordon, J. Chem. Phys. 142, 074111 (2015) and 144, 214110 (2016).
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.xc import reduced
from dqc_lite.xc.attenuation import attenuation, fermi_wave_vector
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.leaves import leaf
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.slater import enhanced


@pytree
class Series:
    """sum_n c_n w^(i_n) u^(j_n), u = gamma x^2 / (1 + gamma x^2).

    Attributes:
        coefficients: (term,) c_n.
        gamma: of u.
        powers: (i_n, j_n) of each term.
    """

    coefficients: Float[Array, " term"]
    gamma: Float[Array, ""] | float
    powers: tuple[tuple[int, int], ...] = static()

    @classmethod
    def of(cls, gamma: float, terms: dict[tuple[int, int], float]) -> Series:
        """From (i, j): c."""
        return cls(leaf(list(terms.values())), gamma, tuple(terms))

    def __call__(
        self, w: Float[Array, "*shape"], x2: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        u = self.gamma * x2 / (1.0 + self.gamma * x2)
        terms = (self.coefficients[n] * w**i * u**j for n, (i, j) in enumerate(self.powers))
        return sum(terms, jnp.zeros_like(u))


def _slowness(density: LocalDensity) -> Float[Array, "spin point"]:
    """p = tau / (tau + tau_uniform) of each spin, between 0 and 1; w = 1 - 2 p."""
    t = reduced.of_spins(density).t
    return t / (1.0 + t)


def _opposite_w(p: Float[Array, "spin point"]) -> Float[Array, " point"]:
    """w of the harmonic mean of both spins' tau over that of the uniform gas; 1 without any."""
    if p.shape[0] == 1:
        return 1.0 - 2.0 * p[0]
    total = p[0] + p[1]
    still = total < 1e-30
    return 1.0 - 4.0 * p[0] * p[1] / jnp.where(still, 1.0, total)


@pytree
class _B97M:
    """What both functionals share.

    Attributes:
        exchange, same, opposite: factors of exchange, of correlation of equal and opposite spins.
        uniform: correlation of the uniform gas.
    """

    exchange: Series
    same: Series
    opposite: Series
    uniform: PW92 = dataclasses.field(default_factory=PW92.modified)

    level: ClassVar[str] = "mgga"

    def _energy_density(self, density, screening):
        rho, x2, p = density.safe_rho, density.reduced_gradient_squared, _slowness(density)
        w = 1.0 - 2.0 * p
        exchange = enhanced(density, screening * self.exchange(w, x2))
        same = rho * self.uniform.polarized_per_particle(rho)
        opposite = self.uniform.energy_density(density) - density.summed(same)
        return (
            exchange
            + density.summed(same * self.same(w, x2))
            + opposite * self.opposite(_opposite_w(p), 0.5 * density.summed(x2))
        )


@pytree
class B97MV(_B97M):
    """B97M-V without its nonlocal correlation (libxc: mgga_xc_b97m_v)."""

    exchange: Series = dataclasses.field(default_factory=lambda: Series.of(
        0.004, {(0, 0): 1.0, (0, 1): 1.308, (0, 2): 1.901, (1, 0): 0.416, (1, 1): 3.070}
    ))  # fmt: skip
    same: Series = dataclasses.field(default_factory=lambda: Series.of(
        0.2, {(0, 0): 1.0, (0, 2): -1.855, (1, 0): -5.668, (3, 2): -20.497, (4, 2): -20.364}
    ))  # fmt: skip
    opposite: Series = dataclasses.field(default_factory=lambda: Series.of(
        0.006, {(0, 0): 1.0, (0, 1): 1.573, (0, 3): -6.298, (1, 0): 2.535, (3, 2): -6.427}
    ))  # fmt: skip

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return self._energy_density(density, 1.0)


@pytree
class OmegaB97MV(_B97M):
    """omegaB97M-V without its nonlocal correlation (libxc: hyb_mgga_xc_wb97m_v)."""

    exchange: Series = dataclasses.field(default_factory=lambda: Series.of(
        0.004, {(0, 0): 0.85, (0, 1): 1.007, (1, 0): 0.259}
    ))  # fmt: skip
    same: Series = dataclasses.field(default_factory=lambda: Series.of(
        0.2, {(0, 0): 0.443, (0, 4): -1.437, (1, 0): -4.535, (2, 0): -3.39, (4, 3): 4.278}
    ))  # fmt: skip
    opposite: Series = dataclasses.field(default_factory=lambda: Series.of(
        0.006,
        {(0, 0): 1.0, (1, 0): 1.358, (2, 0): 2.924, (2, 1): -8.812, (6, 0): -1.39, (6, 1): 9.142},
    ))  # fmt: skip

    attenuated: ClassVar[bool] = True

    def energy_density(
        self, density: LocalDensity, omega: Float[Array, ""] | float
    ) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3; omega in 1 / bohr, not negative."""
        a = 0.5 * omega / fermi_wave_vector(density.safe_rho)
        return self._energy_density(density, attenuation(a))


LABELS = {"mgga_xc_b97m_v": B97MV, "hyb_mgga_xc_wb97m_v": OmegaB97MV}

FUNCTIONALS = {
    "mgga_xc_b97m_v": dict(
        components=[(1.0, "mgga_xc_b97m_v")],
        exact_exchange=None,
        long_range_exchange=None,
        omega=None,
        vv10=(6.0, 0.01),
    ),
    "hyb_mgga_xc_wb97m_v": dict(
        components=[(1.0, "hyb_mgga_xc_wb97m_v")],
        exact_exchange=0.15,
        long_range_exchange=0.85,
        omega=0.3,
        vv10=(6.0, 0.01),
    ),
}
