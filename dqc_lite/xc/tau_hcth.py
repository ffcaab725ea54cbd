"""tHCTH, tHCTHh and BMK: B97's series, and in exchange a second one times an odd function of w.

tHCTH: A. D. Boese, N. C. Handy, J. Chem. Phys. 116, 9559 (2002); BMK: A. D. Boese, J. M. L. Martin,
J. Chem. Phys. 121, 3405 (2004).
"""

from __future__ import annotations

import functools
from typing import ClassVar

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.xc import reduced
from dqc_lite.xc.b97 import B97Correlation, series
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.leaves import leaf
from dqc_lite.xc.slater import S_SQUARED, enhanced


@pytree
class TauHCTHExchange:
    """F = sum_i l_i u^i + (w - 2 w^3 + w^5) sum_i n_i u^i, w = (tau_u - tau) / (tau_u + tau).

    libxc: mgga_x_tau_hcth and the others in `LABELS`.

    Attributes:
        local_part, nonlocal_part: (term,), l and n.
        gamma: of u = gamma x^2 / (1 + gamma x^2).
    """

    local_part: Float[Array, " term"]
    nonlocal_part: Float[Array, " term"]
    gamma: Float[Array, ""] | float = 0.004

    level: ClassVar[str] = "mgga"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        p, t, _ = reduced.of_spins(density)
        w, x2 = (1.0 - t) / (1.0 + t), p / S_SQUARED
        odd = w * (1.0 - w * w) ** 2
        still = series(self.local_part, self.gamma, x2)
        return enhanced(density, still + odd * series(self.nonlocal_part, self.gamma, x2))


def _exchange(label: str) -> TauHCTHExchange:
    local_part, nonlocal_part = map(leaf, EXCHANGE[label])
    return TauHCTHExchange(local_part, nonlocal_part)


def _correlation(label: str) -> B97Correlation:
    same, opposite = map(leaf, CORRELATION[label])
    return B97Correlation(same, opposite)


EXCHANGE = {
    "mgga_x_tau_hcth": (
        (1.10734, -1.0534, 6.3491, -2.5531),
        (0.00110, -0.3041, 6.9543, -0.7235),
    ),
    "hyb_mgga_x_tau_hcth": (
        (0.86735, 0.3008, 1.2208, 0.1574),
        (-0.00230, -0.2849, 5.4146, -10.909),
    ),
    "hyb_mgga_x_bmk": (
        (0.474302, 2.77701, -11.4230, 11.7167),
        (-0.192212, 4.73936, -26.6188, 22.4891),
    ),
}
"""Both series of exchange."""

CORRELATION = {
    "gga_c_tau_hcth": (
        (0.41385, -0.9086, -0.0549, 1.7480),
        (0.65262, 6.3638, -14.080, -3.3755),
    ),
    "gga_c_hyb_tau_hcth": (
        (0.18600, 3.9782, -7.0694, 3.4747),
        (0.80490, 3.8388, -13.547, 3.9133),
    ),
    "gga_c_bmk": (
        (-2.19098, 23.8939, -44.3303, 22.5982),
        (1.22334, -3.4631, 10.0731, -11.1974),
    ),
}
"""Equal and opposite spins."""

LABELS = {label: functools.partial(_exchange, label) for label in EXCHANGE} | {
    label: functools.partial(_correlation, label) for label in CORRELATION
}
