"""Integrals over atomic orbitals as JAX functions: fast values, derivatives of any order.

Values come from PySCF's symmetric, contracted evaluation; derivatives from the general primitive
(`dqc_lite.integrals.general`), which is closed under differentiation. All in atomic units.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from dqc_lite._types import Array, Float
from dqc_lite.basis import Orbitals
from dqc_lite.integrals import by_primitive, general, gradient_table
from dqc_lite.integrals.by_primitive import Omega
from dqc_lite.integrals.callback import accelerated, host_call
from dqc_lite.integrals.contracted_gradient import followed
from dqc_lite.integrals.host import values as host_values
from dqc_lite.integrals.symmetric_pairs import npair, pack, pair_indices, unpack

__all__ = [
    "Omega", "dipole", "ecp", "four_center", "kinetic", "npair", "nuclear", "octupole", "overlap",
    "pack", "pair_indices", "quadrupole", "three_center", "turning", "two_center", "unpack",
]  # fmt: skip


def _square(orbitals: Orbitals, *_: object) -> tuple[int, int]:
    return orbitals.layout.nao, orbitals.layout.nao


_overlap = followed(host_values.overlap, _square, gradient_table.OVERLAP, by_primitive.overlap)
_kinetic = followed(host_values.kinetic, _square, gradient_table.KINETIC, by_primitive.kinetic)
_nuclear = followed(host_values.nuclear, _square, gradient_table.NUCLEAR, by_primitive.nuclear)
_ecp = followed(host_values.ecp, _square, gradient_table.ECP, by_primitive.ecp)


def overlap(orbitals: Orbitals) -> Float[Array, "ao ao"]:
    """<m|n>."""
    return _overlap((orbitals,), ())


def kinetic(orbitals: Orbitals) -> Float[Array, "ao ao"]:
    """<m|-1/2 nabla^2|n>, hartree."""
    return _kinetic((orbitals,), ())


def nuclear(orbitals: Orbitals, charges: Float[Array, " atom"]) -> Float[Array, "ao ao"]:
    """-sum_C Z_C <m|1/r_C|n>, hartree."""
    return _nuclear((orbitals,), (charges,))


def ecp(orbitals: Orbitals) -> Float[Array, "ao ao"]:
    """Scalar effective core potential <m|V|n>, hartree."""
    return _ecp((orbitals,), ())


@functools.lru_cache(maxsize=8)
def _multipole(order: int):
    name = "int1e_" + "r" * order
    return accelerated(
        lambda o: host_values.multipole(o, order),
        lambda o: (3**order, *_square(o)),
        lambda o: general.integral(name, (o, o)),
    )


def dipole(orbitals: Orbitals, origin: ArrayLike | None = None) -> Float[Array, "3 ao ao"]:
    """<m|r - origin|n>, bohr; origin (3,) in bohr, default 0, differentiable."""
    first = _multipole(1)(orbitals)
    if origin is None:
        return first
    return first - jnp.asarray(origin)[:, None, None] * overlap(orbitals)


def quadrupole(orbitals: Orbitals, origin: ArrayLike | None = None) -> Float[Array, "3 3 ao ao"]:
    """<m|(r - origin)_x (r - origin)_y|n>, bohr^2 (Cartesian second moments, not traceless)."""
    nao = orbitals.layout.nao
    second = _multipole(2)(orbitals).reshape(3, 3, nao, nao)
    if origin is None:
        return second
    shift = jnp.asarray(origin)
    cross = shift[:, None, None, None] * _multipole(1)(orbitals)
    square = shift[:, None] * shift
    return (
        second - cross - cross.swapaxes(0, 1) + square[:, :, None, None] * overlap(orbitals)
    )


def octupole(orbitals: Orbitals) -> Float[Array, "3 3 3 ao ao"]:
    """<m|r_x r_y r_z|n> about the coordinate origin, bohr^3."""
    nao = orbitals.layout.nao
    return _multipole(3)(orbitals).reshape(3, 3, 3, nao, nao)


def turning(orbitals: Orbitals, center: Float[Array, " 3"]) -> Float[Array, "3 ao ao"]:
    """<m|(r - center) x nabla|n>, center in bohr: how functions change in a turn. A constant."""
    at = jax.lax.stop_gradient((orbitals, center))
    return host_call(host_values.turning, (3, *_square(orbitals)), *at)


_two_center = followed(
    host_values.two_center, _square, gradient_table.TWO_CENTER, by_primitive.two_center
)
_three_center = followed(
    host_values.three_center,
    lambda o, aux, _: (aux.layout.nao, npair(o.layout.nao)),
    gradient_table.THREE_CENTER,
    by_primitive.three_center,
)


@functools.cache
def _four_center(square: bool):
    def shape(o: Orbitals, _: Omega) -> tuple[int, ...]:
        nao = o.layout.nao
        return (npair(nao), nao, nao) if square else (npair(nao),) * 2

    return accelerated(
        lambda o, omega: host_values.four_center(o, omega, square),
        shape,
        lambda o, omega: by_primitive.four_center(o, omega, square),
    )


def two_center(auxiliary: Orbitals, omega: Omega = None) -> Float[Array, "aux aux"]:
    """(P|Q) of 1/r, or of erf(omega r)/r for omega > 0 (1/bohr, differentiable), hartree."""
    return _two_center((auxiliary,), (omega,))


def three_center(
    orbitals: Orbitals, auxiliary: Orbitals, omega: Omega = None
) -> Float[Array, "aux pair"]:
    """(P|mn) over pairs m >= n; omega as in `two_center`."""
    return _three_center((orbitals, auxiliary), (omega,))


def four_center(orbitals: Orbitals, omega: Omega = None, *, square: bool = False) -> Array:
    """(mn|ls) over pairs m >= n and l >= s; with `square` over all l and s, (pair, ao, ao)."""
    return _four_center(square)(orbitals, omega)
