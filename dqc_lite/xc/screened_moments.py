"""Moments of a screened hole, stable for every argument and under differentiation.

With x > 0, and Gamma(a, x) the incomplete gamma function,

    M_k(x) = 1 / Gamma(k/2) int_0^inf t^(k/2 - 1) e^-t / (1 + t/x) dt
           = x^(k/2) e^x Gamma(1 - k/2, x),

between 0 and 1. M_1 = sqrt(pi x) e^x erfc(sqrt(x)), M_2 = x e^x E_1(x), and
M_(k+2) = (2 x / k) (1 - M_k), which is stable at small x. At large x the integral is done by
quadrature.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import roots_genlaguerre

from dqc_lite._types import Array, Float

ORDER = 8
SMALL = 3.0
"""Where `near` gives way to `far`."""

_TERMS = 31
_SERIES = tuple(
    h / math.factorial(n) for n, h in enumerate(np.cumsum(1.0 / np.arange(1, _TERMS + 1)), start=1)
)
_NODES = 52  # from x = 3 on: full double precision to the third derivative


@jax.custom_jvp
def near(x: Float[Array, "..."]) -> Float[Array, "moment ..."]:
    """[e^x E_1(x) + ln(x), M_1, ..., M_8] for 0 < x < `SMALL`.

    The first, finite in the limit of 0, is sum_n H_n x^n / n! - gamma e^x - (e^x - 1) ln(x) with
    H_n the harmonic numbers. Derivatives: M_2 / x, and M_k (1 + k / (2 x)) - 1.
    """
    series = jnp.zeros_like(x)
    for coefficient in reversed(_SERIES):
        series = (series + coefficient) * x
    grown = jnp.expm1(x)
    log = jnp.log(x)
    log_moment = series - np.euler_gamma * (1.0 + grown) - grown * log
    root = jnp.sqrt(x)
    found = [
        log_moment,
        math.sqrt(math.pi) * root * (1.0 + grown) * jax.lax.erfc(root),
        x * (log_moment - log),
    ]
    for k in range(1, ORDER - 1):
        found.append((2.0 / k) * x * (1.0 - found[k]))
    return jnp.stack(found)


@near.defjvp
def _near_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    value = near(x)
    half = jnp.arange(1, ORDER + 1).reshape(-1, *(1,) * x.ndim) / 2.0
    slope = value[1:] * (1.0 + half / x) - 1.0
    return value, jnp.concatenate([(value[2] / x)[None], slope]) * dx


def far(x: Float[Array, "..."]) -> Float[Array, "moment ..."]:
    """[e^x E_1(x), M_1, ..., M_8] for x >= `SMALL`."""
    moments = _quadrature(0, x)
    return jnp.concatenate([(moments[1] / x)[None], moments])


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _quadrature(order: int, x: Float[Array, "..."]) -> Float[Array, "moment ..."]:
    """The derivative of this order of [M_1, ..., M_8]: of x / (x + t), t the nodes.

    So that reverse mode keeps a number for each moment, not for each node.
    """
    parities = []
    for nodes, weights in _rules():
        t = nodes.reshape(-1, *(1,) * x.ndim)
        inverse = 1.0 / (x + t)
        if order == 0:
            values = x * inverse
        else:
            sign = -((-1.0) ** order)
            values = sign * math.factorial(order) * t * inverse ** (order + 1)
        parities.append(jnp.tensordot(weights, values, 1))
    return jnp.stack(parities, axis=1).reshape(ORDER, *x.shape)


@_quadrature.defjvp
def _quadrature_jvp(order, primals, tangents):
    (x,), (dx,) = primals, tangents
    return _quadrature(order, x), _quadrature(order + 1, x) * dx


@functools.cache
def _rules():
    """Gauss-Laguerre (nodes, weights of each moment) for odd and for even k."""
    rules = []
    for first in (1, 2):
        nodes, weights = roots_genlaguerre(_NODES, 0.5 * first - 1.0)
        moments = np.stack([weights * nodes**n for n in range(ORDER // 2)])
        moments /= moments.sum(1, keepdims=True)
        counts = moments.max(0) > 1e-19
        rules.append((nodes[counts], moments[:, counts]))
    return rules
