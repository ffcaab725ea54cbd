"""The one-particle density matrix with its occupied factor."""

from __future__ import annotations

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float


@pytree
class Density:
    """``matrix[s] = factor[s] factor[s]^T``.

    Attributes:
        matrix: (spin, ao, ao); one channel holds all electrons, two hold alpha and beta.
        factor: (spin, ao, occ), occupied orbitals times the square root of their occupation.
    """

    matrix: Float[Array, "spin ao ao"]
    factor: Float[Array, "spin ao occ"]

    @classmethod
    def from_factor(cls, factor: Float[Array, "spin ao occ"]) -> Density:
        return cls(factor @ factor.swapaxes(-1, -2), factor)

    @property
    def total(self) -> Float[Array, "ao ao"]:
        """Sum over spins."""
        return self.matrix.sum(0)

    @property
    def exchange_weight(self) -> float:
        """Exchange of a doubly occupied closed shell counts half: 1/2 for one channel, else 1."""
        return 0.5 if self.matrix.shape[0] == 1 else 1.0
