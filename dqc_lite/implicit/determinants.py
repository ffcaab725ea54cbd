"""Determinants near the converged one: rotations of occupied into less occupied orbitals."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.zero_valued import zero
from dqc_lite.density import Density
from dqc_lite.errors import ResponseError
from dqc_lite.implicit.converged import Nearby
from dqc_lite.implicit.coordinates import Coordinates, Kernel
from dqc_lite.linalg.krylov import minres

DENOMINATOR_FLOOR = 0.1
"""Smallest element (hartree) of the preconditioner."""


@pytree
class Determinants(Coordinates):
    """X: by how much an orbital takes up others of lower occupation."""

    converged: Nearby

    def check(self) -> None:
        """Raise `ResponseError` where X does not reach every state nearby."""
        if not self.converged.reference.descending:
            raise ResponseError(
                "the response of occupations that do not descend with the orbital energy is not "
                "available: first derivatives of dqc_lite.energy are."
            )

    def unmoved(self) -> Float[Array, "set mo occ"]:
        """X = 0."""
        nset, _, nmo = self.converged.mo_coeff.shape
        return zero((nset, nmo, min(self.converged.reference.nocc, nmo)))

    def density(self) -> Density:
        """That of X = 0: its factor is the one whose derivatives are followed."""
        return self.converged.reference.density(self.converged.mo_coeff)

    def variable(self, x: Float[Array, "set mo occ"]) -> Float[Array, "set mo occ"]:
        """What the density is made from: X itself."""
        return x

    def density_at(
        self, overlap: Float[Array, "ao ao"], x: Float[Array, "set mo occ"]
    ) -> Density:
        """Density of the orbitals ``C (1 + X)``, orthonormalized by Gram and Schmidt in `overlap`.

        The orthonormalization runs from the highest occupation down, so that X alone, which adds
        to an orbital others of lower occupation, reaches every determinant nearby.
        """
        c = self.converged.mo_coeff
        occupied = c[:, :, : x.shape[-1]] + c @ (x * _mask(self.converged))
        gram = occupied.swapaxes(-1, -2) @ overlap @ occupied
        # a column beyond the orbitals there are is zero and stays so
        absent = jnp.diag(1.0 - self.converged.present()[: x.shape[-1]])
        lower = jnp.linalg.cholesky(gram + absent)
        rows = jax.lax.linalg.triangular_solve(
            lower, occupied.swapaxes(-1, -2), left_side=True, lower=True
        )
        return self.converged.reference.density(rows.swapaxes(-1, -2))

    def residual(
        self, x: Float[Array, "set mo occ"], slope: Float[Array, "set mo occ"]
    ) -> Float[Array, "set mo occ"]:
        """0 where the energy is stationary: its derivative with respect to X, hartree."""
        return slope

    def turned(self, between: Float[Array, "set mo mo"]) -> Float[Array, "set mo occ"]:
        """Change of X when orbitals change by ``C between``, between antisymmetric."""
        return _mask(self.converged) * between[:, :, : self.converged.reference.nocc]

    def solve(
        self,
        kernel: Kernel,
        x: Float[Array, "set mo occ"],
        b: Float[Array, "set mo occ"],
    ) -> Float[Array, "set mo occ"]:
        """dX of ``H dX = b``, H = d slope/dX the orbital Hessian; NaN where that does not exist.

        `kernel` is the slope linearized at X, ``jax.linearize(slope, x)[1]``.
        """

        def inverse(hessian: Callable, b: Array) -> Array:
            return minres.solve(hessian, b, _preconditioner(self.converged)).x_or_nan()

        hessian, mask = _hessian(self.converged, kernel), _mask(self.converged)
        return jax.lax.custom_linear_solve(hessian, mask * b, inverse, symmetric=True)

    def reverse(
        self,
        kernel: Kernel,
        x: Float[Array, "set mo occ"],
        b: Float[Array, "set mo occ"],
    ) -> minres.Response:
        """What the solver found in reverse mode, b the cotangent of dX."""
        hessian, mask = _hessian(self.converged, kernel), _mask(self.converged)
        return minres.solve(hessian, mask * b, _preconditioner(self.converged))


def _hessian(converged: Nearby, kernel: Kernel) -> Callable[[Array], Array]:
    """H, and 1 where there is nothing to rotate."""
    mask = _mask(converged)
    return lambda v: mask * kernel(mask * v) + (1.0 - mask) * v

def _occupations(
    converged: Nearby,
) -> tuple[Float[Array, "set mo 1"], Float[Array, "set 1 occ"]]:
    n = jnp.asarray(converged.reference.occupations(converged.mo_coeff.shape[-1]))
    return n[:, :, None], n[:, None, : converged.reference.nocc]

def _mask(converged: Nearby) -> Float[Array, "set mo occ"]:
    """1 where X mixes an orbital (second index) with one of lower occupation, else 0."""
    target, source = _occupations(converged)
    return (target < source) * converged.present()[:, None]

def _preconditioner(converged: Nearby) -> Float[Array, "set mo occ"]:
    """Positive estimate of the diagonal of the orbital Hessian, 2 (n_i - n_a) (e_a - e_i)."""
    target, source = _occupations(converged)
    nocc = source.shape[-1]
    gaps = converged.mo_energy[:, :, None] - converged.mo_energy[:, None, :nocc]
    estimate = jnp.abs(2.0 * (source - target) * gaps)
    return jnp.where(_mask(converged) > 0, jnp.maximum(estimate, DENOMINATOR_FLOOR), 1.0)
