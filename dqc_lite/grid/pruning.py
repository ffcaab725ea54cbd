"""Fewer directions near to and far from the nucleus, as in NWChem.

The borders of the five zones are those of SG-1 (Gill, Johnson, Pople, Chem. Phys. Lett. 209, 506
(1993)), in units of the atomic radius, with Bragg's radii instead of those of the paper.
"""

from __future__ import annotations

import numpy as np

from dqc_lite.grid.angular import COUNTS
from dqc_lite.grid.radii import bragg

BORDERS = ((2, (0.25, 0.5, 1.0, 4.5)), (10, (0.1667, 0.5, 0.9, 3.5)), (118, (0.1, 0.4, 0.8, 2.5)))
"""Up to which element, and where the zones end."""


def nwchem(number: int, radius: np.ndarray, degree: int) -> np.ndarray:
    """Number of directions at each radius (bohr), of a grid of a degree (11 or more) at most."""
    degrees = list(COUNTS)
    top = degrees.index(degree)
    if degree == 11:
        zones = (11, 13, 13, 13, 11)
    else:
        zones = (11, 15, degrees[top - 1], degree, degrees[top - 1])
    borders = next(zone for last, zone in BORDERS if number <= last)
    place = np.searchsorted(borders, radius / bragg(number))
    return np.array([COUNTS[d] for d in zones])[place]
