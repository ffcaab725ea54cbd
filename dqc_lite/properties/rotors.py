"""Is a molecule linear, and which rotations leave it as it is?

Linear means: the atoms lie on one line within what the precision of a file allows. A coordinate
that was rounded to d decimals is wrong by 10^-d / 2 at most, an atom by sqrt(3) times that, so that
the root mean square distance of all atoms from the line that fits them best, whatever their masses,
the length of the molecule and its orientation, is below 10^-d of the unit. (An angle, or a moment
of inertia, tells such a bend from a true one only for one length and one mass.) Two decimals still
count as a line, since a molecule that is bent by less has no rotation about its axis to speak of.
"""

from __future__ import annotations

import itertools

import numpy as np

from dqc_lite._types import Float
from dqc_lite._warnings import warn
from dqc_lite.units import BOHR_IN_ANGSTROM

LINEAR_WITHIN = 0.01 / BOHR_IN_ANGSTROM
"""Root mean square distance from a line (bohr) of a linear molecule: angstrom, two decimals."""

DOUBTFUL = (0.001 / BOHR_IN_ANGSTROM, 0.03 / BOHR_IN_ANGSTROM)
"""Such distances between which the geometry leaves it open: more than the rounding of the third
decimal, less than a bend that matters."""

TOLERANCE = 0.01
"""Bohr, between a rotated atom and the one it falls on."""


def bend(positions: Float[np.ndarray, "atom 3"]) -> float:
    """Root mean square distance of the atoms from the line that fits them best, bohr."""
    apart = positions - positions.mean(0)
    across = np.linalg.svd(apart, compute_uv=False)[1:]  # the first is along the line
    return float(np.linalg.norm(across) / np.sqrt(len(positions)))


def rotational_freedom(positions: Float[np.ndarray, "atom 3"]) -> int:
    """Number of axes about which a molecule turns: 0 for an atom, 2 for a linear one, else 3."""
    if len(positions) < 2:
        return 0
    return 2 if len(positions) == 2 or bend(positions) <= LINEAR_WITHIN else 3


def warn_if_doubtful(positions: Float[np.ndarray, "atom 3"]) -> None:
    """Warn where the positions do not tell clearly whether the molecule is linear."""
    if len(positions) < 3 or not DOUBTFUL[0] < bend(positions) < DOUBTFUL[1]:
        return
    kind = "linear" if rotational_freedom(positions) == 2 else "nonlinear"
    warn(
        f"positions: the atoms lie {bend(positions) * BOHR_IN_ANGSTROM:.4f} angstrom (root mean "
        f"square) off one line; the molecule is taken as {kind}. Modes and entropy depend on "
        "that: give at least three decimals of an angstrom, put the atoms of a linear molecule "
        "exactly on a line, or converge the optimization of the geometry further."
    )


def symmetry_number(
    masses: Float[np.ndarray, " atom"], positions: Float[np.ndarray, "atom 3"]
) -> int:
    """Number of rotations that exchange equal atoms only; 1 for an atom.

    Of a linear molecule 2 or 1, whether its ends are equal or not: the rotations about its axis,
    infinitely many, are not states apart.
    """
    if len(masses) < 2:
        return 1
    apart = positions - masses @ positions / masses.sum()
    if rotational_freedom(positions) == 2:
        axis = np.linalg.svd(apart)[2][0]
        return 2 if _maps(-np.eye(3), masses, np.outer(apart @ axis, axis)) else 1
    first, second = _frame(apart)
    before = _triad(apart[first], apart[second])
    pairs = itertools.permutations(range(len(masses)), 2)
    found = []
    for i, j in pairs:
        if not _alike(masses, apart, (first, second), (i, j)):
            continue
        rotation = _triad(apart[i], apart[j]) @ before.T
        if _maps(rotation, masses, apart):
            found.append(rotation)
    return len(found)


def _frame(apart: np.ndarray) -> tuple[int, int]:
    """Two atoms that with the centre of mass span a plane, of a molecule that is not linear."""
    norms = np.linalg.norm(apart, axis=1)
    first = int(norms.argmax())
    areas = np.linalg.norm(np.cross(apart[first], apart), axis=1)
    return first, int(areas.argmax())


def _alike(masses: np.ndarray, apart: np.ndarray, old: tuple, new: tuple) -> bool:
    """Whether two atoms can be the images of two others."""
    a, b = apart[list(old)], apart[list(new)]
    same = np.abs(a @ a.T - b @ b.T).max() <= 2.0 * TOLERANCE * np.linalg.norm(a, axis=1).max()
    return bool(same and np.allclose(masses[list(old)], masses[list(new)], rtol=1e-6))


def _triad(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Right-handed orthonormal axes in columns, from two vectors."""
    x = a / np.linalg.norm(a)
    z = np.cross(a, b)
    z = z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _maps(rotation: np.ndarray, masses: np.ndarray, apart: np.ndarray) -> bool:
    """Whether every atom falls on one of the same mass."""
    distances = np.linalg.norm((apart @ rotation.T)[:, None] - apart, axis=2)
    equal = np.isclose(masses[:, None], masses, rtol=1e-6)
    return bool((np.where(equal, distances, np.inf).min(1) < TOLERANCE).all())
