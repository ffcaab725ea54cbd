"""Choose the effort of XLA's optimization from the size of the problem."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax

from dqc_lite.autodiff import compiled_primitive

QUICK_BELOW = 5_000_000
"""Numbers to be worked on, below which a shorter program is better than one that does less."""

UNOPTIMIZED_BELOW = 1_000_000
"""... below which compiling takes far longer than running, however often."""

UNOPTIMIZED_ONCE_BELOW = 15_000_000
"""... below which it takes longer than running once: 2 to 3 s less to compile, 0.1 s more for each
million numbers, in energy and forces with PBE."""

MODERATE_BELOW = 20_000_000
"""... below which it takes about as long."""

_once: contextvars.ContextVar[bool] = contextvars.ContextVar("once", default=False)


@contextlib.contextmanager
def evaluated_once() -> Iterator[None]:
    """What is compiled in here will run once: one energy, one set of forces."""
    token = _once.set(True)
    try:
        yield
    finally:
        _once.reset(token)


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
            return compiled_primitive.call(function, fixed, dynamic, options)
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
        least = UNOPTIMIZED_ONCE_BELOW if _once.get() else UNOPTIMIZED_BELOW
        effort = (("xla_backend_optimization_level", 0 if numbers < least else 1),)
    return (*effort, *emitters(jax.default_backend()))


def emitters(backend: str) -> tuple[tuple[str, Any], ...]:
    """`CLASSIC_EMITTERS`, if the installed XLA knows them."""
    return CLASSIC_EMITTERS if backend == "cpu" and jax.__version_info__ < (0, 11) else ()
