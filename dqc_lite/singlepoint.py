"""Energies and their derivatives: `solve`, `energy`, `forces`.

At self-consistency the energy is stationary with respect to the orbitals, so that its first
derivatives are those at fixed density matrix P and energy-weighted density matrix W,
``dE/dx = dE(x, P)/dx - tr(W dS/dx)``: they cost no response (coupled-perturbed) solve
(Pulay, Mol. Phys. 17, 197 (1969)).
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.basis import Orbitals
from dqc_lite.errors import (
    BasisTooSmallError,
    InputError,
    NonFiniteError,
    ResponseError,
    SCFNotConvergedError,
)
from dqc_lite.integrals import differentials, operators
from dqc_lite.integrals.callback import is_zero
from dqc_lite.method import HF
from dqc_lite.molecule import Molecule, require_x64
from dqc_lite.scf import guess as guesses
from dqc_lite.scf.diis import DIIS
from dqc_lite.scf.loop import SCFState, scf
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.solution import Certificate, Solution


@pytree
class Problem:
    """All that determines a solution; its leaves are the differentiable inputs."""

    mol: Molecule
    method: HF
    electric_field: Float[Array, " 3"] | None
    solver: DIIS = static()
    guess: str = static()

    @classmethod
    def build(
        cls, mol: Molecule, method: HF, solver: DIIS, guess: str, electric_field: Any
    ) -> Problem:
        require_x64()
        guesses.check(guess)
        if electric_field is not None:
            electric_field = jnp.asarray(electric_field, float)
            if electric_field.shape != (3,):
                raise InputError(
                    f"electric_field has shape {electric_field.shape}; give 3 components (a.u.)."
                )
        return cls(mol, method, electric_field, solver, guess)

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


@jax.custom_jvp
def _self_consistent(problem: Problem) -> tuple[Orbitals, Any, SCFState]:
    """Basis functions, integrals and the converged state: everything that the SCF makes."""
    mol, reference = problem.mol, problem.method.reference(problem.mol)
    orbitals = mol.orbitals()
    hamiltonian = problem.hamiltonian()
    integrals = hamiltonian.prepare(mol, orbitals)
    core = problem.guess == "core"
    factor = jnp.zeros((mol.nao, 1)) if core else guesses.minao(mol, orbitals)
    overlap = operators.overlap(orbitals)
    state = scf(hamiltonian, integrals, overlap, factor, problem.solver, reference, core)
    return orbitals, integrals, state


@_self_consistent.defjvp
def _self_consistent_jvp(primals: tuple, tangents: tuple) -> Any:
    raise ResponseError(
        "this derivative needs the response of the density, which is not available yet: first "
        "derivatives of dqc_lite.energy are."
    )


@jax.custom_jvp
def _energy(problem: Problem) -> tuple[Array, Status]:
    *_, state = _self_consistent(problem)
    return state.energy, _status(state)


def _energy_jvp(primals: tuple, tangents: tuple) -> Any:
    (problem,), (moves,) = primals, tangents
    orbitals, integrals, state = _self_consistent(problem)
    leaves, treedef = jax.tree.flatten(problem)
    along = jax.tree.leaves(moves)
    moved = [i for i, t in enumerate(along) if not is_zero(t)]

    def differential(*values: Array) -> Array:
        merged = list(leaves)
        for i, value in zip(moved, values, strict=True):
            merged[i] = value
        changed = jax.tree.unflatten(treedef, merged)
        pairs = zip(*map(jax.tree.leaves, (changed.mol.basis, problem.mol.basis)), strict=True)
        same_basis = all(a is b for a, b in pairs)
        here = _moved(orbitals, changed.mol) if same_basis else changed.mol.orbitals()
        return _stationary_differential(changed, here, integrals, state)

    at, to = [leaves[i] for i in moved], [along[i] for i in moved]
    tangent = jax.jvp(differential, at, to)[1]
    # a factor poisons value, tangent and cotangent; a `where` would transpose to a silent zero
    tangent = tangent * state.poison
    status = _status(state)
    return (state.energy, status), (tangent, jax.tree.map(_no_tangent, status))


_energy.defjvp(_energy_jvp, symbolic_zeros=True)


def _moved(orbitals: Orbitals, mol: Molecule) -> Orbitals:
    """The same functions on the positions of `mol`, not normalized again."""
    return dataclasses.replace(orbitals, centers=mol.positions)


def _stationary_differential(
    problem: Problem, orbitals: Orbitals, integrals: Any, state: SCFState
) -> Array:
    """Zero, with the derivative of the energy at fixed P and W."""
    mol, reference = problem.mol, problem.method.reference(problem.mol)
    weighted = reference.energy_weighted(state.fock, state.density)
    explicit = problem.hamiltonian().differential(mol, orbitals, integrals, state.density)
    return explicit - differentials.overlap(orbitals, weighted)


def _no_tangent(x: Array) -> Any:
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    return np.zeros(x.shape, x.dtype if floating else jax.dtypes.float0)


def solve(
    mol: Molecule,
    method: HF | None = None,
    *,
    solver: DIIS | None = None,
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
    method = HF() if method is None else method
    problem = Problem.build(mol, method, solver or DIIS(), guess, electric_field)
    *_, state = _self_consistent(problem)
    if throw:
        _require_convergence(_status(state), mol)
    _warn_linear_dependence(state, mol)
    return _solution(state, method.reference(mol), mol)


def energy(
    mol: Molecule,
    method: HF | None = None,
    *,
    solver: DIIS | None = None,
    guess: str = "minao",
    electric_field: Any = None,
    throw: bool = True,
) -> Float[Array, ""]:
    """Total energy in hartree: the function to differentiate.

    ``jax.grad(energy)(mol, method)`` is a `Molecule` of derivatives: hartree/bohr with respect to
    positions, hartree/e with respect to charges, and so on. First derivatives in forward and
    reverse mode cost no response solve. Arguments and errors as in `solve`; where the SCF does not
    converge and no exception is raised (`throw=False`, or under `jax.jit` and `jax.vmap`), value
    and derivatives are NaN.
    """
    method = HF() if method is None else method
    problem = Problem.build(mol, method, solver or DIIS(), guess, electric_field)
    value, status = _energy(problem)
    if throw:
        _require_convergence(status, mol)
    return value * status.poison


def forces(mol: Molecule, method: HF | None = None, **options: Any) -> Float[Array, "atom 3"]:
    """-dE/dR in hartree/bohr, (atom, 3); arguments and errors as in `energy`."""
    return -jax.grad(lambda r: energy(mol.with_positions(r), method, **options))(mol.positions)


def energy_and_forces(
    mol: Molecule, method: HF | None = None, **options: Any
) -> tuple[Float[Array, ""], Float[Array, "atom 3"]]:
    """Energy in hartree and forces in hartree/bohr from one calculation."""
    function = jax.value_and_grad(lambda r: energy(mol.with_positions(r), method, **options))
    value, gradient = function(mol.positions)
    return value, -gradient


def solve_with_forces(
    mol: Molecule,
    method: HF | None = None,
    *,
    solver: DIIS | None = None,
    guess: str = "minao",
    electric_field: Any = None,
    throw: bool = True,
) -> tuple[Solution, Float[Array, "atom 3"]]:
    """The solution and its forces in hartree/bohr, (atom, 3), from one self-consistent field.

    Arguments and errors as in `solve`; forces are NaN where the SCF did not converge.
    """
    method = HF() if method is None else method
    problem = Problem.build(mol, method, solver or DIIS(), guess, electric_field)
    orbitals, integrals, state = _self_consistent(problem)
    if throw:
        _require_convergence(_status(state), mol)
    _warn_linear_dependence(state, mol)

    def differential(positions: Array) -> Array:
        moved = dataclasses.replace(problem, mol=mol.with_positions(positions))
        here = _moved(orbitals, moved.mol)
        return _stationary_differential(moved, here, integrals, state)

    gradient = jax.grad(differential)(mol.positions)
    solution = _solution(state, method.reference(mol), mol)
    return solution, -gradient * state.poison


def _solution(state: SCFState, reference: Reference, mol: Molecule) -> Solution:
    occupations = jnp.asarray(reference.occupations(mol.nao))
    certificate = Certificate(
        energy_change=state.delta_energy,
        orbital_gradient=state.gradient,
        gap=_gap(state.mo_energy, occupations, state.kept),
        kept_orbitals=state.kept,
    )
    return Solution(
        energy=state.energy, energies=state.energies, converged=state.converged,
        iterations=state.iterations, density_matrix=state.density.matrix,
        mo_energy=state.mo_energy, mo_coeff=state.mo_coeff, mo_occ=occupations,
        history=state.history, certificate=certificate,
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


def _gap(mo_energy: Array, mo_occ: Array, kept: Array) -> Array:
    present = jnp.arange(mo_energy.shape[1]) < kept
    highest = jnp.max(jnp.where(mo_occ > 0, mo_energy, -jnp.inf), axis=1)
    lowest = jnp.min(jnp.where((mo_occ == 0) & present, mo_energy, jnp.inf), axis=1)
    return jnp.min(lowest - highest)
