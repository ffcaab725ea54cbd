"""Coulomb and exchange from the four-centre integrals, held in memory.

Integrals (mn|ls) are stored for m >= n only; where the budget allows, l and s run over all pairs,
so that exchange streams through contiguous matrices, else over l >= s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite import memory
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.integrals import differentials, operators
from dqc_lite.integrals.differentials import Scale
from dqc_lite.integrals.operators import Omega

Response = Callable[[Float[Array, "spin ao occ"]], Float[Array, "spin ao occ"]]


@pytree
class Exact:
    """Exact integrals, ``eri`` (pair, ao, ao) or (pair, pair), and omega (see `dqc_lite.jk`)."""

    eri: Array
    omega: Omega
    nao: int = static()

    @classmethod
    def build(cls, orbitals: Orbitals, omega: Omega = None) -> Exact:
        """Raises MemoryBudgetError when not even the packed integrals fit."""
        nao = orbitals.layout.nao
        npair = operators.npair(nao)
        # the host's copy and JAX's live at the same time
        memory.require(
            2 * 8 * npair**2, f"the four-centre integrals of {nao} basis functions",
            "use density_fit=True",
        )  # fmt: skip
        square = 2 * 8 * npair * nao**2 <= memory.budget_bytes() / 2
        return cls(operators.four_center(orbitals, omega, square=square), omega, nao)

    def at(self, orbitals: Orbitals, omega: Omega) -> Exact:
        """The same integrals, to be differentiated along `orbitals` and omega."""
        return dataclasses.replace(self, omega=omega)

    def moving(self, orbitals: Orbitals, omega: Omega, density: Density) -> Exact:
        """See `dqc_lite.jk`: the derivative of the energy has integrals of its own."""
        return self

    def coulomb(self, density: Density) -> Float[Array, "ao ao"]:
        """J_mn = sum_ls (mn|ls) P_ls."""
        total = density.total
        if self.eri.ndim == 2:
            packed = operators.pack(total * (2.0 - jnp.eye(self.nao)))
            return operators.unpack(self.eri @ packed, self.nao)
        return operators.unpack(self.eri.reshape(len(self.eri), -1) @ total.ravel(), self.nao)

    def exchange(self, density: Density) -> Float[Array, "spin ao ao"]:
        """K_ms = sum_nl (mn|ls) P_nl, one pass over the stored pairs."""
        rows, columns = operators.pair_indices(self.nao)
        weights = np.where(rows == columns, 0.5, 1.0)
        p = density.matrix

        def add_pair(k: Array, stored: tuple) -> tuple[Array, None]:
            block, m, n, weight = stored
            if block.ndim == 1:
                block = operators.unpack(block, self.nao)
            from_n = weight * (p[:, n] @ block)
            from_m = weight * (p[:, m] @ block)
            return k.at[:, m].add(from_n).at[:, n].add(from_m), None

        pairs = (self.eri, jnp.asarray(rows), jnp.asarray(columns), jnp.asarray(weights))
        return jax.lax.scan(add_pair, jnp.zeros_like(p), pairs)[0]

    def on_orbitals(
        self, density: Density, coulomb: Scale, exchange: Scale
    ) -> Float[Array, "spin ao occ"]:
        """See `dqc_lite.jk`."""
        fock = jnp.zeros_like(density.matrix)
        if coulomb is not None:
            fock += coulomb * self.coulomb(density)
        if exchange is not None:
            fock -= exchange * density.exchange_weight * self.exchange(density)
        return fock @ density.factor

    def response(self, density: Density, coulomb: Scale, exchange: Scale) -> Response:
        """See `dqc_lite.jk`."""

        def along(change: Float[Array, "spin ao occ"]) -> Float[Array, "spin ao occ"]:
            half = change @ density.factor.swapaxes(-1, -2)
            moved = Density(half + half.swapaxes(-1, -2), density.factor)
            fock = jnp.zeros_like(moved.matrix)
            if coulomb is not None:
                fock += coulomb * self.coulomb(moved)
            if exchange is not None:
                fock -= exchange * density.exchange_weight * self.exchange(moved)
            return fock @ density.factor

        return along

    def differential(
        self, orbitals: Orbitals, density: Density, coulomb: Scale, exchange: Scale
    ) -> Float[Array, ""]:
        """See `dqc_lite.jk`."""
        return differentials.four_center(orbitals, density.matrix, coulomb, exchange, self.omega)
