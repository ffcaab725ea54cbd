"""Divided differences f[x_0, ..., x_m] of any order, accurate for equal and near arguments.

Distant arguments use the recursion (f[x_1..x_m] - f[x_0..x_{m-1}])/(x_m - x_0) on sorted nodes;
close ones the Taylor series about their mean,

    f[x_0, ..., x_m] = sum_k f^(m+k)(c)/(m+k)!  h_k(x_0 - c, ..., x_m - c),

h_k the complete homogeneous symmetric polynomials. Both come with an error estimate and the
smaller one decides, entry by entry: no tolerance is chosen by hand. Where the function has a
closed form (``Power``, ``Exp``, ``Fermi``, ...) it replaces the first rows of the table.

Source: N. Higham, Functions of Matrices (2008), appendix B.16; the estimates are this module's.
"""

from __future__ import annotations

import math

import jax.numpy as jnp

from dqc_lite._types import Array, Num
from dqc_lite.linalg._common import eps_of
from dqc_lite.linalg._generic_function import generic
from dqc_lite.linalg.scalar_functions import ScalarFunction, homogeneous

__all__ = ["divided_difference"]


def divided_difference(f, *nodes: Num[Array, " ..."], consts: tuple = ()) -> Num[Array, " ..."]:
    """f[x_0, ..., x_m], elementwise over the broadcast ``nodes``.

    Args:
        f: a :class:`ScalarFunction`, or any JAX function of one scalar.
        nodes: m + 1 real arrays.
        consts: traced parameters of ``f``.
    """
    if not isinstance(f, ScalarFunction):
        f = generic(f, None, jnp.result_type(*nodes), consts)
    arrays = jnp.broadcast_arrays(*nodes)
    if len(arrays) == 1:
        return f.derivatives(arrays[0], 0, *consts)[0]
    closed = f.closed(arrays, *consts)
    if closed is not None:
        return closed
    ordered = jnp.sort(jnp.stack(arrays, -1), axis=-1)
    return _table(f, [ordered[..., i] for i in range(len(arrays))], consts)


def _table(f, x, consts):
    """The triangular scheme, each row carrying values and error estimates."""
    eps = eps_of(x[0].dtype)
    ends = [f.derivatives(xi, 1, *consts) for xi in x]
    row = [value for value, _ in ends]
    errors = [
        eps * (jnp.abs(d) + jnp.abs(xi * slope)) for xi, (d, slope) in zip(x, ends, strict=True)
    ]
    for level in range(1, len(x)):
        pairs = [(x[i : i + level + 1], i) for i in range(len(x) - level)]
        if level == 1 and f.first(x[0], x[0], *consts) is not None:
            row = [f.first(lo, hi, *consts) for (lo, hi), _ in pairs]
            errors = [4 * eps * jnp.abs(d) for d in row]
            continue
        entries = [_entry(f, part, row[i : i + 2], errors[i : i + 2], consts) for part, i in pairs]
        row, errors = [e[0] for e in entries], [e[1] for e in entries]
    return row[0]


def _entry(f, x, values, errors, consts):
    """One entry of the table: recursion or Taylor series, whichever is the more accurate."""
    eps = eps_of(x[0].dtype)
    spread = x[-1] - x[0]
    equal = spread == 0
    width = jnp.where(equal, 1, spread)
    recursion = (values[1] - values[0]) / width
    noise = (sum(errors) + eps * (jnp.abs(values[0]) + jnp.abs(values[1]))) / width
    taylor, remainder = _taylor(f, x, consts)
    # A step between the nodes hides from every derivative: then the two forms disagree.
    agree = jnp.abs(taylor - recursion) <= 1000 * (noise + remainder)
    use_taylor = equal | ((remainder < noise) & agree)
    return jnp.where(use_taylor, taylor, recursion), jnp.where(use_taylor, remainder, noise)


def _taylor(f, x, consts):
    order = len(x) - 1
    center = sum(x) / len(x)
    derivatives = f.derivatives(center, order + f.terms - 1, *consts)[order:]
    h = homogeneous([xi - center for xi in x], f.terms - 1)
    parts = [d / math.factorial(order + k) * h[k] for k, d in enumerate(derivatives)]
    # Equal nodes: higher derivatives may be infinite where the leading one is not needed there.
    parts = [parts[0]] + [jnp.where(h[k] == 0, 0, parts[k]) for k in range(1, len(parts))]
    total = sum(reversed(parts))
    last = jnp.abs(parts[-1]) + jnp.abs(parts[-2])
    # Rounding of the derivative itself, and of the point where it is taken.
    slope = jnp.abs(center * derivatives[1]) / math.factorial(order)
    return total, last + eps_of(center.dtype) * (4 * jnp.abs(total) + slope)
