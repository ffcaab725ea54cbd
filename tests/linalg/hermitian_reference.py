"""References for Hermitian matrix functions: 50-digit arithmetic, and the matrices to try.

Derivatives come from central differences in 50 digits with step 1e-12: their truncation error is
1e-24, so they are exact for the purpose, and they share no formula with the package.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

mp.mp.dps = 50
STEP = mp.mpf(10) ** -12


# --- matrices ----------------------------------------------------------------------------------


def orthogonal(n, seed=0, cplx=False):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if cplx else 0)
    return np.linalg.qr(q)[0]


def hermitian(n, seed, cplx=False):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if cplx else 0)
    return (q + q.conj().T) / 2


def rotated(w, seed=0, cplx=False):
    """A dense matrix with eigenvalues w (up to rounding)."""
    q = orthogonal(len(w), seed, cplx)
    a = (q * np.asarray(w)) @ q.conj().T
    return (a + a.conj().T) / 2


def pairs(gap, cplx=False):
    """6x6: a near-degenerate pair of occupied states and one of virtual states."""
    return rotated([-2.0, -1.0, -1.0 + gap, 0.5, 0.5 + gap, 2.0], 1, cplx)


def ring(n=6):
    """Hueckel ring: levels 1, 2, 2, ..."""
    a = np.roll(np.eye(n), 1, 0)
    return -(a + a.T)


def cube():
    """Adjacency of the cube graph: levels of 1, 3, 3, 1 states."""
    a = np.array([[bin(i ^ j).count("1") == 1 for i in range(8)] for j in range(8)], float)
    return -a


def complete(n=6):
    """Complete graph: one state and n - 1 equal ones."""
    return np.eye(n) - np.ones((n, n))


def grid(n=3):
    """Laplacian of an n x n grid."""
    path = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    path[0, 0] = path[-1, -1] = 1
    return np.kron(path, np.eye(n)) + np.kron(np.eye(n), path)


def wilkinson(n=21):
    """W+: pairs of eigenvalues that agree to 1e-14 without being equal."""
    return np.diag(np.abs(np.arange(n) - n // 2).astype(float)) + np.eye(n, k=1) + np.eye(n, k=-1)


# --- the 50-digit side -------------------------------------------------------------------------


def exact(a):
    """A float matrix as an mpmath matrix, digit for digit."""
    return mp.matrix(np.asarray(a).tolist())


def eigh_exact(a):
    real = all(mp.im(x) == 0 for x in a)
    w, v = mp.eigsy(a.apply(mp.re)) if real else mp.eighe(a)
    order = sorted(range(len(w)), key=lambda i: w[i])
    return [w[i] for i in order], mp.matrix([[v[r, i] for i in order] for r in range(a.rows)])


def trace_exact(b, m):
    return mp.fsum(mp.re(b[i, j] * m[j, i]) for i in range(m.rows) for j in range(m.rows))


def function_exact(f):
    """a -> f(a), by 50-digit eigenpairs."""

    def run(a):
        w, v = eigh_exact(a)
        return v * mp.diag([f(x) for x in w]) * v.H

    return run


def projector_exact(k):
    def run(a):
        v = eigh_exact(a)[1][:, :k]
        return v * v.H

    return run


def derivative_exact(f: Callable, directions: int):
    """Mixed derivative at 0 in all arguments of ``f(t_1, ..., t_m)``."""
    total = mp.mpf(0)
    for signs in itertools.product((1, -1), repeat=directions):
        total += mp.fprod(signs) * f(*[s * STEP for s in signs])
    return total / (2 * STEP) ** directions


def moved(a, directions, t):
    """a + sum t_i e_i in 50 digits."""
    point = exact(a)
    for s, e in zip(t, directions, strict=True):
        point = point + s * exact(e)
    return point


def along(a, directions, f):
    """(t_1, ..., t_m) -> f(a + sum t_i e_i) in 50 digits."""
    return lambda *t: f(moved(a, directions, t))


# --- the JAX side ------------------------------------------------------------------------------


def forward(f, m):
    """Mixed derivative of f(a + sum t_i e_i) by nested jvp; compiled, (a, *directions) -> float."""

    def run(a, *es):
        def line(*t):
            return f(a + sum(s * e for s, e in zip(t, es, strict=True)))

        for i in range(m):
            line = _partial(line, i, m)
        return line(*[jnp.zeros((), jnp.real(a).dtype)] * m)

    return jax.jit(run)


def _partial(line, i, m):
    def tangent(*t):
        unit = tuple(jnp.ones_like(x) if j == i else jnp.zeros_like(x) for j, x in enumerate(t))
        return jax.jvp(line, t, unit)[1]

    return tangent


def reverse(f, m):
    """The same by nested grad: only transposition is used for every order."""

    def run(a, *es):
        line = _line(f, a, es)
        for i in range(m):
            line = _component(line, i)
        return line(jnp.zeros(m, jnp.real(a).dtype))

    return jax.jit(run)


def mixed(f, m):
    """Forward over reverse: nested jvp of one grad."""

    def run(a, *es):
        line = _component(_line(f, a, es), 0)
        for i in range(1, m):
            line = _directional(line, i, m)
        return line(jnp.zeros(m, jnp.real(a).dtype))

    return jax.jit(run)


def _line(f, a, es):
    return lambda t: f(a + sum(s * e for s, e in zip(t, es, strict=True)))


def _component(f, i):
    return lambda t: jax.grad(f)(t)[i]


def _directional(f, i, m):
    return lambda t: jax.jvp(f, (t,), (jnp.eye(m, dtype=t.dtype)[i],))[1]


def relative(x, reference):
    """|x - reference| / |reference|; NaN counts as infinite."""
    error = abs(mp.mpf(float(x)) - reference) / max(abs(reference), mp.mpf(10) ** -300)
    return float("inf") if not np.isfinite(float(x)) else float(error)
