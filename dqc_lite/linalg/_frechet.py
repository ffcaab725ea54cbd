"""One primitive for matrix functions of general matrices and all their derivatives.

``frechet(A, E1..Ek)`` is the k-th Frechet derivative ``D^k f(A)[E1..Ek]`` (k = 0: f(A)). It is
closed under differentiation:

- forward, a perturbation of A appends one more direction; the E are linear slots;
- reverse, ``tr(G D^k f(A)[E1..Ek])`` is symmetric in (G, E1..Ek), so the cotangent of one slot is
  the same primitive with G^T in its place, transposed.

The value is the top right block of f of the 2^k n block triangular matrix with A on the diagonal
and the E above it (R. Mathias, SIAM J. Matrix Anal. Appl. 17, 610 (1996)). With A = U T U^H that
matrix is upper triangular in the basis of U, so one Schur form serves, no equation is divided by
a difference of eigenvalues, and Jordan blocks need no special case. The exponential needs no Schur
form: nested forward derivatives of its own algorithm take the place of the block matrix.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from dqc_lite._types import Array
from dqc_lite.linalg._common import adjoint, matmul, poison, real_dtype
from dqc_lite.linalg._triangular import real_part
from dqc_lite.linalg.schur import schur

__all__ = ["ForwardFunction", "TriangularFunction", "matrix_function"]


class ForwardFunction(NamedTuple):
    """An algorithm for f(A) whose own forward derivatives are the Frechet derivatives.

    Attributes:
        value: ``A -> f(A)``.
        moved: ``A -> f(A)`` by an algorithm that is differentiated.
    """

    value: Callable[[Array], Array]
    moved: Callable[[Array], Array]


class TriangularFunction(NamedTuple):
    """How to evaluate f(T) for a complex upper triangular matrix T.

    Attributes:
        value: ``(scalar, T, *consts) -> f(T)``; static, never differentiated.
        scalar: the JAX scalar function of ``(z, *consts)``.
        undefined: ``(T, U) -> flag`` of A alone; the result is NaN where it is true.
    """

    value: Callable[..., Array]
    scalar: Callable[..., Array]
    undefined: Callable[[Array, Array], Array] | None = None


def matrix_function(fun: TriangularFunction | ForwardFunction, a: Array, *consts: Array) -> Array:
    """f(a) for matrices (..., n, n); ``consts`` are traced parameters of ``fun.scalar``."""
    if a.shape[-1] == 0:
        return a
    core = functools.partial(frechet_p.bind, fun=fun, order=0, nbatch=0)
    flat = a.reshape((-1, *a.shape[-2:]))
    return jax.vmap(lambda x: core(x, *consts))(flat).reshape(a.shape)


frechet_p = Primitive("general_frechet")


def _evaluate(*operands, fun: TriangularFunction, order: int, nbatch: int):
    evaluate = functools.partial(_evaluate_one, fun=fun, order=order)
    for _ in range(nbatch):
        evaluate = jax.vmap(evaluate)
    return evaluate(*operands)


def _forward(*operands, fun: ForwardFunction):
    """Nested forward mode along each direction."""
    a, *directions = (x.astype(jnp.result_type(*operands)) for x in operands)
    f = fun.moved if directions else fun.value
    for direction in directions:
        f = functools.partial(_along, f, direction)
    return f(a)


def _along(f, direction, a):
    return jax.jvp(f, (a,), (direction,))[1]


def _evaluate_one(*operands, fun: TriangularFunction | ForwardFunction, order: int):
    if isinstance(fun, ForwardFunction):
        return _forward(*operands, fun=fun)
    a, directions, consts = operands[0], operands[1 : order + 1], operands[order + 1 :]
    n = a.shape[0]
    t, u = schur(a)
    scale = jnp.max(jnp.abs(t)) + jnp.finfo(real_dtype(t.dtype)).tiny
    sizes = [jnp.max(jnp.abs(e)) for e in directions]
    units = [jnp.where(size > 0, size, 1.0) / scale for size in sizes]
    inside = [matmul(adjoint(u), e.astype(t.dtype), u) for e in directions]
    inside = [e / unit.astype(t.dtype) for e, unit in zip(inside, units, strict=True)]
    big = _block_triangular(t, inside)
    corner = fun.value(fun.scalar, big, *consts)[:n, -n:]
    out = matmul(u, corner, adjoint(u))
    for unit in units:
        out = out * unit.astype(t.dtype)
    if fun.undefined is not None:
        out = poison(out, fun.undefined(t, u))
    if jnp.iscomplexobj(a) or any(jnp.iscomplexobj(e) for e in directions):
        return out
    return real_part(out, fun.scalar, t, u, *consts)


def _block_triangular(t, directions):
    """Sum over slots of (nilpotent 2x2 at that slot) x E, plus identity x T."""
    n, k = t.shape[0], len(directions)
    blocks = [[jnp.zeros_like(t)] * 2**k for _ in range(2**k)]
    for row in range(2**k):
        blocks[row][row] = t
    for row, slot in itertools.product(range(2**k), range(k)):
        bit = 1 << slot
        if not row & bit:
            blocks[row][row | bit] = directions[slot]
    return jnp.block(blocks).reshape(2**k * n, 2**k * n)


@functools.lru_cache(maxsize=512)
def _compiled(fun, order, nbatch):
    return jax.jit(functools.partial(_evaluate, fun=fun, order=order, nbatch=nbatch))


@frechet_p.def_impl
def _impl(*operands, fun, order, nbatch):
    return _compiled(fun, order, nbatch)(*operands)


@frechet_p.def_abstract_eval
def _abstract(*operands, fun, order, nbatch):
    dtype = jnp.result_type(*(x.dtype for x in operands[: order + 1]))
    return operands[0].update(dtype=dtype)


def _jvp(primals, tangents, *, fun, order, nbatch):
    """Append the tangent of A; replace each direction by its own; differentiate f in its consts."""
    out = frechet_p.bind(*primals, fun=fun, order=order, nbatch=nbatch)
    bind = functools.partial(frechet_p.bind, fun=fun, nbatch=nbatch)
    matrices, consts = primals[: order + 1], primals[order + 1 :]
    terms = []
    if type(tangents[0]) is not ad.Zero:
        terms.append(bind(*matrices, tangents[0], *consts, order=order + 1))
    for slot in range(1, order + 1):
        if type(tangents[slot]) is not ad.Zero:
            swapped = (*matrices[:slot], tangents[slot], *matrices[slot + 1 :])
            terms.append(bind(*swapped, *consts, order=order))
    for index, rate in enumerate(tangents[order + 1 :]):
        if type(rate) is not ad.Zero:
            moved = fun._replace(scalar=_const_derivative(fun.scalar, index, len(consts)))
            terms.append(
                frechet_p.bind(*matrices, *consts, rate, fun=moved, order=order, nbatch=nbatch)
            )
    if not terms:
        return out, ad.Zero.from_primal_value(out)
    return out, functools.reduce(jnp.add, (term.astype(out.dtype) for term in terms))


@functools.lru_cache(maxsize=512)
def _const_derivative(scalar, index: int, count: int):
    """``z, consts, rate -> d/ds f(z, consts + s rate e_index)``; linear in the rate."""

    def derivative(z, *operands):
        consts, rate = operands[:count], operands[count]

        def along(value):
            return scalar(z, *consts[:index], value, *consts[index + 1 :])

        return jax.jvp(along, (consts[index],), (rate,))[1]

    return derivative


def _transpose(cotangent, *operands, fun, order, nbatch):
    """Cotangent of the one linear operand: a direction, or the rate of a parameter of f."""
    if type(cotangent) is ad.Zero:
        return [None] * len(operands)
    (slot,) = (i for i, x in enumerate(operands) if ad.is_undefined_primal(x))
    aval = operands[slot].aval
    bind = functools.partial(frechet_p.bind, fun=fun, order=order, nbatch=nbatch)
    if slot <= order:
        swapped = (*operands[:slot], jnp.swapaxes(cotangent, -1, -2), *operands[slot + 1 :])
        result = jnp.swapaxes(bind(*swapped), -1, -2)
        if not jnp.issubdtype(aval.dtype, jnp.complexfloating):
            result = result.real
    else:
        result = _transpose_rate(bind, cotangent, operands, slot, aval, nbatch)
    out = [None] * len(operands)
    out[slot] = result.astype(aval.dtype)
    return out


def _transpose_rate(bind, cotangent, operands, slot, aval, nbatch):
    """One evaluation for each entry of the parameter; parameters of a scalar function are few."""
    batch = aval.shape[:nbatch]
    size = 1
    for extent in aval.shape[nbatch:]:
        size *= extent

    def component(unit):
        rate = jnp.broadcast_to(unit.reshape(aval.shape[nbatch:]), aval.shape)
        moved = bind(*operands[:slot], rate, *operands[slot + 1 :])
        return jnp.sum(moved * cotangent, axis=(-2, -1)).astype(cotangent.dtype)

    rows = jax.lax.map(component, jnp.eye(size, dtype=aval.dtype))
    result = jnp.moveaxis(rows, 0, -1).reshape((*batch, *aval.shape[nbatch:]))
    return result if jnp.issubdtype(aval.dtype, jnp.complexfloating) else result.real


def _batch(operands, axes, *, fun, order, nbatch):
    (size,) = {x.shape[d] for x, d in zip(operands, axes, strict=True) if d is not None}
    moved = [
        jnp.broadcast_to(x, (size, *jnp.shape(x))) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(operands, axes, strict=True)
    ]
    return frechet_p.bind(*moved, fun=fun, order=order, nbatch=nbatch + 1), 0


ad.primitive_jvps[frechet_p] = _jvp
ad.primitive_transposes[frechet_p] = _transpose
batching.primitive_batchers[frechet_p] = _batch
mlir.register_lowering(frechet_p, mlir.lower_fun(_evaluate, multiple_results=False))
