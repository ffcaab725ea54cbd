"""The Fock matrix of a semilocal functional on occupied orbitals, and its derivative along these.

With the variables v(C) on the points, quadratic in the orbitals C, E = sum_g w_g e(v_g) and
F C = dE/dC / 2. The derivative along dC is

    dF C + F dC,    dF C = A^T (w e'' A dC) / 2,    A = dv/dC,

and what does not depend on dC, the orbitals and e'' on the points and F, is evaluated once for
however many dC follow: those of an iterative solution of the response equations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.zero_valued import is_zero
from dqc_lite.density import Density
from dqc_lite.grid.on_points import Variables, changes, orbitals_on, potential_matrix, variables
from dqc_lite.grid.quadrature import Quadrature
from dqc_lite.xc.functional import Functional

Factor = Float[Array, "spin ao occ"]


def level_of(functional: Functional) -> str:
    """The level of a functional that has a part for the term."""
    assert functional.level is not None
    return functional.level


def energy(
    functional: Functional, at: Variables, weights: Float[Array, " point"]
) -> Float[Array, ""]:
    """Hartree, of variables on points with weights."""
    return jnp.vdot(weights, functional.energy_density(at.local()))


def energy_and_slopes(
    functional: Functional, at: Variables, weights: Float[Array, "block point"]
) -> tuple[Float[Array, ""], Variables]:
    """Hartree, and its derivatives, of variables with a leading block axis.

    In two halves, since a loop is what the compiler does not merge with what follows: it would
    evaluate the functional at a point again for each orbital.
    """
    nblock, npoint = weights.shape

    def halved(x: Array) -> Array:
        """(half, ..., point of all blocks)."""
        x = x.reshape(*x.shape[:-1], 2, npoint // 2)
        x = jnp.moveaxis(x, (-2, 0), (0, -2))
        return x.reshape(*x.shape[:-2], -1)

    def whole(x: Array) -> Array:
        x = x.reshape(*x.shape[:-1], nblock, npoint // 2)
        x = jnp.moveaxis(x, (0, -2), (-2, 0))
        return x.reshape(*x.shape[:-2], npoint)

    def of_half(half: tuple[Variables, Array]) -> tuple[Array, Variables]:
        return jax.value_and_grad(energy, 1)(functional, *half)

    energies, slopes = jax.lax.map(of_half, jax.tree.map(halved, (at, weights)))
    return energies.sum(), jax.tree.map(whole, slopes)


def on_orbitals(functional: Functional, grid: Quadrature, factor: Factor) -> Factor:
    """F C, hartree, of the occupied orbitals C (times the roots of their occupations)."""
    leaves, treedef = jax.tree.flatten((functional, grid))
    return _on_orbitals(treedef, leaves, factor)


# leaves, since JAX fills the pytrees of tangents with markers that are no arrays
@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _on_orbitals(treedef: Any, leaves: list[Array], factor: Factor) -> Factor:
    functional, grid = jax.tree.unflatten(treedef, leaves)
    return _evaluated(functional, grid, factor)


def _rule(treedef: Any, primals: tuple, tangents: tuple) -> tuple[Factor, Factor]:
    (leaves, factor), (moves, change) = primals, tangents
    moved = [i for i, t in enumerate(moves) if not is_zero(t)]

    def elsewhere(*values: Array) -> Factor:
        merged = dict(enumerate(leaves)) | dict(zip(moved, values, strict=True))
        functional, grid = jax.tree.unflatten(treedef, merged.values())
        return _evaluated(functional, grid, factor)

    value, tangent = None, jnp.zeros_like(factor)
    if not is_zero(change):
        functional, grid = jax.tree.unflatten(treedef, leaves)
        fock = _matrix(functional, grid, factor)
        value = fock @ factor
        tangent += response(functional, grid, factor)(change) + fock @ change
    if moved:
        at, along = [leaves[i] for i in moved], [moves[i] for i in moved]
        tangent += jax.jvp(elsewhere, at, along)[1]
    return _on_orbitals(treedef, *primals) if value is None else value, tangent


_on_orbitals.defjvp(_rule, symbolic_zeros=True)


def _evaluated(functional: Functional, grid: Quadrature, factor: Factor) -> Factor:
    def one_block(values: Array, weights: Array) -> Factor:
        def of_factor(c: Factor) -> Array:
            at = variables(values, Density.from_factor(c), level_of(functional))
            return energy(functional, at, weights)

        return 0.5 * jax.grad(of_factor)(factor)

    return grid.integrate(one_block, jnp.zeros_like(factor))


def response(functional: Functional, grid: Quadrature, factor: Factor) -> Callable:
    """``dC -> dF C``."""

    def kernel(values: Array) -> Kernel:
        return Kernel.at(functional, values, factor)

    # orbitals on the points take less than the functions, which are kept or too large
    kept = None if grid.values is None else grid.map(kernel)

    def along(change: Factor) -> Factor:
        def one_block(values: Array, weights: Array, *kept: Kernel) -> Factor:
            at = kept[0] if kept else kernel(values)
            return at.applied(level_of(functional), values, weights, change)

        return grid.integrate(one_block, jnp.zeros_like(change), kept)

    return along


def _matrix(functional: Functional, grid: Quadrature, factor: Factor) -> Float[Array, "spin ao ao"]:
    """F, hartree."""

    def one_block(values: Array, weights: Array) -> Array:
        at = variables(values, Density.from_factor(factor), level_of(functional))
        return potential_matrix(values, jax.grad(energy, 1)(functional, at, weights))

    nspin, nao, _ = factor.shape
    return grid.integrate(one_block, jnp.zeros((nspin, nao, nao)))


@pytree
class Kernel:
    """Occupied orbitals psi, and the second derivatives of the energy density, on some points.

    Attributes:
        psi: (component, spin, occ, point) with their gradients.
        second: (variable, variable, point) in the order of `_stacked`.
        Of many blocks both have a leading axis more.
    """

    psi: Float[Array, "*block component spin occ point"]
    second: Float[Array, "*block variable variable point"]

    @classmethod
    def at(cls, functional: Functional, values: Array, factor: Factor) -> Kernel:
        found = variables(values, Density.from_factor(factor), level_of(functional))
        point, separate = _stacked(found)

        def slope(point: Array) -> Array:
            ones = jnp.ones(point.shape[-1])
            return _stacked(jax.grad(energy, 1)(functional, separate(point), ones))[0]

        def row(unit: Array) -> Array:
            direction = jnp.broadcast_to(unit[:, None], point.shape)
            return jax.jvp(slope, (point,), (direction,))[1]

        return cls(orbitals_on(factor, values), jax.vmap(row)(jnp.eye(len(point))))

    def applied(self, level: str, values: Array, weights: Array, change: Factor) -> Factor:
        """A^T (w e'' A dC) / 2."""
        moved, pull = jax.vjp(lambda c: changes(values, self.psi, c, level), change)
        along, separate = _stacked(moved)
        slopes = weights * (self.second * along).sum(1)
        return 0.5 * pull(separate(slopes))[0]


def _stacked(at: Variables) -> tuple[Float[Array, "variable point"], Any]:
    """All variables along one axis, and the way back."""
    leaves, treedef = jax.tree.flatten(at)
    npoint = at.rho.shape[-1]
    rows = [x.reshape(-1, npoint) for x in leaves]
    ends = np.cumsum([len(x) for x in rows])[:-1]

    def separate(stacked: Array) -> Variables:
        parts = jnp.split(stacked, ends)
        shaped = [x.reshape(y.shape) for x, y in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(treedef, shaped)

    return jnp.concatenate(rows), separate
