"""Compilation as the size of the problem deserves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

QUICK_BELOW = 1_000_000
"""Numbers in the arguments, below which compiling takes far longer than running."""


def adaptive_jit(function: Callable, static_argnums: tuple[int, ...] = ()) -> Callable:
    """`jax.jit` that optimizes less where the arguments are small.

    Inside another transformation the options of the outermost `jit` hold.
    """

    @functools.cache
    def compiled(quick: bool) -> Callable:
        options = {"xla_backend_optimization_level": 0} if quick else None
        return jax.jit(function, static_argnums=static_argnums, compiler_options=options)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        dynamic = [a for i, a in enumerate(args) if i not in static_argnums]
        leaves = [x for x in jax.tree.leaves(dynamic) if hasattr(x, "size")]
        traced = any(isinstance(x, jax.core.Tracer) for x in leaves)
        quick = not traced and sum(x.size for x in leaves) < QUICK_BELOW
        return compiled(quick)(*args)

    return call
