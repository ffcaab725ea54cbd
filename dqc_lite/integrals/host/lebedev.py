"""PySCF's tables of Lebedev points.

`scipy.integrate.lebedev_rule` has the same numbers, but is newer than the oldest supported SciPy.
"""

from __future__ import annotations

import numpy as np
from pyscf.dft.LebedevGrid import MakeAngularGrid


def table(count: int) -> np.ndarray:
    """(point, 4): unit vectors and weights that add up to 1."""
    return np.array(MakeAngularGrid(count))
