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
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._call_errors import named_arguments
from dqc_lite._foreign import require_molecule
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite._warnings import warn
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.errors import (
    BasisTooSmallError,
    InputError,
    MethodError,
    NonFiniteError,
    SCFNotConvergedError,
)
from dqc_lite.implicit import (
    Constants,
    Converged,
    relaxed_density,
    relaxed_energy,
    relaxed_occupations,
    relaxed_orbital_energies,
    tangent_along,
    without_derivative,
)
from dqc_lite.integrals import operators
from dqc_lite.method import Method, MethodLike, method_of
from dqc_lite.molecule import Molecule, require_x64
from dqc_lite.scf import guess as guesses
from dqc_lite.scf.checkpoint import Files, Recorder, fingerprint
from dqc_lite.scf.guess import Beginning, Start
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.self_consistency import SelfConsistency
from dqc_lite.scf.solution import Certificate, Solution
from dqc_lite.scf.solver import Solver
from dqc_lite.scf.solvers import solver_of
from dqc_lite.scf.state import SCFState
from dqc_lite.terms import ElectricField


@pytree
class Problem:
    """All that determines a solution; its leaves are the differentiable inputs."""

    mol: Molecule
    method: Method
    guess: Start
    solver: Solver = static()
    throw: bool = static()
    checkpoint: str | None = static(default=None)

    @classmethod
    def build(
        cls,
        mol: Molecule,
        method: MethodLike | None,
        solver: Solver | str | None,
        guess: Any,
        electric_field: Any,
        throw: bool,
        checkpoint: str | os.PathLike | None = None,
    ) -> Problem:
        require_x64()
        mol, method = require_molecule(mol), method_of(method)
        start = guesses.read(guess, mol)
        if electric_field is not None:
            electric_field = jnp.asarray(electric_field, float)
        _require_finite({"mol": mol, "method": method, "electric_field": electric_field})
        if electric_field is not None:
            method = in_field(method, electric_field)
        path = None if checkpoint is None else os.fspath(checkpoint)
        solver = solver_of(solver)
        return cls(mol, method, start, solver, throw, path)

    def hamiltonian(self):
        return self.method.hamiltonian(self.mol)


def in_field(method: Method, strength: Float[Array, " 3"]) -> Method:
    """The method with an electric field (3,), atomic units, as its last extra term.

    Raises:
        MethodError: a method of one's own that takes no extra terms.
    """
    if not hasattr(method, "extra_terms"):
        raise MethodError(
            f"electric_field: the method {type(method).__name__} takes no extra_terms; add that "
            "field to it, and the terms in it to its hamiltonian."
        )
    return dataclasses.replace(method, extra_terms=(*method.extra_terms, ElectricField(strength)))


def _described(
    mol: Molecule,
    method: MethodLike | None = None,
    *,
    solver: Solver | str | None = None,
    guess: Any = "minao",
    electric_field: Any = None,
    throw: bool = True,
    checkpoint: str | os.PathLike | None = None,
) -> Problem:
    """What the arguments of `energy` describe."""
    return Problem.build(mol, method, solver, guess, electric_field, throw, checkpoint)


# messages call it "this function": users name functions built on it
problem_of = named_arguments(_described)


def _self_consistent(problem: Problem) -> tuple[Any, Array, SCFState]:
    """Integrals, overlap and the converged state: everything that the SCF makes, as constants."""
    problem = jax.lax.stop_gradient(problem)
    mol, reference = problem.mol, problem.method.reference(problem.mol)
    orbitals = mol.orbitals()
    hamiltonian = problem.hamiltonian()
    integrals = hamiltonian.prepare(mol, orbitals)
    overlap = operators.overlap(orbitals)
    start = guesses.begin(problem.guess, mol, orbitals, reference)
    scf = SelfConsistency.build(hamiltonian, integrals, overlap, reference)
    state = _run(problem.solver, scf, start, _files(problem, reference))
    return integrals, overlap, _poisoned(state, (mol, problem.method))


def _require_finite(inputs: dict[str, Any]) -> None:
    """Raise `NonFiniteError` for NaN or infinity; integral codes skip what they cannot compare.

    And `InputError` for what is no number.
    """
    for path, leaf in jax.tree.leaves_with_path(inputs):
        if isinstance(leaf, jax.core.Tracer):
            continue
        values = np.asarray(leaf)
        name = jax.tree_util.keystr(path).replace("['", "").replace("']", "")
        if values.dtype.kind not in "iufc":
            raise InputError(f"{name} = {leaf!r} is no number; give one.")
        if np.isfinite(values).all():
            continue
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise NonFiniteError(f"{name} holds {values[where]} at {where}; give finite numbers.")


def _poisoned(state: SCFState, inputs: Any) -> SCFState:
    """Not converged where traced inputs turn out not to be finite."""
    traced = [x for x in jax.tree.leaves(inputs) if isinstance(x, jax.core.Tracer)]
    if not traced:
        return state
    finite = jnp.stack([jnp.isfinite(x).all() for x in traced]).all()
    return dataclasses.replace(
        state, converged=state.converged & finite,
        poison=jnp.where(finite, state.poison, jnp.nan),
    )  # fmt: skip


def _run(solver: Solver, scf: SelfConsistency, start: Beginning, files: Files | None) -> SCFState:
    if files is None:
        return solver.run(scf, start)
    state = solver.run_with_files(scf, start, files)
    if state is None:
        raise InputError(
            f"checkpoint: {type(solver).__name__} writes and continues none; leave it out, or use "
            "a solver that is built in."
        )
    return state


def _files(problem: Problem, reference: Reference) -> Files | None:
    """What writes checkpoints, and the one to continue from: only of the very same problem.

    Raises:
        InputError: checkpoints under a trace.
    """
    checkpoint = problem.guess.checkpoint
    if problem.checkpoint is None and checkpoint is None:
        return None
    parts = problem.mol, problem.method
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(parts)):
        if problem.checkpoint is not None:
            raise InputError(
                f"checkpoint = {problem.checkpoint!r} cannot be written inside of jax.jit or "
                "jax.vmap; leave it out, or leave out the transformation."
            )
        return None
    own = fingerprint(*parts, kind=repr(reference))
    if checkpoint is not None and checkpoint.fingerprint != own:
        checkpoint = None
    if problem.checkpoint is not None:
        return Files(Recorder(problem.checkpoint, problem.mol, own), checkpoint)
    return None if checkpoint is None else Files(None, checkpoint)


def converge(problem: Problem) -> tuple[Converged, SCFState]:
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


def converge_or_raise(problem: Problem) -> tuple[Converged, SCFState]:
    """`converge`, with the exception of an SCF that failed, if these are wanted."""
    converged, state = converge(problem)
    if problem.throw:
        require_convergence(state, problem.mol)
    return converged, state


@jax.custom_jvp
def energy_and_state(problem: Problem) -> tuple[Array, Constants]:
    *_, state = _self_consistent(problem)
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


def no_tangent(x: Array) -> Any:
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    return np.zeros(x.shape, x.dtype if floating else jax.dtypes.float0)


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
    _warn_linear_dependence(state, mol)
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
    state: SCFState = constants.tree
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
    _warn_linear_dependence(state, mol)

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


def solution_of(problem: Problem, converged: Converged, state: SCFState) -> Solution:
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
        solver=fixed.stages,
        start_energies=fixed.start_energies,
        lowest_external_eigenvalue=fixed.external,
        externally_stable=fixed.externally_stable,
    )
    return Solution(
        energy=relaxed_energy(problem, converged), energies=fixed.energies,
        converged=fixed.converged, iterations=fixed.iterations,
        density_matrix=relaxed_density(problem, converged).matrix,
        mo_energy=mo_energy, mo_coeff=fixed.mo_coeff, mo_occ=mo_occ, fermi_level=fermi_level,
        history=fixed.history, certificate=certificate, mol=problem.mol,
    )  # fmt: skip


def require_convergence(state: SCFState, mol: Molecule) -> bool:
    """Raise unless converged; False under a trace, where there is nothing to look at yet."""
    try:
        converged, cycles = bool(state.converged), int(state.iterations)
    except jax.errors.ConcretizationTypeError:
        return False
    if converged:
        _warn_saddle_point(state)
        return True
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
    raise SCFNotConvergedError(cycles, *numbers, np.asarray(state.density.matrix))


def _warn_saddle_point(state: SCFState) -> None:
    examined = state.stable is not None and not math.isnan(float(state.stability))
    if examined and not bool(state.stable):
        warn(
            "the SCF has converged at a saddle point, lowest curvature "
            f"{float(state.stability):.4f} hartree (certificate.stable is False); try another "
            "guess, or Auto(starts=4)."
        )


def _warn_linear_dependence(state: SCFState, mol: Molecule) -> None:
    try:
        removed = mol.nao - int(state.kept)
    except jax.errors.ConcretizationTypeError:
        return
    if removed:
        warn(
            f"the basis is nearly linearly dependent: {removed} of {mol.nao} combinations removed."
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
