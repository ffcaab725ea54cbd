"""Numbers of electrons as data, so that one compiled program serves many molecules."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float
from dqc_lite.density import Density
from dqc_lite.scf.reference import Reference


@dataclasses.dataclass(frozen=True, eq=False)
class Counted(Reference):
    """A determinant of the lowest orbitals whose numbers of electrons are an array.

    `nalpha` and `nbeta`, static, count the columns of the occupied factor instead: as many as the
    largest molecule of a bucket needs.

    Attributes:
        electrons: (2,) alpha and beta electrons.
    """

    electrons: Float[Array, " 2"] | np.ndarray = dataclasses.field(kw_only=True)

    def _filled(self, count: int) -> Float[Array, "2 count"]:
        return (jnp.arange(count) < jnp.asarray(self.electrons)[:, None]).astype(float)

    def occupations(self, nmo: int) -> Float[Array, "set mo"]:
        """(set, mo) electrons in each orbital, from below."""
        spins = self._filled(nmo)
        return spins if self.nset == 2 else spins.sum(0, keepdims=True)

    def density(self, mo_coeff: Float[Array, "set ao mo"]) -> Density:
        """Density of orbitals filled from below."""
        occupied = mo_coeff[:, :, : self.nocc]
        spins = self._filled(occupied.shape[-1])
        if self.kind == "restricted":
            return Density.from_factor(occupied * jnp.sqrt(spins.sum(0)))
        return Density.from_factor(occupied * spins[:, None, :])


jax.tree_util.register_dataclass(
    Counted, data_fields=["electrons"], meta_fields=["kind", "nalpha", "nbeta", "filling"]
)
