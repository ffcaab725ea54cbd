"""Helpers shared by the whole of ``dqc_lite.linalg``: checks, tolerances, clusters, products.

Nothing here is differentiated except :func:`symmetrize`, :func:`adjoint`, :func:`matmul` and
:func:`poison`. Every tolerance is relative to the norm of the matrix and to its precision.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._process import require_own_process
from dqc_lite._types import Array, Bool, Float, Inexact, Int, Num
from dqc_lite.errors import InputError

# Input of a public function: (..., n, n), checked by as_square, whose message names the remedy.
Matrices = Num[Array | np.ndarray, " ..."]

__all__ = [
    "Matrices",
    "adjoint",
    "as_square",
    "block_mask",
    "broadcast_batches",
    "check_sizes",
    "cluster_ids",
    "cluster_mask",
    "default_rtol",
    "eps_of",
    "matmul",
    "norm_scale",
    "poison",
    "raw_eigh",
    "real_dtype",
    "rounding",
    "scaled",
    "symmetrize",
    "times_power_of_two",
]


def as_square(a: object, name: str = "a") -> Inexact[Array, "... n n"]:
    """``a`` as a floating or complex array of square matrices; integers become floats.

    Raises:
        InputError: not square, fewer than two axes, or a half-precision type.
        ForkError: in a process forked from one that has computed.
    """
    require_own_process()
    array = jnp.asarray(a)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise InputError(
            f"{name} has shape {array.shape}; expected square matrices (..., n, n). "
            "Leading axes are batch axes."
        )
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        array = array.astype(jnp.result_type(float))
    if real_dtype(array.dtype) not in (np.dtype("float32"), np.dtype("float64")):
        raise InputError(f"{name} has dtype {array.dtype}; cast it to float32 or float64 first.")
    return array


def broadcast_batches(**shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of several arrays, whose names are the keywords.

    Raises:
        InputError: the shapes do not broadcast.
    """
    try:
        return jnp.broadcast_shapes(*shapes.values())
    except ValueError as error:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(f"shapes do not broadcast: {listed}; give equal batch axes.") from error


def real_dtype(dtype: object) -> np.dtype:
    """The real type of the same precision: complex128 -> float64."""
    return np.dtype(jnp.finfo(dtype).dtype)


def eps_of(dtype: object) -> float:
    """Machine epsilon of ``dtype``."""
    return float(jnp.finfo(dtype).eps)


def default_rtol(dtype: object) -> float:
    """Relative gap below which neighbouring eigenvalues count as one level: sqrt(epsilon)."""
    return eps_of(dtype) ** 0.5


def adjoint(a: Inexact[Array, "... m n"]) -> Inexact[Array, "... n m"]:
    """Conjugate transpose of the last two axes."""
    return jnp.conj(jnp.swapaxes(a, -1, -2))


def times_power_of_two(a: Inexact[Array, "..."], exponent: Int[Array, "..."]) -> Array:
    """``a * 2**exponent``, in two factors: one alone over- or underflows."""
    one, half = real_dtype(a.dtype).type(1), exponent // 2
    return a * jnp.ldexp(one, half) * jnp.ldexp(one, exponent - half)


def scaled(a: Inexact[Array, "... m n"], multiple: int = 1) -> tuple[Array, Int[Array, "... 1 1"]]:
    """``a / 2**e`` with largest entry about 1, and e, a constant (a multiple of ``multiple``).

    Functions that are homogeneous, apart from rounding, are evaluated there: LAPACK loses accuracy
    far from unit scale, and derivative rules over- or underflow. Within 2^16 of it e is 0.
    """
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(a)), axis=(-2, -1), keepdims=True, initial=0)
    usable = jnp.isfinite(size) & (size > 0)
    exponent = jnp.frexp(size)[1]
    exponent = jnp.where(usable & (jnp.abs(exponent) > 16), exponent, 0)
    exponent = exponent // multiple * multiple
    return times_power_of_two(a, -exponent), exponent


def symmetrize(a: Inexact[Array, "... n n"]) -> Inexact[Array, "... n n"]:
    """The Hermitian part (a + a^H) / 2."""
    return 0.5 * (a + adjoint(a))


def matmul(*factors: Array) -> Array:
    """Product of matrices from the left, in full precision (no TF32 on GPUs)."""
    return functools.reduce(
        functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST), factors
    )


def norm_scale(w: Inexact[Array, "... n"]) -> Float[Array, "... 1"]:
    """max |w|: the spectral norm of a Hermitian matrix, the scale of every tolerance."""
    if w.shape[-1] == 0:
        return jnp.zeros((*w.shape[:-1], 1), real_dtype(w.dtype))
    return jnp.max(jnp.abs(w), axis=-1, keepdims=True)


def rounding(w: Inexact[Array, "... n"]) -> Float[Array, "... 1"]:
    """Splitting of an exact level that rounding alone may cause: 4 n epsilon max|w|."""
    return 4 * w.shape[-1] * eps_of(w.dtype) * norm_scale(w)


def cluster_ids(w: Float[Array, "... n"], rtol: float | Array):
    """Level number of each eigenvalue: single linkage on the sorted spectrum.

    Neighbours closer than ``rtol * max|w|`` share a level. Single linkage is an equivalence
    relation, which a pairwise test ``|w_i - w_j| < tol`` is not.
    """
    w = jax.lax.stop_gradient(w)
    jumps = jnp.diff(w, axis=-1) > rtol * norm_scale(w)
    first = jnp.zeros((*w.shape[:-1], min(1, w.shape[-1])), jnp.int32)
    return jnp.concatenate([first, jnp.cumsum(jumps.astype(jnp.int32), axis=-1)], axis=-1)


def cluster_mask(w: Float[Array, "... n"], rtol: float | Array) -> Bool[Array, "... n n"]:
    """``mask[i, j]``: do eigenvalues i and j belong to the same level."""
    ids = cluster_ids(w, rtol)
    return ids[..., :, None] == ids[..., None, :]


def check_sizes(sizes: Sequence[int], n: int, name: str = "blocks") -> tuple[int, ...]:
    """``sizes`` as a tuple of ints that add up to ``n``.

    Raises:
        InputError: a negative size, or a wrong total.
    """
    checked = tuple(int(size) for size in sizes)
    if any(size < 0 for size in checked) or sum(checked) != n:
        raise InputError(
            f"{name}={checked} must be non-negative and add up to the matrix size {n}; "
            "they list the number of states in each block, lowest first."
        )
    return checked


def block_mask(sizes: Sequence[int]) -> Bool[Array, "n n"]:
    """``mask[i, j]``: do states i and j belong to the same declared block."""
    ids = np.repeat(np.arange(len(sizes)), sizes)
    return jnp.asarray(ids[:, None] == ids[None, :])


def poison(x: Array, bad: Bool[Array, " ..."]) -> Array:
    """``x`` times NaN where ``bad`` (one flag per batch member).

    A product, not a ``where``: its derivative and its transpose are NaN too.
    """
    factor = jnp.where(jax.lax.stop_gradient(bad), jnp.nan, 1.0).astype(real_dtype(x.dtype))
    return x * factor.reshape(factor.shape + (1,) * (x.ndim - factor.ndim))


def raw_eigh(a: Inexact[Array, "... n n"]) -> tuple[Float[Array, "... n"], Array]:
    """Eigenvalues (ascending) and eigenvectors of Hermitian ``a``, never differentiated.

    Complex eigenvectors get a definite phase: the first component whose modulus is within 0.1 %
    of the largest is real and positive.
    """
    w, v = jnp.linalg.eigh(jax.lax.stop_gradient(a), symmetrize_input=False)
    if jnp.iscomplexobj(v) and v.shape[-1] > 0:
        size = jnp.abs(v)
        row = jnp.argmax(size >= 0.999 * size.max(-2, keepdims=True), axis=-2, keepdims=True)
        pivot = jnp.take_along_axis(v, row, axis=-2)
        v = v * (jnp.conj(pivot) / jnp.abs(pivot))
    return jax.lax.stop_gradient(w), jax.lax.stop_gradient(v)
