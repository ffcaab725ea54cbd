"""From a problem to its converged state, and what is said where there is none."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array
from dqc_lite._warnings import warn
from dqc_lite.autodiff.jit import adaptive_jit
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
    without_derivative,
)
from dqc_lite.integrals import operators
from dqc_lite.method import Method
from dqc_lite.molecule import Molecule
from dqc_lite.problem import Problem
from dqc_lite.scf import guess as guesses
from dqc_lite.scf.checkpoint import Files, Recorder, fingerprint
from dqc_lite.scf.guess import Beginning
from dqc_lite.scf.orthogonalization import LINEAR_DEPENDENCE
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.self_consistency import SelfConsistency
from dqc_lite.scf.solution import Certificate, Solution
from dqc_lite.scf.solver import Solver
from dqc_lite.scf.state import SCFState


def self_consistent(problem: Problem) -> tuple[Any, Array, SCFState]:
    """Integrals, overlap and the converged state: everything that the SCF makes, as constants."""
    problem = jax.lax.stop_gradient(problem)
    mol, reference = problem.mol, problem.method.reference(problem.mol)
    orbitals = mol.orbitals()
    hamiltonian = problem.hamiltonian()
    integrals = hamiltonian.prepare(mol, orbitals)
    overlap = operators.overlap(orbitals)
    start = guesses.begin(problem.guess, mol, orbitals, reference)
    scf = SelfConsistency.build(
        hamiltonian, integrals, overlap, reference, _linear_dependence(problem.method)
    )
    state = _run(problem.solver, scf, start, _files(problem, reference))
    return integrals, overlap, _poisoned(state, (mol, problem.method))


def _linear_dependence(method: Method) -> float:
    """The threshold of a method, also of one of a user's own that names none."""
    return getattr(method, "linear_dependence", LINEAR_DEPENDENCE)


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
    integrals, overlap, state = self_consistent(problem)
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


def no_tangent(x: Array) -> Any:
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    return np.zeros(x.shape, x.dtype if floating else jax.dtypes.float0)


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
        smallest_overlap_eigenvalue=fixed.smallest_overlap,
        at_rounding=fixed.at_rounding,
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
        _warn_rounding(state)
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
    overlap = None if state.smallest_overlap is None else float(state.smallest_overlap)
    raise SCFNotConvergedError(cycles, *numbers, np.asarray(state.density.matrix), overlap)


def _warn_rounding(state: SCFState) -> None:
    known = state.at_rounding is not None and not isinstance(state.gradient, jax.core.Tracer)
    if known and bool(state.at_rounding):
        assert state.smallest_overlap is not None
        warn(
            f"the basis is nearly linearly dependent (smallest eigenvalue of the overlap "
            f"{float(state.smallest_overlap):.1e}): the SCF has converged to |g| = "
            f"{float(state.gradient):.1e} hartree, which is rounding; leave combinations out with "
            "linear_dependence=1e-6 of the method, or give a larger gradient_tol."
        )


def _warn_saddle_point(state: SCFState) -> None:
    if state.stable is None or isinstance(state.stability, jax.core.Tracer):
        return
    assert state.stability is not None
    if not math.isnan(float(state.stability)) and not bool(state.stable):
        warn(
            "the SCF has converged at a saddle point, lowest curvature "
            f"{float(state.stability):.4f} hartree (certificate.stable is False); try another "
            "guess, or Auto(starts=4)."
        )


def warn_linear_dependence(state: SCFState, mol: Molecule) -> None:
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
    half = 0.5 * reference.fermi.degeneracy if reference.smeared else 0.0
    occupied = mo_occ > half
    highest = jnp.max(jnp.where(occupied, mo_energy, -jnp.inf), axis=1)
    lowest = jnp.min(jnp.where(~occupied & present, mo_energy, jnp.inf), axis=1)
    return jnp.min(lowest - highest)
