"""Contracted gradients of integrals as JAX functions of their dual tensors, closed under AD.

With an energy ``E(x, D)``, linear or quadratic in a dual tensor D (a density matrix), and centres
R among x = (orbitals, extra, fixed), three functions belong together:

- ``gradient(x, D)`` = dE/dR;
- ``directional(x, D, Q)``, its derivative along Q, linear in Q;
- ``tensor(x, D, t)``, the transpose of that: <t, directional(x, D, Q)> = <tensor(x, D, t), Q>, the
  derivative of dE/dD along the motion t of the centres.

The last two are primitives, each the other's transpose: a `custom_jvp` would not do, since JAX
inlines its body when it transposes. They take many Q or t at once, along a leading axis, and
`jax.vmap` of one is such a call: all share one pass over the integrals. The derivative of the
gradient along R is the contraction of another function, the `curvature` d2E/dR2, which does not
depend on the direction. All are made on the host by contracting derivative integrals while they
are made; their derivatives along x are those of the general primitive.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from dqc_lite import memory
from dqc_lite._types import Array
from dqc_lite.autodiff.zero_valued import is_zero
from dqc_lite.basis import Orbitals
from dqc_lite.integrals.callback import accelerated, host_call

Orbs = tuple[Orbitals, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Contraction:
    """An energy and what the host makes of its derivatives; a jit key by identity.

    Attributes:
        energy: ``(orbitals, extra, fixed, dual)``, a JAX function differentiable to any order.
        gradient: ``(orbitals, extra, fixed, dual)`` on the host, (len(orbitals), atom, 3).
        directional: ``(orbitals, extra, fixed, dual, changes)`` on the host, for each of the
            changes (change, ...) of the dual one like the gradient.
        tensor: ``(orbitals, extra, fixed, dual, motions)`` on the host, for each of the motions
            (motion, len(orbitals), atom, 3) one shaped like the dual.
        curvature: ``(orbitals, extra, fixed, dual)`` on the host, the second derivatives
            (len(orbitals), atom, 3, len(orbitals), atom, 3).

    The last two may be None: by the general primitive.
    """

    energy: Callable
    gradient: Callable
    directional: Callable
    tensor: Callable | None = None
    curvature: Callable | None = None

    @functools.cached_property
    def reference(self) -> Callable:
        """The gradient by the general primitive."""

        def reference(orbitals: Orbs, extra: Any, fixed: Any, dual: Any) -> Array:
            def at(centers: Array) -> Array:
                return self.energy(_at(orbitals, centers), extra, fixed, dual)

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
            motion, moves = _split(tangents)
            if self.curvature is None:  # the centres by the general primitive as well
                moves = [None if is_zero(t) else t for t in jax.tree.leaves(tangents)]
                motion = None

            def elsewhere(*leaves: Array) -> Array:
                return self.reference(*jax.tree.unflatten(treedef, leaves))

            tangent = _tangent(elsewhere, leaves, [*moves[:-1], None], value)
            if motion is not None:
                tangent += jnp.tensordot(self.second(*primals), motion, 3)
            if moves[-1] is not None:
                change = moves[-1][None]
                tangent += directional_p.bind(*leaves, change, kind=self, treedef=treedef)[0]
            return value, tangent

        gradient.defjvp(rule, symbolic_zeros=True)
        return gradient

    @functools.cached_property
    def second(self) -> Callable[[Orbs, Any, Any, Array], Array]:
        """The curvature as a differentiable function."""

        def reference(orbitals: Orbs, extra: Any, fixed: Any, dual: Array) -> Array:
            def at(centers: Array) -> Array:
                return self.reference(_at(orbitals, centers), extra, fixed, dual)

            return jax.jacfwd(at)(jnp.stack([o.centers for o in orbitals]))

        def shape(orbitals: Orbs, *_: Any) -> tuple[int, ...]:
            made = _shape(orbitals) * 2
            # three times: one half, the whole, and the copy in JAX
            memory.require(
                8.0 * 3 * math.prod(made),
                f"second derivatives of integrals around {made[1]} centres",
                "take first derivatives, or fewer of the charges around the molecule",
            )
            return made

        assert self.curvature is not None
        return accelerated(self.curvature, shape, reference)


def followed(fast: Callable, shape: Callable, kind: Contraction, reference: Callable) -> Callable:
    """Integrals ``(orbitals, extra)`` of the value ``fast(*orbitals, *extra)`` on the host.

    `kind` is the contraction of the same integrals: their derivative along the centres is its
    `tensor`, that along all else is the derivative of the JAX function `reference`.
    """

    @jax.custom_jvp
    def integral(orbitals: Orbs, extra: tuple) -> Array:
        return host_call(fast, shape(*orbitals, *extra), *orbitals, *extra)

    def rule(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        value = integral(*primals)
        motion, moves = _split(tangents)
        leaves, treedef = jax.tree.flatten(primals)

        def elsewhere(*leaves: Array) -> Array:
            orbitals, extra = jax.tree.unflatten(treedef, leaves)
            return reference(*orbitals, *extra)

        tangent = _tangent(elsewhere, leaves, moves, value)
        if motion is not None:
            # the integrals are linear in the dual, whose value is then of no account
            args, treedef = jax.tree.flatten((*primals, (), jnp.zeros(value.shape)))
            tangent += tensor_p.bind(*args, motion[None], kind=kind, treedef=treedef)[0]
        return value, tangent

    integral.defjvp(rule, symbolic_zeros=True)
    return integral


def _split(tangents: tuple) -> tuple[Array | None, list]:
    """The motion of the centres of ``tangents[0]``, orbitals, and the tangents of other leaves.

    (len(orbitals), atom, 3), None for what does not move.
    """
    orbitals = tangents[0]
    moves = [None if is_zero(t) else t for t in jax.tree.leaves(tangents)]
    places = [3 * k for k in range(len(orbitals))]  # an `Orbitals` has three leaves, centers first
    if all(moves[i] is None for i in places):
        return None, moves
    motions = ((o, moves[i]) for i, o in zip(places, orbitals, strict=True))
    motion = jnp.stack([jnp.zeros(o.centers.shape) if m is None else m for o, m in motions])
    return motion, [None if i in places else t for i, t in enumerate(moves)]


def _at(orbitals: Orbs, centers: Array) -> Orbs:
    pairs = zip(orbitals, centers, strict=True)
    return tuple(dataclasses.replace(o, centers=r) for o, r in pairs)


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


# --- the two primitives: arguments are the leaves of (x, dual) and the linear one, which and the
# --- result of which have a leading axis


def _directional(*args: Any, kind: Contraction, treedef: Any) -> Array:
    *x, dual = jax.tree.unflatten(treedef, args[:-1])
    return host_call(kind.directional, (len(args[-1]), *_shape(x[0])), *x, dual, args[-1])


def _tensor(*args: Any, kind: Contraction, treedef: Any) -> Array:
    if kind.tensor is None:
        return _reference_tensor(*args, kind=kind, treedef=treedef)
    *x, dual = jax.tree.unflatten(treedef, args[:-1])
    return host_call(kind.tensor, (len(args[-1]), *dual.shape), *x, dual, args[-1])


@functools.partial(jax.jit, static_argnames=("kind", "treedef"))
def _reference_directional(*args: Any, kind: Contraction, treedef: Any) -> Array:
    *x, dual = jax.tree.unflatten(treedef, args[:-1])
    _, along = jax.linearize(functools.partial(kind.reference, *x), dual)
    return jax.lax.map(along, args[-1])


@functools.partial(jax.jit, static_argnames=("kind", "treedef"))
def _reference_tensor(*args: Any, kind: Contraction, treedef: Any) -> Array:
    *x, dual = jax.tree.unflatten(treedef, args[:-1])
    _, pull = jax.vjp(functools.partial(kind.reference, *x), dual)
    return jax.lax.map(lambda t: pull(t)[0], args[-1])


def _define(name: str, evaluate: Callable, reference: Callable, shape: Callable) -> Primitive:
    primitive = Primitive(name)

    def abstract(*avals: Any, kind: Contraction, treedef: Any) -> Any:
        orbitals, *_, dual = jax.tree.unflatten(treedef, avals[:-1])
        full = (avals[-1].shape[0], *shape(orbitals, dual))
        return jax.core.ShapedArray(full, jnp.dtype("float64"))

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
        moved = [jnp.moveaxis(args[i], axes[i], 0) for i in mapped]
        if mapped == [len(args) - 1]:  # linear: one call for all
            (linear,) = moved
            flat = linear.reshape(-1, *linear.shape[2:])
            value = primitive.bind(*args[:-1], flat, **static)
            return value.reshape(*linear.shape[:2], *value.shape[1:]), 0

        def one(slices: list[Array]) -> Array:
            merged = list(args)
            for i, piece in zip(mapped, slices, strict=True):
                merged[i] = piece
            return primitive.bind(*merged, **static)

        return jax.lax.map(one, moved), 0

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
