"""The first stage of a search: extrapolate the Fock matrix, diagonalize it, fill its orbitals."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float
from dqc_lite.density import Density
from dqc_lite.scf import maximum_overlap
from dqc_lite.scf.diis import History
from dqc_lite.scf.energy_diis import EnergyHistory
from dqc_lite.scf.occupations import Filled
from dqc_lite.scf.plan import Plan
from dqc_lite.scf.self_consistency import Point, SelfConsistency

DAMPED_ABOVE = 0.1
"""Gradient norm (hartree) above which damping, EDIIS and ADIIS act."""


@pytree
class Accelerated:
    """The density to evaluate next, and what it was extrapolated from.

    Attributes:
        filled, density: orbitals and density.
        mixed: (set, ao, ao) the Fock matrix that was diagonalized.
        diis: the last Fock matrices and their errors.
        lowest: what EDIIS and ADIIS need.
        anchor: the density that the maximum-overlap method keeps to.
    """

    filled: Filled
    density: Density
    mixed: Float[Array, "set ao ao"]
    diis: History
    lowest: EnergyHistory | None
    anchor: Float[Array, "set ao ao"] | None


@dataclasses.dataclass(frozen=True)
class Acceleration:
    """How the next density is made.

    ``width`` is the number of columns of its factor, ``mix`` see `dqc_lite.scf.guess.Guess`.
    """

    problem: SelfConsistency
    plan: Plan
    width: int
    mix: float

    def start(self, filled: Filled, density: Density, point: Point) -> Accelerated:
        """At a guess; `point` has the shapes of its surface."""
        plan, reference = self.plan, self.problem.reference
        plain = plan.early == "diis"
        return Accelerated(
            filled=filled, density=self.padded(density), mixed=point.effective,
            diis=History.empty(plan.space, point.effective),
            lowest=None if plain else EnergyHistory.empty(plan.space, point.fock),
            anchor=reference.commuting_density(density) if plan.maximum_overlap else None,
        )  # fmt: skip

    def next(self, a: Accelerated, point: Point, first: Bool[Array, ""]) -> Accelerated:
        """After the density of `a` was evaluated, `first` for a guess."""
        diis = a.diis.push(point.effective, point.error)
        far = point.gradient > DAMPED_ABOVE
        lowest, extrapolated = self._extrapolated(a, diis, point, far)
        share = jnp.where(far & ~first, self.plan.damping, 0.0)
        mixed = (1.0 - share) * extrapolated + share * a.mixed
        filled, density = self.problem.reference.fill(*self._orbitals(a, mixed, point, first))
        return Accelerated(filled, self.padded(density), mixed, diis, lowest, a.anchor)

    def padded(self, density: Density) -> Density:
        """Every factor of one program has the same columns."""
        missing = max(self.width - density.factor.shape[-1], 0)
        factor = jnp.pad(density.factor, ((0, 0), (0, 0), (0, missing)))
        return Density(density.matrix, factor)

    def _extrapolated(
        self, a: Accelerated, diis: History, point: Point, far: Bool[Array, ""]
    ) -> tuple[EnergyHistory | None, Float[Array, "set ao ao"]]:
        """The combination of Fock matrices to diagonalize."""
        if a.lowest is None:
            return None, diis.extrapolate()
        lowest = a.lowest.push(a.density.matrix, point.fock, point.energy)
        weights = jax.lax.cond(
            far, getattr(lowest, self.plan.early), lambda _: diis.weights(), diis.used()
        )
        return lowest, jnp.tensordot(weights, diis.focks, 1)

    def _orbitals(
        self, a: Accelerated, fock: Float[Array, "set ao ao"], point: Point, first: Bool[Array, ""]
    ) -> tuple[Float[Array, "set mo"], Float[Array, "set ao mo"]]:
        """Those to fill next, in the order in which they are filled."""
        problem, plan = self.problem, self.plan
        if plan.level_shift:
            shift = plan.level_shift * jnp.minimum(point.gradient / DAMPED_ABOVE, 1.0)
            fock = fock + shift * self._virtual(a.filled)
        energies, mo_coeff = problem.orbitals(fock)
        if plan.maximum_overlap:
            assert a.anchor is not None
            occupations = problem.reference.occupations(mo_coeff.shape[-1])
            energies, mo_coeff = maximum_overlap.ordered(
                energies, mo_coeff, occupations, a.anchor, problem.overlap
            )
        return energies, self._with_mixed_frontier(mo_coeff, first) if self.mix else mo_coeff

    def _virtual(self, filled: Filled) -> Float[Array, "set ao ao"]:
        """``S (C (1 - n / n_max) C^T) S``: 1 on empty orbitals, 0 on full ones."""
        capacity = 1.0 if self.problem.reference.nset == 2 else 2.0
        c = self.problem.overlap @ filled.mo_coeff
        return (c * (1.0 - filled.mo_occ / capacity)[:, None, :]) @ c.swapaxes(-1, -2)

    def _with_mixed_frontier(
        self, mo_coeff: Float[Array, "set ao mo"], first: Bool[Array, ""]
    ) -> Float[Array, "set ao mo"]:
        """At first, alpha's highest occupied and lowest virtual orbital turned by `mix`."""
        n = self.problem.reference.nalpha
        if not 0 < n < mo_coeff.shape[-1]:
            return mo_coeff
        angle = jnp.where(first & (n < self.problem.kept.sum()), self.mix, 0.0)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        highest, lowest = mo_coeff[0, :, n - 1], mo_coeff[0, :, n]
        turned = jnp.stack([cos * highest + sin * lowest, cos * lowest - sin * highest], -1)
        return mo_coeff.at[0, :, n - 1 : n + 1].set(turned)
