"""Fewer directions where the density is smooth: near to the nucleus and far from it.

The borders of the five zones of NWChem are those of SG-1 (Gill, Johnson, Pople, Chem. Phys. Lett.
209, 506 (1993)), in units of the atomic radius, with Bragg's radii instead of those of the paper.
"""

from __future__ import annotations

import numpy as np

from dqc_lite.grid.angular import COUNTS
from dqc_lite.grid.radii import bragg

BORDERS = ((2, (0.25, 0.5, 1.0, 4.5)), (10, (0.1667, 0.5, 0.9, 3.5)), (118, (0.1, 0.4, 0.8, 2.5)))
"""Up to which element, and where the zones end."""


def everywhere(number: int, radius: np.ndarray, count: int) -> np.ndarray:
    """The same number of directions at each radius."""
    return np.full(len(radius), count)


def treutler(number: int, radius: np.ndarray, count: int) -> np.ndarray:
    """14 and 50 directions for the inner third and up to the half of the radii.

    Treutler and Ahlrichs, J. Chem. Phys. 102, 346 (1995), sec. III.
    """
    n = len(radius)
    return np.where(np.arange(n) < n // 3, 14, np.where(np.arange(n) < n // 2, 50, count))


def nwchem(number: int, radius: np.ndarray, count: int) -> np.ndarray:
    """Number of directions at each radius (bohr), of a grid of `count` of them at most."""
    if count < 50:
        return everywhere(number, radius, count)
    degrees = list(COUNTS)
    degree = next(d for d in degrees if COUNTS[d] == count)
    top = degrees.index(degree)
    if degree == 11:
        zones = (11, 13, 13, 13, 11)
    else:
        zones = (11, 15, degrees[top - 1], degree, degrees[top - 1])
    borders = next(zone for last, zone in BORDERS if number <= last)
    place = np.searchsorted(borders, radius / bragg(number))
    return np.array([COUNTS[d] for d in zones])[place]


PRUNINGS = {"nwchem": nwchem, "treutler": treutler, None: everywhere}
"""By name."""
