"""Converged quantities and their derivatives: `solve`, `energy`, `forces`, `density_matrix`.

At self-consistency the energy is stationary with respect to the orbitals, so that its first
derivatives are those at fixed density matrix P and energy-weighted density matrix W,
``dE/dx = dE(x, P)/dx - tr(W dS/dx)``: they cost no response (coupled-perturbed) solve
(Pulay, Mol. Phys. 17, 197 (1969)). All others need the response of P: `dqc_lite.implicit`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._compile import adaptive_jit
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.errors import (
    BasisTooSmallError,
    InputError,
    NonFiniteError,
    SCFNotConvergedError,
)
from dqc_lite.implicit import (
    Converged,
    relaxed_density,
    relaxed_energy,
    relaxed_occupations,
    relaxed_orbital_energies,
    tangent_along,
    without_derivative,
)
from dqc_lite.integrals import operators
from dqc_lite.method import HF, Method
from dqc_lite.molecule import Molecule, require_x64
from dqc_lite.scf import guess as guesses
from dqc_lite.scf.diis import DIIS
from dqc_lite.scf.loop import SCFState, Solver, scf
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.solution import Certificate, Solution


@pytree
class Problem:
    """All that determines a solution; its leaves are the differentiable inputs."""

    mol: Molecule
    method: Method
    electric_field: Float[Array, " 3"] | None
    solver: Solver = static()
    guess: str = static()
    throw: bool = static()

    @classmethod
    def build(
        cls,
        mol: Molecule,
        method: Method | None,
        solver: Solver | None,
        guess: str,
        electric_field: Any,
        throw: bool,
    ) -> Problem:
        require_x64()
        guesses.check(guess)
        if electric_field is not None:
            electric_field = jnp.asarray(electric_field, float)
            if electric_field.shape != (3,):
                raise InputError(
                    f"electric_field has shape {electric_field.shape}; give 3 components (a.u.)."
                )
        return cls(mol, method or HF(), electric_field, solver or DIIS(), guess, throw)

    def hamiltonian(self):
        return self.method.hamiltonian(self.mol, self.electric_field)


class Status(NamedTuple):
    """How the SCF ended."""

    converged: Array
    poison: Array
    iterations: Array
    energy: Array
    delta_energy: Array
    gradient: Array
    kept: Array


def _status(state: SCFState) -> Status:
    return Status(
        state.converged, state.poison, state.iterations,
        state.energy, state.delta_energy, state.gradient, state.kept,
    )  # fmt: skip


def _self_consistent(problem: Problem) -> tuple[Any, Array, SCFState]:
    """Integrals, overlap and the converged state: everything that the SCF makes, as constants."""
    problem = jax.lax.stop_gradient(problem)
    mol, reference = problem.mol, problem.method.reference(problem.mol)
    orbitals = mol.orbitals()
    hamiltonian = problem.hamiltonian()
    integrals = hamiltonian.prepare(mol, orbitals)
    core = problem.guess == "core"
    factor = jnp.zeros((mol.nao, 1)) if core else guesses.minao(mol, orbitals)
    overlap = operators.overlap(orbitals)
    state = scf(hamiltonian, integrals, overlap, factor, problem.solver, reference, core)
    return integrals, overlap, state


def _converged(problem: Problem) -> tuple[Converged, SCFState]:
    """The solution as derivative rules use it."""
    integrals, overlap, state = _self_consistent(problem)
    reference = problem.method.reference(problem.mol)
    converged = Converged(
        integrals=integrals, overlap=overlap, energy=state.energy, density=state.density,
        weighted=reference.energy_weighted(state.fock, state.density, state.mo_coeff),
        mo_energy=state.mo_energy, mo_coeff=state.mo_coeff, kept=state.kept, poison=state.poison,
        reference=reference, throw=problem.throw,
    )  # fmt: skip
    return converged, state


@jax.custom_jvp
def _energy(problem: Problem) -> tuple[Array, Status]:
    *_, state = _self_consistent(problem)
    return state.energy, _status(state)


def _energy_jvp(primals: tuple, tangents: tuple) -> Any:
    (problem,), (moves,) = primals, tangents
    converged, state = _converged(problem)
    tangent = tangent_along(lambda p: relaxed_energy(p, converged), problem, moves)
    status = _status(state)
    return (
        (relaxed_energy(problem, converged), status),
        (tangent, jax.tree.map(_no_tangent, status)),
    )


_energy.defjvp(_energy_jvp, symbolic_zeros=True)


def _no_tangent(x: Array) -> Any:
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    return np.zeros(x.shape, x.dtype if floating else jax.dtypes.float0)


def solve(
    mol: Molecule,
    method: Method | None = None,
    *,
    solver: Solver | None = None,
    guess: str = "minao",
    electric_field: Any = None,
    throw: bool = True,
) -> Solution:
    """Solve the self-consistent field equations.

    Args:
        mol: the molecule.
        method: Hartree-Fock by default.
        solver: convergence criteria and acceleration.
        guess: "minao" (projected free atoms) or "core" (no electron repulsion).
        electric_field: (3,) homogeneous field in atomic units.
        throw: raise when not converged; under `jax.jit` `converged` tells instead.

    Raises:
        SCFNotConvergedError, NonFiniteError, MethodError, BasisTooSmallError, MemoryBudgetError,
        PrecisionError, InputError.
    """
    problem = Problem.build(mol, method, solver, guess, electric_field, throw)
    converged, state = _converged(problem)
    if throw:
        _require_convergence(_status(state), mol)
    _warn_linear_dependence(state, mol)
    return _solution(problem, converged, state)


def energy(
    mol: Molecule,
    method: Method | None = None,
    *,
    solver: Solver | None = None,
    guess: str = "minao",
    electric_field: Any = None,
    throw: bool = True,
) -> Float[Array, ""]:
    """Total energy in hartree: the function to differentiate.

    ``jax.grad(energy)(mol, method)`` is a `Molecule` of derivatives: hartree/bohr with respect to
    positions, hartree/e with respect to charges, and so on, to any order. First derivatives in
    forward and reverse mode cost no response solve. Arguments and errors as in `solve`; where the
    SCF does not converge and no exception is raised (`throw=False`, or under `jax.jit` and
    `jax.vmap`), value and derivatives are NaN. Second and higher derivatives raise
    `ResponseError`, or are NaN likewise, at unstable or orbitally degenerate determinants.
    """
    problem = Problem.build(mol, method, solver, guess, electric_field, throw)
    value, status = _energy(problem)
    if throw:
        _require_convergence(status, mol)
    return value * status.poison


def forces(mol: Molecule, method: Method | None = None, **options: Any) -> Float[Array, "atom 3"]:
    """-dE/dR in hartree/bohr, (atom, 3); arguments and errors as in `energy`."""
    return -jax.grad(lambda r: energy(mol.with_positions(r), method, **options))(mol.positions)


def energy_and_forces(
    mol: Molecule, method: Method | None = None, **options: Any
) -> tuple[Float[Array, ""], Float[Array, "atom 3"]]:
    """Energy in hartree and forces in hartree/bohr from one calculation."""
    function = jax.value_and_grad(lambda r: energy(mol.with_positions(r), method, **options))
    value, gradient = function(mol.positions)
    return value, -gradient


def solve_with_forces(
    mol: Molecule,
    method: Method | None = None,
    *,
    solver: Solver | None = None,
    guess: str = "minao",
    electric_field: Any = None,
    throw: bool = True,
) -> tuple[Solution, Float[Array, "atom 3"]]:
    """The solution and its forces in hartree/bohr, (atom, 3), from one self-consistent field.

    Arguments and errors as in `solve`; forces are NaN where the SCF did not converge.
    """
    problem = Problem.build(mol, method, solver, guess, electric_field, throw)
    converged, state = _converged(problem)
    if throw:
        _require_convergence(_status(state), mol)
    _warn_linear_dependence(state, mol)

    def energy_at(positions: Array) -> Array:
        moved = dataclasses.replace(problem, mol=mol.with_positions(positions))
        return relaxed_energy(moved, converged)

    gradient = jax.grad(energy_at)(mol.positions)
    return _solution(problem, converged, state), -gradient


def density_matrix(
    mol: Molecule,
    method: Method | None = None,
    *,
    solver: Solver | None = None,
    guess: str = "minao",
    electric_field: Any = None,
    throw: bool = True,
) -> Float[Array, "spin ao ao"]:
    """Density matrix over the basis functions, (spin, ao, ao): a function to differentiate.

    One channel holds all electrons of a restricted determinant, two hold alpha and beta. In
    reverse mode the derivative of a loss costs one response solve, whatever the number of inputs.
    Arguments and errors as in `energy`; `ResponseError` in derivatives, where the determinant is
    unstable or orbitally degenerate (NaN under `jax.jit`, or with `throw=False`).
    """
    problem = Problem.build(mol, method, solver, guess, electric_field, throw)
    converged, state = _converged(problem)
    if throw:
        _require_convergence(_status(state), mol)
    return relaxed_density(problem, converged).matrix * state.poison


def _solution(problem: Problem, converged: Converged, state: SCFState) -> Solution:
    """Energy, density matrix, orbital energies and what follows from these are differentiable, the
    derivative of the rest is NaN.
    """
    reference = converged.reference
    fixed = without_derivative(problem, state)
    mo_energy = relaxed_orbital_energies(problem, converged)
    mo_occ, fermi_level = fixed.mo_occ, None
    if reference.smeared:
        mo_occ, fermi_level = relaxed_occupations(problem, converged)
    certificate = Certificate(
        energy_change=fixed.delta_energy,
        orbital_gradient=fixed.gradient,
        gap=_gap(mo_energy, fixed.mo_occ, fixed.kept, reference),
        kept_orbitals=fixed.kept,
        fock_builds=fixed.fock_builds,
        lowest_hessian_eigenvalue=fixed.stability,
        stable=fixed.stable,
    )
    return Solution(
        energy=relaxed_energy(problem, converged), energies=fixed.energies,
        converged=fixed.converged, iterations=fixed.iterations,
        density_matrix=relaxed_density(problem, converged).matrix,
        mo_energy=mo_energy, mo_coeff=fixed.mo_coeff, mo_occ=mo_occ, fermi_level=fermi_level,
        history=fixed.history, certificate=certificate,
    )  # fmt: skip


def _require_convergence(state: Status, mol: Molecule) -> None:
    """Raise unless converged; under a trace there is nothing to look at yet."""
    try:
        converged, cycles = bool(state.converged), int(state.iterations)
    except jax.errors.ConcretizationTypeError:
        return
    if converged:
        return
    if int(state.kept) < max(mol.nelec):
        raise BasisTooSmallError(
            f"{max(mol.nelec)} electrons of one spin do not fit the {int(state.kept)} independent "
            f"combinations of {mol.nao} basis functions; take a basis without near-duplicates."
        )
    numbers = float(state.energy), float(state.delta_energy), float(state.gradient)
    if not all(map(math.isfinite, numbers[::2])):
        raise NonFiniteError(
            f"the SCF met a non-finite number in cycle {cycles} (E = {numbers[0]}, |g| = "
            f"{numbers[2]}); check the geometry, the basis set and the inputs for NaN."
        )
    raise SCFNotConvergedError(cycles, *numbers)


def _warn_linear_dependence(state: SCFState, mol: Molecule) -> None:
    try:
        removed = mol.nao - int(state.kept)
    except jax.errors.ConcretizationTypeError:
        return
    if removed:
        warnings.warn(
            f"the basis is nearly linearly dependent: {removed} of {mol.nao} combinations removed.",
            stacklevel=3,
        )


@functools.partial(adaptive_jit, static_argnums=(3,))
def _gap(mo_energy: Array, mo_occ: Array, kept: Array, reference: Reference) -> Array:
    present = jnp.arange(mo_energy.shape[1]) < kept
    # a smeared orbital counts as occupied when it is so at least by half
    half = 0.5 * reference.filling.degeneracy if reference.smeared else 0.0
    occupied = mo_occ > half
    highest = jnp.max(jnp.where(occupied, mo_energy, -jnp.inf), axis=1)
    lowest = jnp.min(jnp.where(~occupied & present, mo_energy, jnp.inf), axis=1)
    return jnp.min(lowest - highest)
