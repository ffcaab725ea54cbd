"""Any JAX function of one scalar as a :class:`ScalarFunction`, its parameters included."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental.jet import jet

from dqc_lite.linalg.scalar_functions import ScalarFunction

__all__ = ["Generic", "generic"]


@dataclasses.dataclass(frozen=True)
class Generic(ScalarFunction):
    """A user's function; ``batch_axes`` leading axes of ``x`` pair with those of ``consts``."""

    f: Callable
    dd: Callable | None = None
    batch_axes: int = 0
    terms: int = 9  # 5 where Taylor arithmetic lacks a rule: nested derivatives double in cost

    def derivatives(self, x, order, *consts):
        run = functools.partial(_scalar_derivatives, self.f, order)
        flat = x.reshape(*x.shape[: self.batch_axes], -1)
        mapped = jax.vmap(run, in_axes=(0,) + (None,) * len(consts))
        for _ in range(self.batch_axes):
            mapped = jax.vmap(mapped)
        return [d.reshape(x.shape) for d in mapped(flat, *consts)]

    def first(self, x, y, *consts):
        return None if self.dd is None else self.dd(x, y)

    def derivative(self) -> Generic:
        return Generic(_PointDerivative(self.f), None, self.batch_axes, self.terms)

    def tangent(self, index: int) -> Generic:
        """df/dtheta . dtheta for constant ``index``; ``dtheta`` becomes one more constant."""
        return Generic(_ParameterTangent(self.f, index), None, self.batch_axes, self.terms)


@dataclasses.dataclass(frozen=True)
class _PointDerivative:
    f: Callable

    def __call__(self, x, *consts):
        return jax.jvp(lambda y: jnp.asarray(self.f(y, *consts)), (x,), (jnp.ones_like(x),))[1]


@dataclasses.dataclass(frozen=True)
class _ParameterTangent:
    f: Callable
    index: int

    def __call__(self, x, *consts):
        *rest, tangent = consts

        def of_parameter(theta):
            return self.f(x, *rest[: self.index], theta, *rest[self.index + 1 :])

        return jax.jvp(of_parameter, (rest[self.index],), (tangent,))[1]


_NO_RULE = (NotImplementedError, KeyError, TypeError, ValueError, AssertionError)
"""What the experimental Taylor arithmetic raises for an operation without a rule."""


def generic(f: Callable, dd: Callable | None, dtype, consts: tuple = ()) -> Generic:
    """``f`` with as many Taylor terms as its operations allow at reasonable cost."""
    try:
        jax.eval_shape(functools.partial(_by_jet, f, 2), jax.ShapeDtypeStruct((), dtype), *consts)
    except _NO_RULE:
        return Generic(f, dd, terms=5)
    return Generic(f, dd)


def _scalar_derivatives(f, order, x, *consts):
    """[f, f', ...] at scalar x: Taylor arithmetic, or nested forward mode where it lacks a rule."""
    if order > 1:
        try:
            return _by_jet(f, order, x, *consts)
        except _NO_RULE:
            return _nested(lambda y: jnp.asarray(f(y, *consts)), order)(x)
    return _nested(lambda y: jnp.asarray(f(y, *consts)), order)(x)


def _by_jet(f, order, x, *consts):
    series = [jnp.ones_like(x)] + [jnp.zeros_like(x)] * (order - 1)
    value, tail = jet(lambda y: jnp.asarray(f(y, *consts)), (x,), (series,))
    return [value] + [jnp.broadcast_to(t, x.shape).astype(value.dtype) for t in tail]


def _nested(call, order):
    if order == 0:
        return lambda x: [call(x)]

    def extended(x):
        lower, tangents = jax.jvp(_nested(call, order - 1), (x,), (jnp.ones_like(x),))
        return [*lower, tangents[-1]]

    return extended
