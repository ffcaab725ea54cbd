"""Orbitally degenerate states, and which derivatives they have.

The hole of a partly filled pi or p shell may lie in any direction: turning the electrons about an
axis that leaves nuclei and field as they are leads from one solution to another of the same energy.
Along this turn the orbital Hessian is singular. Response equations whose right side has a part
along it have no solution. Where it has none, they are solved, and the derivative exists if it is
the same for every one of these solutions, else a small change of the input selects one of them and
there is nothing to be linear in. The solution turned by an angle has the tensor turned by it. So a
derivative is accepted if its tensor does not change when it is turned about the free axis: that is
so for the force constant of OH, not for its polarizability, of which one component lies along the
hole and one across.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float
from dqc_lite.autodiff.guards import verified
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.implicit import relaxed
from dqc_lite.implicit.converged import Converged
from dqc_lite.implicit.coordinates import ResponseEquation
from dqc_lite.implicit.relaxed import Problem
from dqc_lite.integrals import operators
from dqc_lite.terms import Hamiltonian

FREE = 1e-2
"""Change of the slope (hartree) over the turn (radian, in the norm of the coordinates), below which
a turn costs nothing. A grid, which is not round, lets it cost 1e-3."""

TURNS = 1e-3
"""Change of the coordinates by a turn of one radian, below which it leaves the state as it is."""

UNCHANGED = 1e-3
"""Change of a tensor by a turn of one radian, over its largest element, that is none."""

OFF_AXIS = 0.1
"""Bohr between a centre and a line: that a turn about the line is not free need not be computed."""


def single_valued(
    problem: Problem, converged: Converged, tensor: Array, atoms: tuple[int, ...] = ()
) -> Array:
    """`tensor`, a derivative, where it is the same for every state of a degenerate level.

    Else NaN or, where exceptions are wanted, `ResponseError`. Axes of the tensor are x, y, z or,
    those in `atoms`, an atom before its x, y, z.
    """
    axes = free_axes(problem, converged)
    made = tensor * unchanged(tensor, axes, problem.mol.positions, atoms)
    return verified(made, converged.poison) if converged.throw else made


def free_axes(problem: Problem, converged: Converged) -> Float[Array, "3 3"]:
    """The projector onto the axes about which the electrons turn freely; mostly 0."""
    problem = jax.lax.stop_gradient(problem)
    mol = problem.mol
    weight = mol.charges + jnp.where(mol.charges.sum() == 0, 1.0, 0.0)
    center = weight @ mol.positions / weight.sum()
    turns = _turns(converged, operators.turning(mol.orbitals(), center))
    if _none(mol.positions, turns):
        return jnp.zeros((3, 3))
    return _axes(converged, problem.hamiltonian(), turns)


def _none(positions: Any, turns: Any) -> bool:
    """Whether it is plain, from numbers at hand, that there is no free axis."""
    if any(isinstance(x, jax.core.Tracer) for x in (positions, turns)):
        return False
    apart = np.asarray(positions) - np.mean(positions, axis=0)
    bent = np.linalg.norm(np.linalg.svd(apart, compute_uv=False)[1:]) > OFF_AXIS
    return bool(bent or np.linalg.norm(np.reshape(turns, (3, -1)), axis=1).max() < TURNS)


@adaptive_jit
def _turns(converged: Converged, generators: Float[Array, "3 ao ao"]) -> Array:
    """Changes of the coordinates when the electrons turn about x, y and z."""
    at, c = relaxed.coordinates(converged), converged.mo_coeff
    between = jnp.einsum("smi,xmn,snj->xsij", c, generators, c)
    return jax.vmap(at.turned)(between)


@adaptive_jit
def _axes(converged: Converged, hamiltonian: Hamiltonian, turns: Array) -> Array:
    at, s = relaxed.coordinates(converged), converged.overlap
    equation = ResponseEquation(at, hamiltonian, converged.integrals, s, at.unmoved())

    def change(turn: Array) -> Array:
        return at.residual(turn, equation.kernel(equation.variable_along(turn)))

    u, r = turns.reshape(3, -1), jax.lax.map(change, turns).reshape(3, -1)
    sizes, combinations = jnp.linalg.eigh(u @ u.T)
    turning = sizes > TURNS**2
    units = combinations * jnp.where(turning, 1.0 / jnp.sqrt(jnp.abs(sizes) + 1e-30), 0.0)
    costs, mixed = jnp.linalg.eigh(units.T @ (r @ r.T) @ units + jnp.diag(1.0 * ~turning))
    axes = (units @ mixed) * (costs < FREE**2)
    lengths = jnp.linalg.norm(axes, axis=0)
    axes = axes / jnp.where(lengths > 0, lengths, 1.0)
    return axes @ axes.T


@partial(jax.jit, static_argnums=(3,))
def unchanged(
    tensor: Array, axes: Float[Array, "3 3"], positions: Array, atoms: tuple[int, ...] = ()
) -> Float[Array, ""]:
    """1 where a turn about the axes leaves the tensor of `single_valued` as it is, or NaN.

    What moving or turning the whole molecule does is left out: it is known to do no harm, and a
    grid, or forces, may blur it.
    """
    tensor, positions = jax.lax.stop_gradient((tensor, positions))
    inner, largest = _internal(positions), jnp.max(jnp.abs(tensor))
    for axis in atoms:
        tensor = jnp.moveaxis(
            jnp.tensordot(inner, tensor, ((2, 3), (axis, axis + 1))), (0, 1), (axis, axis + 1)
        )
    directions = [i for i in range(tensor.ndim) if i not in atoms]
    levi_civita = np.cross(np.eye(3)[:, None], np.eye(3)[None])

    def turned(generator: Array) -> Array:
        parts = (
            jnp.moveaxis(jnp.tensordot(generator, tensor, (1, axis)), 0, axis)
            for axis in directions
        )
        return jnp.asarray(sum(parts))

    change = jnp.max(jnp.abs(jax.vmap(turned)(jnp.einsum("an,nij->aij", axes, levi_civita))))
    return jnp.where(change <= UNCHANGED * largest, 1.0, jnp.nan)


def _internal(positions: Float[Array, "atom 3"]) -> Float[Array, "atom 3 atom 3"]:
    """The projector onto displacements that neither move nor turn the whole."""
    n = len(positions)
    apart = positions - positions.mean(0)
    turns = jnp.cross(jnp.eye(3)[:, None], apart[None])
    moves = jnp.broadcast_to(jnp.eye(3)[:, None], (3, n, 3))
    rigid = jnp.concatenate([moves, turns]).reshape(6, -1).T
    inner = jnp.eye(3 * n) - rigid @ jnp.linalg.pinv(rigid, rtol=1e-6)
    return inner.reshape(n, 3, n, 3)
