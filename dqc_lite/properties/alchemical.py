"""Derivatives of the energy with respect to nuclear charges: alchemical derivatives."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from dqc_lite import convergence
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.guards import verified
from dqc_lite.implicit import Converged, relaxed_energy
from dqc_lite.method import MethodLike
from dqc_lite.molecule import Molecule
from dqc_lite.problem import problem_of


def alchemical_derivatives(
    mol: Molecule, method: MethodLike | None = None, **options: Any
) -> tuple[Float[Array, " atom"], Float[Array, "atom atom"]]:
    """dE/dZ_A, (atom,) hartree/e, and d2E/dZ_A dZ_B, (atom, atom) hartree/e^2.

    At fixed number of electrons, positions and basis functions: with them the energy of an
    isoelectronic molecule is ``E + g dZ + dZ H dZ / 2``, in this basis. Ghost atoms count, a
    charge may grow on them. Arguments and errors as in `energy`, and `ResponseError` where the
    state is unstable. They turn with nothing, so that a level may be orbitally degenerate.
    """

    problem = problem_of(mol, method, **options)
    converged, _ = convergence.converge_or_raise(problem)

    def at(charges: Array, converged: Converged) -> Array:
        changed = dataclasses.replace(mol, charges=charges)
        return relaxed_energy(dataclasses.replace(problem, mol=changed), converged)

    first = jax.grad(at)
    second = jax.jit(jax.jacfwd(first))(mol.charges, converged)
    if converged.throw:
        second = verified(second, converged.poison)
    return first(mol.charges, converged), second
