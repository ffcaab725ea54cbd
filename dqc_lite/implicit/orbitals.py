"""Orbitals and densities in the neighbourhood of converged ones."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float, Int
from dqc_lite.density import Density
from dqc_lite.scf.reference import Reference
from dqc_lite.terms import Hamiltonian


@pytree
class Constants:
    """Any pytree as a flat tuple of its leaves.

    JAX fills a pytree with the symbolic zeros of its tangents; a tuple takes them, the classes of
    integrals and densities need not.
    """

    leaves: tuple
    treedef: Any = static()

    @classmethod
    def of(cls, tree: Any) -> Constants:
        leaves, treedef = jax.tree.flatten(tree)
        return cls(tuple(leaves), treedef)

    @property
    def tree(self) -> Any:
        return jax.tree.unflatten(self.treedef, self.leaves)


DENOMINATOR_FLOOR = 0.1
"""Smallest element (hartree) of the preconditioner."""


@pytree
class Converged:
    """What the SCF left behind, as constants.

    Attributes:
        integrals: those of the energy terms.
        overlap: (ao, ao).
        energy: hartree.
        density: the converged density.
        weighted: (ao, ao) energy-weighted density matrix, hartree.
        mo_energy: (set, mo) hartree.
        mo_coeff: (set, ao, mo); columns beyond `kept` are zero.
        kept: number of independent orbitals.
        poison: 1, or NaN if not converged.
        reference: the kind of determinant.
        throw: raise `ResponseError` where the response cannot be had.
    """

    integrals: Any
    overlap: Float[Array, "ao ao"]
    energy: Float[Array, ""]
    density: Density
    weighted: Float[Array, "ao ao"]
    mo_energy: Float[Array, "set mo"]
    mo_coeff: Float[Array, "set ao mo"]
    kept: Int[Array, ""]
    poison: Float[Array, ""]
    reference: Reference = static()
    throw: bool = static()

    def unmoved(self) -> Float[Array, "set mo occ"]:
        """X = 0."""
        nset, _, nmo = self.mo_coeff.shape
        return jnp.zeros((nset, nmo, min(self.reference.nocc, nmo)))

    def occupations(self) -> tuple[Float[Array, "set mo 1"], Float[Array, "set 1 occ"]]:
        n = jnp.asarray(self.reference.occupations(self.mo_coeff.shape[-1]))
        return n[:, :, None], n[:, None, : self.reference.nocc]

    def mask(self) -> Float[Array, "set mo occ"]:
        """1 where X mixes an orbital (second index) with one of lower occupation, else 0."""
        target, source = self.occupations()
        present = jnp.arange(target.shape[1])[:, None] < self.kept
        return ((target < source) & present).astype(float)

    def preconditioner(self) -> Float[Array, "set mo occ"]:
        """Positive estimate of the diagonal of the orbital Hessian, 2 (n_i - n_a) (e_a - e_i)."""
        target, source = self.occupations()
        nocc = source.shape[-1]
        gaps = self.mo_energy[:, :, None] - self.mo_energy[:, None, :nocc]
        estimate = jnp.abs(2.0 * (source - target) * gaps)
        return jnp.where(self.mask() > 0, jnp.maximum(estimate, DENOMINATOR_FLOOR), 1.0)


@jax.jit
def orthonormal(converged: Converged, overlap: Float[Array, "ao ao"]) -> Float[Array, "set ao mo"]:
    """The orbitals C, orthonormalized in `overlap`: C C^T is its inverse in their space."""
    c = converged.mo_coeff
    absent = jnp.diag((jnp.arange(c.shape[-1]) >= converged.kept).astype(float))
    lower = jnp.linalg.cholesky(c.swapaxes(-1, -2) @ overlap @ c + absent)
    rows = jax.lax.linalg.triangular_solve(lower, c.swapaxes(-1, -2), left_side=True, lower=True)
    return rows.swapaxes(-1, -2)


@jax.jit
def density_at(
    converged: Converged, overlap: Float[Array, "ao ao"], x: Float[Array, "set mo occ"]
) -> Density:
    """Density of the orbitals ``C (1 + X)``, orthonormalized by Gram and Schmidt in `overlap`.

    The orthonormalization runs from the highest occupation down, so that X alone, which adds to an
    orbital others of lower occupation, reaches every determinant nearby.
    """
    c = converged.mo_coeff
    occupied = c[:, :, : x.shape[-1]] + c @ (x * converged.mask())
    gram = occupied.swapaxes(-1, -2) @ overlap @ occupied
    lower = jnp.linalg.cholesky(gram)
    rows = jax.lax.linalg.triangular_solve(
        lower, occupied.swapaxes(-1, -2), left_side=True, lower=True
    )
    return converged.reference.density(rows.swapaxes(-1, -2))


@jax.jit
def orbital_gradient(
    converged: Converged,
    hamiltonian: Hamiltonian,
    integrals: Any,
    overlap: Float[Array, "ao ao"],
    x: Float[Array, "set mo occ"],
) -> Float[Array, "set mo occ"]:
    """g = dE/dX, hartree, from the Fock matrix dE/dP."""

    def matrix(x: Array) -> tuple[Array, Density]:
        density = density_at(converged, overlap, x)
        return density.matrix, density

    _, pull, density = jax.vjp(matrix, x, has_aux=True)
    _, fock = hamiltonian.evaluate(integrals, density)
    return pull(fock)[0]
