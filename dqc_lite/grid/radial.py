"""Radial quadrature of Treutler and Ahlrichs, J. Chem. Phys. 102, 346 (1995), mapping M4."""

from __future__ import annotations

import numpy as np

XI = np.array([
    1.0,  # no element
    0.8, 0.9,  # H He
    1.8, 1.4, 1.3, 1.1, 0.9, 0.9, 0.9, 0.9,  # Li-Ne
    1.4, 1.3, 1.3, 1.2, 1.1, 1.0, 1.0, 1.0,  # Na-Ar
    1.5, 1.4, 1.3, *[1.2] * 6, *[1.1] * 4, 1.0, *[0.9] * 4,  # K-Kr
    2.0, 1.7, 1.5, 1.5, 1.35, 1.35, 1.25, 1.2, 1.25, 1.3, 1.5, 1.5,  # Rb-Cd
    1.3, 1.2, 1.2, 1.15, 1.15, 1.15,  # In-Xe
    2.5, 2.2, 2.5, *[1.5] * 29,  # Cs-Rn
    2.5, 2.1, 3.685, *[1.5] * 14,  # Fr-Lr
])  # fmt: skip
"""Size of each element in the map, bohr: Table II of the paper to krypton; beyond, the values of
Psi4, which PySCF has taken over."""


def treutler_ahlrichs(count: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Points r (bohr), ascending, and weights of int_0^inf f(r) dr for an element.

    ``r = xi / ln 2 (1 + x)^0.6 ln(2 / (1 - x))`` (eq. 19) of the Gauss-Chebyshev points of the
    second kind x; 0 is the atom without element.
    """
    angle = np.pi / (count + 1) * np.arange(count, 0, -1)
    x = np.cos(angle)
    scale = XI[number] / np.log(2.0) * (1.0 + x) ** 0.6
    logarithm = -np.log((1.0 - x) / 2.0)
    slope = scale * (0.6 / (1.0 + x) * logarithm + 1.0 / (1.0 - x))
    return scale * logarithm, np.pi / (count + 1) * np.sin(angle) * slope
