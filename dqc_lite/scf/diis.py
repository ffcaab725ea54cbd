"""Direct inversion in the iterative subspace (Pulay, J. Comput. Chem. 3, 556 (1982))."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float, Int
from dqc_lite.errors import InputError

MAX_MAX_CYCLE = 100_000
"""The log of the cycles is allocated beforehand."""


@pytree
class DIIS:
    """Commutator DIIS.

    Attributes:
        max_cycle: Fock builds at most.
        energy_tol: converged when the energy changes by less, hartree.
        gradient_tol: ... and the norm of the orbital gradient is less.
        space: number of Fock matrices kept.
        damping: share of the previous cycle's Fock matrix kept while the gradient is above 0.1.
    """

    max_cycle: int = static(default=100)
    energy_tol: float = static(default=1e-10)
    gradient_tol: float = static(default=1e-8)
    space: int = static(default=8)
    damping: float = static(default=0.0)

    def __post_init__(self) -> None:
        if not 1 <= self.max_cycle <= MAX_MAX_CYCLE or not self.space >= 1:
            raise InputError(
                f"max_cycle = {self.max_cycle}, space = {self.space}: both must be at least 1, "
                f"max_cycle at most {MAX_MAX_CYCLE}."
            )
        if not (self.energy_tol > 0 and self.gradient_tol > 0):
            raise InputError(
                f"energy_tol = {self.energy_tol}, gradient_tol = {self.gradient_tol}: "
                "tolerances must be positive."
            )
        if not 0 <= self.damping < 1:
            raise InputError(f"damping = {self.damping} must lie in [0, 1).")


PATIENCE = 12
"""Cycles without a new smallest error before the history is dropped."""

SHORT = 5
"""Entries used after that."""


@pytree
class History:
    """The last Fock matrices and error vectors, a ring buffer, with the products of the errors.

    When the smallest error has not fallen for `PATIENCE` cycles the history misleads (a saddle
    point has bent it): it is dropped and only `SHORT` entries are used from then on.
    """

    focks: Float[Array, "space set ao ao"]
    errors: Float[Array, "space set mo mo"]
    gram: Float[Array, "space space"]
    count: Int[Array, ""]
    window: Int[Array, ""]
    best: Float[Array, ""]
    stale: Int[Array, ""]

    @classmethod
    def empty(cls, space: int, fock: Float[Array, "set ao ao"]) -> History:
        zeros, none = jnp.zeros((space, *fock.shape)), jnp.zeros((), int)
        gram = jnp.zeros((space, space))
        return cls(zeros, zeros, gram, none, none + space, jnp.asarray(jnp.inf), none)

    def push(self, fock: Float[Array, "set ao ao"], error: Float[Array, "set mo mo"]) -> History:
        """Overwrite the oldest entry; start anew when stalled."""
        space = len(self.gram)
        norm = jnp.linalg.norm(error)
        stale = jnp.where(norm < self.best, 0, self.stale + 1)
        stalled = stale >= PATIENCE
        window = jnp.where(stalled, jnp.minimum(space, SHORT), self.window)
        count = jnp.where(stalled, 0, self.count)
        slot = count % space
        errors = self.errors.at[slot].set(error)
        row = jnp.tensordot(errors, error, 3)
        gram = self.gram.at[slot].set(row).at[:, slot].set(row)
        return History(
            focks=self.focks.at[slot].set(fock), errors=errors, gram=gram, count=count + 1,
            window=window, best=jnp.where(stalled, norm, jnp.minimum(norm, self.best)),
            stale=jnp.where(stalled, 0, stale),
        )  # fmt: skip

    def extrapolate(self) -> Float[Array, "set ao ao"]:
        """The combination of Fock matrices, weights summing to 1, of the smallest error."""
        return jnp.tensordot(self._weights(), self.focks, 1)

    def _weights(self) -> Float[Array, " space"]:
        n = len(self.gram)
        age = (self.count - 1 - jnp.arange(n)) % n
        used = age < jnp.minimum(self.count, self.window)
        # errors scaled to unit length keep the system well conditioned over many decades
        norm = jnp.sqrt(jnp.where(used, jnp.diagonal(self.gram), 1.0))
        inverse = jnp.where(used & (norm > 0), 1.0 / jnp.where(norm > 0, norm, 1.0), 0.0)
        scaled = self.gram * inverse[:, None] * inverse + jnp.diag(jnp.where(inverse > 0, 0.0, 1.0))
        eigenvalues, vectors = jnp.linalg.eigh(scaled)
        safe = eigenvalues > 1e-14 * eigenvalues[-1]
        inverted = jnp.where(safe, 1.0 / jnp.where(safe, eigenvalues, 1.0), 0.0)
        weights = inverse * (vectors @ (inverted * (vectors.T @ inverse)))
        latest = jax.nn.one_hot((self.count - 1) % n, n, dtype=weights.dtype)
        total = weights.sum()
        # an exactly converged latest entry (zero error) leaves nothing to extrapolate
        exact = (total <= 0) | (jnp.vdot(latest, norm) == 0)
        return jnp.where(exact, latest, weights / jnp.where(exact, 1.0, total))
