"""Host functions as differentiable JAX functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite.autodiff.zero_valued import is_zero


def host_call(fast: Callable, shape: tuple[int, ...], *args: Any) -> jax.Array:
    """``fast(*args)`` on the host, a float64 array of `shape`; args are pytrees of arrays."""

    def evaluate(*leaves: Any) -> np.ndarray:
        arrays = [np.asarray(leaf) for leaf in leaves]
        return np.ascontiguousarray(fast(*jax.tree.unflatten(treedef, arrays))).reshape(shape)

    leaves, treedef = jax.tree.flatten(args)
    result = jax.ShapeDtypeStruct(shape, jnp.float64)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return jax.pure_callback(evaluate, result, *leaves, vmap_method="sequential")
    return jax.device_put(evaluate(*leaves))


def accelerated(
    fast: Callable, shape: Callable[..., tuple[int, ...]], reference: Callable
) -> Callable:
    """A JAX function whose value is ``fast(*args)`` on the host and whose derivatives, of any
    order, are those of ``reference(*args)``, a JAX function of the same value.
    """

    @jax.custom_jvp
    def function(*args: Any) -> jax.Array:
        return host_call(fast, shape(*args), *args)

    def rule(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
        primal_leaves, treedef = jax.tree.flatten(primals)
        tangent_leaves = jax.tree.leaves(tangents)
        moved = [i for i, t in enumerate(tangent_leaves) if not is_zero(t)]

        def moved_reference(*leaves: jax.Array) -> jax.Array:
            merged = list(primal_leaves)
            for i, leaf in zip(moved, leaves, strict=True):
                merged[i] = leaf
            return reference(*jax.tree.unflatten(treedef, merged))

        at = tuple(primal_leaves[i] for i in moved)
        along = tuple(tangent_leaves[i] for i in moved)
        return function(*primals), jax.jvp(moved_reference, at, along)[1]

    function.defjvp(rule, symbolic_zeros=True)
    return function

