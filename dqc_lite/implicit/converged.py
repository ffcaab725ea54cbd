"""The converged orbitals as constants, and their orthonormalization in a displaced basis."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float, Int
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.density import Density
from dqc_lite.scf.reference import Reference


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

    @property
    def arrays(self) -> Any:
        """The tree of leaves that are all arrays: of a function's results some may be literals."""
        return jax.tree.unflatten(self.treedef, tuple(map(jnp.asarray, self.leaves)))


class Nearby(Protocol):
    """What describing the states nearby needs of a converged one; see `Converged`."""

    @property
    def mo_coeff(self) -> Float[Array, "set ao mo"]: ...

    @property
    def mo_energy(self) -> Float[Array, "set mo"]: ...

    @property
    def reference(self) -> Reference: ...

    def present(self) -> Float[Array, " mo"]: ...


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

    def present(self) -> Float[Array, " mo"]:
        """1 for the independent orbitals, 0 beyond."""
        return (jnp.arange(self.mo_coeff.shape[-1]) < self.kept).astype(float)


@adaptive_jit
def orthonormal(converged: Converged, overlap: Float[Array, "ao ao"]) -> Float[Array, "set ao mo"]:
    """The orbitals C, orthonormalized in `overlap`: C C^T is its inverse in their space."""
    c = converged.mo_coeff
    absent = jnp.diag(1.0 - converged.present())
    lower = jnp.linalg.cholesky(c.swapaxes(-1, -2) @ overlap @ c + absent)
    rows = jax.lax.linalg.triangular_solve(lower, c.swapaxes(-1, -2), left_side=True, lower=True)
    return rows.swapaxes(-1, -2)
