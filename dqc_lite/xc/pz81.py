"""Correlation of the uniform electron gas after Perdew and Zunger.

J. P. Perdew and A. Zunger, Phys. Rev. B 23, 5048 (1981), appendix C.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.leaves import default, leaf

PARAMAGNETIC = 0


@pytree
class PZ81:
    """Perdew-Zunger correlation (libxc: lda_c_pz); its second derivative jumps at r_s = 1.

    Each parameter has two entries, for the unpolarized and the polarized gas.

    Attributes:
        gamma, beta1, beta2: (2,), of equation C3, r_s >= 1.
        a, b, c, d: (2,), of equation C5, r_s < 1.
    """

    gamma: Float[Array, "2"] = default(-0.1423, -0.0843)
    beta1: Float[Array, "2"] = default(1.0529, 1.3981)
    beta2: Float[Array, "2"] = default(0.3334, 0.2611)
    a: Float[Array, "2"] = default(0.0311, 0.01555)
    b: Float[Array, "2"] = default(-0.048, -0.0269)
    c: Float[Array, "2"] = default(0.0020, 0.0007)
    d: Float[Array, "2"] = default(-0.0116, -0.0048)

    level: ClassVar[str] = "lda"

    @classmethod
    def modified(cls) -> PZ81:
        """c and d make value and slope continuous at r_s = 1 (libxc: lda_c_pz_mod)."""
        return cls(
            c=leaf([0.0020191519406228, 0.00069255121311694]),
            d=leaf([-0.0116320663789130, -0.00480126353790614]),
        )

    def _fit(self, k: int, rs: Float[Array, " point"]) -> Float[Array, "..."]:
        """Energy per electron, hartree, for entry `k` of the parameters."""
        log = jnp.log(rs)
        dense = self.a[k] * log + self.b[k] + rs * (self.c[k] * log + self.d[k])
        dilute = self.gamma[k] / (1.0 + self.beta1[k] * jnp.sqrt(rs) + self.beta2[k] * rs)
        return jnp.where(rs >= 1.0, dilute, dense)

    def per_particle(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per electron, hartree (of a density of 1 where there is none)."""
        rs = density.wigner_seitz_radius
        if density.closed_shell:
            return self._fit(PARAMAGNETIC, rs)
        unpolarized, polarized = (self._fit(k, rs) for k in range(2))
        return unpolarized + density.spin_interpolation * (polarized - unpolarized)

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return density.where_filled(density.safe_total * self.per_particle(density))


LABELS = {"lda_c_pz": PZ81, "lda_c_pz_mod": PZ81.modified}
