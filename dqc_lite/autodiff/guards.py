"""An identity that raises outside `jit` where a response could not be found."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from dqc_lite.autodiff.zero_valued import is_zero
from dqc_lite.errors import ResponseError

MESSAGE = (
    "the response (coupled-perturbed) equations are singular or did not converge: the determinant "
    "is at or near an instability, or orbitally degenerate (a partly filled pi or p shell), and "
    "its derivative does not exist. Check it with a stability analysis, break the symmetry, or "
    "converge the SCF further (DIIS(gradient_tol=1e-10))."
)


def verified(x: jax.Array, good: jax.Array) -> jax.Array:
    """x; `ResponseError` if it holds NaN although `good` is finite, outside of compiled code.

    A primitive, linear in x: the check is made wherever x or its cotangent becomes a number.
    """
    return verified_p.bind(x, jax.lax.stop_gradient(good))


def _check(x: Any, good: Any) -> Any:
    if bool(np.isfinite(np.asarray(good)).all()) and bool(np.isnan(np.asarray(x)).any()):
        raise ResponseError(MESSAGE)
    return x


def _batch(args: tuple, axes: tuple) -> tuple:
    x, good = args
    axis, flags = axes
    if flags is not None:
        good = jnp.sum(good, axis=flags)
    return verified_p.bind(x, good), axis


def _transpose(cotangent: Any, x: Any, good: Any) -> tuple:
    return verified_p.bind(ad.instantiate_zeros(cotangent), good), None


def _jvp(primals: tuple, tangents: tuple) -> tuple:
    x, good = primals
    tangent = tangents[0]
    if not isinstance(tangent, ad.Zero):
        tangent = verified_p.bind(tangent, good)
    return verified_p.bind(x, good), tangent


verified_p = Primitive("verified_response")
verified_p.def_impl(_check)
verified_p.def_abstract_eval(lambda x, good: jax.core.ShapedArray(x.shape, x.dtype))
ad.primitive_jvps[verified_p] = _jvp
ad.primitive_transposes[verified_p] = _transpose
batching.primitive_batchers[verified_p] = _batch
mlir.register_lowering(verified_p, mlir.lower_fun(lambda x, good: x, multiple_results=False))


def without_derivative(inputs: Any, outputs: Any) -> Any:
    """`outputs`, whose derivative along `inputs` is not available: NaN, never a silent zero."""
    leaves, treedef = jax.tree.flatten(outputs)
    return jax.tree.unflatten(treedef, _without_derivative(inputs, leaves))


@jax.custom_jvp
def _without_derivative(inputs: Any, outputs: list) -> list:
    return outputs


def _without_derivative_jvp(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    moves = [t for t in jax.tree.leaves(tangents[0]) if not is_zero(t)]
    moved = sum(jnp.sum(t) for t in moves if jnp.issubdtype(t.dtype, jnp.floating)) * jnp.nan

    def unknown(x: jax.Array) -> Any:
        if jnp.issubdtype(x.dtype, jnp.floating):
            return jnp.broadcast_to(moved, x.shape)
        return np.zeros(x.shape, jax.dtypes.float0)

    return _without_derivative(*primals), [unknown(x) for x in primals[1]]


_without_derivative.defjvp(_without_derivative_jvp, symbolic_zeros=True)
