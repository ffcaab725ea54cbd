"""Contracted gradients of integrals as JAX functions of their dual tensors, closed under AD.

With an energy ``E(x, D)``, linear or quadratic in a dual tensor D (a density matrix), and centres
R among x = (orbitals, extra, fixed), three functions belong together:

- ``gradient(x, D)`` = dE/dR;
- ``directional(x, D, Q)``, its derivative along Q, linear in Q;
- ``tensor(x, D, t)``, the transpose of that: <t, directional(x, D, Q)> = <tensor(x, D, t), Q>, the
  derivative of dE/dD along the motion t of the centres.

The last two are primitives, each the other's transpose: a `custom_jvp` would not do, since JAX
inlines its body when it transposes. All are made on the host by contracting derivative integrals
while they are made; their derivatives along x are those of the general primitive.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from dqc_lite._types import Array
from dqc_lite.basis import Orbitals
from dqc_lite.integrals.callback import host_call, is_zero

Orbs = tuple[Orbitals, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Contraction:
    """An energy and what the host makes of its derivatives; a jit key by identity.

    Attributes:
        energy: ``(orbitals, extra, fixed, dual)``, a JAX function differentiable to any order.
        gradient: ``(orbitals, extra, fixed, dual)`` on the host, (len(orbitals), atom, 3).
        directional: ``(orbitals, extra, fixed, dual, change)`` on the host, likewise.
        tensor: ``(orbitals, extra, fixed, dual, motion)`` on the host, shaped like the dual; None:
            by the general primitive.
    """

    energy: Callable
    gradient: Callable
    directional: Callable
    tensor: Callable | None = None

    @functools.cached_property
    def reference(self) -> Callable:
        """The gradient by the general primitive."""

        def reference(orbitals: Orbs, extra: Any, fixed: Any, dual: Any) -> Array:
            def at(centers: Array) -> Array:
                moved = (
                    dataclasses.replace(o, centers=r)
                    for o, r in zip(orbitals, centers, strict=True)
                )
                return self.energy(tuple(moved), extra, fixed, dual)

            return jax.grad(at)(jnp.stack([o.centers for o in orbitals]))

        return jax.jit(reference)

    @functools.cached_property
    def function(self) -> Callable[[Orbs, Any, Any, Array], Array]:
        """The gradient, (len(orbitals), atom, 3), as a differentiable function."""

        @jax.custom_jvp
        def gradient(orbitals: Orbs, extra: Any, fixed: Any, dual: Array) -> Array:
            return host_call(self.gradient, _shape(orbitals), orbitals, extra, fixed, dual)

        def rule(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
            value = gradient(*primals)
            leaves, treedef = jax.tree.flatten(primals)
            moves = [None if is_zero(t) else t for t in jax.tree.leaves(tangents)]

            def elsewhere(*leaves: Array) -> Array:
                return self.reference(*jax.tree.unflatten(treedef, leaves))

            tangent = _tangent(elsewhere, leaves, [*moves[:-1], None], value)
            if moves[-1] is not None:
                tangent += directional_p.bind(*leaves, moves[-1], kind=self, treedef=treedef)
            return value, tangent

        gradient.defjvp(rule, symbolic_zeros=True)
        return gradient


def _shape(orbitals: Orbs) -> tuple[int, ...]:
    return len(orbitals), *orbitals[0].centers.shape


def _tangent(function: Callable, at: Sequence, along: Sequence, like: Array) -> Array:
    """Derivative of `function` along those arguments whose tangent is not None."""
    moved = [i for i, t in enumerate(along) if t is not None]
    if not moved:
        return jnp.zeros_like(like)

    def changed(*values: Array) -> Array:
        merged = list(at)
        for i, value in zip(moved, values, strict=True):
            merged[i] = value
        return function(*merged)

    return jax.jvp(changed, [at[i] for i in moved], [along[i] for i in moved])[1]


# --- the two primitives: arguments are the leaves of (x, dual) and the linear one ---------------


def _directional(*args: Any, kind: Contraction, treedef: Any) -> Array:
    *x, dual = jax.tree.unflatten(treedef, args[:-1])
    return host_call(kind.directional, _shape(x[0]), *x, dual, args[-1])


def _tensor(*args: Any, kind: Contraction, treedef: Any) -> Array:
    if kind.tensor is None:
        return _reference_tensor(*args, kind=kind, treedef=treedef)
    *x, dual = jax.tree.unflatten(treedef, args[:-1])
    return host_call(kind.tensor, dual.shape, *x, dual, args[-1])


@functools.partial(jax.jit, static_argnames=("kind", "treedef"))
def _reference_directional(*args: Any, kind: Contraction, treedef: Any) -> Array:
    *x, dual = jax.tree.unflatten(treedef, args[:-1])
    at = functools.partial(kind.reference, *x)
    return jax.jvp(at, (dual,), (args[-1],))[1]


@functools.partial(jax.jit, static_argnames=("kind", "treedef"))
def _reference_tensor(*args: Any, kind: Contraction, treedef: Any) -> Array:
    *x, dual = jax.tree.unflatten(treedef, args[:-1])
    at = functools.partial(kind.reference, *x)
    return jax.vjp(at, dual)[1](args[-1])[0]


def _define(name: str, evaluate: Callable, reference: Callable, shape: Callable) -> Primitive:
    primitive = Primitive(name)

    def abstract(*avals: Any, kind: Contraction, treedef: Any) -> Any:
        orbitals, *_, dual = jax.tree.unflatten(treedef, avals[:-1])
        return jax.core.ShapedArray(shape(orbitals, dual), jnp.dtype("float64"))

    def jvp(primals: Sequence, tangents: Sequence, **static: Any) -> tuple[Array, Any]:
        value = primitive.bind(*primals, **static)
        along = [None if type(t) is ad.Zero else t for t in tangents]
        at = functools.partial(reference, **static)
        tangent = _tangent(at, primals, [*along[:-1], None], value)
        if along[-1] is not None:
            tangent += primitive.bind(*primals[:-1], along[-1], **static)
        return value, tangent

    def batch(args: Sequence, axes: Sequence, **static: Any) -> tuple[Array, int]:
        mapped = [i for i, axis in enumerate(axes) if axis is not None]

        def one(slices: list[Array]) -> Array:
            merged = list(args)
            for i, piece in zip(mapped, slices, strict=True):
                merged[i] = piece
            return primitive.bind(*merged, **static)

        return jax.lax.map(one, [jnp.moveaxis(args[i], axes[i], 0) for i in mapped]), 0

    primitive.def_impl(evaluate)
    primitive.def_abstract_eval(abstract)
    ad.primitive_jvps[primitive] = jvp
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(evaluate, multiple_results=False))
    return primitive


def _transpose(other: Callable[[], Primitive]) -> Callable:
    def rule(cotangent: Any, *args: Any, **static: Any) -> list[Any]:
        fixed = [None] * (len(args) - 1)
        if type(cotangent) is ad.Zero:
            return [*fixed, ad.Zero(args[-1].aval)]
        return [*fixed, other().bind(*args[:-1], cotangent, **static)]

    return rule


directional_p = _define(
    "contracted_gradient_along_dual", _directional, _reference_directional,
    lambda orbitals, dual: _shape(orbitals),
)  # fmt: skip
tensor_p = _define(
    "dual_gradient_along_centers", _tensor, _reference_tensor, lambda orbitals, dual: dual.shape
)
ad.primitive_transposes[directional_p] = _transpose(lambda: tensor_p)
ad.primitive_transposes[tensor_p] = _transpose(lambda: directional_p)
