"""Atomic radii of Bragg and Slater, J. Chem. Phys. 41, 3199 (1964), completed as in PySCF."""

from __future__ import annotations

import numpy as np

from dqc_lite.units import ANGSTROM_IN_BOHR

BRAGG = np.array([
    1.999999,  # no element
    0.35, 1.40,  # H He
    1.45, 1.05, 0.85, 0.70, 0.65, 0.60, 0.50, 1.50,  # Li-Ne
    1.80, 1.50, 1.25, 1.10, 1.00, 1.00, 1.00, 1.80,  # Na-Ar
    2.20, 1.80, 1.60, 1.40, 1.35, 1.40, 1.40, 1.40, 1.35, 1.35, 1.35, 1.35,  # K-Zn
    1.30, 1.25, 1.15, 1.15, 1.15, 1.90,  # Ga-Kr
    2.35, 2.00, 1.80, 1.55, 1.45, 1.45, 1.35, 1.30, 1.35, 1.40, 1.60, 1.55,  # Rb-Cd
    1.55, 1.45, 1.45, 1.40, 1.40, 2.10,  # In-Xe
    2.60, 2.15, 1.95, *[1.85] * 6, 1.80, *[1.75] * 7,  # Cs-Lu
    1.55, 1.45, 1.35, 1.35, 1.30, 1.35, 1.35, 1.35, 1.50,  # Hf-Hg
    1.90, 1.80, 1.60, 1.90, 1.45, 2.10,  # Tl-Rn
    1.80, 2.15, 1.95, 1.80, 1.80, *[1.75] * 27,  # Fr-Og
])  # fmt: skip
"""Angstrom."""


def bragg(number: int) -> float:
    """Radius of an element in bohr."""
    return float(BRAGG[number]) * ANGSTROM_IN_BOHR
