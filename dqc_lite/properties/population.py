"""Atomic charges from the density matrix, in e; they sum to the charge of the molecule."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from dqc_lite._types import Array, Float
from dqc_lite.integrals import operators
from dqc_lite.method import MethodLike
from dqc_lite.molecule import Molecule
from dqc_lite.singlepoint import density_matrix


def mulliken_charges(
    mol: Molecule, method: MethodLike | None = None, **options: Any
) -> Float[Array, " atom"]:
    """``Z_A - sum_{m in A} (P S)_mm``, (atom,); differentiable. Arguments as in `energy`.

    Mulliken, J. Chem. Phys. 23, 1833 (1955).
    """
    p = density_matrix(mol, method, **options).sum(0)
    overlap = operators.overlap(mol.orbitals())
    return _of_atoms(mol, jnp.einsum("mn,nm->m", p, overlap))


def loewdin_charges(
    mol: Molecule, method: MethodLike | None = None, **options: Any
) -> Float[Array, " atom"]:
    """``Z_A - sum_{m in A} (S^1/2 P S^1/2)_mm``, (atom,); differentiable. Arguments as in `energy`.

    Loewdin, J. Chem. Phys. 18, 365 (1950). The square root is differentiated as a matrix function,
    so that equal eigenvalues of S, which symmetric molecules have, are no obstacle.
    """
    from dqc_lite.linalg import sqrtm  # a large package, for this alone

    p = density_matrix(mol, method, **options).sum(0)
    root = sqrtm(operators.overlap(mol.orbitals()))
    return _of_atoms(mol, jnp.einsum("mn,nl,lm->m", root, p, root))


def _of_atoms(mol: Molecule, populations: Float[Array, " ao"]) -> Float[Array, " atom"]:
    return mol.charges - jnp.zeros(mol.natm).at[mol.layout.ao_atom].add(populations)
