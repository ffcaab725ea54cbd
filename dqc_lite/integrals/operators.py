"""Integrals over atomic orbitals as JAX functions: fast values, derivatives of any order.

Values come from PySCF's symmetric, contracted evaluation; derivatives from the general primitive
(`dqc_lite.integrals.general`), which is closed under differentiation. All in atomic units.
"""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from dqc_lite._types import Array, Float
from dqc_lite.basis import Orbitals
from dqc_lite.integrals import general, host
from dqc_lite.integrals.callback import accelerated

Omega = float | Array | None
"""Attenuation of the repulsion, 1/bohr: None for 1/r, a positive number for erf(omega r)/r."""


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


def repulsion_reference(name: str, sets: tuple[Orbitals, ...], omega: Omega) -> Array:
    """Two-electron integrals of 1/r, or of erf(omega r)/r.

    In lengths of 1/omega the attenuated operator has no parameter: I_omega(R, a) = omega
    I_1(omega R, a / omega^2) times the Jacobian omega^-6, so that the derivative with respect to
    omega is one along centres, exponents and coefficients.
    """
    if omega is None:
        return general.integral(name, sets)
    scaled = {id(o): _in_units_of(o, omega) for o in sets}  # equal sets stay one object
    return omega**-5 * general.integral(name, tuple(scaled[id(o)] for o in sets), omega=1.0)


def _in_units_of(orbitals: Orbitals, omega: Array | float) -> Orbitals:
    """The same functions with lengths in units of 1/omega."""
    power = -orbitals.layout.contraction_table.l
    return dataclasses.replace(
        orbitals,
        centers=orbitals.centers * omega,
        exponents=orbitals.exponents / omega**2,
        coefficients=orbitals.coefficients * jnp.asarray(omega, float) ** power,
    )


def two_center_reference(auxiliary: Orbitals, omega: Omega) -> Array:
    return repulsion_reference("int2c2e", (auxiliary, auxiliary), omega)


def three_center_reference(orbitals: Orbitals, auxiliary: Orbitals, omega: Omega) -> Array:
    """(aux, pair)"""
    full = repulsion_reference("int3c2e", (orbitals, orbitals, auxiliary), omega)
    return full[pair_indices(orbitals.layout.nao)].T


def four_center_reference(orbitals: Orbitals, omega: Omega, square: bool) -> Array:
    """(pair, pair), or (pair, ao, ao)"""
    full = repulsion_reference("int2e", (orbitals,) * 4, omega)
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


_two_center = accelerated(host.two_center, _square, two_center_reference)
_three_center = accelerated(
    host.three_center,
    lambda o, aux, _: (aux.layout.nao, npair(o.layout.nao)),
    three_center_reference,
)


@functools.cache
def _four_center(square: bool):
    def shape(o: Orbitals, _: Omega) -> tuple[int, ...]:
        nao = o.layout.nao
        return (npair(nao), nao, nao) if square else (npair(nao),) * 2

    return accelerated(
        lambda o, omega: host.four_center(o, omega, square),
        shape,
        lambda o, omega: four_center_reference(o, omega, square),
    )


def two_center(auxiliary: Orbitals, omega: Omega = None) -> Float[Array, "aux aux"]:
    """(P|Q) of 1/r, or of erf(omega r)/r for omega > 0 (1/bohr, differentiable), hartree."""
    return _two_center(auxiliary, omega)


def three_center(
    orbitals: Orbitals, auxiliary: Orbitals, omega: Omega = None
) -> Float[Array, "aux pair"]:
    """(P|mn) over pairs m >= n; omega as in `two_center`."""
    return _three_center(orbitals, auxiliary, omega)


def four_center(orbitals: Orbitals, omega: Omega = None, *, square: bool = False) -> Array:
    """(mn|ls) over pairs m >= n and l >= s; with `square` over all l and s, (pair, ao, ao)."""
    return _four_center(square)(orbitals, omega)
