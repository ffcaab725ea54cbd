"""Direct inversion in the iterative subspace (Pulay, J. Comput. Chem. 3, 556 (1982))."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int

RESTART = 10
"""Cycles without a new smallest error before the history is dropped."""


@pytree
class History:
    """The last Fock matrices and error vectors, the newest first.

    When the smallest error has not fallen for `RESTART` cycles the history misleads (a saddle point
    has bent it) and is dropped. ``waited`` counts the cycles since the error last fell to half of
    what it was then, ``mark``: in all but a few systems that is never more than three.
    """

    focks: Float[Array, "space set ao ao"]
    errors: Float[Array, "space set mo mo"]
    count: Int[Array, ""]
    best: Float[Array, ""]
    stale: Int[Array, ""]
    mark: Float[Array, ""]
    waited: Int[Array, ""]

    @classmethod
    def empty(cls, space: int, fock: Float[Array, "set ao ao"]) -> History:
        zeros, none = jnp.zeros((space, *fock.shape)), jnp.zeros((), int)
        infinite = jnp.asarray(jnp.inf)
        return cls(zeros, zeros, none, infinite, none, infinite, none)

    def push(self, fock: Float[Array, "set ao ao"], error: Float[Array, "set mo mo"]) -> History:
        """Add an entry in the place of the oldest; start anew when stalled."""
        norm = jnp.sqrt(jnp.vdot(error, error))
        stale = jnp.where(norm < self.best, 0, self.stale + 1)
        stalled = stale >= RESTART
        halved = norm < 0.5 * self.mark
        return History(
            focks=jnp.concatenate([fock[None], self.focks[:-1]]),
            errors=jnp.concatenate([error[None], self.errors[:-1]]),
            count=jnp.where(stalled, 0, self.count) + 1,
            best=jnp.where(stalled, norm, jnp.minimum(norm, self.best)),
            stale=jnp.where(stalled, 0, stale),
            mark=jnp.where(halved, norm, self.mark),
            waited=jnp.where(halved, 0, self.waited + 1),
        )

    def extrapolate(self) -> Float[Array, "set ao ao"]:
        """The combination of Fock matrices, weights summing to 1, of the smallest error."""
        return jnp.tensordot(self.weights(), self.focks, 1)

    def used(self) -> Bool[Array, " space"]:
        """Which entries count."""
        return self.count > np.arange(len(self.errors))

    def weights(self) -> Float[Array, " space"]:
        """Summing to 1, of the smallest combined error."""
        n = len(self.errors)
        flat = self.errors.reshape(n, -1)
        gram = flat @ flat.T
        used = self.used()
        # errors scaled to unit length keep the system well conditioned over many decades
        square = jnp.vecdot(flat, flat)
        inverse = jnp.where(used & (square > 0), jax.lax.rsqrt(square), 0.0)
        scaled = jnp.where(inverse > 0, inverse * gram * inverse[:, None], np.eye(n))
        eigenvalues, vectors = jnp.linalg.eigh(scaled, symmetrize_input=False)
        # errors that depend on each other combine to none: raise, do not drop, their eigenvalues
        inverted = 1.0 / jnp.maximum(eigenvalues, 1e-14 * eigenvalues[-1])
        weights = inverse * (vectors @ (inverted * (inverse @ vectors)))
        total = weights.sum()
        # an exactly converged latest entry (zero error) leaves nothing to extrapolate
        exact = (total <= 0) | (inverse[0] == 0)
        return jnp.where(exact, np.eye(n)[0], weights / total)
