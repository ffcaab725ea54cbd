"""The rotations that leave a molecule as it is."""

from __future__ import annotations

import itertools

import numpy as np

from dqc_lite._types import Float

TOLERANCE = 0.01
"""Bohr, between a rotated atom and the one it falls on."""


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
    frame = _frame(apart)
    if frame is None:
        return 2 if _maps(-np.eye(3), masses, apart) else 1
    first, second = frame
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


def _frame(apart: np.ndarray) -> tuple[int, int] | None:
    """Two atoms that with the centre of mass span a plane, None where all lie on a line."""
    norms = np.linalg.norm(apart, axis=1)
    first = int(norms.argmax())
    areas = np.linalg.norm(np.cross(apart[first], apart), axis=1)
    second = int(areas.argmax())
    return (first, second) if areas[second] > TOLERANCE * norms[first] else None


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
