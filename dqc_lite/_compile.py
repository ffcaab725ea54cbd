"""Compilation as the size of the problem deserves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

QUICK_BELOW = 1_000_000
"""Numbers to be worked on, below which compiling takes far longer than running."""

MODERATE_BELOW = 20_000_000
"""... below which it takes about as long."""


def adaptive_jit(
    function: Callable,
    static_argnums: tuple[int, ...] = (),
    work: Callable[..., float] | None = None,
) -> Callable:
    """`jax.jit` that optimizes less where there is little to do.

    ``work(*args)`` tells how many numbers the program works on; by default they are those of the
    arguments. Inside another transformation the options of the outermost `jit` hold.
    """

    @functools.cache
    def compiled(effort: int | None) -> Callable:
        options = None if effort is None else {"xla_backend_optimization_level": effort}
        return jax.jit(function, static_argnums=static_argnums, compiler_options=options)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        dynamic = [a for i, a in enumerate(args) if i not in static_argnums]
        leaves = [x for x in jax.tree.leaves(dynamic) if hasattr(x, "size")]
        if any(isinstance(x, jax.core.Tracer) for x in leaves):
            return compiled(None)(*args)
        return compiled(_effort(work(*args) if work else sum(x.size for x in leaves)))(*args)

    return call


def _effort(numbers: float) -> int | None:
    """XLA's optimization level; None for its default."""
    if numbers < QUICK_BELOW:
        return 0
    return 1 if numbers < MODERATE_BELOW else None
