"""Exchange and correlation of Perdew and Wang, 1991.

J. P. Perdew, J. A. Chevary, S. H. Vosko, K. A. Jackson, M. R. Pederson, D. J. Singh and
C. Fiolhais, Phys. Rev. B 46, 6671 (1992).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.xc import safe
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.pbe import gradient_corrected, reduced_gradient
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.slater import S_SQUARED, UNIFORM_EXCHANGE, enhanced


@pytree
class PW91Exchange:
    """PW91 exchange, equation 8 (libxc: gga_x_pw91).

    Attributes:
        a, b, c, d, f: of F = (1 + a s arcsinh(b s) + (c + d exp(-alpha s^2)) s^2)
            / (1 + a s arcsinh(b s) + f s^power).
        alpha: of the exponential.
        power: of s in the last term; the same term is subtracted in the numerator of F - 1.
    """

    a: Float[Array, ""] | float = 0.19645
    b: Float[Array, ""] | float = 7.7956
    c: Float[Array, ""] | float = 0.2743
    d: Float[Array, ""] | float = -0.1508
    f: Float[Array, ""] | float = 0.004
    alpha: Float[Array, ""] | float = 100.0
    power: float = static(default=4.0)

    level: ClassVar[str] = "gga"

    @classmethod
    def modified(cls) -> PW91Exchange:
        """mPW91: C. Adamo and V. Barone, J. Chem. Phys. 108, 664 (1998) (libxc: gga_x_mpw91).

        With b = 0.00426 and the power 3.72 of the authors' program, which the paper prints as
        0.0046 and 3.73.
        """
        return cls.from_x(0.00426, 100.0, 3.72)

    @classmethod
    def from_x(cls, b88: float, alpha: float, power: float) -> PW91Exchange:
        """In Becke's b (`b88`), as mPW91 and its refits give it."""
        small, s = 5.0 * (36.0 * math.pi) ** (-5 / 3), math.sqrt(S_SQUARED)
        unit = -UNIFORM_EXCHANGE * S_SQUARED
        return cls(
            a=6.0 * b88 / s,
            b=1.0 / s,
            c=b88 / unit,
            d=(small - b88) / unit,
            f=-1e-6 / (UNIFORM_EXCHANGE * s**power),
            alpha=alpha,
            power=power,
        )

    def factor(self, s2: Float[Array, "..."]) -> Float[Array, "..."]:
        """The enhancement factor at s^2."""
        last = self.f * (s2 * s2 if self.power == 4.0 else safe.power(s2, 0.5 * self.power))
        first = self.a / self.b * safe.x_arcsinh_x(self.b**2 * s2)
        numerator = (self.c + self.d * jnp.exp(-self.alpha * s2)) * s2 - last
        return 1.0 + numerator / (1.0 + first + last)

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return enhanced(density, self.factor(S_SQUARED * density.reduced_gradient_squared))


NU = 16.0 / math.pi * (3.0 * math.pi**2) ** (1 / 3)


@pytree
class PW91Correlation:
    """PW91 correlation (libxc: gga_c_pw91).

    Attributes:
        alpha: of equation 14.
        c0: C_c(0), the gradient coefficient of correlation at high density.
        cx: C_x, that of exchange.
        p1, p2, p3, q2, q3: of C_xc(r_s) = (p1 + p2 r_s + p3 r_s^2) / (1 + q2 r_s + q3 r_s^2);
            M. Rasolt and D. J. W. Geldart, Phys. Rev. B 34, 1325 (1986).
        uniform: correlation of the uniform gas.
    """

    alpha: Float[Array, ""] | float = 0.09
    c0: Float[Array, ""] | float = 0.004235
    cx: Float[Array, ""] | float = -0.001667
    p1: Float[Array, ""] | float = 0.002568
    p2: Float[Array, ""] | float = 0.023266
    p3: Float[Array, ""] | float = 7.389e-6
    q2: Float[Array, ""] | float = 8.723
    q3: Float[Array, ""] | float = 0.472
    uniform: PW92 = dataclasses.field(default_factory=PW92)

    level: ClassVar[str] = "gga"

    def _weak_gradients(
        self, rs: Float[Array, " point"], t2: Float[Array, " point"], phi: Float[Array, " point"]
    ) -> Float[Array, " point"]:
        """H1 of equation 15, hartree."""
        coefficient = (self.p1 + rs * (self.p2 + rs * self.p3)) / (
            1.0 + rs * (self.q2 + rs * self.q3)
        ) - (self.c0 + self.cx + 3.0 / 7.0 * self.cx)
        screening = 400.0 / math.pi * (4.0 / (9.0 * math.pi)) ** (1 / 3) * rs
        cubed = phi**3 * t2
        return NU * coefficient * cubed * jnp.exp(-screening * phi * cubed)

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        uniform = self.uniform.per_particle(density)
        rs, phi = density.wigner_seitz_radius, density.mean_power(2)
        t2 = reduced_gradient(density, phi)
        beta = NU * self.c0
        strong = gradient_corrected(t2, uniform, phi**3, beta, beta**2 / (2.0 * self.alpha))
        weak = self._weak_gradients(rs, t2, phi)
        return density.where_filled(density.safe_total * (strong + weak))


LABELS = {
    "gga_x_pw91": PW91Exchange,
    "gga_x_mpw91": PW91Exchange.modified,
    "gga_x_mpw91_pw6b95": functools.partial(
        PW91Exchange.from_x, 0.00538, 1.7382 / S_SQUARED, 3.8901
    ),
    "gga_x_mpw91_pwb6k": functools.partial(
        PW91Exchange.from_x, 0.00539, 1.7077 / S_SQUARED, 4.0876
    ),
    "gga_c_pw91": PW91Correlation,
}
"""With the parameters of PW6B95 and PWB6K, libxc's gga_x_mpw91: Y. Zhao, D. G. Truhlar, J. Phys.
Chem. A 109, 5656 (2005)."""
