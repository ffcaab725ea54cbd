"""Combinations of Fock matrices of the lowest energy: EDIIS and ADIIS.

Far from convergence small errors are no guide; the energy is. Both methods take weights that are
positive and sum to one, of the lowest energy of the combined density by a quadratic model: EDIIS
interpolates between all energies (K. N. Kudin, G. E. Scuseria, E. Cances, J. Chem. Phys. 116, 8255
(2002)), ADIIS expands about the newest density (X. Hu, W. Yang, J. Chem. Phys. 132, 054109 (2010)).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float

STEPS = 300
"""Steps of the minimization on the simplex; each is a few operations on tiny matrices."""


@pytree
class EnergyHistory:
    """The last densities, Fock matrices of both spins and energies, the newest first."""

    densities: Float[Array, "space spin ao ao"]
    focks: Float[Array, "space spin ao ao"]
    energies: Float[Array, " space"]

    @classmethod
    def empty(cls, space: int, fock: Float[Array, "spin ao ao"]) -> EnergyHistory:
        zeros = jnp.zeros((space, *fock.shape))
        return cls(zeros, zeros, jnp.zeros(space))

    def push(
        self,
        density: Float[Array, "spin ao ao"],
        fock: Float[Array, "spin ao ao"],
        energy: Float[Array, ""],
    ) -> EnergyHistory:
        """Add an entry in the place of the oldest."""
        return EnergyHistory(
            jnp.concatenate([density[None], self.densities[:-1]]),
            jnp.concatenate([fock[None], self.focks[:-1]]),
            jnp.concatenate([energy[None], self.energies[:-1]]),
        )

    def ediis(self, used: Bool[Array, " space"]) -> Float[Array, " space"]:
        """Weights minimizing ``sum_i c_i E_i - 1/4 sum_ij c_i c_j tr (P_i - P_j)(F_i - F_j)``."""
        traces = self._traces()
        own = jnp.diagonal(traces)
        distances = own + own[:, None] - traces - traces.T
        energies = self.energies - self.energies[0]
        return lowest_on_simplex(energies, -0.5 * distances, used)

    def adiis(self, used: Bool[Array, " space"]) -> Float[Array, " space"]:
        """Weights minimizing ``2 sum_i c_i tr dP_i F_n + sum_ij c_i c_j tr dP_i dF_j`` (halved)."""
        traces = self._traces()
        linear = traces[:, 0] - traces[0, 0]
        quadratic = traces - traces[0] - traces[:, :1] + traces[0, 0]
        return lowest_on_simplex(linear, 0.5 * (quadratic + quadratic.T), used)

    def _traces(self) -> Float[Array, "space space"]:
        """tr(P_i F_j), hartree."""
        n = len(self.energies)
        return self.densities.reshape(n, -1) @ self.focks.reshape(n, -1).T


def lowest_on_simplex(
    linear: Float[Array, " n"], quadratic: Float[Array, "n n"], used: Bool[Array, " n"]
) -> Float[Array, " n"]:
    """The lowest found ``b.c + 1/2 c.Q.c``, c >= 0 among the `used`, sum c = 1.

    Projected gradients from every corner and the middle: the function need not be convex. Momentum
    restarts when it points uphill (B. O'Donoghue, E. Candes, Found. Comput. Math. 15, 715 (2015)).
    """
    n = len(linear)
    b = jnp.where(used, linear, 0.0)
    q = jnp.where(used & used[:, None], quadratic, 0.0)
    step = 1.0 / jnp.maximum(jnp.abs(q).sum(-1).max(), 1e-12)

    def descend(_: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        c, ahead, momentum = carry
        new = _on_simplex(ahead - step * (b + q @ ahead), used)
        against = jnp.vdot(ahead - new, new - c) > 0
        momentum = jnp.where(against, 0.0, momentum + 1.0)
        return new, new + momentum / (momentum + 3.0) * (new - c), momentum

    def descended(start: Array) -> Array:
        start = _on_simplex(start, used)
        return jax.lax.fori_loop(0, STEPS, descend, (start, start, jnp.zeros(())))[0]

    starts = jnp.concatenate([jnp.eye(n), jnp.ones((1, n)) / n])
    found = jax.vmap(descended)(starts)
    values = found @ b + 0.5 * jnp.vecdot(found @ q, found)
    return found[jnp.argmin(values)]


def _on_simplex(c: Float[Array, " n"], used: Bool[Array, " n"]) -> Float[Array, " n"]:
    """The nearest point: all coordinates lowered by the same, negative ones cut off."""
    c = jnp.where(used, c, -jnp.inf)
    descending = jnp.sort(c, descending=True)
    number = np.arange(1, len(c) + 1)
    finite = jnp.isfinite(descending)
    sums = jnp.cumsum(jnp.where(finite, descending, 0.0))
    positive = finite & (jnp.where(finite, descending, 0.0) * number > sums - 1.0)
    count = positive.sum()
    lowered = (sums[count - 1] - 1.0) / count
    return jnp.where(used, jnp.maximum(c - lowered, 0.0), 0.0)
