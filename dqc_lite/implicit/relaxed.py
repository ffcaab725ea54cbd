"""Converged quantities as functions of the inputs, differentiable to any order.

The functions here take the problem, whose leaves are differentiable, and the `Converged` solution,
whose numbers are constants: values come from the latter, derivatives from equations in the former.
All rules are evaluated only when a derivative is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from dqc_lite._types import Array
from dqc_lite.density import Density
from dqc_lite.errors import ResponseError
from dqc_lite.implicit import minres
from dqc_lite.implicit.moving import moving, tangent_along, tangent_of
from dqc_lite.implicit.orbitals import (
    Constants,
    Converged,
    density_at,
    orbital_gradient,
    orthonormal,
)
from dqc_lite.implicit.verified import verified
from dqc_lite.integrals import differentials, operators
from dqc_lite.molecule import Molecule
from dqc_lite.terms import Hamiltonian

TOLERANCE = 1e-10
"""Relative residual at which the response equations count as solved."""

ACCEPTED = 1e-8
"""Relative residual above which the answer is NaN."""

SINGULAR = 1e-4
"""Eigenvalue of the orbital Hessian, over its diagonal, below which it is singular."""


class Problem(Protocol):
    """What determines a solution; its leaves are the differentiable inputs."""

    mol: Molecule

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
    def constant(problem: Problem, constants: Constants) -> Any:
        return value(constants.tree)

    def jvp(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        problem, constants = primals
        return constant(*primals), rule(problem, constants.tree, tangents[0])

    constant.defjvp(jvp, symbolic_zeros=True)

    def function(problem: Problem, converged: Converged) -> Any:
        return constant(problem, Constants.of(converged))

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


def _rotation_tangent(problem: Problem, converged: Converged, along: Any) -> Array:
    if not converged.reference.descending:
        raise ResponseError(
            "the response of occupations that do not descend with the orbital energy is not "
            "available: first derivatives of dqc_lite.energy are."
        )
    x = rotation(problem, converged)
    return _respond(problem, converged, x, -_explicit(problem, converged, x, along))


rotation = _with_rule(Converged.unmoved, _rotation_tangent)
"""X, (set, mo, occ), 0 at the converged orbitals."""


def _explicit(problem: Problem, converged: Converged, x: Array, along: Any) -> Array:
    """Derivative of the orbital gradient along the inputs at fixed X."""
    held, s = integrals(problem, converged)
    by_integrals = _along_integrals(*moving(along), problem, converged, held, s, x)
    ds = tangent_along(lambda p: operators.overlap(p.mol.orbitals()), problem, along)
    return by_integrals + _along_overlap(converged, problem.hamiltonian(), held, s, x, ds)


@functools.partial(jax.jit, static_argnums=0)
def _along_integrals(
    moved: tuple[int, ...],
    tangents: list[Array],
    problem: Problem,
    converged: Converged,
    held: Any,
    s: Array,
    x: Array,
) -> Array:
    """At fixed overlap: the derivative with respect to X of that of the energy.

    The latter the terms make from contracted integrals (`differential`); its value is not needed,
    and compiled code leaves it out.
    """

    def slope(x: Array) -> Array:
        density = density_at(converged, s, x)

        def differential(at: Problem) -> Array:
            orbitals = at.mol.orbitals()
            return at.hamiltonian().differential(at.mol, orbitals, held, density)

        return tangent_of(differential, problem, moved, tangents)

    return jax.grad(slope)(x)


@jax.jit
def _along_overlap(
    converged: Converged, hamiltonian: Hamiltonian, held: Any, s: Array, x: Array, ds: Array
) -> Array:
    def gradient(s: Array) -> Array:
        return orbital_gradient(converged, hamiltonian, held, s, x)

    return jax.jvp(gradient, (s,), (ds,))[1]


def _respond(problem: Problem, converged: Converged, x: Array, b: Array) -> Array:
    """H^-1 b, H the orbital Hessian at X; NaN, or an error, where that does not exist."""
    held, s = integrals(problem, converged)

    def check(x: Array) -> Array:
        return verified(x, converged.poison) if converged.throw else x

    # in reverse mode it is the cotangent of b that the solver makes
    return check(_solve(converged, problem.hamiltonian(), held, s, x, check(b)))


@jax.jit
def _solve(
    converged: Converged, hamiltonian: Hamiltonian, held: Any, s: Array, x: Array, b: Array
) -> Array:
    mask = converged.mask()
    _, product = jax.linearize(lambda x: orbital_gradient(converged, hamiltonian, held, s, x), x)

    def hessian(v: Array) -> Array:
        return mask * product(mask * v) + (1.0 - mask) * v

    def solve(hessian: Callable, b: Array) -> Array:
        found = minres.solve(hessian, b, converged.preconditioner(), TOLERANCE)
        bad = ~(found.residual < ACCEPTED) | (found.smallest < SINGULAR)
        return found.x * jnp.where(bad, jnp.nan, 1.0)

    return jax.lax.custom_linear_solve(hessian, mask * b, solve, symmetric=True)


def _density(problem: Problem, converged: Converged) -> Density:
    x = rotation(problem, converged)
    return density_at(converged, overlap(problem, converged), x)


def _aligned(converged: Converged) -> Density:
    """The converged density with the factor whose derivative `density_at` is.

    Factors of one density differ by a rotation of the occupied orbitals, and so do derivatives.
    """
    if converged.reference.smeared:
        return converged.density
    moving = density_at(converged, converged.overlap, converged.unmoved())
    return Density(converged.density.matrix, moving.factor)


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

    def differential(moved: Problem) -> Array:
        orbitals = moved.mol.orbitals()
        explicit = moved.hamiltonian().differential(moved.mol, orbitals, held, density)
        return explicit - differentials.overlap(orbitals, weighted)

    # a factor poisons value, tangent and cotangent; a `where` would transpose to a silent zero
    return tangent_along(differential, problem, along) * converged.poison


relaxed_energy = _with_rule(lambda c: c.energy, _slope)
"""The converged energy, hartree. Its first derivatives need no response."""
