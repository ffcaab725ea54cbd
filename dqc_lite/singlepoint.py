"""Converged quantities and their derivatives: `solve`, `energy`, `forces`, `density_matrix`.

At self-consistency the energy is stationary with respect to the orbitals, so that its first
derivatives are those at fixed density matrix P and energy-weighted density matrix W,
``dE/dx = dE(x, P)/dx - tr(W dS/dx)``: they cost no response (coupled-perturbed) solve
(Pulay, Mol. Phys. 17, 197 (1969)). All others need the response of P: `dqc_lite.implicit`.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import jax

from dqc_lite._call_errors import named_arguments
from dqc_lite._foreign import require_molecule
from dqc_lite._types import Array, Float
from dqc_lite.convergence import (
    converge,
    converge_or_raise,
    no_tangent,
    require_convergence,
    self_consistent,
    solution_of,
    warn_linear_dependence,
)
from dqc_lite.implicit import (
    Constants,
    relaxed_density,
    relaxed_energy,
    tangent_along,
)
from dqc_lite.method import MethodLike
from dqc_lite.molecule import Molecule
from dqc_lite.problem import Problem
from dqc_lite.scf.solution import Solution
from dqc_lite.scf.solver import Solver
from dqc_lite.scf.state import SCFState


@jax.custom_jvp
def energy_and_state(problem: Problem) -> tuple[Array, Constants]:
    *_, state = self_consistent(problem)
    return state.energy, Constants.of(state)


def _energy_jvp(primals: tuple, tangents: tuple) -> Any:
    (problem,), (moves,) = primals, tangents
    converged, state = converge(problem)
    tangent = tangent_along(lambda p: relaxed_energy(p, converged), problem, moves)
    constants = Constants.of(state)
    return (
        (relaxed_energy(problem, converged), constants),
        (tangent, jax.tree.map(no_tangent, constants)),
    )


energy_and_state.defjvp(_energy_jvp, symbolic_zeros=True)


@named_arguments
def solve(
    mol: Molecule,
    method: MethodLike | None = None,
    *,
    solver: Solver | str | None = None,
    guess: Any = "minao",
    electric_field: Any = None,
    throw: bool = True,
    checkpoint: str | os.PathLike | None = None,
) -> Solution:
    """Solve the self-consistent field equations.

    Args:
        mol: the molecule.
        method: `HF` or `KS`, or by name "hf", "rhf", "uhf", "rohf" or a functional, as in `KS`, or
            a `Functional`; Hartree-Fock by default.
        solver: convergence criteria and acceleration: "auto" (default: DIIS, second order where
            that fails, and downhill from saddle points where there is reason to expect one),
            "diis", "second-order", or `DIIS`, `SecondOrder`, `Auto`.
        guess: "minao" (projected minimal free atoms), "atom" (free atoms in the same basis),
            "huckel" (combinations of their orbitals), "sap" (superposition of atomic potentials)
            or "core" (no electron repulsion); a density matrix (spin, ao, ao); a `Solution` or the
            name of a checkpoint file of the same atoms in any geometry or basis; or a `Guess` of
            one of these.
        electric_field: (3,) homogeneous field in atomic units: short for one more
            `dqc_lite.terms.ElectricField` among the extra terms of the method.
        throw: raise when not converged; under `jax.jit` `converged` tells instead.
        checkpoint: name of an HDF5 file to write in every cycle; ``guess=`` the same name goes on
            from there. Not inside of `jax.jit`.

    Raises:
        SCFNotConvergedError, NonFiniteError, MethodError, BasisTooSmallError, MemoryBudgetError,
        PrecisionError, InputError, CheckpointError.
    """
    problem = Problem.build(mol, method, solver, guess, electric_field, throw, checkpoint)
    converged, state = converge_or_raise(problem)
    warn_linear_dependence(state, mol)
    return solution_of(problem, converged, state)


@named_arguments
def energy(
    mol: Molecule,
    method: MethodLike | None = None,
    *,
    solver: Solver | str | None = None,
    guess: Any = "minao",
    electric_field: Any = None,
    throw: bool = True,
    checkpoint: str | os.PathLike | None = None,
) -> Float[Array, ""]:
    """Total energy in hartree: the function to differentiate.

    ``jax.grad(energy)(mol, method)`` is a `Molecule` of derivatives: hartree/bohr with respect to
    positions, hartree/e with respect to charges, and so on, to any order. First derivatives in
    forward and reverse mode cost no response solve. Arguments and errors as in `solve`; where the
    SCF does not converge and no exception is raised (`throw=False`, or under `jax.jit` and
    `jax.vmap`), value and derivatives are NaN. Second and higher derivatives raise
    `ResponseError`, or are NaN likewise, at unstable or orbitally degenerate determinants.
    """
    problem = Problem.build(mol, method, solver, guess, electric_field, throw, checkpoint)
    value, constants = energy_and_state(problem)
    state: SCFState = constants.arrays
    if throw and require_convergence(state, mol):
        return value
    return value * state.poison


@named_arguments
def forces(
    mol: Molecule, method: MethodLike | None = None, **options: Any
) -> Float[Array, "atom 3"]:
    """-dE/dR in hartree/bohr, (atom, 3); arguments and errors as in `energy`."""
    mol = require_molecule(mol)
    return -jax.grad(lambda r: energy(mol.with_positions(r), method, **options))(mol.positions)


@named_arguments
def energy_and_forces(
    mol: Molecule, method: MethodLike | None = None, **options: Any
) -> tuple[Float[Array, ""], Float[Array, "atom 3"]]:
    """Energy in hartree and forces in hartree/bohr from one calculation."""
    mol = require_molecule(mol)
    function = jax.value_and_grad(lambda r: energy(mol.with_positions(r), method, **options))
    value, gradient = function(mol.positions)
    return value, -gradient


@named_arguments
def solve_with_forces(
    mol: Molecule,
    method: MethodLike | None = None,
    *,
    solver: Solver | str | None = None,
    guess: Any = "minao",
    electric_field: Any = None,
    throw: bool = True,
    checkpoint: str | os.PathLike | None = None,
) -> tuple[Solution, Float[Array, "atom 3"]]:
    """The solution and its forces in hartree/bohr, (atom, 3), from one self-consistent field.

    Arguments and errors as in `solve`; forces are NaN where the SCF did not converge.
    """
    problem = Problem.build(mol, method, solver, guess, electric_field, throw, checkpoint)
    converged, state = converge_or_raise(problem)
    warn_linear_dependence(state, mol)

    def energy_at(positions: Array) -> Array:
        moved = dataclasses.replace(problem, mol=mol.with_positions(positions))
        return relaxed_energy(moved, converged)

    gradient = jax.grad(energy_at)(mol.positions)
    return solution_of(problem, converged, state), -gradient


@named_arguments
def density_matrix(
    mol: Molecule,
    method: MethodLike | None = None,
    *,
    solver: Solver | str | None = None,
    guess: Any = "minao",
    electric_field: Any = None,
    throw: bool = True,
    checkpoint: str | os.PathLike | None = None,
) -> Float[Array, "spin ao ao"]:
    """Density matrix over the basis functions, (spin, ao, ao): a function to differentiate.

    One channel holds all electrons of a restricted determinant, two hold alpha and beta. In
    reverse mode the derivative of a loss costs one response solve, whatever the number of inputs.
    Arguments and errors as in `energy`; `ResponseError` in derivatives, where the determinant is
    unstable or orbitally degenerate (NaN under `jax.jit`, or with `throw=False`).
    """
    problem = Problem.build(mol, method, solver, guess, electric_field, throw, checkpoint)
    converged, state = converge_or_raise(problem)
    return relaxed_density(problem, converged).matrix * state.poison
