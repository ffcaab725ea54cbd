"""Densities and orbitals that are given, as dual factors ``S L`` of a density P = L L^T.

Orbitals of another basis or geometry are projected on the present functions,
``C' = S22^-1 S21 C``, and made orthonormal again with the least change (Lowdin).
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.basis import Orbitals
from dqc_lite.integrals import operators
from dqc_lite.integrals.callback import host_call
from dqc_lite.integrals.host import minimal_basis as minao_basis
from dqc_lite.scf.orthogonalization import canonical
from dqc_lite.scf.reference import Reference


def of_density(
    density: Float[Array, "spin ao ao"], orbitals: Orbitals, reference: Reference
) -> Float[Array, "spin ao mo"]:
    """Natural orbitals times the square roots of their occupations, negative ones left out."""
    return _of_density(density, operators.overlap(orbitals))


@adaptive_jit
def _of_density(density: Array, overlap: Array) -> Array:
    x, _ = canonical(overlap)
    occupations, natural = natural_orbitals(density, overlap, x)
    weights = jnp.sqrt(jnp.maximum(occupations, 0.0))
    return overlap @ (natural * weights[:, None, :])


def natural_orbitals(
    density: Float[Array, "spin ao ao"], overlap: Float[Array, "ao ao"], x: Float[Array, "ao mo"]
) -> tuple[Float[Array, "spin mo"], Float[Array, "spin ao mo"]]:
    """Occupations, descending, and orbitals: ``P = sum_i n_i c_i c_i^T``."""
    half = overlap @ x
    symmetric = 0.5 * (density + density.swapaxes(-1, -2))
    negative, vectors = jnp.linalg.eigh(-half.T @ symmetric @ half)
    return -negative, x @ vectors


def of_orbitals(
    mo_coeff: Float[Array, "old aold moold"],
    mo_occ: Float[Array, "old moold"],
    source: Orbitals,
    orbitals: Orbitals,
    reference: Reference,
) -> Float[Array, "spin ao any"]:
    """Orbitals over the functions `source`, filled as the present state asks for.

    Where one set of orbitals is to come from two, it is the natural orbitals of both.
    """
    shape = (orbitals.layout.nao, source.layout.nao)
    cross = host_call(minao_basis.cross_overlap, shape, orbitals, source)
    if len(mo_coeff) > reference.nset:
        mo_coeff, mo_occ = _natural_of_both(mo_coeff, mo_occ, operators.overlap(source))
    overlap = operators.overlap(orbitals)
    if reference.smeared:
        return _project_smeared(mo_coeff, mo_occ, cross, reference)
    return _project(mo_coeff, cross, overlap, reference)


@adaptive_jit
def _natural_of_both(mo_coeff: Array, mo_occ: Array, overlap: Array) -> tuple[Array, Array]:
    density = jnp.einsum("smi,si,sni->mn", mo_coeff, mo_occ, mo_coeff)[None]
    occupations, natural = natural_orbitals(density, overlap, canonical(overlap)[0])
    return natural, occupations


@functools.partial(adaptive_jit, static_argnums=(3,))
def _project_smeared(mo_coeff: Array, mo_occ: Array, cross: Array, reference: Reference) -> Array:
    """With the fractions of electrons that the orbitals have."""
    share = reference.nspin / len(mo_coeff)
    dual = cross @ (mo_coeff * jnp.sqrt(jnp.maximum(mo_occ, 0.0) / share)[:, None, :])
    return jnp.concatenate([dual] * (reference.nspin // len(dual)))


@functools.partial(adaptive_jit, static_argnums=(3,))
def _project(mo_coeff: Array, cross: Array, overlap: Array, reference: Reference) -> Array:
    columns = reference.nocc
    missing = max(columns - mo_coeff.shape[-1], 0)
    occupied = jnp.pad(mo_coeff, ((0, 0), (0, 0), (0, missing)))[:, :, :columns]
    x, _ = canonical(overlap)
    projected = x.T @ (cross @ occupied)
    orthonormal = overlap @ x @ _orthonormal(projected)
    return _occupied(orthonormal, reference)


def _orthonormal(vectors: Float[Array, "set mo any"]) -> Float[Array, "set mo any"]:
    """``V (V^T V)^-1/2``, on the space of what is not lost."""
    w, u = jnp.linalg.eigh(vectors.swapaxes(-1, -2) @ vectors)
    inverse = jnp.where(w > 1e-6, 1.0 / jnp.sqrt(jnp.where(w > 1e-6, w, 1.0)), 0.0)
    return vectors @ ((u * inverse[:, None, :]) @ u.swapaxes(-1, -2))


def filled(
    overlap: Float[Array, "ao ao"], mo_coeff: Float[Array, "ao any"], reference: Reference
) -> Float[Array, "spin ao occ"]:
    """Orthonormal orbitals, the lowest filled, as a dual factor."""
    return _filled(overlap, mo_coeff, reference)


@functools.partial(adaptive_jit, static_argnums=(2,))
def _filled(overlap: Array, mo_coeff: Array, reference: Reference) -> Array:
    return _occupied((overlap @ mo_coeff)[None], reference)


def _occupied(dual: Float[Array, "set ao any"], reference: Reference) -> Float[Array, "spin ao k"]:
    """The first orbitals, each with the square root of the electrons it is to hold."""
    n = np.sqrt(reference.spin_occupations(dual.shape[-1]))
    dual = jnp.concatenate([dual] * (reference.nspin // len(dual)))
    return (dual * n[:, None, :])[:, :, : reference.nocc]
