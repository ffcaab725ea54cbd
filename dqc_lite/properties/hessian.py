"""Second derivatives of the energy along nuclear positions and an electric field."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite import convergence
from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.implicit import Constants, Converged, relaxed_energy, tangent_along
from dqc_lite.method import MethodLike
from dqc_lite.molecule import Molecule
from dqc_lite.problem import Problem, problem_of
from dqc_lite.properties.second_order import inputs, second_derivatives
from dqc_lite.scf.solution import Solution


def hessian(
    mol: Molecule, method: MethodLike | None = None, **options: Any
) -> Float[Array, "atom 3 atom 3"]:
    """Second derivatives of the energy along positions, (atom, 3, atom, 3) hartree/bohr^2.

    Equal to ``jax.hessian`` of `dqc_lite.energy` along positions, and faster: all directions share
    their integrals and response equations. Differentiable. Arguments and errors as in `energy`,
    and `ResponseError` where the state is unstable, or where the derivative is not the same for
    all states of an orbitally degenerate level.
    """
    problem = problem_of(mol, method, **options)
    matrix, state = _second_derivatives(problem)
    if problem.throw:
        convergence.require_convergence(state.arrays, mol)
    return matrix.reshape(mol.natm, 3, mol.natm, 3)


@pytree
class Harmonic:
    """A solution with all its first and second derivatives along positions and field.

    Attributes:
        solution: of the self-consistent field.
        forces: (atom, 3) hartree/bohr.
        hessian: (atom, 3, atom, 3) hartree/bohr^2.
        dipole_derivatives: (atom, 3, 3) e, of component y along R_Ax at [A, x, y].
        polarizability: (3, 3) bohr^3.

    The last two are NaN where they differ between the states of an orbitally degenerate level.
    """

    solution: Solution
    forces: Float[Array, "atom 3"]
    hessian: Float[Array, "atom 3 atom 3"]
    dipole_derivatives: Float[Array, "atom 3 3"]
    polarizability: Float[Array, "3 3"]


def harmonic(
    mol: Molecule, method: MethodLike | None = None, *, electric_field: Any = None, **options: Any
) -> Harmonic:
    """All of them from one self-consistent field; not to be differentiated again.

    Arguments and errors as in `hessian`.
    """
    return derivatives_of(*converge(mol, method, electric_field=electric_field, **options))


def converge(
    mol: Molecule, method: MethodLike | None = None, *, electric_field: Any = None, **options: Any
) -> tuple[Problem, Converged, Solution]:
    """The self-consistent field, with an electric field even where that is 0."""
    field = jnp.zeros(3) if electric_field is None else electric_field
    problem = problem_of(mol, method, electric_field=field, **options)
    converged, state = convergence.converge_or_raise(problem)
    return problem, converged, convergence.solution_of(problem, converged, state)


def derivatives_of(problem: Problem, converged: Converged, solution: Solution) -> Harmonic:
    """The derivatives of a converged problem that has an electric field."""
    mol, n = problem.mol, 3 * problem.mol.natm

    def energy_at(positions: Array) -> Array:
        moved = dataclasses.replace(problem, mol=mol.with_positions(positions))
        return relaxed_energy(moved, converged)

    matrix = second_derivatives(problem, converged, in_field=True)
    return Harmonic(
        solution=solution,
        forces=-jax.grad(energy_at)(mol.positions),
        hessian=matrix[:n, :n].reshape(mol.natm, 3, mol.natm, 3),
        dipole_derivatives=-matrix[:n, n:].reshape(mol.natm, 3, 3),
        polarizability=-matrix[n:, n:],
    )


@jax.custom_jvp
def _second_derivatives(problem: Problem) -> tuple[Array, Constants]:
    """Along positions."""
    problem = jax.lax.stop_gradient(problem)
    converged, state = convergence.converge(problem)
    return second_derivatives(problem, converged, in_field=False), Constants.of(state)


def _rule(primals: tuple, tangents: tuple) -> Any:
    """The derivative is that of ``jax.hessian(energy)``, at the same solution."""
    (problem,), (moves,) = primals, tangents
    value, state = _second_derivatives(problem)  # with this rule again: it has derivatives itself
    converged, _ = convergence.converge(jax.lax.stop_gradient(problem))
    tangent = tangent_along(lambda p: _nested(p, converged), problem, moves)
    return (value, state), (tangent, jax.tree.map(convergence.no_tangent, state))


_second_derivatives.defjvp(_rule, symbolic_zeros=True)


@jax.jit
def _nested(problem: Problem, converged: Converged) -> Array:
    flat, moved = inputs(problem, in_field=False)
    return jax.hessian(lambda x: relaxed_energy(moved(x), converged))(flat)
