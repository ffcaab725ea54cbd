"""Correlation of the uniform electron gas after Vosko, Wilk and Nusair.

S. H. Vosko, L. Wilk and M. Nusair, Can. J. Phys. 58, 1200 (1980). The paper holds several
functionals, and "VWN" means different ones in different programs.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.leaves import leaf

PARAMAGNETIC = 0
STIFFNESS_SCALE = 4.0 / (9.0 * (2.0 ** (1 / 3) - 1.0))
"""f''(0) of the spin interpolation."""


@pytree
class Fit:
    """Equation 4.4: energies per electron, of x = sqrt(r_s).

    Each parameter has three entries: for the unpolarized gas, the polarized gas, and the spin
    stiffness.
    """

    a: Float[Array, "3"]
    b: Float[Array, "3"]
    c: Float[Array, "3"]
    x0: Float[Array, "3"]

    @classmethod
    def quantum_monte_carlo(cls) -> Fit:
        """To Ceperley and Alder's energies, hartree."""
        return cls(
            a=leaf([0.0310907, 0.01554535, -1.0 / (6.0 * math.pi**2)]),
            b=leaf([3.72744, 7.06042, 1.13107]),
            c=leaf([12.9352, 18.0578, 13.0045]),
            x0=leaf([-0.10498, -0.32500, -0.0047584]),
        )

    @classmethod
    def random_phase(cls) -> Fit:
        """To the random-phase approximation, hartree."""
        return cls(
            a=leaf([0.0310907, 0.01554535, -1.0 / (6.0 * math.pi**2)]),
            b=leaf([13.0720, 20.1231, 1.06835]),
            c=leaf([42.7198, 101.578, 11.4813]),
            x0=leaf([-0.409286, -0.743294, -0.228344]),
        )

    def __call__(self, k: int, x: Float[Array, " point"]) -> Float[Array, "..."]:
        """Entry `k`, hartree, at x = sqrt(r_s)."""
        b, c, x0 = self.b[k], self.c[k], self.x0[k]
        shift = b * x0 / (x0**2 + b * x0 + c)
        log_quadratic = jnp.log1p((b + c / x) / x)
        angle = 2.0 * (b - shift * (b + 2.0 * x0)) * _angle(4.0 * c - b**2, 2.0 * x + b)
        return self.a[k] * (
            (shift - 1.0) * log_quadratic + angle - 2.0 * shift * jnp.log1p(-x0 / x)
        )


def _angle(q2: Float[Array, ""], y: Float[Array, " point"]) -> Float[Array, " point"]:
    """arctan(q / y) / q, y > 0: an analytic function of q^2 through 0, where artanh takes over.

    The parameters of the random-phase fit have q^2 = 0.002; fitting them may change its sign.
    """
    r2 = q2 / y**2
    small = jnp.abs(r2) < 1e-2
    root = jnp.sqrt(jnp.abs(jnp.where(small, 1.0, r2)))
    series = jnp.zeros_like(r2)
    for k in reversed(range(8)):
        series = 1.0 / (2 * k + 1) - jnp.where(small, r2, 0.0) * series
    far = jnp.where(
        r2 > 0, jnp.arctan(root), jnp.arctanh(jnp.where((r2 < 0) & ~small, root, 0.0))
    )
    return jnp.where(small, series, far / root) / y


def _monte_carlo() -> Fit:
    return dataclasses.field(default_factory=Fit.quantum_monte_carlo)


def _random_phase() -> Fit:
    return dataclasses.field(default_factory=Fit.random_phase)


class _PerParticle:
    """What all have in common."""

    level: ClassVar[str] = "lda"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return density.where_filled(density.safe_total * self.per_particle(density))

    def per_particle(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per electron, hartree."""
        raise NotImplementedError


@pytree
class VWN5(_PerParticle):
    """Fit V of the paper, its recommendation (libxc: lda_c_vwn; PySCF: vwn, vwn5)."""

    fit: Fit = _monte_carlo()

    def per_particle(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per electron, hartree (of a density of 1 where there is none)."""
        x = jnp.sqrt(density.wigner_seitz_radius)
        if density.closed_shell:
            return self.fit(PARAMAGNETIC, x)
        unpolarized, polarized, stiffness = (self.fit(k, x) for k in range(3))
        f, z4 = density.spin_interpolation, density.polarization**4
        curvature = (1.0 - z4) * stiffness / STIFFNESS_SCALE
        return unpolarized + f * (z4 * (polarized - unpolarized) + curvature)


@pytree
class VWN3(_PerParticle):
    """Fit III: the stiffness of the random-phase approximation, scaled (libxc: lda_c_vwn_3)."""

    fit: Fit = _monte_carlo()
    random_phase: Fit = _random_phase()

    def per_particle(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per electron, hartree (of a density of 1 where there is none)."""
        x = jnp.sqrt(density.wigner_seitz_radius)
        if density.closed_shell:
            return self.fit(PARAMAGNETIC, x)
        unpolarized, polarized = (self.fit(k, x) for k in range(2))
        rpa_unpolarized, rpa_polarized, rpa_stiffness = (self.random_phase(k, x) for k in range(3))
        f, z4 = density.spin_interpolation, density.polarization**4
        curvature = rpa_stiffness / ((rpa_polarized - rpa_unpolarized) * STIFFNESS_SCALE)
        return unpolarized + f * (polarized - unpolarized) * (z4 + (1.0 - z4) * curvature)


@pytree
class VWNRPA(_PerParticle):
    """The random-phase approximation, in B3LYP of PySCF and Gaussian (libxc: lda_c_vwn_rpa)."""

    fit: Fit = _random_phase()

    def per_particle(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per electron, hartree (of a density of 1 where there is none)."""
        x = jnp.sqrt(density.wigner_seitz_radius)
        if density.closed_shell:
            return self.fit(PARAMAGNETIC, x)
        unpolarized, polarized = (self.fit(k, x) for k in range(2))
        return unpolarized + density.spin_interpolation * (polarized - unpolarized)


LABELS = {"lda_c_vwn": VWN5, "lda_c_vwn_3": VWN3, "lda_c_vwn_rpa": VWNRPA}
