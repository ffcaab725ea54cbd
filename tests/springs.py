"""Vibrations of atoms that springs hold together: what does not depend on a quantum calculation."""

from __future__ import annotations

import dataclasses

import numpy as np

import dqc_lite as dqc
from dqc_lite.properties.hessian import Harmonic
from dqc_lite.properties.vibrations import analyze, atomic_masses


def vibrations(mol: dqc.Molecule, matrix: np.ndarray | None = None) -> dqc.Vibrations:
    """Springs between all pairs of atoms, along the bond and, weaker, across it."""
    positions, n = np.asarray(mol.positions), mol.natm
    hessian = np.zeros((n, 3, n, 3))
    real = [i for i in range(n) if mol.layout.numbers[i]]
    for a in real:
        for b in real:
            if a < b:
                apart = positions[a] - positions[b]
                unit = apart / np.linalg.norm(apart)
                block = 0.3 * np.outer(unit, unit) + 0.05 * np.eye(3)
                for i, j, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
                    hessian[i, :, j] += sign * block

    @dataclasses.dataclass
    class Solution:
        energy: float = -10.0

    made = Harmonic(
        Solution(), np.zeros((n, 3)), hessian if matrix is None else matrix,
        np.zeros((n, 3, 3)), np.zeros((3, 3)),
    )  # fmt: skip
    return analyze(mol, made, atomic_masses(mol))
