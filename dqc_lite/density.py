"""The one-particle density matrix with its factors."""

from __future__ import annotations

import numpy as np

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float, Int


@pytree
class Density:
    """``matrix[s] = factor[s] factor[s]^T``, or ``factor[s] partner[s]^T``.

    Attributes:
        matrix: (spin, ao, ao); one channel holds all electrons, two hold alpha and beta.
        factor: (spin, ao, occ), occupied orbitals times the square root of their occupation.
        partner: (spin, ao, occ) where a density matrix in the space of some orbitals C, C M C^T,
            is to be followed as M changes: C M is then the factor and C its partner. None: the
            factor itself.
    """

    matrix: Float[Array, "spin ao ao"]
    factor: Float[Array, "spin ao occ"]
    partner: Float[Array, "spin ao occ"] | None = None

    @classmethod
    def from_factor(cls, factor: Float[Array, "spin ao occ"]) -> Density:
        return cls(factor @ factor.swapaxes(-1, -2), factor)

    @classmethod
    def within(cls, orbitals: Float[Array, "spin ao mo"], m: Float[Array, "spin mo mo"]) -> Density:
        """C M C^T of a symmetric M, linear in it."""
        factor = orbitals @ m
        return cls(factor @ orbitals.swapaxes(-1, -2), factor, orbitals)

    def reordered(self, order: Int[np.ndarray, " ao"]) -> Density:
        """Over the basis functions in another order."""
        partner = None if self.partner is None else self.partner[:, order]
        return Density(self.matrix[:, order[:, None], order], self.factor[:, order], partner)

    @property
    def factors(self) -> tuple[Float[Array, "spin ao occ"], ...]:
        """The factor, or both where they differ."""
        return (self.factor,) if self.partner is None else (self.factor, self.partner)

    @property
    def other(self) -> Float[Array, "spin ao occ"]:
        """The second factor."""
        return self.factor if self.partner is None else self.partner

    @property
    def total(self) -> Float[Array, "ao ao"]:
        """Sum over spins."""
        return self.matrix.sum(0)

    @property
    def exchange_weight(self) -> float:
        """Exchange of a doubly occupied closed shell counts half: 1/2 for one channel, else 1."""
        return 0.5 if self.matrix.shape[0] == 1 else 1.0
