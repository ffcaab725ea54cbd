"""Angular quadrature of Lebedev and Laikov, Doklady Math. 59, 477 (1999)."""

from __future__ import annotations

import functools

import numpy as np

COUNTS = {
    3: 6, 5: 14, 7: 26, 9: 38, 11: 50, 13: 74, 15: 86, 17: 110, 19: 146, 21: 170, 23: 194,
    25: 230, 27: 266, 29: 302, 31: 350, 35: 434, 41: 590, 47: 770, 53: 974, 59: 1202, 65: 1454,
}  # fmt: skip
"""Number of points for each degree of the polynomials integrated exactly."""


@functools.cache
def lebedev(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(point, 3) unit vectors and weights that add up to 1."""
    from dqc_lite.integrals.host.lebedev import table  # PySCF, when a grid is made

    points = table(count)
    return points[:, :3], points[:, 3]
