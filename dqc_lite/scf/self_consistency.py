"""The self-consistent problem: the energy as a function of the density, and its orbitals."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Bool, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.density import Density
from dqc_lite.errors import NEARLY_DEPENDENT, MethodError
from dqc_lite.scf.guess import Beginning, density_of
from dqc_lite.scf.occupations import Fermi, Filled, Given
from dqc_lite.scf.orthogonalization import LINEAR_DEPENDENCE, canonical, diagonalize, present
from dqc_lite.scf.reference import Reference
from dqc_lite.terms import Hamiltonian


class Point(NamedTuple):
    """The energy surface at one density.

    Attributes:
        energies: components, hartree.
        fock: (spin, ao, ao) Fock matrices, hartree.
        effective: (set, ao, ao) the matrices whose eigenvectors are the orbitals.
        error: (set, mo, mo) commutator of Fock and density matrix between orthonormal functions.
        gradient: norm of the occupied-virtual Fock matrix, times two for closed shells, hartree.
    """

    energies: dict[str, Array]
    fock: Float[Array, "spin ao ao"]
    effective: Float[Array, "set ao ao"]
    error: Float[Array, "set mo mo"]
    gradient: Float[Array, ""]

    @property
    def energy(self) -> Float[Array, ""]:
        """Total energy in hartree."""
        return total(self.energies)


def total(energies: dict[str, Array]) -> Float[Array, ""]:
    """Sum of the energy components."""
    return jnp.asarray(sum(energies.values()))


@pytree
class SelfConsistency:
    """What is to be made self-consistent: what every solver works on.

    Attributes:
        hamiltonian: the energy terms.
        integrals: those of the terms.
        overlap: (ao, ao).
        x: (ao, mo) orthonormal combinations of the basis functions, of which `kept` count.
        kept: (mo,) which are not left out for linear dependence.
        reference: the kind of determinant.
        smallest: eigenvalue of the overlap among those kept.
    """

    hamiltonian: Hamiltonian
    integrals: Any
    overlap: Float[Array, "ao ao"]
    x: Float[Array, "ao mo"]
    kept: Bool[Array, " mo"]
    reference: Reference = static()
    smallest: Float[Array, ""] | None = None

    @classmethod
    def build(
        cls, hamiltonian: Hamiltonian, integrals: Any, overlap: Float[Array, "ao ao"],
        reference: Reference, linear_dependence: float = LINEAR_DEPENDENCE,
    ) -> SelfConsistency:  # fmt: skip
        """With combinations of the basis functions made from their overlap."""
        x, kept, smallest = _canonical(overlap, linear_dependence)
        return cls(hamiltonian, integrals, overlap, x, kept, reference, smallest)

    def first(self, start: Beginning) -> tuple[Filled, Density]:
        """The density to begin with, and its orbitals where the guess has some, else zeros."""
        reference = self.reference
        if start.potential is not None:
            return reference.fill(*self._bare_orbitals(start.potential))
        nset, nmo = reference.nset, self.x.shape[-1]
        free = jnp.zeros(()) if reference.smeared else None
        mo_energy, mo_occ = jnp.zeros((2, nset, nmo))
        none = Filled(jnp.zeros((nset, *self.x.shape)), mo_energy, mo_occ, free)
        assert start.factor is not None
        return none, density_of(start.factor, self.x, reference)

    def _bare_orbitals(
        self, potential: Float[Array, "ao ao"]
    ) -> tuple[Float[Array, "set mo"], Float[Array, "set ao mo"]]:
        """Energies and orbitals of a potential in the place of electron repulsion."""
        reference, nao = self.reference, len(self.overlap)
        bare = Density.from_factor(jnp.zeros((reference.nspin, nao, reference.nocc)))
        _, fock = self.hamiltonian.evaluate(self.integrals, bare)
        effective = (fock if reference.nset == len(fock) else fock[:1]) + potential
        return self.orbitals(effective)

    def evaluate(self, density: Density, filled: Filled | None = None) -> Point:
        """Energies, Fock matrices, their commutator with the density, gradient norm.

        Smeared orbitals `filled` of that density add their entropy, and to the gradient the
        electrons that are not where the new orbital energies want them.

        Raises:
            MethodError: a smeared density without its orbitals.
        """
        if filled is None and self.reference.smeared:
            raise MethodError(
                "a smeared density has an entropy, which evaluate(density) cannot know; give its "
                "orbitals too, evaluate(density, filled)."
            )
        energies, fock = self.hamiltonian.evaluate(self.integrals, density)
        effective = self.reference.effective_fock(fock, density, self.overlap)
        commuting = self.reference.commuting_density(density)
        product = self.x.T @ effective @ commuting @ (self.overlap @ self.x)
        error = product - product.swapaxes(-1, -2)
        # [F, P] holds each occupied-virtual element twice, times the occupation
        gradient = jnp.linalg.norm(error) / np.sqrt(2.0)
        if filled is not None and isinstance(self.reference.filling, Fermi):
            assert filled.free is not None
            energies = energies | {"smearing": filled.free}
            c = filled.mo_coeff
            levels = jnp.einsum("smi,smn,sni->si", c, effective, c)
            mismatch = self.reference.filling.mismatch(filled, levels)
            gradient = jnp.hypot(gradient, jnp.linalg.norm(mismatch))
        return Point(energies, fock, effective, error, gradient)

    def orbitals(
        self, effective: Float[Array, "set ao ao"]
    ) -> tuple[Float[Array, "set mo"], Float[Array, "set ao mo"]]:
        """Energies (hartree), ascending, and coefficients of the eigenvectors of a Fock matrix."""
        return diagonalize(effective, self.x, self.kept)

    def fill(self, effective: Float[Array, "set ao ao"]) -> tuple[Filled, Density]:
        """The orbitals of a Fock matrix with their electrons, and the density of these."""
        return self.reference.fill(*self.orbitals(effective))

    def rounding(self, point: Point) -> Float[Array, ""]:
        """What rounding leaves of a gradient (hartree) in a nearly dependent basis, else 0.

        A Fock matrix between orthonormal functions is that between basis functions over eigenvalues
        of the overlap.
        """
        assert self.smallest is not None
        eps = jnp.finfo(self.overlap.dtype).eps
        dependent = self.smallest < NEARLY_DEPENDENT
        return jnp.where(dependent, eps * jnp.max(jnp.abs(point.effective)) / self.smallest, 0.0)

    def enough_functions(self) -> Bool[Array, ""]:
        """Whether the electrons fit the independent functions."""
        return self.kept.sum() >= max(self.reference.nalpha, self.reference.nbeta)

    def canonical(self, filled: Filled, point: Point) -> Filled:
        """The orbitals of the density evaluated at `point`, as eigenvectors of its Fock matrix.

        Those of a determinant are so within the spaces of equal occupation, and span exactly the
        same density, whatever is left of the gradient.
        """
        if self.reference.smeared:
            return self.fill(point.effective)[0]
        energies, coefficients = self.canonical_orbitals(point.effective, filled.mo_coeff)
        return Filled(coefficients, energies, filled.mo_occ, filled.free)

    def canonical_orbitals(
        self, effective: Float[Array, "set ao ao"], mo_coeff: Float[Array, "set ao mo"]
    ) -> tuple[Float[Array, "set mo"], Float[Array, "set ao mo"]]:
        """Eigenvectors of the Fock matrix within the occupied, open and virtual spaces."""
        nmo = mo_coeff.shape[-1]
        occupations = jnp.asarray(self.reference.occupations(nmo))
        same = occupations[:, :, None] == occupations[:, None, :]
        blocks = jnp.where(same, mo_coeff.swapaxes(-1, -2) @ effective @ mo_coeff, 0.0)
        # shifted by more than their width, the spaces stay apart and in order of occupation
        width = 2.0 * jnp.abs(blocks).sum(-1).max() + 1.0
        excluded = ~present(mo_coeff)
        shift = jnp.where(excluded, 4.0, 2.0 - occupations) * width
        shifted = blocks + jnp.eye(nmo) * shift[:, None, :]
        energies, rotation = jnp.linalg.eigh(shifted, symmetrize_input=False)
        energies = energies - jnp.sort(shift, axis=-1)
        if isinstance(self.reference.filling, Given):
            # back from the order of occupations to the one that was given
            rank = jnp.argsort(jnp.argsort(shift, axis=-1), axis=-1)
            energies = jnp.take_along_axis(energies, rank, -1)
            rotation = jnp.take_along_axis(rotation, rank[:, None, :], -1)
        return energies, mo_coeff @ rotation


@adaptive_jit
def _canonical(overlap: Array, threshold: Array | float) -> tuple[Array, Array, Array]:
    x, kept = canonical(overlap, threshold)
    # X^T X = 1/s on the diagonal
    largest = jnp.max(jnp.where(kept, (x * x).sum(0), 0.0))
    return x, kept, jnp.where(largest > 0, 1.0 / largest, 1.0)
