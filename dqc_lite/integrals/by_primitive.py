"""Integrals by the general primitive: slow, whole tensors, derivatives of any order."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from dqc_lite._types import Array
from dqc_lite.basis import Orbitals
from dqc_lite.integrals import general
from dqc_lite.integrals.symmetric_pairs import pack, pair_indices

Omega = float | Array | None
"""Attenuation of the repulsion, 1/bohr: None for 1/r, a positive number for erf(omega r)/r."""


def overlap(orbitals: Orbitals) -> Array:
    return general.integral("int1e_ovlp", (orbitals, orbitals))


def kinetic(orbitals: Orbitals) -> Array:
    return general.integral("int1e_kin", (orbitals, orbitals))


def nuclear(orbitals: Orbitals, charges: Array) -> Array:
    rinv = general.integral("int1e_rinv", (orbitals, orbitals), points=orbitals.centers)
    return -jnp.tensordot(charges, rinv, 1)


def ecp(orbitals: Orbitals) -> Array:
    return general.integral("ECPscalar", (orbitals, orbitals))


def repulsion(name: str, sets: tuple[Orbitals, ...], omega: Omega) -> Array:
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


def two_center(auxiliary: Orbitals, omega: Omega) -> Array:
    return repulsion("int2c2e", (auxiliary, auxiliary), omega)


def three_center(orbitals: Orbitals, auxiliary: Orbitals, omega: Omega) -> Array:
    """(aux, pair)"""
    full = repulsion("int3c2e", (orbitals, orbitals, auxiliary.separated()), omega)
    return full[pair_indices(orbitals.layout.nao)].T


def four_center(orbitals: Orbitals, omega: Omega, square: bool) -> Array:
    """(pair, pair), or (pair, ao, ao)"""
    full = repulsion("int2e", (orbitals,) * 4, omega)
    half = full[pair_indices(orbitals.layout.nao)]
    return half if square else pack(half)
