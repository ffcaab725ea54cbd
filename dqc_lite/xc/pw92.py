"""Correlation of the uniform electron gas after Perdew and Wang.

J. P. Perdew and Y. Wang, Phys. Rev. B 45, 13244 (1992).
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import WIGNER_SEITZ, LocalDensity
from dqc_lite.xc.leaves import default, leaf

FERROMAGNETIC = 1
"""Of the parameters' entries."""


@pytree
class PW92:
    """Perdew-Wang correlation (libxc: lda_c_pw).

    Each parameter has three entries: for the unpolarized gas, the polarized gas, and (minus) the
    spin stiffness.

    Attributes:
        a, alpha1, beta1, beta2, beta3, beta4: (3,), of G in equation 10.
        stiffness_scale: f''(0), which divides the spin stiffness in equation 8.
    """

    a: Float[Array, "3"] = default(0.031091, 0.015545, 0.016887)
    alpha1: Float[Array, "3"] = default(0.21370, 0.20548, 0.11125)
    beta1: Float[Array, "3"] = default(7.5957, 14.1189, 10.357)
    beta2: Float[Array, "3"] = default(3.5876, 6.1977, 3.6231)
    beta3: Float[Array, "3"] = default(1.6382, 3.3662, 0.88026)
    beta4: Float[Array, "3"] = default(0.49294, 0.62517, 0.49671)
    stiffness_scale: Float[Array, ""] | float = 1.709921

    level: ClassVar[str] = "lda"

    @classmethod
    def modified(cls) -> PW92:
        """With more digits, as in the published PBE program (libxc: lda_c_pw_mod)."""
        return cls(
            a=leaf([0.0310907, 0.01554535, 0.0168869]),
            stiffness_scale=1.709920934161365617563962776245,
        )

    def _g(self, k: int, rs: Float[Array, "..."]) -> Float[Array, "..."]:
        """G of equation 10, hartree, for entry `k` of the parameters."""
        x = jnp.sqrt(rs)
        series = self.beta3[k] + self.beta4[k] * x
        series = x * (self.beta1[k] + x * (self.beta2[k] + x * series))
        two_a = 2.0 * self.a[k]
        return -two_a * (1.0 + self.alpha1[k] * rs) * jnp.log1p(1.0 / (two_a * series))

    def of_radius(
        self, rs: Float[Array, " point"], closed_shell: bool
    ) -> tuple[Float[Array, " point"], ...]:
        """G of the unpolarized gas, and unless `closed_shell` of the other two entries."""
        return tuple(self._g(k, rs) for k in range(1 if closed_shell else 3))

    def interpolated(
        self,
        g: tuple[Float[Array, " point"], ...],
        f: Float[Array, " point"],
        z4: Float[Array, " point"],
    ) -> Float[Array, " point"]:
        """Energy per electron of `of_radius`, linear in it; f(zeta) and zeta^4."""
        if len(g) == 1:
            return g[0]
        unpolarized, polarized, stiffness = g
        curvature = (z4 - 1.0) * stiffness / self.stiffness_scale
        return unpolarized + f * (z4 * (polarized - unpolarized) + curvature)

    def polarized_per_particle(self, rho: Float[Array, "..."]) -> Float[Array, "..."]:
        """Energy per electron, hartree, of a fully polarized gas with density `rho` > 0."""
        return self._g(FERROMAGNETIC, WIGNER_SEITZ / jnp.cbrt(rho))

    def per_particle(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per electron, hartree (of a density of 1 where there is none)."""
        g = self.of_radius(density.wigner_seitz_radius, density.closed_shell)
        return self.interpolated(g, density.spin_interpolation, density.polarization**4)

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return density.where_filled(density.safe_total * self.per_particle(density))


LABELS = {"lda_c_pw": PW92, "lda_c_pw_mod": PW92.modified}
