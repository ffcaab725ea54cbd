"""Tangents along those leaves of a pytree that move, the others being constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from dqc_lite.autodiff.zero_valued import is_zero


def moving(along: Any) -> tuple[tuple[int, ...], list[jax.Array]]:
    """Numbers of the leaves whose tangents are not symbolic zeros, and those tangents."""
    moves = [(i, t) for i, t in enumerate(jax.tree.leaves(along)) if not is_zero(t)]
    return tuple(i for i, _ in moves), [t for _, t in moves]


def tangent_of(
    function: Callable, at: Any, moved: tuple[int, ...], tangents: list[jax.Array]
) -> Any:
    """Derivative of ``function(at)`` along tangents of the leaves numbered in `moved`.

    What depends on the other leaves only is not differentiated at all.
    """
    leaves, treedef = jax.tree.flatten(at)

    def changed(*values: jax.Array) -> Any:
        merged = list(leaves)
        for i, value in zip(moved, values, strict=True):
            merged[i] = value
        return function(jax.tree.unflatten(treedef, merged))

    return jax.jvp(changed, [leaves[i] for i in moved], tangents)[1]


def tangent_along(function: Callable, at: Any, along: Any) -> Any:
    """`tangent_of` along a pytree of tangents some of which are symbolic zeros."""
    return tangent_of(function, at, *moving(along))
