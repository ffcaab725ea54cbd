"""Integrals over atomic orbitals as JAX functions: fast values, derivatives of any order.

Values come from PySCF's symmetric, contracted evaluation; derivatives from the general primitive
(`dqc_lite.integrals.general`), which is closed under differentiation. All in atomic units.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from dqc_lite._types import Array, Float
from dqc_lite.basis import Orbitals
from dqc_lite.integrals import general, host
from dqc_lite.integrals.callback import accelerated


def _square(orbitals: Orbitals, *_: object) -> tuple[int, int]:
    return orbitals.layout.nao, orbitals.layout.nao


def npair(n: int) -> int:
    """Number of pairs m >= n."""
    return n * (n + 1) // 2


@functools.lru_cache(maxsize=64)
def pair_indices(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pairs m >= n in packed order."""
    return np.tril_indices(n)


def pack(square: Float[Array, "... n n"]) -> Float[Array, "... pair"]:
    """The pairs m >= n of square matrices."""
    return square[(..., *pair_indices(square.shape[-1]))]


def unpack(packed: Float[Array, "... pair"], n: int) -> Float[Array, "... n n"]:
    """Symmetric matrices from their pairs m >= n."""
    rows, columns = pair_indices(n)
    index = np.zeros((n, n), np.int32)
    index[rows, columns] = index[columns, rows] = np.arange(len(rows))
    return packed[..., index]


# --- references: the same integrals from the general primitive ----------------------------------


def overlap_reference(orbitals: Orbitals) -> Array:
    return general.integral("int1e_ovlp", (orbitals, orbitals))


def kinetic_reference(orbitals: Orbitals) -> Array:
    return general.integral("int1e_kin", (orbitals, orbitals))


def nuclear_reference(orbitals: Orbitals, charges: Array) -> Array:
    rinv = general.integral("int1e_rinv", (orbitals, orbitals), points=orbitals.centers)
    return -jnp.tensordot(charges, rinv, 1)


def ecp_reference(orbitals: Orbitals) -> Array:
    return general.integral("ECPscalar", (orbitals, orbitals))


def two_center_reference(auxiliary: Orbitals, omega: float) -> Array:
    return general.integral("int2c2e", (auxiliary, auxiliary), omega=omega)


def three_center_reference(orbitals: Orbitals, auxiliary: Orbitals, omega: float) -> Array:
    """(aux, pair)"""
    full = general.integral("int3c2e", (orbitals, orbitals, auxiliary), omega=omega)
    return full[pair_indices(orbitals.layout.nao)].T


def four_center_reference(orbitals: Orbitals, omega: float, square: bool) -> Array:
    """(pair, pair), or (pair, ao, ao)"""
    full = general.integral("int2e", (orbitals,) * 4, omega=omega)
    half = full[pair_indices(orbitals.layout.nao)]
    return half if square else pack(half)


# --- values -------------------------------------------------------------------------------------

_overlap = accelerated(host.overlap, _square, overlap_reference)
_kinetic = accelerated(host.kinetic, _square, kinetic_reference)
_nuclear = accelerated(host.nuclear, _square, nuclear_reference)
_ecp = accelerated(host.ecp, _square, ecp_reference)


def overlap(orbitals: Orbitals) -> Float[Array, "ao ao"]:
    """<m|n>."""
    return _overlap(orbitals)


def kinetic(orbitals: Orbitals) -> Float[Array, "ao ao"]:
    """<m|-1/2 nabla^2|n>, hartree."""
    return _kinetic(orbitals)


def nuclear(orbitals: Orbitals, charges: Float[Array, " atom"]) -> Float[Array, "ao ao"]:
    """-sum_C Z_C <m|1/r_C|n>, hartree."""
    return _nuclear(orbitals, charges)


def ecp(orbitals: Orbitals) -> Float[Array, "ao ao"]:
    """Scalar effective core potential <m|V|n>, hartree."""
    return _ecp(orbitals)


@functools.lru_cache(maxsize=8)
def _multipole(order: int):
    name = "int1e_" + "r" * order
    return accelerated(
        lambda o: host.multipole(o, order),
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


@functools.lru_cache(maxsize=8)
def _two_center(omega: float):
    return accelerated(
        lambda aux: host.two_center(aux, omega),
        _square,
        lambda aux: two_center_reference(aux, omega),
    )


@functools.lru_cache(maxsize=8)
def _three_center(omega: float):
    return accelerated(
        lambda o, aux: host.three_center(o, aux, omega),
        lambda o, aux: (aux.layout.nao, npair(o.layout.nao)),
        lambda o, aux: three_center_reference(o, aux, omega),
    )


@functools.lru_cache(maxsize=8)
def _four_center(omega: float, square: bool):
    def shape(o: Orbitals) -> tuple[int, ...]:
        nao = o.layout.nao
        return (npair(nao), nao, nao) if square else (npair(nao),) * 2

    return accelerated(
        lambda o: host.four_center(o, omega, square),
        shape,
        lambda o: four_center_reference(o, omega, square),
    )


def two_center(auxiliary: Orbitals, omega: float = 0.0) -> Float[Array, "aux aux"]:
    """(P|Q) of 1/r, or of erf(omega r)/r (omega > 0), erfc(|omega| r)/r (omega < 0), hartree."""
    return _two_center(omega)(auxiliary)


def three_center(
    orbitals: Orbitals, auxiliary: Orbitals, omega: float = 0.0
) -> Float[Array, "aux pair"]:
    """(P|mn) over pairs m >= n; omega as in `two_center`."""
    return _three_center(omega)(orbitals, auxiliary)


def four_center(orbitals: Orbitals, omega: float = 0.0, *, square: bool = False) -> Array:
    """(mn|ls) over pairs m >= n and l >= s; with `square` over all l and s, (pair, ao, ao)."""
    return _four_center(omega, square)(orbitals)
