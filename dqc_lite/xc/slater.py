"""Exchange of the uniform electron gas, and the form of all exchange that enhances it.

P. A. M. Dirac, Proc. Cambridge Philos. Soc. 26, 376 (1930); J. C. Slater, Phys. Rev. 81, 385
(1951).
"""

from __future__ import annotations

import math
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import LocalDensity

UNIFORM_EXCHANGE = -0.75 * (6.0 / math.pi) ** (1 / 3)
"""Energy per volume of one spin, hartree / bohr^3, over rho_s^(4/3)."""

S_SQUARED = 0.25 * (6.0 * math.pi**2) ** (-2 / 3)
"""s^2 over x^2 = |grad rho_s|^2 / rho_s^(8/3)."""


def uniform_exchange(rho: Float[Array, "..."]) -> Float[Array, "..."]:
    """Exchange energy per volume, hartree / bohr^3, of one spin with density `rho` > 0."""
    return UNIFORM_EXCHANGE * rho * jnp.cbrt(rho)


def enhanced(density: LocalDensity, factor: Float[Array, "spin point"]) -> Float[Array, " point"]:
    """Exchange energy per volume, hartree / bohr^3, with an enhancement factor for each spin."""
    return density.summed(uniform_exchange(density.safe_rho) * factor)


@pytree
class SlaterExchange:
    """Exchange of the uniform electron gas (libxc: lda_x).

    Attributes:
        scale: factor before it; 3/2 of the X-alpha method's alpha.
    """

    scale: Float[Array, ""] | float = 1.0

    level: ClassVar[str] = "lda"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return self.scale * density.summed(uniform_exchange(density.safe_rho))


LABELS = {"lda_x": SlaterExchange}
