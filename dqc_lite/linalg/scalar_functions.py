"""Scalar functions with the derivatives and divided differences that matrix functions need.

A :class:`ScalarFunction` offers its value, its derivatives at a point, and (where one is known) a
divided difference that is accurate for equal, near and distant arguments alike. Instances are
frozen and hashable: equal functions share compiled code.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

__all__ = [
    "Derivative",
    "Entropy",
    "Exp",
    "Fermi",
    "Log",
    "Power",
    "ScalarFunction",
    "ScaledFermi",
    "Sign",
    "homogeneous",
]


class ScalarFunction:
    """Base class. ``x`` is an array, ``consts`` the traced parameters of the function."""

    terms = 12  # Taylor terms used for close arguments

    def derivatives(self, x, order: int, *consts) -> list:
        """[f(x), f'(x), ..., f^(order)(x)], elementwise."""
        raise NotImplementedError

    def first(self, x, y, *consts):
        """Divided difference f[x, y] for x <= y, or None where there is no closed form."""
        return None

    def closed(self, nodes, *consts):
        """Divided difference over all ``nodes`` (a list of arrays), or None."""
        return None

    def derivative(self) -> ScalarFunction:
        """f' as a scalar function of the same constants."""
        return Derivative(self)

    def tangent(self, index: int) -> ScalarFunction | None:
        """df/dtheta . dtheta for constant ``index``; None where the result ignores it."""
        return None


@dataclasses.dataclass(frozen=True)
class Exp(ScalarFunction):
    """exp(x)."""

    def derivatives(self, x, order):
        return [jnp.exp(x)] * (order + 1)

    def first(self, x, y):
        return jnp.exp(y) * _decay(y - x)


@dataclasses.dataclass(frozen=True)
class Log(ScalarFunction):
    """log(x), x > 0."""

    def derivatives(self, x, order):
        tail = [(-1) ** (m - 1) * math.factorial(m - 1) * x**-m for m in range(1, order + 1)]
        return [jnp.log(x), *tail]

    def first(self, x, y):
        gap = y - x
        return jnp.where(gap == 0, 1 / x, jnp.log1p(gap / x) / jnp.where(gap == 0, 1, gap))


@dataclasses.dataclass(frozen=True)
class Power(ScalarFunction):
    """x**p for a static real p; x > 0 unless p is an integer."""

    p: float

    def derivatives(self, x, order):
        factors = [math.prod(self.p - i for i in range(m)) for m in range(order + 1)]
        return [
            c * self._power(x, self.p - m) if c else jnp.zeros_like(x)
            for m, c in enumerate(factors)
        ]

    def first(self, x, y):
        if self.p == 0.5:
            return 1 / (jnp.sqrt(x) + jnp.sqrt(y))
        if self.p == -0.5:
            return -1 / (jnp.sqrt(x) * jnp.sqrt(y) * (jnp.sqrt(x) + jnp.sqrt(y)))
        zero = (x == 0) | (y == 0)  # (m^p - 0)/(m - 0), m the other node
        base = jnp.where(zero, 1, x)
        r = jnp.where(zero, 0, (y - x) / base)
        slope = jnp.expm1(self.p * jnp.log1p(r)) / jnp.where(r == 0, 1, r)
        regular = base ** (self.p - 1) * jnp.where(r == 0, self.p, slope)
        return jnp.where(zero, jnp.maximum(x, y) ** (self.p - 1), regular)

    def closed(self, nodes):
        """Integer powers: complete homogeneous polynomials of x or of 1/x, any sign of x."""
        if not float(self.p).is_integer() or abs(self.p) > 64:
            return None
        p, order = int(self.p), len(nodes) - 1
        if p >= 0:
            degree = p - order
            return homogeneous(nodes, degree)[-1] if degree >= 0 else jnp.zeros_like(nodes[0])
        inverse = [1 / x for x in nodes]
        return (-1) ** order * math.prod(inverse) * homogeneous(inverse, -p - 1)[-1]

    @staticmethod
    def _power(x, p):
        return x ** int(p) if float(p).is_integer() else x**p


@dataclasses.dataclass(frozen=True)
class Sign(ScalarFunction):
    """sign(x), x != 0."""

    def derivatives(self, x, order):
        return [jnp.sign(x)] + [jnp.zeros_like(x)] * order

    def first(self, x, y):
        return jnp.where(jnp.sign(x) != jnp.sign(y), 2 / jnp.where(x == y, 1, y - x), 0)


@dataclasses.dataclass(frozen=True)
class Fermi(ScalarFunction):
    """Occupation n(x) = 1/(1 + e^x); no overflow at any x."""

    def derivatives(self, x, order):
        return [jax.nn.sigmoid(-x), *_fermi_tail(x, order, 0.0)]

    def first(self, x, y):
        u, v = jnp.abs(x) / 2, jnp.abs(y) / 2
        # |v| - |u| cancels in the exponent: e^(d - |u| - |v|) is at most 1.
        d = (y - x) / 2
        top = jnp.exp(d - u - v) * 2 * _decay(2 * d)
        return -0.5 * top / ((1 + jnp.exp(-2 * u)) * (1 + jnp.exp(-2 * v)))


@dataclasses.dataclass(frozen=True)
class ScaledFermi(ScalarFunction):
    """e^m (n(x) - step(-x)) for x on its own side of 0, |x| >= m: finite when n' underflows.

    Its derivatives are those of e^m n(x). The constant ``m`` comes as traced parameter.
    """

    def derivatives(self, x, order, m):
        m = m.reshape(m.shape + (1,) * (x.ndim - m.ndim))
        value = jnp.sign(x) * jnp.exp(m - jnp.abs(x)) * jax.nn.sigmoid(jnp.abs(x))
        return [value, *_fermi_tail(x, order, m)]


@dataclasses.dataclass(frozen=True)
class Entropy(ScalarFunction):
    """-n log n - (1 - n) log(1 - n) of the Fermi occupation n(x), with s'(x) = x n'(x)."""

    def derivatives(self, x, order):
        n = jax.nn.sigmoid(-jnp.abs(x))
        value = -jnp.log1p(-n) * (1 - n) - xlogy(n, n)
        d = Fermi().derivatives(x, order)
        return [value] + [x * d[m] + (m - 1) * d[m - 1] * (m > 1) for m in range(1, order + 1)]


@dataclasses.dataclass(frozen=True)
class Derivative(ScalarFunction):
    """f' of another scalar function."""

    of: ScalarFunction

    def derivatives(self, x, order, *consts):
        return self.of.derivatives(x, order + 1, *consts)[1:]

    @property
    def terms(self):
        return self.of.terms


def homogeneous(nodes: list, degree: int) -> list:
    """Complete homogeneous symmetric polynomials h_0 ... h_degree of the nodes."""
    h = [jnp.ones_like(nodes[0])] + [jnp.zeros_like(nodes[0])] * degree
    for x in nodes:
        for k in range(1, degree + 1):
            h[k] = h[k] + x * h[k - 1]
    return h


def _decay(d):
    """(1 - e^-d)/d for d >= 0."""
    return jnp.where(d == 0, 1.0, -jnp.expm1(-d) / jnp.where(d == 0, 1.0, d))


def _fermi_tail(x, order, shift):
    """e^shift times n', n'', ...: with s = tanh(x/2), n^(k) = q P_k(s), q = n (1 - n).

    dq/dx = -q s and ds/dx = (1 - s^2)/2 turn P_k into -s P_k + P_k' (1 - s^2)/2.
    """
    size = jnp.abs(x)
    q = jnp.exp(shift - size) * jax.nn.sigmoid(size) ** 2
    s = jnp.tanh(x / 2)
    poly, out = [-1.0], []
    for _ in range(order):
        out.append(q * functools.reduce(lambda acc, c: acc * s + c, reversed(poly)))
        slope = [i * c for i, c in enumerate(poly)][1:]
        new = [0.0] + [-c for c in poly]
        for i, c in enumerate(slope):
            new[i] += 0.5 * c
            new[i + 2] -= 0.5 * c
        poly = new
    return out
