"""Starting densities."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from dqc_lite._compile import adaptive_jit
from dqc_lite._types import Array, Float
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.errors import InputError
from dqc_lite.integrals import minao as minao_basis
from dqc_lite.integrals.callback import host_call
from dqc_lite.molecule import Molecule

GUESSES = ("minao", "core")


def check(guess: str) -> None:
    """Raise `InputError` for an unknown guess."""
    if guess not in GUESSES:
        raise InputError(f"guess = {guess!r} is unknown; use one of {', '.join(GUESSES)}.")


def minao(mol: Molecule, orbitals: Orbitals) -> Float[Array, "ao minimal"]:
    """``<m|k> sqrt(n_k)`` of minimal free-atom orbitals k of occupation n_k.

    Projected on the basis by S^-1 it is the factor of the guess density.
    """
    nao = mol.nao
    if not any(mol.layout.numbers):
        return jnp.zeros((nao, 1))
    atoms, layout, (exponents, coefficients), occupations = minao_basis.minimal_basis(mol.layout)
    centers = mol.positions if len(atoms) == mol.natm else mol.positions[np.asarray(atoms)]
    minimal = Orbitals(centers, exponents, coefficients, layout)
    cross = host_call(minao_basis.cross_overlap, (nao, layout.nao), orbitals, minimal)
    return _weigh(cross, np.sqrt(occupations))


@adaptive_jit
def _weigh(cross: Array, weights: Array) -> Array:
    return cross * weights


def density_of(overlap_factor: Array, x: Float[Array, "ao mo"], reference) -> Density:
    """Project ``<m|k> sqrt(n_k)`` on the basis, X X^T = S^-1."""
    return reference.from_total(x @ (x.T @ overlap_factor))
