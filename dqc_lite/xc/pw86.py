"""Exchange of Perdew and Wang, 1986, and its refit, which VV10 goes with.

J. P. Perdew, Y. Wang, Phys. Rev. B 33, 8800 (1986); E. D. Murray, K. Lee, D. C. Langreth, J. Chem.
Theory Comput. 5, 2754 (2009). VV10: O. A. Vydrov, T. Van Voorhis, J. Chem. Phys. 133, 244103
(2010).
"""

from __future__ import annotations

import functools
from typing import ClassVar

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.slater import S_SQUARED, enhanced


@pytree
class PW86Exchange:
    """F = (1 + a s^2 + b s^4 + c s^6)^(1/15) (libxc: gga_x_pw86).

    Attributes:
        a, b, c: coefficients.
    """

    a: Float[Array, ""] | float = 1.296
    b: Float[Array, ""] | float = 14.0
    c: Float[Array, ""] | float = 0.2

    level: ClassVar[str] = "gga"

    def factor(self, s2: Float[Array, "..."]) -> Float[Array, "..."]:
        """The enhancement factor at s^2."""
        return (1.0 + s2 * (self.a + s2 * (self.b + s2 * self.c))) ** (1 / 15)

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        return enhanced(density, self.factor(S_SQUARED * density.reduced_gradient_squared))


LABELS = {
    "gga_x_pw86": PW86Exchange,
    "gga_x_rpw86": functools.partial(PW86Exchange, a=1.851, b=17.33, c=0.163),
}

FUNCTIONALS = {
    "gga_xc_vv10": dict(
        components=[(1.0, "gga_x_rpw86"), (1.0, "gga_c_pbe")],
        vv10=(5.9, 0.0093),
    ),
}
