"""Eigenspaces as blocks, with the block matrix of ``a`` in place of its eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from dqc_lite._types import Array, Inexact
from dqc_lite.linalg._common import (
    Matrices,
    adjoint,
    as_square,
    block_mask,
    check_sizes,
    matmul,
    raw_eigh,
    symmetrize,
)
from dqc_lite.linalg._eigenvectors import eigenvectors
from dqc_lite.linalg.eigh import back_transform, reduce_generalized

__all__ = ["EighBlockResult", "eigh_block"]


class EighBlockResult(NamedTuple):
    """``vectors`` V in columns; ``matrix`` H = V^H a V, block-diagonal."""

    vectors: Inexact[Array, "... n n"]
    matrix: Inexact[Array, "... n n"]


def eigh_block(
    a: Matrices,
    sizes: Sequence[int],
    b: Matrices | None = None,
) -> EighBlockResult:
    """Invariant subspaces of Hermitian ``a`` (``a V = b V H``), lowest first.

    For code that works *inside* a degenerate level, such as perturbation theory with canonical
    denominators: replace the eigenvalues of a block by its matrix. H is diagonal where it is
    evaluated, but its derivative is the full block V_c^H da V_c. Derivatives of every order and
    mode are exact for functions that do not change under V_c -> V_c U, H_c -> U^H H_c U, whatever
    the gaps inside a block. In practice: write linear equations with the matrices H_c and solve
    them elementwise in this basis inside ``jax.lax.custom_linear_solve``.

    Args:
        a: Hermitian (..., n, n).
        sizes: static sizes of the blocks, adding up to n, e.g. ``(nocc, nvir)``.
        b: Hermitian positive definite, or None; then V^H b V = 1.

    Returns:
        ``EighBlockResult(vectors, matrix)``. Derivatives are NaN where a boundary splits a level.

    Raises:
        InputError: ``sizes`` do not add up, or shapes that do not fit.
    """
    a = as_square(a)
    sizes = check_sizes(sizes, a.shape[-1], "sizes")
    reduced, factor = reduce_generalized(a, b)
    w, v = raw_eigh(reduced)
    same = jnp.broadcast_to(block_mask(sizes), reduced.shape)
    v = eigenvectors(reduced, w, v, same, False)
    matrix = jnp.where(same, symmetrize(matmul(adjoint(v), reduced, v)), 0)
    return EighBlockResult(back_transform(factor, v), matrix)
