"""Spectral projectors: every order and mode at every gap inside a block."""

import functools

import hermitian_reference as ref
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.errors import InputError
from dqc_lite.linalg import density_matrix, spectral_gap, spectral_projector

TOLERANCE = {1: 1e-9, 2: 1e-7, 3: 1e-5}
GAPS = [1e-1, 1e-2, 1e-4, 1e-6, 1e-8, 1e-9, 1e-10, 1e-12, 1e-14, 1e-16, 0.0]


@functools.cache
def derivatives(k, n, m, cplx=False):
    """Compiled m-th derivative of tr(B P) in three modes."""
    b = jnp.asarray(ref.hermitian(n, 11, cplx))

    def loss(a):
        return jnp.real(jnp.trace(b @ spectral_projector(a, k)))

    modes = [ref.forward, ref.reverse] + ([ref.mixed] if m > 1 else [])
    return [mode(loss, m) for mode in modes]


def check(a, k, m, cplx=False, tolerance=None):
    n = len(a)
    es = [ref.hermitian(n, 20 + i, cplx) for i in range(m)]
    b, p = ref.exact(ref.hermitian(n, 11, cplx)), ref.projector_exact(k)
    exact = ref.derivative_exact(ref.along(a, es, lambda x: ref.trace_exact(b, p(x))), m)
    values = [float(f(jnp.asarray(a), *es)) for f in derivatives(k, n, m, cplx)]
    for value in values:
        assert ref.relative(value, exact) < (tolerance or TOLERANCE[m])
    assert np.ptp(values) < 1e-10 * abs(values[0])


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("m", [1, 2])
def test_pairs_at_every_gap(gap, m):
    check(ref.pairs(gap), 3, m)


@pytest.mark.parametrize("gap", [1e-8, 0.0])
def test_third_order(gap):
    check(ref.pairs(gap), 3, 3)


@pytest.mark.parametrize("gap", [1e-8, 0.0])
@pytest.mark.parametrize("m", [1, 2])
def test_complex(gap, m):
    check(ref.pairs(gap, cplx=True), 3, m, cplx=True)


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize(
    ("a", "k"),
    [(ref.ring(), 3), (ref.cube(), 4), (ref.complete(), 1), (ref.grid(), 3)],
    ids=["ring", "cube", "complete", "grid"],
)
def test_graphs(a, k, m):
    check(a, k, m)


def test_wilkinson():
    check(ref.wilkinson(), 17, 1)


@pytest.mark.parametrize("scale", [1e8, 1e-8, 2.0**54])
def test_scale(scale):
    """P(s a) = P(a): the m-th derivative along s e is unchanged."""
    a, e = ref.pairs(1e-9), ref.hermitian(6, 20)
    for m in (1, 2):
        for f in derivatives(3, 6, m):
            expected = f(a, *[e] * m)
            assert f(a * scale, *[e * scale] * m) == pytest.approx(float(expected), rel=1e-7)


@pytest.mark.parametrize(("m", "tolerance"), [(1, 3e-5), (2, 1e-3)])
@pytest.mark.parametrize("gap", [1e-3, 2e-6, 0.0])
def test_single_precision(gap, m, tolerance):
    a = ref.pairs(gap).astype(np.float32)
    es = [ref.hermitian(6, 20 + i).astype(np.float32) for i in range(m)]
    b = ref.hermitian(6, 11).astype(np.float32)

    def loss(x):
        return jnp.trace(b @ spectral_projector(x, 3))

    p, b_exact = ref.projector_exact(3), ref.exact(b)
    exact = ref.derivative_exact(ref.along(a, es, lambda x: ref.trace_exact(b_exact, p(x))), m)
    for mode in (ref.forward, ref.reverse):
        value = mode(loss, m)(jnp.asarray(a), *es)
        assert value.dtype == jnp.float32
        assert ref.relative(value, exact) < tolerance


def generalized_exact(k, f, s):
    """P = C C^H of F C = S C e, through the 50-digit inverse square root of S."""
    half = ref.function_exact(lambda x: 1 / mp.sqrt(x))(s)
    return half * ref.projector_exact(k)(half * f * half) * half


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("identity", [True, False])
def test_density_matrix_in_the_direction_of_the_overlap(m, identity):
    """Degenerate F and, with S = 1, a totally degenerate overlap."""
    f = ref.pairs(0.0)
    s = np.eye(6) if identity else np.eye(6) + 0.1 * ref.hermitian(6, 3)
    b = ref.hermitian(6, 11)
    fs = [ref.hermitian(6, 20 + i) for i in range(m)]
    ss = [0.3 * ref.hermitian(6, 30 + i) for i in range(m)]

    def stacked(x):
        return jnp.trace(b @ density_matrix(x[0], x[1], 3))

    def exact(*t):
        f_t = ref.moved(f, fs, t)
        s_t = ref.moved(s, ss, t)
        return ref.trace_exact(ref.exact(b), generalized_exact(3, f_t, s_t))

    expected = ref.derivative_exact(exact, m)
    directions = [jnp.stack(pair) for pair in zip(fs, ss, strict=True)]
    for mode in (ref.forward, ref.reverse):
        value = mode(stacked, m)(jnp.stack([f, s]), *directions)
        assert ref.relative(value, expected) < TOLERANCE[m]


def test_split_level_is_nan_with_a_status():
    a = jnp.stack([ref.pairs(0.0), ref.pairs(1e-2)])
    p, status = jax.jit(lambda x: spectral_projector(x, 2, return_status=True))(a)
    assert list(np.asarray(status.defined)) == [False, True]
    assert np.isnan(p[0]).all()
    assert np.isfinite(p[1]).all()
    assert float(status.gap[1]) == pytest.approx(1e-2)
    assert list(np.asarray(spectral_gap(a, 2).defined)) == [False, True]
    grad = jax.grad(lambda x: spectral_projector(x, 2)[..., 0, 1].sum())(a)
    assert np.isnan(grad[0]).all()
    assert np.isfinite(grad[1]).all()


def test_none_and_all_states():
    a = jnp.asarray(ref.pairs(0.0))
    for k in (0, 6):
        p, status = spectral_projector(a, k, return_status=True)
        np.testing.assert_allclose(p, np.eye(6) * (k == 6), atol=1e-14)
        assert status.defined
        grad = jax.grad(lambda x, k=k: spectral_projector(x, k)[0, 1])(a)
        np.testing.assert_array_equal(grad, 0)


def test_batches_equal_loops():
    a = jnp.stack([ref.pairs(g) for g in (0.1, 1e-9, 0.0)])
    b, e = ref.hermitian(6, 11), jnp.asarray(ref.hermitian(6, 20))

    @jax.jit
    def grad(x):
        return jax.grad(lambda y: jnp.sum(b * spectral_projector(y, 3)))(x)

    @jax.jit
    def second(x):
        return jax.jvp(grad, (x,), (jnp.broadcast_to(e, x.shape),))[1]

    for f in (lambda x: spectral_projector(x, 3), grad, second):
        looped = jnp.stack([f(x) for x in a])
        np.testing.assert_allclose(f(a), looped, atol=1e-11)
        np.testing.assert_allclose(jax.jit(jax.vmap(f))(a), looped, atol=1e-11)


def test_errors_name_the_remedy():
    with pytest.raises(InputError, match=r"0 <= k <= n"):
        spectral_projector(jnp.eye(3), 4)
    with pytest.raises(InputError, match="square"):
        spectral_projector(jnp.ones((2, 3)), 1)
    with pytest.raises(InputError, match="float16"):
        spectral_projector(jnp.eye(3, dtype=jnp.float16), 1)
