"""Python functions of a scalar as hashable values: what they compute, not which object they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun

from dqc_lite._types import Array

__all__ = ["traced"]


def traced(f: Callable, dtype: object) -> tuple[Callable, tuple[Array, ...]]:
    """A hashable function of (x, *captured), and the traced values ``f`` captured.

    It is traced anew at every call, so that an object or closure whose state has changed gives its
    new function; equal programs compare equal and are compiled once.
    """
    closed = jax.make_jaxpr(lambda x: jnp.asarray(f(x)))(jax.ShapeDtypeStruct((), dtype))
    if any(isinstance(c, jax.core.Tracer) for c in closed.consts):
        return _Lifted(closed.jaxpr), tuple(jnp.asarray(c) for c in closed.consts)
    values = [np.asarray(c) for c in closed.consts]
    key = (str(closed.jaxpr), *((v.shape, str(v.dtype), v.tobytes()) for v in values))
    return _Program(key, closed), ()


@dataclasses.dataclass(frozen=True)
class _Program:
    """A traced function, equal to another of the same program and constants."""

    key: tuple
    closed: ClosedJaxpr = dataclasses.field(compare=False)

    def __call__(self, x):
        return jaxpr_as_fun(self.closed)(x)[0]


@dataclasses.dataclass(frozen=True)
class _Lifted:
    """A traced function whose captured values became arguments."""

    jaxpr: Jaxpr

    def __call__(self, x, *consts):
        return jaxpr_as_fun(ClosedJaxpr(self.jaxpr, consts))(x)[0]
