"""Density and energy of converged rows as functions of the functional, at fixed geometry.

The converged orbitals C are followed as ``C (1 + X)``, orthonormalized; X takes an orbital into
those of lower occupation and its equation is that the energy is stationary, as in
`dqc_lite.implicit`: ``H dX = -dg/dtheta`` with g = dE/dX and H the orbital Hessian. Here theta is
the functional alone and numbers of electrons are data, so that the rule can be mapped over rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Float
from dqc_lite.density import Density
from dqc_lite.fit.fixed import FixedRow
from dqc_lite.fit.fixed import hamiltonian as hamiltonian_of
from dqc_lite.fit.self_consistent import State
from dqc_lite.implicit import minres
from dqc_lite.method import KS
from dqc_lite.xc.functional import Functional

TOLERANCE = 1e-10
"""Relative residual at which the response equations count as solved."""

ACCEPTED = 1e-8
"""Relative residual above which the answer is NaN."""

SINGULAR = 1e-4
"""Eigenvalue of the orbital Hessian, over its diagonal, below which it is singular."""

DENOMINATOR_FLOOR = 0.1
"""Smallest element (hartree) of the preconditioner."""


def energy(method: KS, xc: Functional, row: FixedRow, density: Density) -> Float[Array, ""]:
    """Energy (hartree) of a given density; at a self-consistent one its derivative along the
    functional is that of the self-consistent energy.
    """
    return sum(hamiltonian_of(method, xc).evaluate(row.held, density)[0].values())


def converged_density(row: FixedRow, state: State) -> Density:
    """The density of a state, as a constant."""
    return _density_at(row, state.mo_coeff, jnp.zeros(_shape(row, state)))


def relaxed_density(method: KS, xc: Functional, row: FixedRow, state: State) -> Density:
    """The converged density with its derivatives, of first order, along the functional.

    They are NaN where the response equations are singular. Derivatives along `row` and `state` are
    those of constants.
    """
    x = _rotation(method)(xc, row, state)
    return _density_at(row, jax.lax.stop_gradient(state.mo_coeff), x)


def energy_weighted(
    method: KS, xc: Functional, row: FixedRow, density: Density
) -> Float[Array, "ao ao"]:
    """W = sum_s P_s F_s P_s, half of it for a closed shell, hartree."""
    _, fock = hamiltonian_of(method, xc).evaluate(row.held, density)
    p = density.matrix
    return density.exchange_weight * (p @ fock @ p).sum(0)


def _rotation(method: KS) -> Callable[[Functional, FixedRow, State], Array]:
    """X(theta), 0 at the converged orbitals."""

    @jax.custom_jvp
    def rotation(xc: Functional, row: FixedRow, state: State) -> Array:
        return jnp.zeros(_shape(row, state))

    @rotation.defjvp
    def rule(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        xc, row, state = primals
        x = rotation(xc, row, state)

        def slope(xc: Functional) -> Array:
            return _orbital_gradient(method, xc, row, state, x)

        explicit = jax.jvp(slope, (xc,), (tangents[0],))[1]
        return x, _solve(method, xc, row, state, x, -explicit)

    return rotation


def _solve(
    method: KS, xc: Functional, row: FixedRow, state: State, x: Array, b: Array
) -> Float[Array, "set mo occ"]:
    """H^-1 b; NaN where H is singular or the solver did not get there."""
    mask, diagonal = _mask(row, state), _preconditioner(row, state)
    slope = functools.partial(_orbital_gradient, method, xc, row, state)
    _, product = jax.linearize(slope, x)

    def hessian(v: Array) -> Array:
        return mask * product(mask * v) + (1.0 - mask) * v

    def solve(hessian: Callable, b: Array) -> Array:
        found = minres.solve(hessian, b, diagonal, TOLERANCE)
        bad = ~(found.residual < ACCEPTED) | (found.smallest < SINGULAR)
        return found.x * jnp.where(bad, jnp.nan, 1.0)

    return jax.lax.custom_linear_solve(hessian, mask * b, solve, symmetric=True)


def _shape(row: FixedRow, state: State) -> tuple[int, int, int]:
    nset, _, nmo = state.mo_coeff.shape
    return nset, nmo, min(row.nocc, nmo)


def _occupations(row: FixedRow, state: State) -> tuple[Array, Array]:
    n = row.reference.occupations(state.mo_coeff.shape[-1])
    return n[:, :, None], n[:, None, : row.nocc]


def _mask(row: FixedRow, state: State) -> Float[Array, "set mo occ"]:
    """1 where X mixes an orbital (second index) with one of lower occupation, else 0."""
    target, source = _occupations(row, state)
    present = jnp.arange(target.shape[1])[:, None] < row.kept.sum()
    return ((target < source) & present).astype(float)


def _preconditioner(row: FixedRow, state: State) -> Float[Array, "set mo occ"]:
    """Positive estimate of the diagonal of the orbital Hessian, 2 (n_i - n_a) (e_a - e_i)."""
    target, source = _occupations(row, state)
    gaps = state.mo_energy[:, :, None] - state.mo_energy[:, None, : source.shape[-1]]
    estimate = jnp.abs(2.0 * (source - target) * gaps)
    return jnp.where(_mask(row, state) > 0, jnp.maximum(estimate, DENOMINATOR_FLOOR), 1.0)


def _density_at(row: FixedRow, mo_coeff: Array, x: Float[Array, "set mo occ"]) -> Density:
    """Density of ``C (1 + X)``, orthonormalized from the highest occupation down."""
    n = row.reference.occupations(mo_coeff.shape[-1])
    columns = mo_coeff[:, :, : x.shape[-1]]
    occupied = columns + mo_coeff @ (x * _lower(n, x, row))
    gram = occupied.swapaxes(-1, -2) @ row.overlap @ occupied
    # a column beyond the orbitals there are is zero and stays so
    absent = (jnp.arange(x.shape[-1]) >= row.kept.sum()).astype(float)
    lower = jnp.linalg.cholesky(gram + jnp.diag(absent))
    rows = jax.lax.linalg.triangular_solve(
        lower, occupied.swapaxes(-1, -2), left_side=True, lower=True
    )
    return row.reference.density(rows.swapaxes(-1, -2))


def _lower(n: Array, x: Array, row: FixedRow) -> Array:
    present = jnp.arange(n.shape[-1])[:, None] < row.kept.sum()
    return ((n[:, :, None] < n[:, None, : x.shape[-1]]) & present).astype(float)


def _orbital_gradient(
    method: KS, xc: Functional, row: FixedRow, state: State, x: Array
) -> Float[Array, "set mo occ"]:
    """g = dE/dX, hartree, from the Fock matrix dE/dP."""

    def matrix(x: Array) -> tuple[Array, Density]:
        density = _density_at(row, state.mo_coeff, x)
        return density.matrix, density

    _, pull, density = jax.vjp(matrix, x, has_aux=True)
    _, fock = hamiltonian_of(method, xc).evaluate(row.held, density)
    return pull(fock)[0]
