"""A jitted function as a JAX primitive.

Eagerly differentiated, a `jax.jit` function with compiler options loses them or is refused. Here
its derivative along some arguments, its transpose with respect to those in which it is linear, and
its version for batches are functions of the same kind, each jitted with the same options.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Function = Callable[..., list]
"""Of arrays, with a list of arrays as result; to be hashed by what it does."""


@dataclasses.dataclass(frozen=True)
class Flat:
    """A function of pytrees on their leaves, some arguments fixed; the first call notes the tree
    of the results.
    """

    function: Callable
    fixed: tuple[tuple[int, Any], ...]
    treedef: Any
    results: list = dataclasses.field(default_factory=list, compare=False)

    def __call__(self, *leaves: Any) -> list:
        args = list(jax.tree.unflatten(self.treedef, leaves))
        for i, value in self.fixed:
            args.insert(i, value)
        found, tree = jax.tree.flatten(self.function(*args))
        self.results[:] = [tree]
        return found


@dataclasses.dataclass(frozen=True)
class Tangent:
    """The derivative of a function along the arguments that move, after all arguments."""

    function: Function
    moved: tuple[int, ...]

    def __call__(self, *args: Any) -> list:
        n = len(args) - len(self.moved)
        primals, tangents = list(args[:n]), args[n:]

        def along(*values: Any) -> list:
            merged = list(primals)
            for i, value in zip(self.moved, values, strict=True):
                merged[i] = value
            return [x for x in self.function(*merged) if _real(x)]

        return jax.jvp(along, tuple(primals[i] for i in self.moved), tangents)[1]


@dataclasses.dataclass(frozen=True)
class Transposed:
    """The transpose with respect to the arguments in which a function is linear.

    Takes the other arguments, then the cotangents of the results.
    """

    function: Function
    linear: tuple[int, ...]
    others: tuple[int, ...]
    shapes: tuple[jax.ShapeDtypeStruct, ...]

    def __call__(self, *args: Any) -> list:
        held, cotangents = args[: len(self.others)], args[len(self.others) :]

        def of_linear(*values: Any) -> list:
            numbered = zip((*self.others, *self.linear), (*held, *values), strict=True)
            merged = [value for _, value in sorted(numbered, key=lambda pair: pair[0])]
            return [x for x in self.function(*merged) if _real(x)]

        return list(jax.linear_transpose(of_linear, *self.shapes)(list(cotangents)))


@dataclasses.dataclass(frozen=True)
class Batched:
    """The function mapped over axes of its arguments, None for none; results lead with theirs."""

    function: Function
    axes: tuple[int | None, ...]

    def __call__(self, *args: Any) -> list:
        return jax.vmap(self.function, in_axes=self.axes)(*args)


flat = functools.cache(Flat)
"""The same object for the same function, so that its results are known to every caller."""


def call(function: Callable, fixed: dict[int, Any], args: list, options: tuple) -> Any:
    """``function(*args)``, with the arguments in `fixed` inserted, compiled with `options`."""
    leaves, treedef = jax.tree.flatten(args)
    program = flat(function, tuple(sorted(fixed.items())), treedef)
    found = program_p.bind(*map(jnp.asarray, leaves), function=program, options=options)
    return jax.tree.unflatten(program.results[0], found)


def _real(x: Any) -> bool:
    dtype = cast(jax.core.ShapedArray, x.aval).dtype if isinstance(x, ad.Zero) else x.dtype
    return jnp.issubdtype(dtype, jnp.inexact)


@functools.cache
def _compiled(function: Function, options: tuple) -> Callable:
    return jax.jit(function, compiler_options=dict(options))


@functools.cache
def _shapes(function: Function, shapes: tuple[jax.ShapeDtypeStruct, ...]) -> list:
    return [jax.core.ShapedArray(x.shape, x.dtype) for x in jax.eval_shape(function, *shapes)]


def _abstract(*args: Any, function: Function, options: tuple) -> list:
    return _shapes(function, tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in args))


def _jvp(primals: tuple, tangents: tuple, *, function: Function, options: tuple) -> tuple:
    values = program_p.bind(*primals, function=function, options=options)
    moved = tuple(i for i, t in enumerate(tangents) if not isinstance(t, ad.Zero))
    changes = iter(
        program_p.bind(
            *primals, *(tangents[i] for i in moved),
            function=Tangent(function, moved), options=options,
        )
    )  # fmt: skip
    return values, [next(changes) if _real(x) else _constant(x) for x in values]


def _constant(x: Any) -> ad.Zero:
    return ad.Zero(jax.core.ShapedArray(x.shape, jax.dtypes.float0))


def _transpose(cotangents: list, *args: Any, function: Function, options: tuple) -> list:
    linear = tuple(i for i, x in enumerate(args) if ad.is_undefined_primal(x))
    others = tuple(i for i in range(len(args)) if i not in linear)
    shapes = tuple(jax.ShapeDtypeStruct(args[i].aval.shape, args[i].aval.dtype) for i in linear)
    seeds = [ad.instantiate_zeros(c) for c in cotangents if _real(c)]
    found = program_p.bind(
        *(args[i] for i in others), *seeds,
        function=Transposed(function, linear, others, shapes), options=options,
    )  # fmt: skip
    results: list = [None] * len(args)
    for i, x in zip(linear, found, strict=True):
        results[i] = x
    return results


def _batch(args: tuple, axes: tuple, *, function: Function, options: tuple) -> tuple:
    found = program_p.bind(*args, function=Batched(function, tuple(axes)), options=options)
    return found, [0] * len(found)


program_p = Primitive("program")
program_p.multiple_results = True
program_p.def_impl(lambda *args, function, options: _compiled(function, options)(*args))
program_p.def_abstract_eval(_abstract)
ad.primitive_jvps[program_p] = _jvp
ad.primitive_transposes[program_p] = _transpose
batching.primitive_batchers[program_p] = _batch
mlir.register_lowering(
    program_p,
    mlir.lower_fun(lambda *args, function, options: function(*args), multiple_results=True),
)
