"""Orthonormal combinations of the basis functions, at fixed shape."""

from __future__ import annotations

import jax.numpy as jnp

from dqc_lite._types import Array, Bool, Float

LINEAR_DEPENDENCE = 1e-8
"""Eigenvectors of the overlap with eigenvalues below this are left out by default."""

EXCLUDED_ENERGY = 1e6
"""Orbital energy (hartree) given to the combinations left out: they come last, never occupied."""


def canonical(
    overlap: Float[Array, "ao ao"], threshold: Array | float = LINEAR_DEPENDENCE
) -> tuple[Float[Array, "ao mo"], Bool[Array, " mo"]]:
    """X with X^T S X = 1 on the kept columns and 0 on the others, and which are kept."""
    eigenvalues, vectors = jnp.linalg.eigh(overlap, symmetrize_input=False)
    kept = eigenvalues > threshold
    scale = jnp.where(kept, 1.0 / jnp.sqrt(jnp.where(kept, eigenvalues, 1.0)), 0.0)
    return vectors * scale, kept


def diagonalize(
    fock: Float[Array, "set ao ao"], x: Float[Array, "ao mo"], kept: Bool[Array, " mo"]
) -> tuple[Float[Array, "set mo"], Float[Array, "set ao mo"]]:
    """Orbital energies, ascending, and coefficients of F C = S C e in the kept space."""
    orthonormal = x.T @ fock @ x + jnp.diag(jnp.where(kept, 0.0, EXCLUDED_ENERGY))
    energies, vectors = jnp.linalg.eigh(orthonormal, symmetrize_input=False)
    return energies, x @ vectors


def present(mo_coeff: Float[Array, "set ao mo"]) -> Bool[Array, "set mo"]:
    """Which orbitals are not the zero (to rounding) columns of what was left out."""
    return (mo_coeff**2).sum(1) > 1e-12
