"""Frechet derivatives of every order of functions of Hermitian matrices (Daleckii-Krein).

With A = V diag(w) V^H and E~ = V^H E V,

    D^m f(A)[E_1 ... E_m]_ij = sum over permutations, sum over k
        f[w_i, w_k1, ..., w_j]  E~_(i k1) E~_(k1 k2) ... E~_(k j),

transformed back by V. The map is a JAX primitive: its tangent in A is the next order, and
tr(G D^m f(A)[E_1 ... E_m]) is symmetric in G, E_1 ... E_m, which gives every transpose. The
eigenpairs travel along as constants, so one diagonalization serves all orders.
"""

from __future__ import annotations

import dataclasses
import itertools
import string

import jax
import jax.numpy as jnp
from jax.interpreters import ad

from dqc_lite.linalg._common import adjoint, matmul
from dqc_lite.linalg._generic_function import Generic
from dqc_lite.linalg._primitive import batch_to_front, define, is_zero
from dqc_lite.linalg.divided_differences import divided_difference

__all__ = ["matrix_function", "trace_function"]

_LARGEST_TENSOR = 2**21  # entries of f[w_i, w_k, ..., w_j] formed at once


def matrix_function(fn, a, w, v, consts=()):
    """f(a) of Hermitian a (..., n, n), eigenpairs w, v constant; differentiable in a, consts."""
    return _frechet_p.bind(a, w, v, *consts, fn=fn, n_consts=len(consts))


def trace_function(fn, a, w, v, consts=()):
    """tr f(a) (...,), with gradient f'(a)."""
    return _trace_p.bind(a, w, v, *consts, fn=fn, n_consts=len(consts))


def _frechet(a, w, v, *rest, fn, n_consts):
    consts, directions = rest[:n_consts], rest[n_consts:]
    if not directions:
        values = divided_difference(fn, w, consts=consts)
        return matmul(v * values[..., None, :], adjoint(v))
    rotated = [matmul(adjoint(v), e, v) for e in directions]
    return matmul(v, _contract(fn, w, rotated, consts), adjoint(v))


def _contract(fn, w, es, consts):
    """Sum over permutations and middle indices in the eigenbasis."""
    n, order = w.shape[-1], len(es)
    if order == 1 or n ** (order + 1) * (w.size // max(n, 1)) <= _LARGEST_TENSOR:
        table = divided_difference(fn, *_axes(w, order + 1), consts=consts)
        letters = string.ascii_lowercase[: order + 1]
        pairs = ["..." + letters[i : i + 2] for i in range(order)]
        rule = ",".join([*pairs, "..." + letters]) + f"->...{letters[0]}{letters[-1]}"
        return sum(_einsum(rule, *p, table) for p in itertools.permutations(es))
    return _scan_contract(fn, w, es, consts)


def _scan_contract(fn, w, es, consts):
    """The same, one value of the first middle index at a time: n times less memory."""
    order = len(es)
    letters = string.ascii_lowercase[:order]
    pairs = ["..." + letters[i : i + 2] for i in range(1, order - 1)]
    rule = ",".join(["..." + letters[0], "..." + letters[1], *pairs, "..." + letters])
    rule += f"->...{letters[0]}{letters[-1]}"

    def body(total, k):
        node = jnp.take(w, k, axis=-1)[(..., *(None,) * order)]
        table = divided_difference(fn, node, *_axes(w, order), consts=consts)
        for first, second, *others in itertools.permutations(es):
            column, row = jnp.take(first, k, axis=-1), jnp.take(second, k, axis=-2)
            total = total + _einsum(rule, column, row, *others, table)
        return total, None

    dtype = jax.eval_shape(lambda: divided_difference(fn, w, w, consts=consts)).dtype
    start = jnp.zeros(es[0].shape, jnp.result_type(dtype, *es))
    return jax.lax.scan(body, start, jnp.arange(w.shape[-1]))[0]


def _axes(w, count):
    """w along each of ``count`` new axes."""
    return [
        w[(..., *(slice(None) if j == i else None for j in range(count)))] for i in range(count)
    ]


def _einsum(rule, *operands):
    return jnp.einsum(rule, *operands, precision=jax.lax.Precision.HIGHEST)


def _trace(a, w, v, *consts, fn, n_consts):
    return divided_difference(fn, w, consts=consts).sum(-1)


def _batcher(primitive):
    def batch(args, axes, *, fn, n_consts):
        if n_consts and isinstance(fn, Generic):
            fn = dataclasses.replace(fn, batch_axes=fn.batch_axes + 1)
        return primitive().bind(*batch_to_front(args, axes), fn=fn, n_consts=n_consts), 0

    return batch


_frechet_p = define("hermitian_frechet", _frechet, _batcher(lambda: _frechet_p))
_trace_p = define("hermitian_trace", _trace, _batcher(lambda: _trace_p))


def _frechet_jvp(primals, tangents, *, fn, n_consts):
    a, w, v, *rest = primals
    value = _frechet_p.bind(*primals, fn=fn, n_consts=n_consts)
    out = jnp.zeros_like(value)
    if not is_zero(tangents[0]):
        out = out + _frechet_p.bind(*primals, tangents[0], fn=fn, n_consts=n_consts)
    for i, tangent in enumerate(tangents[3:]):
        if is_zero(tangent) or (i < n_consts and fn.tangent(i) is None):
            continue
        if i < n_consts:
            out = out + _constant_tangent(_frechet_p, fn, a, w, v, rest, i, tangent, n_consts)
        else:
            changed = [*rest[:i], tangent, *rest[i + 1 :]]
            out = out + _frechet_p.bind(a, w, v, *changed, fn=fn, n_consts=n_consts)
    return value, out


def _trace_jvp(primals, tangents, *, fn, n_consts):
    a, w, v, *consts = primals
    value = _trace_p.bind(*primals, fn=fn, n_consts=n_consts)
    out = jnp.zeros_like(value)
    if not is_zero(tangents[0]):
        slope = _frechet_p.bind(*primals, fn=fn.derivative(), n_consts=n_consts)
        out = out + jnp.sum(jnp.swapaxes(slope, -1, -2) * tangents[0], (-2, -1)).astype(out.dtype)
    for i, tangent in enumerate(tangents[3:]):
        if not is_zero(tangent) and fn.tangent(i) is not None:
            out = out + _constant_tangent(_trace_p, fn, a, w, v, consts, i, tangent, n_consts)
    return value, out


def _constant_tangent(primitive, fn, a, w, v, rest, i, tangent, n_consts):
    """Tangent in parameter i: the same map of the scalar function df/dtheta . dtheta."""
    args = (*rest[:n_consts], tangent, *rest[n_consts:])
    return primitive.bind(a, w, v, *args, fn=fn.tangent(i), n_consts=n_consts + 1)


def _frechet_transpose(ct, a, w, v, *rest, fn, n_consts):
    slot = next(i for i, x in enumerate(rest) if ad.is_undefined_primal(x))
    out = [None] * (3 + len(rest))
    if is_zero(ct):
        return out
    if slot < n_consts:
        out[3 + slot] = _constant_transpose(_frechet_p, ct, a, w, v, rest, slot, fn, n_consts)
        return out
    args = [*rest[:slot], jnp.swapaxes(ct, -1, -2), *rest[slot + 1 :]]
    result = _frechet_p.bind(a, w, v, *args, fn=fn, n_consts=n_consts)
    out[3 + slot] = _like(jnp.swapaxes(result, -1, -2), rest[slot].aval)
    return out


def _trace_transpose(ct, a, w, v, *consts, fn, n_consts):
    slot = next(i for i, x in enumerate(consts) if ad.is_undefined_primal(x))
    out = [None] * (3 + len(consts))
    if not is_zero(ct):
        out[3 + slot] = _constant_transpose(_trace_p, ct, a, w, v, consts, slot, fn, n_consts)
    return out


def _constant_transpose(primitive, ct, a, w, v, rest, slot, fn, n_consts):
    """Pair ``ct`` with the map of each unit vector of the parameter."""
    aval = rest[slot].aval
    basis = jnp.eye(aval.size, dtype=aval.dtype).reshape(aval.size, *aval.shape)

    def pair(unit):
        args = [*rest[:slot], unit, *rest[slot + 1 :]]
        return jnp.sum(ct * primitive.bind(a, w, v, *args, fn=fn, n_consts=n_consts))

    return _like(jax.vmap(pair)(basis).reshape(aval.shape), aval)


def _like(x, aval):
    """Cotangent of a real argument is real."""
    if not jnp.issubdtype(aval.dtype, jnp.complexfloating):
        x = jnp.real(x)
    return x.astype(aval.dtype)


ad.primitive_jvps[_frechet_p] = _frechet_jvp
ad.primitive_jvps[_trace_p] = _trace_jvp
ad.primitive_transposes[_frechet_p] = _frechet_transpose
ad.primitive_transposes[_trace_p] = _trace_transpose
