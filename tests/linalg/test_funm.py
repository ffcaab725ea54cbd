"""Hermitian matrix functions to third order, against 50 digits and against polynomials."""

import functools

import hermitian_reference as ref
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.errors import InputError
from dqc_lite.linalg import expm, funm, invsqrtm, logm, powm, signm, sqrtm, trace_funm
from dqc_lite.linalg.scalar_functions import Exp

TOLERANCE = {1: 1e-9, 2: 1e-7, 3: 1e-5}
FUNCTIONS = {
    "expm": (expm, mp.exp),
    "logm": (logm, mp.log),
    "sqrtm": (sqrtm, mp.sqrt),
    "invsqrtm": (invsqrtm, lambda x: 1 / mp.sqrt(x)),
    "powm": (lambda a: powm(a, 1.7), lambda x: x ** mp.mpf(1.7)),
    "inverse": (lambda a: powm(a, -1), lambda x: 1 / x),
    "signm": (lambda a: signm(a - 2.2 * jnp.eye(len(a))), lambda x: mp.sign(x - mp.mpf(2.2))),
    "generic": (lambda a: funm(a, lambda x: jnp.exp(-x * x)), lambda x: mp.exp(-x * x)),
}
B = {n: ref.hermitian(n, 11) for n in (5, 8)}


def spectrum(gap):
    """Positive, with two near pairs."""
    return ref.rotated([1.0, 1.0 + gap, 1.5, 2.5, 2.5 + gap], 4)


@functools.cache
def derivatives(name, n, m):
    def loss(a):
        return jnp.trace(B[n] @ FUNCTIONS[name][0](a))

    return [mode(loss, m) for mode in [ref.forward, ref.reverse] + [ref.mixed] * (m == 2)]


def check(name, a, m):
    n = len(a)
    es = [ref.hermitian(n, 20 + i) for i in range(m)]
    f, b = ref.function_exact(FUNCTIONS[name][1]), ref.exact(B[n])
    exact = ref.derivative_exact(ref.along(a, es, lambda x: ref.trace_exact(b, f(x))), m)
    values = [float(g(jnp.asarray(a), *es)) for g in derivatives(name, n, m)]
    for value in values:
        assert ref.relative(value, exact) < TOLERANCE[m]
    assert np.ptp(values) < 1e-10 * abs(values[0])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("m", [1, 2])
def test_at_every_gap(name, m):
    for gap in (1e-1, 1e-3, 1e-6, 1e-9, 1e-12, 1e-16, 0.0):
        check(name, spectrum(gap), m)


@pytest.mark.parametrize("name", ["invsqrtm", "generic"])
def test_third_order(name):
    for gap in (1e-3, 1e-8, 0.0):
        check(name, spectrum(gap), 3)


@pytest.mark.parametrize("name", ["expm", "sqrtm", "logm"])
def test_graphs(name):
    a = ref.cube() + 4 * np.eye(8)
    check(name, a, 1)
    check(name, a, 2)


def test_powers_are_products():
    """a^2 and a^3 at the identity and at zero, where (w, v) rules lose the off-diagonal."""
    e, u = ref.hermitian(4, 1), ref.hermitian(4, 2)
    for a in (np.eye(4), np.zeros((4, 4)), -np.eye(4)):
        for square in (lambda x: funm(x, lambda y: y * y), lambda x: powm(x, 2)):
            first = jax.jvp(square, (jnp.asarray(a),), (e,))[1]
            np.testing.assert_allclose(first, a @ e + e @ a, atol=1e-14)
            along_e = functools.partial(lambda f, x: jax.jvp(f, (x,), (e,))[1], square)
            second = jax.jvp(along_e, (jnp.asarray(a),), (u,))[1]
            np.testing.assert_allclose(second, e @ u + u @ e, atol=1e-13)
    grad = jax.grad(lambda x: jnp.trace(u @ expm(x)))(jnp.eye(4))
    np.testing.assert_allclose(grad, np.e * u, atol=1e-14)


def test_loewdin_at_unit_overlap():
    """d S^(-1/2) = -dS/2 and d2 = 3/8 {dS, dS'} at S = 1."""
    e, u = ref.hermitian(5, 1), ref.hermitian(5, 2)

    def along(s, t):
        return invsqrtm(jnp.eye(5) + s * e + t * u)

    first = jax.jacrev(along)(0.0, 0.0)
    second = jax.jacrev(jax.jacrev(along), argnums=1)(0.0, 0.0)
    np.testing.assert_allclose(first, -e / 2, atol=1e-14)
    np.testing.assert_allclose(second, 3 / 8 * (e @ u + u @ e), atol=1e-13)


def test_complex():
    a = ref.rotated([1.0, 1.0, 1.5, 2.5, 2.5], 4, cplx=True)
    b, es = ref.hermitian(5, 3, True), [ref.hermitian(5, 20 + i, True) for i in range(2)]
    f = ref.function_exact(mp.exp)
    for m in (1, 2):
        exact = ref.derivative_exact(
            ref.along(a, es[:m], lambda x: ref.trace_exact(ref.exact(b), f(x))), m
        )
        for mode in (ref.forward, ref.reverse):
            value = mode(lambda x: jnp.real(jnp.trace(b @ expm(x))), m)(jnp.asarray(a), *es[:m])
            assert ref.relative(value, exact) < TOLERANCE[m]


def test_complex_valued_function_of_a_real_matrix():
    """exp(i a) = cos a + i sin a."""
    a, e = jnp.asarray(spectrum(0.0)), ref.hermitian(5, 20)
    value, tangent = jax.jvp(lambda x: funm(x, lambda y: jnp.exp(1j * y)), (a,), (e,))
    cos, dcos = jax.jvp(lambda x: funm(x, jnp.cos), (a,), (e,))
    sin, dsin = jax.jvp(lambda x: funm(x, jnp.sin), (a,), (e,))
    np.testing.assert_allclose(value, cos + 1j * sin, atol=1e-13)
    np.testing.assert_allclose(tangent, dcos + 1j * dsin, atol=1e-13)
    grad = jax.grad(lambda x: jnp.imag(jnp.trace(B[5] @ funm(x, lambda y: jnp.exp(1j * y)))))(a)
    assert float(jnp.sum(grad * e)) == pytest.approx(float(jnp.trace(B[5] @ dsin)), rel=1e-12)


@pytest.mark.parametrize("m", [1, 2])
def test_parameters_of_the_function(m):
    """f may close over traced values: d/dp of tr(B a^p), together with the matrix."""
    a, e = spectrum(0.0), ref.hermitian(5, 20)

    def loss(t):
        p = 1.3 + t[0]
        return jnp.trace(B[5] @ funm(a + t[1] * e, lambda x: x**p)) + trace_funm(
            a + t[1] * e, lambda x: x**p
        )

    def exact(s, t):
        point = ref.exact(a) + t * ref.exact(e)
        power = ref.function_exact(lambda x: x ** (mp.mpf(1.3) + s))(point)
        return ref.trace_exact(ref.exact(B[5] + np.eye(5)), power)

    if m == 1:
        grad = jax.jit(jax.grad(loss))(jnp.zeros(2))
        assert ref.relative(grad[0], ref.derivative_exact(lambda s: exact(s, 0), 1)) < 1e-9
        assert ref.relative(grad[1], ref.derivative_exact(lambda t: exact(0, t), 1)) < 1e-9
    else:
        expected = ref.derivative_exact(exact, 2)
        reverse = jax.jit(jax.grad(lambda t: jax.grad(loss)(t)[0]))(jnp.zeros(2))
        assert ref.relative(reverse[1], expected) < 1e-7
    batched = jax.vmap(lambda p: funm(jnp.asarray(a), lambda x: x**p))(jnp.array([1.3, 2.0]))
    np.testing.assert_allclose(batched[1], a @ a, atol=1e-13)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_trace_function(m):
    """tr a^4 sees f'[w_i, w_j] inside a level, which eigenvalue rules lose at order 2."""
    es = [ref.hermitian(5, 20 + i) for i in range(m)]
    modes = [
        mode(lambda x: trace_funm(x, lambda y: y**4), m) for mode in (ref.forward, ref.reverse)
    ]
    for a in (np.eye(5), spectrum(0.0)):
        line = ref.along(a, es, lambda x: ref.trace_exact(x**2, x**2))
        exact = ref.derivative_exact(line, m)
        for mode in modes:
            assert ref.relative(mode(jnp.asarray(a), *es), exact) < TOLERANCE[m]


@pytest.mark.parametrize("scale", [1e8, 1e-8, 2.0**54])
def test_scale(scale):
    """sqrt(s a) = sqrt(s) sqrt(a)."""
    a, e = spectrum(1e-9), ref.hermitian(5, 20)
    for m in (1, 2):
        for f in derivatives("sqrtm", 5, m):
            expected = float(f(a, *[e] * m)) * scale**0.5
            assert f(a * scale, *[e * scale] * m) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("m", "tolerance"), [(1, 3e-5), (2, 1e-3)])
def test_single_precision(m, tolerance):
    es = [ref.hermitian(5, 20 + i).astype(np.float32) for i in range(m)]
    b = B[5].astype(np.float32)
    f = ref.function_exact(mp.log)
    modes = [mode(lambda x: jnp.trace(b @ logm(x)), m) for mode in (ref.forward, ref.reverse)]
    for gap in (1e-2, 1e-4, 1e-6, 0.0):
        a = spectrum(gap).astype(np.float32)
        exact = ref.derivative_exact(
            ref.along(a, es, lambda x: ref.trace_exact(ref.exact(b), f(x))), m
        )
        for mode in modes:
            value = mode(jnp.asarray(a), *es)
            assert value.dtype == jnp.float32
            assert ref.relative(value, exact) < tolerance


def test_large_matrices_scan_the_middle_index():
    """The memory-saving contraction equals the direct one at orders 2 and 3."""
    from dqc_lite.linalg import _hermitian_frechet as module

    w = jnp.linalg.eigvalsh(spectrum(0.0))
    es = [jnp.asarray(ref.hermitian(5, 20 + i)) for i in range(3)]
    for m in (2, 3):
        direct, scanned = (
            jax.jit(lambda w, *e, f=f: f(Exp(), w, e, ()))(w, *es[:m])
            for f in (module._contract, module._scan_contract)
        )
        np.testing.assert_allclose(scanned, direct, atol=1e-12)


def test_batches_equal_loops():
    a = jnp.stack([spectrum(g) for g in (0.1, 1e-9, 0.0)])

    @jax.jit
    def second(x):
        def grad(y):
            return jax.grad(lambda z: jnp.sum(B[5] * expm(z)) + jnp.sum(trace_funm(z, jnp.tanh)))(y)

        return jax.jvp(grad, (x,), (jnp.broadcast_to(ref.hermitian(5, 20), x.shape),))[1]

    looped = jnp.stack([second(x) for x in a])
    np.testing.assert_allclose(second(a), looped, atol=1e-11)
    np.testing.assert_allclose(jax.vmap(second)(a), looped, atol=1e-11)


def test_nan_where_there_is_no_value():
    assert np.isnan(signm(jnp.asarray(ref.rotated([-1.0, 0.0, 1.0])))).all()
    assert np.isnan(logm(jnp.diag(jnp.array([1.0, -1.0])))).any()
    assert np.isnan(sqrtm(jnp.diag(jnp.array([1.0, -1.0])))).any()
    grad = jax.grad(lambda a: sqrtm(a)[0, 1])(jnp.zeros((2, 2)))
    assert not np.isfinite(grad).all()


def test_errors_name_the_remedy():
    with pytest.raises(InputError, match="assume_a"):
        expm(jnp.eye(2), assume_a="sym")
    with pytest.raises(InputError, match="funm"):
        jax.jit(lambda p: powm(jnp.eye(2), p))(2.0)
