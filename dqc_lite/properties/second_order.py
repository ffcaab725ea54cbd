"""Second derivatives of a converged energy along nuclear positions and an electric field.

With the overlap S(theta) and the coordinates v of the state (`dqc_lite.implicit`) the energy is
E(theta, P(S, v)), stationary in v, and -W = dE/dS. Hence ``dE/dtheta = E_theta - tr(W S_theta)``,
the gradient at fixed P and W, and once more along t, with ``d_t = (S_t, v_t)``,

    E_theta,t = [E_theta,t - tr(W S_theta,t)] + E_theta,(S,v) d_t + S_theta E_S,t
              + S_theta E_S,(S,v) d_t.

The bracket, at fixed P and W, and the mixed derivatives E_theta,(S,v), all made in one pass over
the integrals, are the terms' own (`differential`); v_t solves the response equations, of all
directions together. This equals ``jax.hessian`` of the energy, for every method and every kind of
state; only the grouping of the work is particular.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dqc_lite import memory
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.guards import verified
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.implicit import relaxed
from dqc_lite.implicit.converged import Converged
from dqc_lite.implicit.coordinates import ResponseEquation
from dqc_lite.implicit.degenerate import free_axes, unchanged
from dqc_lite.integrals import differentials, operators
from dqc_lite.problem import Problem

MEMORY_SHARE = 0.25
"""Of the budget, for what is made of a chunk of directions."""

MATRICES = 12
"""(spin, ao, ao) arrays of each direction that live at once."""

COPIES = 4
"""Of the integrals that move, in each direction."""


def second_derivatives(
    problem: Problem, converged: Converged, in_field: bool
) -> Float[Array, "input input"]:
    """d2E along positions and, `in_field`, the field that is the last of the extra terms,
    flattened, hartree and bohr or atomic units.

    What does not exist is NaN: only of the derivatives along positions it is an error.
    """
    chunk = _chunk(problem, converged)
    made = _second_derivatives(problem, converged, chunk, in_field) * converged.poison
    natm, n = problem.mol.natm, 3 * problem.mol.natm
    by_positions = made[:n, :n].reshape(natm, 3, natm, 3)
    axes, positions = free_axes(problem, converged), problem.mol.positions
    hessian = made[:n, :n] * unchanged(by_positions, axes, positions, (0, 2))
    if converged.throw:
        hessian = verified(hessian, converged.poison)
    mixed, by_field = made[:n, n:], made[n:, n:]
    if mixed.size:
        mixed = mixed * unchanged(mixed.reshape(natm, 3, 3), axes, positions, (0,))
        by_field = by_field * unchanged(by_field, axes, positions)
    return jnp.block([[hessian, mixed], [mixed.T, by_field]])


def _chunk(problem: Problem, converged: Converged) -> int:
    """Directions to be treated together."""
    numbers = MATRICES * converged.density.matrix.size + COPIES * _moving_size(problem, converged)
    return max(1, int(MEMORY_SHARE * memory.budget_bytes() / (8 * numbers)))


def _moving_size(problem: Problem, converged: Converged) -> int:
    """Numbers in the integrals that are not constants along the nuclei."""

    def moving(problem: Problem, converged: Converged) -> list[Array]:
        constants = jax.tree.leaves(converged.integrals)
        leaves = jax.tree.leaves(_moving_integrals(problem, converged))
        return [x for x in leaves if all(x is not y for y in constants)]

    return sum(x.size for x in jax.eval_shape(moving, problem, converged))


def _moving_integrals(problem: Problem, converged: Converged) -> tuple:
    """What the terms make their `differential` from, at the positions of the problem."""
    mol, held = problem.mol, converged.integrals
    hamiltonian = problem.hamiltonian()
    return hamiltonian.moving_integrals(mol, mol.orbitals(), held, converged.density)


def inputs(problem: Problem, in_field: bool) -> tuple[Array, Callable[[Array], Problem]]:
    """Positions and, `in_field`, the field that is the last of the extra terms, flattened, and the
    problem as a function of these.
    """
    *others, last = problem.method.extra_terms if in_field else (None,)
    flat, unflatten = ravel_pytree((problem.mol.positions, last))

    def moved(x: Array) -> Problem:
        positions, field = unflatten(x)
        method = problem.method
        if in_field:
            method = dataclasses.replace(method, extra_terms=(*others, field))
        mol = problem.mol.with_positions(positions)
        return dataclasses.replace(problem, mol=mol, method=method)

    return flat, moved


@functools.partial(adaptive_jit, static_argnums=(2, 3))
def _second_derivatives(
    problem: Problem, converged: Converged, chunk: int, in_field: bool
) -> Array:
    flat, moved = inputs(problem, in_field)
    units = jnp.eye(flat.size)
    s, v = converged.overlap, _variable(converged)
    gradient = functools.partial(_gradient, moved, converged)
    _, overlap_along = jax.linearize(lambda x: operators.overlap(moved(x).mol.orbitals()), flat)
    overlap_pull = jax.linear_transpose(overlap_along, flat)

    def pulay(x: Array) -> Array:
        return jax.grad(lambda x: differentials.overlap(moved(x).mol.orbitals(), w))(x)

    w = converged.weighted
    _, fixed_state = jax.linearize(lambda x: gradient(x, s, v, moving=True) - pulay(x), flat)
    _, by_state = jax.vjp(lambda s, v: gradient(flat, s, v), s, v)

    def mixed(unit: Array) -> tuple[Array, Array]:
        by_overlap, by_variable = by_state(unit)
        return overlap_pull(by_overlap)[0], by_variable

    def relaxation(direction: tuple[Array, Array]) -> Array:
        unit, explicit = direction
        ds = overlap_along(unit)
        dv, slope = _response(problem, converged, explicit, ds)
        return overlap_pull(slope)[0] + jnp.tensordot(by_variable, dv, dv.ndim)

    by_overlap, by_variable = _in_chunks(mixed, units, chunk)
    total = _in_chunks(fixed_state, units, chunk) + by_overlap + by_overlap.T
    total += _in_chunks(relaxation, (units, by_variable), chunk)
    # rows of the field may be NaN where those of positions are not
    n = problem.mol.positions.size
    symmetric, cross = 0.5 * (total + total.T), total[:n, n:]
    return symmetric.at[:n, n:].set(cross).at[n:, :n].set(cross.T)


def _in_chunks(function: Callable, directions: Any, chunk: int) -> Any:
    """``function`` of every direction, so many at a time."""
    if chunk >= len(jax.tree.leaves(directions)[0]):
        return jax.vmap(function)(directions)
    return jax.lax.map(function, directions, batch_size=chunk)


def _variable(converged: Converged) -> Array:
    at = relaxed.coordinates(converged)
    return at.variable(at.unmoved())


def _gradient(
    moved: Callable,
    converged: Converged,
    x: Array,
    overlap: Array,
    variable: Array,
    moving: bool = False,
) -> Array:
    """E_theta at fixed density matrix, as a function of what makes P or, `moving`, the inputs x."""
    density = relaxed.coordinates(converged).density_at(overlap, variable)
    held = _moving_integrals(moved(x), converged) if moving else converged.integrals

    def differential(x: Array) -> Array:
        at = moved(x)
        return at.hamiltonian().differential(at.mol, at.mol.orbitals(), held, density)

    return jax.grad(differential)(x)


def _response(
    problem: Problem, converged: Converged, explicit: Array, ds: Array
) -> tuple[Array, Array]:
    """Changes of v and of dE/dS, from E_theta,v and the change of the overlap."""
    at = relaxed.coordinates(converged)
    equation = ResponseEquation(
        at, problem.hamiltonian(), converged.integrals, converged.overlap, at.unmoved()
    )
    dv = equation.variable_along(equation.coordinates(explicit, ds))
    return dv, equation.along((ds, dv))[0]
