"""The state that a solver ends in."""

from __future__ import annotations

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.density import Density
from dqc_lite.scf.occupations import Filled
from dqc_lite.scf.self_consistency import Point, SelfConsistency
from dqc_lite.scf.solution import Stages


@pytree
class SCFState:
    """The last cycle: density, its energies and Fock matrix, and the orbitals of that density.

    ``gradient`` is the norm of the occupied-virtual Fock matrix, times two for closed shells;
    ``poison`` is 1, or NaN when not converged: a factor for everything derived from the state.
    ``history`` holds energy, its change and the gradient of each cycle, NaN beyond the last.
    ``fock_builds`` counts Fock matrices and Hessian-vector products, which cost as much.
    ``stability`` is the lowest eigenvalue of the orbital Hessian (hartree) and ``stable`` tells
    whether it is not negative; None where it was not examined, and NaN and False where that is
    decided in a compiled program.
    ``external`` and ``externally_stable`` are the same against different orbitals for the spins.
    ``start_energies`` are the minima found where several were looked for.
    ``smallest_overlap`` is the smallest eigenvalue of the overlap that is kept, and ``at_rounding``
    tells whether the tolerances are below what that allows and were not met.
    """

    density: Density
    energies: dict[str, Array]
    energy: Float[Array, ""]
    fock: Float[Array, "spin ao ao"]
    gradient: Float[Array, ""]
    delta_energy: Float[Array, ""]
    converged: Bool[Array, ""]
    poison: Float[Array, ""]
    iterations: Int[Array, ""]
    history: Float[Array, "cycle 3"]
    mo_energy: Float[Array, "set mo"]
    mo_coeff: Float[Array, "set ao mo"]
    mo_occ: Float[Array, "set mo"]
    kept: Int[Array, ""]
    fock_builds: Int[Array, ""]
    stages: Stages
    stability: Float[Array, ""] | None = None
    stable: Bool[Array, ""] | None = None
    start_energies: Float[Array, " start"] | None = None
    external: Float[Array, ""] | None = None
    externally_stable: Bool[Array, ""] | None = None
    smallest_overlap: Float[Array, ""] | None = None
    at_rounding: Bool[Array, ""] | None = None

    @classmethod
    def of(
        cls,
        problem: SelfConsistency,
        density: Density,
        orbitals: Filled,
        point: Point,
        *,
        converged: Bool[Array, ""],
        stages: Stages,
        delta_energy: Float[Array, ""] | None = None,
        history: Float[Array, "cycle 3"] | None = None,
        fock_builds: Int[Array, ""] | None = None,
    ) -> SCFState:
        """The end of a solver: a density, the energy surface at this `point`, canonical `orbitals`.

        What a solver does not tell is unknown: the last change of the energy (hartree), the history
        of the cycles; Fock builds are as many as cycles and one for the guess.
        """
        cycles = stages.diis + stages.second_order
        return cls(
            density=density, energies=point.energies, energy=point.energy, fock=point.fock,
            gradient=point.gradient, converged=converged,
            delta_energy=point.energy * jnp.nan if delta_energy is None else delta_energy,
            poison=jnp.where(converged, 1.0, jnp.nan), iterations=cycles,
            history=jnp.zeros((0, 3)) if history is None else history,
            mo_energy=orbitals.mo_energy, mo_coeff=orbitals.mo_coeff, mo_occ=orbitals.mo_occ,
            kept=problem.kept.sum(), stages=stages, smallest_overlap=problem.smallest,
            fock_builds=cycles + 1 if fock_builds is None else fock_builds,
        )  # fmt: skip
