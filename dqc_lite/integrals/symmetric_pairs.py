"""Symmetric matrices as their pairs m >= n."""

from __future__ import annotations

import functools

import numpy as np

from dqc_lite._types import Array, Float


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
