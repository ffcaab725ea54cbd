"""Converged quantities as functions of the inputs, differentiable to any order.

The functions here take the problem, whose leaves are differentiable, and the `Converged` solution,
whose numbers are constants: values come from the latter, derivatives from equations in the former.
All rules are evaluated only when a derivative is asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from dqc_lite._types import Array
from dqc_lite.autodiff.guards import verified
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.autodiff.leaves import moving, tangent_along, tangent_of
from dqc_lite.density import Density
from dqc_lite.implicit.converged import Constants, Converged, orthonormal
from dqc_lite.implicit.coordinates import Coordinates, ResponseEquation
from dqc_lite.implicit.determinants import Determinants
from dqc_lite.implicit.smeared_states import SmearedStates
from dqc_lite.integrals import differentials, operators
from dqc_lite.molecule import Molecule
from dqc_lite.terms import Hamiltonian


class Problem(Protocol):
    """What determines a solution; its leaves are the differentiable inputs."""

    @property
    def mol(self) -> Molecule: ...

    def hamiltonian(self) -> Hamiltonian: ...


def _constant(value: Callable, function: Callable) -> Callable:
    """``f(problem, converged)`` of the value ``value(converged)``, a constant, with the derivative
    of ``function(problem, converged)`` along the problem.
    """

    def rule(problem: Problem, converged: Converged, along: Any) -> Any:
        return tangent_along(lambda p: function(p, converged), problem, along)

    return _with_rule(value, rule)


def _with_rule(value: Callable, rule: Callable) -> Callable:
    """``f(problem, converged)`` of the value ``value(converged)`` and the tangent
    ``rule(problem, converged, along)``, `along` holding symbolic zeros for what does not move.
    """

    @jax.custom_jvp
    def constant(problem: Problem, constants: Constants) -> Constants:
        return Constants.of(value(constants.tree))

    def jvp(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        problem, constants = primals
        return constant(*primals), Constants.of(rule(problem, constants.tree, tangents[0]))

    constant.defjvp(jvp, symbolic_zeros=True)

    def function(problem: Problem, converged: Converged) -> Any:
        return constant(problem, Constants.of(converged)).tree

    return function


def _evaluated(problem: Problem, converged: Converged) -> tuple[Any, Array]:
    orbitals = problem.mol.orbitals()
    return problem.hamiltonian().prepare(problem.mol, orbitals), operators.overlap(orbitals)


integrals = _constant(lambda c: (c.integrals, c.overlap), _evaluated)
"""The integrals of the terms; their derivatives are whole tensors."""

overlap = _constant(
    lambda c: c.overlap,
    lambda problem, converged: operators.overlap(problem.mol.orbitals()),
)


def coordinates(converged: Converged) -> Coordinates:
    """The unknowns that describe states nearby."""
    return (SmearedStates if converged.reference.smeared else Determinants)(converged)


def _state_tangent(problem: Problem, converged: Converged, along: Any) -> Array:
    coordinates(converged).check()
    z = state(problem, converged)
    held, s = integrals(problem, converged)
    explicit = _along_integrals(*moving(along), problem, converged, held, s, z)
    ds = tangent_along(lambda p: operators.overlap(p.mol.orbitals()), problem, along)

    def check(x: Array) -> Array:
        return verified(x, converged.poison) if converged.throw else x

    # in reverse mode it is the cotangent of the explicit part that the solver makes
    return check(_solve(converged, problem.hamiltonian(), held, s, z, check(explicit), ds))


state = _with_rule(lambda c: coordinates(c).unmoved(), _state_tangent)
"""The coordinates of the state."""


@partial(adaptive_jit, static_argnums=(0,))
def _along_integrals(
    moved: tuple[int, ...],
    tangents: list[Array],
    problem: Problem,
    converged: Converged,
    held: Any,
    s: Array,
    z: Array,
) -> Array:
    """The derivative of the residual along the inputs, at fixed coordinates and overlap.

    The derivative of the energy the terms make from contracted integrals (`differential`); its
    value is not needed, and compiled code leaves it out.
    """
    at = coordinates(converged)

    def change(variable: Array) -> Array:
        density = at.density_at(s, variable)

        def differential(moved: Problem) -> Array:
            orbitals = moved.mol.orbitals()
            return moved.hamiltonian().differential(moved.mol, orbitals, held, density)

        return tangent_of(differential, problem, moved, tangents)

    return at.residual(jnp.zeros_like(z), jax.grad(change)(at.variable(z)))


@adaptive_jit
def _solve(
    converged: Converged,
    hamiltonian: Hamiltonian,
    held: Any,
    s: Array,
    z: Array,
    explicit: Array,
    ds: Array,
) -> Array:
    """The change of the coordinates; NaN where that does not exist.

    The slope is linearized once: along the overlap, and for all products of the solver.
    """
    equation = ResponseEquation(coordinates(converged), hamiltonian, held, s, z)
    return equation.coordinates(explicit, ds)


def _density(problem: Problem, converged: Converged) -> Density:
    return _at_state(converged, overlap(problem, converged), state(problem, converged))


@adaptive_jit
def _at_state(converged: Converged, s: Array, z: Array) -> Density:
    at = coordinates(converged)
    return at.density_at(s, at.variable(z))


@adaptive_jit
def _aligned(converged: Converged) -> Density:
    """The converged density with the factors whose derivatives are followed.

    Factors of one density differ by a rotation of the occupied orbitals, and so do derivatives.
    """
    return dataclasses.replace(
        coordinates(converged).density(), matrix=converged.density.matrix
    )


relaxed_density = _constant(_aligned, _density)
"""The converged density."""


def _weighted(problem: Problem, converged: Converged) -> tuple[Density, Array]:
    density = relaxed_density(problem, converged)
    held, s = integrals(problem, converged)
    _, fock = problem.hamiltonian().evaluate(held, density)
    complete = orthonormal(converged, s)
    return density, converged.reference.energy_weighted(fock, density, complete)


_stationary = _constant(lambda c: (_aligned(c), c.weighted), _weighted)
"""P and the energy-weighted density matrix W."""


def _slope(problem: Problem, converged: Converged, along: Any) -> Array:
    """dE = dE(theta, P) - tr(W dS) at fixed P and W, hartree."""
    held, _ = integrals(problem, converged)
    density, weighted = _stationary(problem, converged)

    def differential(moved: Problem) -> tuple[Array, Array]:
        orbitals = moved.mol.orbitals()
        explicit = moved.hamiltonian().differential(moved.mol, orbitals, held, density)
        return explicit, differentials.overlap(orbitals, weighted)

    return _lagrangian(*tangent_along(differential, problem, along), converged.poison)


@adaptive_jit
def _lagrangian(explicit: Array, constraint: Array, poison: Array) -> Array:
    # a factor poisons value, tangent and cotangent; a `where` would transpose to a silent zero
    return (explicit - constraint) * poison


relaxed_energy = _with_rule(lambda c: c.energy, _slope)
"""The converged energy, hartree. Its first derivatives need no response."""


def _orbital_energies(problem: Problem, converged: Converged) -> Array:
    """Eigenvalues of the effective Fock matrix between orthonormalized orbitals."""
    from dqc_lite.linalg import eigvalsh  # a large package, for this alone

    density = relaxed_density(problem, converged)
    held, s = integrals(problem, converged)
    _, fock = problem.hamiltonian().evaluate(held, density)
    c, present = orthonormal(converged, s), converged.present()
    effective = converged.reference.effective_fock(fock, density, s)
    # what was left out of the basis comes last, near enough not to blur the rest
    beyond = 1.0 + jnp.max(jnp.abs(converged.mo_energy) * present)
    matrix = c.swapaxes(-1, -2) @ effective @ c + jnp.diag(beyond * (1.0 - present))
    # the order is that of occupations, which need not ascend
    energies = jnp.where(present > 0, converged.mo_energy, jnp.inf)
    rank = jnp.argsort(jnp.argsort(energies, axis=-1), axis=-1)
    return jnp.take_along_axis(eigvalsh(matrix), rank, -1)


relaxed_orbital_energies = _constant(lambda c: c.mo_energy, _orbital_energies)
"""Orbital energies, hartree. Within a degenerate level derivatives of the sum are exact, those of
single energies one choice among several."""


def _smeared_occupations(problem: Problem, converged: Converged) -> tuple[Array, Array]:
    fermi = converged.reference.fermi
    return fermi.level(relaxed_orbital_energies(problem, converged))


relaxed_occupations = _constant(
    lambda c: c.reference.filling.level(c.mo_energy), _smeared_occupations
)
"""Electrons in smeared orbitals, (set, mo), and Fermi levels, (set,) hartree."""
