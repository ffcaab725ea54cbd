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

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float
from dqc_lite.density import Density
from dqc_lite.fit.electrons import Counted
from dqc_lite.fit.fixed import FixedRow
from dqc_lite.fit.fixed import hamiltonian as hamiltonian_of
from dqc_lite.fit.self_consistent import State
from dqc_lite.implicit.coordinates import ResponseEquation
from dqc_lite.implicit.determinants import Determinants
from dqc_lite.implicit.energy_slope import slope_of_energy
from dqc_lite.method import KS
from dqc_lite.scf.self_consistency import SelfConsistency
from dqc_lite.xc.functional import Functional


@pytree
class Near:
    """A converged row as `dqc_lite.implicit.determinants` wants it."""

    mo_coeff: Float[Array, "set ao mo"]
    mo_energy: Float[Array, "set mo"]
    kept: Bool[Array, " mo"]
    reference: Counted

    @classmethod
    def of(cls, row: FixedRow, state: State) -> Near:
        fixed = jax.lax.stop_gradient((state.mo_coeff, state.mo_energy))
        return cls(*fixed, row.kept, row.reference)

    def present(self) -> Float[Array, " mo"]:
        """1 for the independent orbitals, 0 beyond."""
        return (jnp.arange(len(self.kept)) < self.kept.sum()).astype(float)


def energy(method: KS, xc: Functional, row: FixedRow, density: Density) -> Float[Array, ""]:
    """Energy (hartree) of a given density; at a self-consistent one its derivative along the
    functional is that of the self-consistent energy.
    """
    return sum(hamiltonian_of(method, xc).evaluate(row.held, density)[0].values())


def converged_density(row: FixedRow, state: State) -> Density:
    """The density of a state, as a constant."""
    at = Determinants(Near.of(row, state))
    return at.density_at(row.overlap, at.unmoved())


def relaxed_density(method: KS, xc: Functional, row: FixedRow, state: State) -> Density:
    """The converged density with its derivatives, of first order, along the functional.

    They are NaN where the response equations are singular. Derivatives along `row` and `state` are
    those of constants.
    """
    x = _rotation(method)(xc, row, state)
    return Determinants(Near.of(row, state)).density_at(row.overlap, x)


def energy_weighted(
    method: KS, xc: Functional, row: FixedRow, density: Density
) -> Float[Array, "ao ao"]:
    """W = sum_s P_s F_s P_s, half of it for a closed shell, hartree."""
    _, fock = hamiltonian_of(method, xc).evaluate(row.held, density)
    p = density.matrix
    return density.exchange_weight * (p @ fock @ p).sum(0)


def orbital_energies(
    method: KS, xc: Functional, row: FixedRow, state: State, density: Density
) -> Float[Array, "set mo"]:
    """Levels in hartree, occupied ones first, with derivatives of first order along the functional.

    Canonical orbitals C of the converged state need not be followed: levels are stationary along
    rotations within the occupied and within the empty space, and F has no elements between the
    two. So ``d e_i = C_i^T dF C_i`` with the response of the density in dF.
    """
    c = jax.lax.stop_gradient(state.mo_coeff)
    problem = SelfConsistency(
        hamiltonian_of(method, xc), row.held, row.overlap, row.x, row.kept, row.reference
    )
    return jnp.einsum("smi,smn,sni->si", c, problem.evaluate(density).effective, c)


def _rotation(method: KS) -> Callable[[Functional, FixedRow, State], Array]:
    """X(theta), 0 at the converged orbitals."""

    @jax.custom_jvp
    def rotation(xc: Functional, row: FixedRow, state: State) -> Array:
        return Determinants(Near.of(row, state)).unmoved()

    @rotation.defjvp
    def rule(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        xc, row, state = primals
        at, x = Determinants(Near.of(row, state)), rotation(xc, row, state)

        def slope(xc: Functional) -> Array:
            hamiltonian = hamiltonian_of(method, xc)
            at_overlap = functools.partial(at.density_at, row.overlap)
            return slope_of_energy(at_overlap, hamiltonian, row.held)(x)

        explicit = jax.jvp(slope, (xc,), (tangents[0],))[1]
        equation = ResponseEquation(at, hamiltonian_of(method, xc), row.held, row.overlap, x)
        return x, equation.coordinates(explicit, None)

    return rotation
