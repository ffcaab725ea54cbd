"""The exponential of general matrices of any norm against closed forms, mpmath and SciPy."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from dqc_lite.linalg import expm_general

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


@functools.cache
def cosine(dtype):
    """cos and its first two derivatives, through forward, reverse and nested modes."""
    turn = TURN.astype(dtype)

    def entry(t):
        return expm_general(t * turn)[0, 0]

    def forward(t):
        return jax.jvp(entry, (t,), (jnp.ones_like(t),))[1]

    modes = entry, forward, jax.grad(entry), jax.grad(forward), jax.grad(jax.grad(entry))
    return jax.jit(lambda t: [f(t) for f in modes])


@settings(max_examples=60, deadline=None)
@given(st.floats(-6, 7), st.sampled_from(["float32", "float64"]))
def test_rotation_by_any_angle(exponent, dtype):
    t = np.array(10.0**exponent, dtype)
    got = [float(x) for x in cosine(dtype)(t)]
    c, s = np.cos(float(t)), np.sin(float(t))
    tol = 8 * np.finfo(dtype).eps * (1 + float(t))
    np.testing.assert_allclose(got, [c, -s, -s, -c, -c], atol=min(tol, 2.5))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(-4, 1.5), st.booleans())
def test_as_accurate_as_scipy(seed, exponent, cmplx):
    rng = np.random.default_rng(seed)
    a = 10**exponent * rng.normal(size=(4, 4))
    a = a * (1 + 0.5j) if cmplx else a
    with mp.workdps(60):
        exact = np.array(mp.expm(mp.matrix(a.tolist()), method="taylor").tolist(), complex)
    size = np.abs(exact).max()
    error = np.abs(np.asarray(expm_general(a)) - exact).max() / size
    scipys = np.abs(scipy.linalg.expm(a) - exact).max() / size
    assert error <= 10 * max(scipys, 4e-16)
    e = rng.normal(size=(4, 4)).astype(a.dtype)
    slope = jax.jvp(expm_general, (jnp.asarray(a),), (jnp.asarray(e),))[1]
    expected = scipy.linalg.expm_frechet(a, e, compute_expm=False)
    assert np.abs(slope - expected).max() <= 1e-12 * np.abs(expected).max()


def test_badly_scaled():
    """R. C. Ward's third and fourth kind: entries from 1e-8 to 1e10."""
    a = np.array([[0, 1e-8, 0], [-(2e10 + 4e8 / 6), -3, 2e10], [200 / 3, 0, -200 / 3]])
    with mp.workdps(80):
        exact = np.array(mp.expm(mp.matrix(a.tolist())).tolist(), float)
    np.testing.assert_allclose(expm_general(a), exact, rtol=1e-11)


def test_entries_that_decay():
    """The large negative eigenvalue costs the other no digit."""
    for large in (40.0, 3e5, 1e6, 1e12, 1e200):
        a = jnp.diag(jnp.array([-large, -1.0]))
        np.testing.assert_allclose(expm_general(a)[1, 1], np.exp(-1), rtol=1e-14)
        slope = jax.grad(lambda y: expm_general(y)[1, 1])(a)
        exact = np.array([[0, 0], [0, np.exp(-1)]])
        np.testing.assert_allclose(slope, exact, atol=1e-13)
    a = 1e6 * jnp.array([[-1, 0.5], [0.2, -1]])
    np.testing.assert_array_equal(expm_general(a), 0)
    np.testing.assert_array_equal(jax.grad(lambda y: jnp.trace(expm_general(y)))(a), 0)
    np.testing.assert_allclose(expm_general(jnp.diag(jnp.array([-40.0, 0]))).diagonal(),
                               [np.exp(-40), 1], rtol=1e-12)  # fmt: skip


def test_large_nilpotent():
    """Powers, not the norm, decide on the scaling."""
    a = np.diag([1e100, 1e50], 1)
    exact = np.eye(3) + a + a @ a / 2
    np.testing.assert_allclose(expm_general(a), exact, rtol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(bad):
    assert np.isnan(expm_general(np.full((2, 2), bad))).all()
