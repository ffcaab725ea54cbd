"""Determinants near the converged one: rotations of occupied into less occupied orbitals."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dqc_lite._tangents import zero
from dqc_lite._types import Array, Float
from dqc_lite.density import Density
from dqc_lite.errors import ResponseError
from dqc_lite.implicit import minres
from dqc_lite.implicit.orbitals import Nearby
from dqc_lite.implicit.singular import nan_if_singular

DENOMINATOR_FLOOR = 0.1
"""Smallest element (hartree) of the preconditioner."""


def check(converged: Nearby) -> None:
    """Raise `ResponseError` where X does not reach every state nearby."""
    if not converged.reference.descending:
        raise ResponseError(
            "the response of occupations that do not descend with the orbital energy is not "
            "available: first derivatives of dqc_lite.energy are."
        )


def unmoved(converged: Nearby) -> Float[Array, "set mo occ"]:
    """X = 0."""
    nset, _, nmo = converged.mo_coeff.shape
    return zero((nset, nmo, min(converged.reference.nocc, nmo)))


def density(converged: Nearby) -> Density:
    """That of X = 0: its factor is the one whose derivatives are followed."""
    return converged.reference.density(converged.mo_coeff)


def variable(converged: Nearby, x: Float[Array, "set mo occ"]) -> Float[Array, "set mo occ"]:
    """What the density is made from: X itself."""
    return x


def residual(
    converged: Nearby, x: Float[Array, "set mo occ"], slope: Float[Array, "set mo occ"]
) -> Float[Array, "set mo occ"]:
    """0 where the energy is stationary: its derivative with respect to X, hartree."""
    return slope


def density_at(
    converged: Nearby, overlap: Float[Array, "ao ao"], x: Float[Array, "set mo occ"]
) -> Density:
    """Density of the orbitals ``C (1 + X)``, orthonormalized by Gram and Schmidt in `overlap`.

    The orthonormalization runs from the highest occupation down, so that X alone, which adds to an
    orbital others of lower occupation, reaches every determinant nearby.
    """
    c = converged.mo_coeff
    occupied = c[:, :, : x.shape[-1]] + c @ (x * _mask(converged))
    gram = occupied.swapaxes(-1, -2) @ overlap @ occupied
    # a column beyond the orbitals there are is zero and stays so
    absent = jnp.diag(1.0 - converged.present()[: x.shape[-1]])
    lower = jnp.linalg.cholesky(gram + absent)
    rows = jax.lax.linalg.triangular_solve(
        lower, occupied.swapaxes(-1, -2), left_side=True, lower=True
    )
    return converged.reference.density(rows.swapaxes(-1, -2))


def turned(converged: Nearby, between: Float[Array, "set mo mo"]) -> Float[Array, "set mo occ"]:
    """Change of X when orbitals change by ``C between``, between antisymmetric."""
    return _mask(converged) * between[:, :, : converged.reference.nocc]


def solve(
    converged: Nearby,
    kernel: Callable[[Array], Array],
    x: Float[Array, "set mo occ"],
    b: Float[Array, "set mo occ"],
) -> Float[Array, "set mo occ"]:
    """dX of ``H dX = b``, H = d slope/dX the orbital Hessian; NaN where that does not exist.

    `kernel` is the slope linearized at X, ``jax.linearize(slope, x)[1]``.
    """

    def inverse(hessian: Callable, b: Array) -> Array:
        return nan_if_singular(minres.solve(hessian, b, _preconditioner(converged)))

    hessian, mask = _hessian(converged, kernel), _mask(converged)
    return jax.lax.custom_linear_solve(hessian, mask * b, inverse, symmetric=True)


def reverse(
    converged: Nearby,
    kernel: Callable[[Array], Array],
    x: Float[Array, "set mo occ"],
    b: Float[Array, "set mo occ"],
) -> minres.Response:
    """What the solver found in reverse mode, b the cotangent of dX."""
    hessian, mask = _hessian(converged, kernel), _mask(converged)
    return minres.solve(hessian, mask * b, _preconditioner(converged))


def _hessian(converged: Nearby, kernel: Callable[[Array], Array]) -> Callable[[Array], Array]:
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
