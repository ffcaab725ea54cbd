"""Value of the exponential of a general matrix: scaling, Pade approximant, squaring.

Degree and number of squarings follow N. Higham, SIAM J. Matrix Anal. Appl. 26, 1179 (2005) and
A. Al-Mohy and N. Higham, ibid. 31, 970 (2009), from norms of powers; where derivatives follow,
A. Al-Mohy and N. Higham, ibid. 30, 1639 (2009), from the 1-norm. The squaring keeps the diagonal
of the exponential both as x and as x - 1, so that scaling down costs no digits of an entry that is
small against the norm. All of it is differentiable in forward mode, to every order.
"""

from __future__ import annotations

from math import factorial

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Inexact
from dqc_lite.linalg._common import eps_of, matmul, real_dtype, times_power_of_two

__all__ = ["exponential", "exponential_for_derivatives"]

DEGREES = {4: (3, 5, 7), 8: (3, 5, 7, 9, 13)}  # by size of the real type, in bytes
THETA = {
    4: (4.258730016922831e-1, 1.880152677804762, 3.925724783138660),
    8: (1.495585217958292e-2, 2.539398330063230e-1, 9.504178996162932e-1, 2.097847961257068,
        5.371920351148152),
}  # fmt: skip
"""Largest norm with a backward error of the Pade approximant below rounding (table 2.3, 2005)."""
THETA_DERIVATIVE = {4: (0.3, 1.5, 3.4), 8: (1.08e-2, 2.00e-1, 7.83e-1, 1.78, 4.74)}
"""The same for the Frechet derivative (table 6.1, 2009); single precision: rounded down."""


def exponential(a: Inexact[Array, "n n"]) -> Inexact[Array, "n n"]:
    """exp(a), scaled by what its powers, not only its norm, ask for."""
    return _exponential(a, *_by_powers(jax.lax.stop_gradient(a)))


def exponential_for_derivatives(a: Inexact[Array, "n n"]) -> Inexact[Array, "n n"]:
    """exp(a), scaled so that its derivatives in any direction are right, too."""
    return _exponential(a, *_by_norm(jax.lax.stop_gradient(a)))


def _exponential(a, choice, squarings):
    degrees = DEGREES[real_dtype(a.dtype).itemsize]
    branches = [lambda b, m=m: _pade_minus_one(b, m) for m in degrees]
    small = jax.lax.switch(choice, branches, times_power_of_two(a, -squarings))
    return _square(small, squarings)


def _one_norm(a):
    return jnp.max(jnp.sum(jnp.abs(a), axis=-2), axis=-1)


def _squarings(norm, theta: float):
    """The least s with norm / 2^s <= theta; 0 for what is not finite."""
    mantissa, exponent = jnp.frexp(norm / theta)
    s = jnp.maximum(exponent - (mantissa == 0.5), 0)
    return jnp.where(jnp.isfinite(norm), s, 0).astype(jnp.int32)


def _by_norm(a):
    thetas = THETA_DERIVATIVE[real_dtype(a.dtype).itemsize]
    norm = _one_norm(a)
    choice = sum((norm > theta).astype(jnp.int32) for theta in thetas[:-1])
    return choice, _squarings(norm, thetas[-1])


def _by_powers(a):
    """Degree and squarings from |a^k|^(1/k), k = 4, 6, 8, 10, of the matrix scaled to norm 1."""
    size = real_dtype(a.dtype).itemsize
    norm = _one_norm(a)
    shift = jnp.where(jnp.isfinite(norm) & (norm > 0), jnp.frexp(norm)[1], 0)
    b = times_power_of_two(a, -shift)
    unit = jnp.ldexp(real_dtype(a.dtype).type(1), jnp.minimum(shift, 1000 if size == 8 else 120))
    square = matmul(b, b)
    fourth, sixth = matmul(square, square), matmul(square, square, square)
    powers = {4: fourth, 6: sixth, 8: matmul(fourth, fourth), 10: matmul(fourth, sixth)}
    root = {k: unit * _one_norm(x) ** (1 / k) for k, x in powers.items()}
    low, high = jnp.maximum(root[4], root[6]), jnp.maximum(root[6], root[8])
    high = jnp.minimum(high, jnp.maximum(root[8], root[10]))
    needed = {3: low, 5: low, 7: high, 9: high, 13: jnp.minimum(low, high)}
    degrees, thetas = DEGREES[size], THETA[size]
    fits = [
        (needed[m] <= theta) & (_extra(b, shift, m) == 0)
        for m, theta in zip(degrees[:-1], thetas[:-1], strict=True)
    ]
    choice = jnp.argmax(jnp.stack([*fits, jnp.array(True)])).astype(jnp.int32)
    last = degrees[-1]
    s = _squarings(needed[last], thetas[-1])
    s = jnp.where(shift > s, jnp.minimum(s + _extra(b, shift - s, last), shift + 3), s)
    return choice, jnp.where(choice < len(degrees) - 1, 0, s)


def _extra(b, shift, m: int):
    """Squarings that rounding of |a|^(2m+1), a = 2^shift b, asks for in addition (eq. 5.1)."""
    size = jnp.abs(b).T
    vector = jnp.ones(b.shape[0], size.dtype)
    log = jnp.zeros((), size.dtype)
    for _ in range(2 * m + 1):
        vector = size @ vector
        largest = jnp.max(vector)
        log, vector = log + jnp.log2(largest), vector / jnp.where(largest > 0, largest, 1)
    coefficient = factorial(m) ** 2 / (factorial(2 * m) * factorial(2 * m + 1))
    alpha = log - jnp.log2(_one_norm(b)) + 2 * m * shift + jnp.log2(coefficient)
    ratio = (alpha - jnp.log2(eps_of(b.dtype) / 2)) / (2 * m)
    return jnp.where(jnp.isfinite(ratio), jnp.maximum(jnp.ceil(ratio), 0), 0).astype(jnp.int32)


def _pade_minus_one(a, m: int):
    """r(a) - 1 = 2 (v - u)^-1 u, r the [m/m] Pade approximant of exp, u its odd part."""
    c = [
        factorial(2 * m - k) * factorial(m) / (factorial(2 * m) * factorial(k) * factorial(m - k))
        for k in range(m + 1)
    ]
    identity = jnp.eye(a.shape[0], dtype=a.dtype)
    square = matmul(a, a)
    powers = [identity, square]
    while len(powers) < min((m + 1) // 2, 4):
        powers.append(matmul(powers[-1], square))

    def polynomial(coefficients):
        head = sum(x * p for x, p in zip(coefficients, powers, strict=False))
        rest = coefficients[len(powers) :]
        if not rest:
            return head
        return head + matmul(powers[-1], sum(x * p for x, p in zip(rest, powers[1:], strict=False)))

    u, v = matmul(a, polynomial(c[1::2])), polynomial(c[0::2])
    return 2 * jnp.linalg.solve(v - u, u)


def _square(y, count):
    """(1 + y)^(2^count): off-diagonal part o, diagonal x of 1 + y and its distance d from 1."""
    d = jnp.diagonal(y)

    def step(state):
        left, o, x, d = state
        s = matmul(o, o)
        new_o = _off_diagonal((x[:, None] + x[None, :]) * o + s)
        corner = jnp.diagonal(s)
        x, d = _agree(x * x + corner, d * (2 + d) + corner)
        return left - 1, new_o, x, d

    start = (count, _off_diagonal(y), *_agree(1 + d, d))
    _, o, x, _ = jax.lax.while_loop(lambda state: state[0] > 0, step, start)
    return o + jnp.diag(x)


def _off_diagonal(a):
    return jnp.where(jnp.eye(a.shape[0], dtype=bool), 0, a)


def _agree(x, d):
    """x = 1 + d from whichever of the two has the more digits."""
    small = jnp.abs(jax.lax.stop_gradient(x)) < 0.5
    return jnp.where(small, x, 1 + d), jnp.where(small, x - 1, d)
