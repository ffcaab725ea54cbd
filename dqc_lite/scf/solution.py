"""What an SCF calculation returns."""

from __future__ import annotations

import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.molecule import Molecule


@pytree
class Stages:
    """Which stages of a solver ran.

    Attributes:
        solver: its name.
        diis: cycles of DIIS, or of whatever a solver of your own iterates.
        second_order: cycles of Newton's method, after those.
        stability_analyses: how often the lowest curvature was computed.
        saddle_points_left: how often the solver went on from an unstable solution.
    """

    solver: str = static()
    diis: Int[Array, ""]
    second_order: Int[Array, ""]
    stability_analyses: Int[Array, ""]
    saddle_points_left: Int[Array, ""]

    def __str__(self) -> str:
        ran = [f"{self.diis} cycles"]
        for count, what in (
            (self.second_order, "of second order"),
            (self.stability_analyses, "stability analyses"),
            (self.saddle_points_left, "saddle points left"),
        ):
            if int(count):
                ran.append(f"{count} {what}")
        return f"{self.solver}: {', '.join(ran)}"

    @classmethod
    def of(cls, solver: str, cycles: Int[Array, ""] | int) -> Stages:
        """Of a solver with one stage."""
        none = jnp.zeros((), int)
        return cls(solver, none + cycles, none, none, none)


@pytree
class Certificate:
    """How good a solution is, as data; of its derivatives see `dqc_lite.response_certificate`.

    Attributes:
        energy_change: of the last cycle, hartree.
        orbital_gradient: norm of the occupied-virtual Fock matrix, twice it for closed shells,
            hartree.
        gap: lowest virtual minus highest occupied orbital energy over the spins, hartree;
            inf without virtual or occupied orbitals.
        kept_orbitals: number of orbitals left after removing linear dependence.
        smallest_overlap_eigenvalue: of the overlap of the basis functions, among those kept: near
            1e-7 the orbital gradient is rounding at 1e-8 hartree.
        at_rounding: whether the tolerances are below what the basis allows and were not met; None
            of a solver that does not tell.
        fock_builds: Fock matrices made, and Hessian-vector products, which cost as much.
        lowest_hessian_eigenvalue: of the orbital Hessian A + B over the rotations that keep the
            kind of determinant, hartree; None where it was not examined, which the default
            solver decides by the orbital gap; NaN under `jax.jit`, where a result is an array.
        stable: whether that is not negative, so that the energy is a minimum and not at a saddle
            point; None where it was not examined, under `jax.jit` False.
        solver: which stages of which solver ran, see `Stages`.
        start_energies: (start,) hartree, the minima that several starts ended in, NaN for those
            that did not; None where one was asked for. The lowest is the solution.
        lowest_external_eigenvalue, externally_stable: the same as above of a closed shell against
            different orbitals for different spins (the triplet Hessian); None when not asked for.
    """

    energy_change: Float[Array, ""]
    orbital_gradient: Float[Array, ""]
    gap: Float[Array, ""]
    kept_orbitals: Int[Array, ""]
    smallest_overlap_eigenvalue: Float[Array, ""] | None = None
    at_rounding: Bool[Array, ""] | None = None
    fock_builds: Int[Array, ""] | None = None
    lowest_hessian_eigenvalue: Float[Array, ""] | None = None
    stable: Bool[Array, ""] | None = None
    solver: Stages | None = None
    start_energies: Float[Array, " start"] | None = None
    lowest_external_eigenvalue: Float[Array, ""] | None = None
    externally_stable: Bool[Array, ""] | None = None

    @property
    def second_order_cycles(self) -> Int[Array, ""] | None:
        """Of all cycles those that Newton's method made: 0 where DIIS converged to a state that was
        not left.
        """
        return None if self.solver is None else self.solver.second_order

    @property
    def saddle_points_left(self) -> Int[Array, ""] | None:
        """How often the solver went on from an unstable solution."""
        return None if self.solver is None else self.solver.saddle_points_left


@pytree
class Solution:
    """A self-consistent solution.

    Energy, density matrix, orbital energies, smeared occupations and Fermi level are
    differentiable, to any order; the derivative of everything else is NaN. In a degenerate level
    the derivative of the sum of the orbital energies is exact, that of each is one of several.

    Attributes:
        energy: total energy, hartree; the free energy where occupations are smeared.
        energies: its components, hartree.
        converged: whether both tolerances of the solver were met or, in a nearly dependent basis,
            what is left is rounding (`certificate.at_rounding`).
        iterations: number of cycles (diagonalizations).
        density_matrix: (spin, ao, ao); one channel for restricted determinants.
        mo_energy: (set, mo) hartree, ascending within equal occupation; two sets if unrestricted.
        mo_coeff: (set, ao, mo). Columns beyond `certificate.kept_orbitals` are zero.
        mo_occ: (set, mo) electrons.
        history: (cycle, 3) energy, its change, gradient norm of each cycle; NaN beyond the last.
        certificate: residuals and gap.
        mol: the molecule; a solution is a guess for others of the same atoms.
        fermi_level: (set,) hartree, of smeared occupations, else None.
    """

    energy: Float[Array, ""]
    energies: dict[str, Array]
    converged: Bool[Array, ""]
    iterations: Int[Array, ""]
    density_matrix: Float[Array, "spin ao ao"]
    mo_energy: Float[Array, "set mo"]
    mo_coeff: Float[Array, "set ao mo"]
    mo_occ: Float[Array, "set mo"]
    history: Float[Array, "cycle 3"]
    certificate: Certificate
    fermi_level: Float[Array, " set"] | None = None
    mol: Molecule | None = None
