"""Compilation as the size of the problem deserves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from dqc_lite import _program

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
    arguments. Derivatives are programs of the same kind; inside another `jit` its options hold.
    """

    @functools.cache
    def compiled(options: tuple) -> Callable:
        return jax.jit(function, static_argnums=static_argnums, compiler_options=dict(options))

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        dynamic = [a for i, a in enumerate(args) if i not in static_argnums]
        leaves = [x for x in jax.tree.leaves(dynamic) if hasattr(x, "size")]
        # what is made inside of jit is a tracer, what is made in other transformations is not
        if isinstance(jax.device_put(0.0), jax.core.Tracer):
            return compiled(())(*args)
        options = options_for(work(*args) if work else sum(x.size for x in leaves))
        if any(isinstance(x, jax.core.Tracer) for x in leaves):
            fixed = {i: args[i] for i in static_argnums}
            return _program.call(function, fixed, dynamic, options)
        return compiled(options)(*args)

    return call


CLASSIC_EMITTERS = (
    ("xla_cpu_use_fusion_emitters", False),
    ("xla_cpu_parallel_codegen_split_count", 1),
)
"""One kernel after the other in one module: measured three to five times quicker to compile, and
no slower to run. The XLA of JAX 0.11 has dropped the first option."""


def options_for(numbers: float) -> tuple[tuple[str, Any], ...]:
    """Compiler options for so many numbers to work on."""
    effort: tuple = ()
    if numbers < MODERATE_BELOW:
        effort = (("xla_backend_optimization_level", 0 if numbers < QUICK_BELOW else 1),)
    return (*effort, *emitters(jax.default_backend()))


def emitters(backend: str) -> tuple[tuple[str, Any], ...]:
    """`CLASSIC_EMITTERS`, if the installed XLA knows them."""
    return CLASSIC_EMITTERS if backend == "cpu" and jax.__version_info__ < (0, 11) else ()
