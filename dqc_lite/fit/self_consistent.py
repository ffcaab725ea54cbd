"""The self-consistent field at fixed geometry, for one row or, under `jax.vmap`, many."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.density import Density
from dqc_lite.fit.fixed import FixedRow
from dqc_lite.scf.diis import History
from dqc_lite.scf.orthogonalization import diagonalize
from dqc_lite.scf.self_consistency import SelfConsistency
from dqc_lite.scf.solvers import DIIS
from dqc_lite.terms import Hamiltonian


@pytree
class State:
    """What the SCF of a row left behind.

    Attributes:
        mo_coeff: (set, ao, mo) orbitals, occupied from the first.
        mo_energy: (set, mo) hartree.
        energy: hartree.
        gradient: norm of the orbital gradient, hartree.
        converged: whether both tolerances were met.
        iterations: Fock builds.
    """

    mo_coeff: Float[Array, "set ao mo"]
    mo_energy: Float[Array, "set mo"]
    energy: Float[Array, ""]
    gradient: Float[Array, ""]
    converged: Bool[Array, ""]
    iterations: Int[Array, ""]


def _problem(hamiltonian: Hamiltonian, row: FixedRow) -> SelfConsistency:
    return SelfConsistency(hamiltonian, row.held, row.overlap, row.x, row.kept, row.reference)


def first_orbitals(hamiltonian: Hamiltonian, row: FixedRow) -> Float[Array, "set ao mo"]:
    """Orbitals of the Fock matrix of the guess density."""
    problem = _problem(hamiltonian, row)
    scale = 1.0 / jnp.sqrt(float(row.reference.nspin))
    density = Density.from_factor(jnp.stack([scale * row.guess] * row.reference.nspin))
    point = problem.evaluate(density)
    return diagonalize(point.effective, row.x, row.kept)[1]


@pytree
class _Cycle:
    """The determinant evaluated last, and the one to evaluate next; ``builds`` Fock matrices."""

    mo_coeff: Float[Array, "set ao mo"]
    following: Float[Array, "set ao mo"]
    effective: Float[Array, "set ao ao"]
    energy: Float[Array, ""]
    change: Float[Array, ""]
    gradient: Float[Array, ""]
    history: History
    builds: Int[Array, ""]


def converge(
    hamiltonian: Hamiltonian,
    row: FixedRow,
    mo_coeff: Float[Array, "set ao mo"],
    most: Int[Array, ""],
    follow: Bool[Array, ""],
    solver: DIIS,
) -> State:
    """Iterate from the determinant of the first orbitals, `most` cycles at most; nothing in here is
    differentiated. `follow`: fill the orbitals most like the last ones instead of the lowest.

    Numbers of electrons are data here and the guess is a determinant, with its spin density: what
    `dqc_lite.scf.search` does not take. The extrapolation is the same.
    """
    problem = _problem(hamiltonian, row)

    def cycle(c: _Cycle) -> _Cycle:
        density = problem.reference.density(c.following)
        point = problem.evaluate(density)
        history = c.history.push(point.effective, point.error)
        energies, orbitals = diagonalize(history.extrapolate(), row.x, row.kept)
        following = _ordered(row, energies, orbitals, c.following, follow)
        return _Cycle(
            mo_coeff=c.following, following=following, effective=point.effective,
            energy=point.energy, change=point.energy - c.energy, gradient=point.gradient,
            history=history, builds=c.builds + 1,
        )  # fmt: skip

    def converged(c: _Cycle) -> Bool[Array, ""]:
        small = jnp.abs(c.change) < solver.energy_tol
        return small & (c.gradient < solver.gradient_tol)

    def unfinished(c: _Cycle) -> Bool[Array, ""]:
        ended = (c.builds > most) | converged(c) | ~jnp.isfinite(c.energy)
        return (c.builds == 0) | ~ended

    nothing = jnp.zeros((row.reference.nset, *row.core.shape))
    infinite = jnp.asarray(jnp.inf)
    start = _Cycle(
        mo_coeff, mo_coeff, nothing, jnp.zeros(()), infinite, infinite,
        History.empty(solver.space, nothing), jnp.zeros((), int),
    )  # fmt: skip
    end = jax.lax.while_loop(unfinished, cycle, start)
    mo_energy, canonical = problem.canonical_orbitals(end.effective, end.mo_coeff)
    return State(canonical, mo_energy, end.energy, end.gradient, converged(end), end.builds)


def _ordered(
    row: FixedRow,
    energies: Float[Array, "set mo"],
    orbitals: Float[Array, "set ao mo"],
    last: Float[Array, "set ao mo"],
    follow: Bool[Array, ""],
) -> Float[Array, "set ao mo"]:
    """Orbitals with those first that are to be filled: the lowest, or those most like the last.

    Maximum overlap (A. T. B. Gilbert, N. A. Besley, P. M. W. Gill, J. Phys. Chem. A 112, 13164
    (2008)): so a state is followed as the functional changes, also where degenerate orbitals of an
    open shell would take turns. Without effect on restricted open shells.
    """
    if row.kind == "restricted open-shell":
        return orbitals
    filled = row.reference.occupations(energies.shape[-1]) > 0
    projected = (last * filled[:, None, :]).swapaxes(-1, -2) @ row.overlap @ orbitals
    rank = jnp.argsort(jnp.argsort(-(projected**2).sum(1), axis=-1), axis=-1)
    chosen = rank < filled.sum(-1, keepdims=True)
    span = energies.max() - energies.min() + 1.0
    order = jnp.argsort(energies + jnp.where(follow & ~chosen, span, 0.0), axis=-1)
    return jnp.take_along_axis(orbitals, order[:, None, :], axis=-1)
