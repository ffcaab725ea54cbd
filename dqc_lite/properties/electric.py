"""Multipole moments and the response to a homogeneous electric field, in atomic units.

Moments are expectation values, ``sum_A Z_A R_A - tr(P r)``, everything else their derivatives:
``mu = -dE/dF``, ``alpha = dmu/dF``, ``beta = d2mu/dF2``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from dqc_lite import convergence
from dqc_lite._types import Array, Float
from dqc_lite.implicit import Converged, relaxed_density
from dqc_lite.implicit.degenerate import single_valued
from dqc_lite.integrals import operators
from dqc_lite.method import MethodLike
from dqc_lite.molecule import Molecule
from dqc_lite.problem import Problem, problem_of
from dqc_lite.singlepoint import density_matrix
from dqc_lite.terms import ElectricField


def dipole(
    mol: Molecule,
    method: MethodLike | None = None,
    *,
    origin: ArrayLike | None = None,
    **options: Any,
) -> Float[Array, " 3"]:
    """Dipole moment, (3,) e bohr, from negative to positive charge; differentiable.

    About `origin` (bohr, default 0), on which the dipole moment of an ion depends. Other arguments
    and errors as in `dqc_lite.energy`; an `electric_field` among them polarizes the density.
    """
    p = density_matrix(mol, method, **options).sum(0)
    return _moment(mol, p, jnp.zeros(3) if origin is None else jnp.asarray(origin, float))


def _moment(mol: Molecule, p: Float[Array, "ao ao"], center: Array) -> Float[Array, " 3"]:
    electrons = jnp.einsum("xmn,mn->x", operators.dipole(mol.orbitals(), center), p)
    return mol.charges @ (mol.positions - center) - electrons


def quadrupole(
    mol: Molecule,
    method: MethodLike | None = None,
    *,
    origin: ArrayLike | None = None,
    traceless: bool = False,
    **options: Any,
) -> Float[Array, "3 3"]:
    """Second moments of the charge, ``sum_i q_i x_i y_i``, (3, 3) e bohr^2; differentiable.

    With `traceless` Buckingham's quadrupole, ``sum_i q_i (3 x_i y_i - r_i^2 delta_xy) / 2``.
    Origin, other arguments and errors as in `dipole`.
    """
    p = density_matrix(mol, method, **options).sum(0)
    center = jnp.zeros(3) if origin is None else jnp.asarray(origin, float)
    electrons = jnp.einsum("xymn,mn->xy", operators.quadrupole(mol.orbitals(), center), p)
    apart = mol.positions - center
    moments = jnp.einsum("a,ax,ay->xy", mol.charges, apart, apart) - electrons
    if traceless:
        return 0.5 * (3.0 * moments - jnp.trace(moments) * jnp.eye(3))
    return moments


def polarizability(
    mol: Molecule, method: MethodLike | None = None, *, electric_field: Any = None, **options: Any
) -> Float[Array, "3 3"]:
    """Static dipole polarizability dmu/dF, (3, 3) a.u. (bohr^3); at `electric_field`, default 0.

    Arguments and errors as in `dipole`, and `ResponseError` where the state is unstable or the
    derivative is not the same for all states of an orbitally degenerate level.
    """
    problem, converged = _in_field(mol, method, electric_field, options)
    alpha = jax.jacfwd(_dipole_in_field(problem, converged))(_strength(problem))
    return single_valued(problem, converged, 0.5 * (alpha + alpha.T))


def hyperpolarizability(
    mol: Molecule, method: MethodLike | None = None, *, electric_field: Any = None, **options: Any
) -> Float[Array, "3 3 3"]:
    """Static first hyperpolarizability d2mu/dF2, (3, 3, 3) a.u.; at `electric_field`, default 0.

    Arguments and errors as in `polarizability`.
    """
    problem, converged = _in_field(mol, method, electric_field, options)
    beta = jax.jacfwd(jax.jacfwd(_dipole_in_field(problem, converged)))(_strength(problem))
    return single_valued(problem, converged, beta)


def dipole_derivatives(
    mol: Molecule, method: MethodLike | None = None, **options: Any
) -> Float[Array, "atom 3 3"]:
    """d mu_y/dR_Ax at [A, x, y], (atom, 3, 3) in e: the atomic polar tensors.

    Over all atoms they sum to the total charge times the unit matrix. Arguments and errors as in
    `polarizability`.
    """
    problem = problem_of(mol, method, **options)
    converged, _ = convergence.converge_or_raise(problem)

    def at(positions: Array) -> Array:
        return _relaxed(dataclasses.replace(problem, mol=mol.with_positions(positions)), converged)

    tensors = jnp.moveaxis(jax.jacrev(at)(mol.positions), 0, -1)
    return single_valued(problem, converged, tensors, atoms=(0,))


def _in_field(
    mol: Molecule, method: MethodLike | None, strength: Any, options: dict
) -> tuple[Problem, Converged]:
    field = jnp.zeros(3) if strength is None else strength
    problem = problem_of(mol, method, electric_field=field, **options)
    return problem, convergence.converge_or_raise(problem)[0]


def _strength(problem: Problem) -> Float[Array, " 3"]:
    """Of the field, the last of the extra terms."""
    field = problem.method.extra_terms[-1]
    assert isinstance(field, ElectricField)
    return field.strength


def _dipole_in_field(problem: Problem, converged: Converged) -> Callable[[Array], Array]:
    *others, field = problem.method.extra_terms
    assert isinstance(field, ElectricField)

    def dipole_at(strength: Array) -> Array:
        terms = (*others, dataclasses.replace(field, strength=strength))
        method = dataclasses.replace(problem.method, extra_terms=terms)
        return _relaxed(dataclasses.replace(problem, method=method), converged)

    return dipole_at


def _relaxed(problem: Problem, converged: Converged) -> Float[Array, " 3"]:
    """The dipole moment of a problem near the converged one, about the coordinate origin."""
    p = relaxed_density(problem, converged).matrix * converged.poison
    return _moment(problem.mol, p.sum(0), jnp.zeros(3))
