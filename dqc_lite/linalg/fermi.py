"""Fermi-Dirac density matrix at fixed particle number, with the chemical-potential response.

D = n((F - mu)/T), tr D = N, n(x) = 1/(1 + e^x). The response

    dD = V ( n[x_i, x_j] o V^H d((F - mu)/T) V ) V^H,   dmu = sum n'_i dF_ii / sum n'_i  (fixed T)

uses divided differences, so nothing happens at degenerate levels, the Fermi level inside one
included. At low temperature n' underflows; the equation for mu is then solved, and
differentiated, in the form sum_i e^m (n(x_i) - step(-x_i)) = e^m (N - N_0), m = min |x_i|, whose
terms are of order one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dqc_lite._types import Array, Float, Inexact
from dqc_lite.errors import InputError
from dqc_lite.linalg._common import (
    Matrices,
    adjoint,
    as_square,
    broadcast_batches,
    eps_of,
    raw_eigh,
)
from dqc_lite.linalg._hermitian_frechet import matrix_function, trace_function
from dqc_lite.linalg.eigh import back_transform, reduce_generalized
from dqc_lite.linalg.scalar_functions import Entropy, Fermi, ScaledFermi

__all__ = ["FermiResult", "fermi_density_matrix"]

_EDGE = 60.0  # |x| at which occupations count as 0 or 1 when looking for mu
_LARGEST_EXPONENT = {4: 80.0, 8: 700.0}  # by size of the real type, in bytes


class FermiResult(NamedTuple):
    """``density_matrix`` C n C^H, chemical potential ``mu``, ``entropy`` in units of k_B."""

    density_matrix: Inexact[Array, "... n n"]
    mu: Float[Array, " ..."]
    entropy: Float[Array, " ..."]


def fermi_density_matrix(
    f: Matrices,
    nelec,
    temperature,
    s: Matrices | None = None,
) -> FermiResult:
    """Density matrix of ``nelec`` non-interacting fermions of one spin at ``temperature``.

    Exact derivatives of every order and mode in ``f``, ``s``, ``temperature`` and ``nelec``;
    degenerate levels anywhere, a Fermi level inside a level included, need no care. The free
    energy is tr(D f) - temperature * entropy.

    Args:
        f: Hermitian (..., n, n).
        nelec: particle number, 0..n, scalar or batch-shaped; need not be an integer.
        temperature: k_B T > 0 in the units of ``f``; no overflow however low.
        s: overlap matrix, Hermitian positive definite, or None.

    Returns:
        ``FermiResult``; tr(D s) = nelec, occupations between 0 and 1. NaN where ``nelec`` lies
        outside 0..n or ``temperature`` is not positive. With all states empty (or full) ``mu``
        is a finite value below (above) the spectrum. The derivative in ``nelec`` is not finite
        when a gap at the Fermi level exceeds about 1000 temperatures (150 in single precision).

    Raises:
        InputError: shapes that do not fit.
    """
    f = as_square(f)
    reduced, factor = reduce_generalized(f, s)
    batch, n = reduced.shape[:-2], reduced.shape[-1]
    real = jnp.real(reduced).dtype
    nelec, temperature = jnp.asarray(nelec, real), jnp.asarray(temperature, real)
    for name, x in (("nelec", nelec), ("temperature", temperature)):
        if broadcast_batches(**{"f": batch, name: x.shape}) != batch:
            raise InputError(f"{name} has shape {x.shape}; the matrices have batch axes {batch}.")
    if n == 0:
        entropy = jnp.where((nelec == 0) & (temperature > 0), 0.0, jnp.nan).astype(real)
        entropy = jnp.broadcast_to(entropy, batch)
        return FermiResult(reduced, entropy, entropy)
    nelec = jnp.broadcast_to(nelec, batch).reshape(-1)
    temperature = jnp.broadcast_to(temperature, batch).reshape(-1)
    flat = reduced.reshape(-1, n, n)
    d, mu, entropy = jax.vmap(_one)(flat, *raw_eigh(flat), nelec, temperature)
    d = d.reshape(reduced.shape)
    if factor is not None:
        d = back_transform(factor, adjoint(back_transform(factor, d)))
    return FermiResult(d, mu.reshape(batch), entropy.reshape(batch))


def _one(a, w, v, nelec, temperature):
    mu = _chemical_potential(a, w, v, nelec, temperature)
    x = _scaled(a, w, mu, temperature)
    density = matrix_function(Fermi(), *x, v)
    return density, mu, trace_function(Entropy(), *x, v)


def _scaled(a, w, mu, temperature):
    """(a - mu)/T and its eigenvalues, the latter constants."""
    eye = jnp.eye(a.shape[-1], dtype=a.dtype)
    values = (w - jax.lax.stop_gradient(mu)) / jax.lax.stop_gradient(temperature)
    return (a - mu * eye) / temperature, values


def _chemical_potential(a, w, v, nelec, temperature):
    """Root of the particle number, found by bisection, differentiated as an implicit function."""
    stop = jax.lax.stop_gradient
    guess = chemical_potential(w, stop(nelec), stop(temperature))
    valid = (nelec >= 0) & (nelec <= w.shape[-1]) & (temperature > 0)
    guess = guess * jnp.where(valid, 1.0, jnp.nan).astype(guess.dtype)
    x = (w - guess) / stop(temperature)
    m = jnp.min(jnp.abs(x))
    filling = _scaled_filling(x, m, nelec)

    def residual(mu):
        scaled, values = _scaled(a, w, mu, temperature)
        return trace_function(ScaledFermi(), scaled, values, v, (m,)) - filling

    def tangent_solve(g, y):
        return y / g(jnp.ones_like(y))

    return jax.lax.custom_root(residual, guess, lambda _, x0: x0, tangent_solve)


def _scaled_filling(x, m, nelec):
    """e^m (nelec - number of x below 0); in two factors, so that 0 stays 0 when e^m overflows."""
    cap = _LARGEST_EXPONENT[x.dtype.itemsize]
    missing = nelec - jnp.sum(x < 0)
    return missing * jnp.exp(jnp.minimum(m, cap)) * jnp.exp(jnp.clip(m - cap, 0, cap))


def chemical_potential(w, nelec, temperature):
    """mu of `nelec` fermions in levels w (n,), not differentiable.

    Between the spectrum's ends, to rounding, from the sign of the scaled particle number.
    """
    low, high = w[0] - _EDGE * temperature, w[-1] + _EDGE * temperature

    def excess(mu):
        x = (w - mu) / temperature
        m = jnp.min(jnp.abs(x))
        return ScaledFermi().derivatives(x, 0, m)[0].sum() - _scaled_filling(x, m, nelec)

    def halve(_, ends):
        lo, hi = ends
        middle = lo + (hi - lo) / 2
        above = excess(middle) > 0
        return jnp.where(above, lo, middle), jnp.where(above, middle, hi)

    steps = 4 - 2 * int(math.log2(eps_of(w.dtype)))
    lo, hi = jax.lax.fori_loop(0, steps, halve, (low, high))
    return lo + (hi - lo) / 2
