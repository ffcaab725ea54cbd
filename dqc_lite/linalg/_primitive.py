"""Define a JAX primitive whose arguments share leading batch axes.

``custom_jvp`` is not enough for a linear map that a later transpose must see whole: JAX inlines
its body. A primitive of its own keeps the map closed under jvp, transpose and vmap.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

__all__ = ["batch_to_front", "define", "is_zero"]


def define(name: str, implementation: Callable, batcher: Callable | None = None) -> Primitive:
    """A primitive that evaluates ``implementation(*arrays, **static)`` and returns one array.

    ``batcher`` is a vmap rule (args, axes, **static); by default every argument gets the new axis
    in front and the implementation handles it. Derivative rules are the caller's.
    """
    primitive = Primitive(name)
    compiled = {}

    def evaluate(*args, **static):
        # One jit per choice of static arguments, so that eager calls are compiled once.
        key = tuple(sorted(static.items(), key=lambda item: item[0]))
        if key not in compiled:
            compiled[key] = jax.jit(functools.partial(implementation, **static))
        return compiled[key](*args)

    def abstract(*avals, **static):
        structs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in avals]
        out = jax.eval_shape(functools.partial(implementation, **static), *structs)
        return jax.core.ShapedArray(out.shape, out.dtype)

    def default_batcher(args, axes, **static):
        return primitive.bind(*batch_to_front(args, axes), **static), 0

    primitive.def_impl(evaluate)
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batcher or default_batcher
    mlir.register_lowering(primitive, mlir.lower_fun(implementation, multiple_results=False))
    return primitive


def batch_to_front(args, axes) -> list[jax.Array]:
    """Every argument with the mapped axis first; unmapped ones are repeated along it."""
    size = next(x.shape[axis] for x, axis in zip(args, axes, strict=True) if axis is not None)
    return [
        jnp.broadcast_to(x, (size, *x.shape)) if axis is None else jnp.moveaxis(x, axis, 0)
        for x, axis in zip(args, axes, strict=True)
    ]


def is_zero(tangent: object) -> bool:
    """Is this the symbolic zero of JAX's derivative rules."""
    return type(tangent) is ad.Zero
