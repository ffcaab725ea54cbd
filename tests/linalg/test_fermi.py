"""Fermi-Dirac density matrix: chemical-potential response at every order."""

import functools

import hermitian_reference as ref
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.linalg import fermi_density_matrix

TOLERANCE = {1: 1e-9, 2: 1e-7, 3: 1e-5}
B = ref.hermitian(6, 11)


def fermi_exact(a, nelec, temperature):
    """(D, mu, entropy) with mu by Newton's method in 50 digits."""
    w, v = ref.eigh_exact(a)
    mid = (w[int(nelec) - 1] + w[int(nelec)]) / 2

    def excess(mu):
        return mp.fsum(1 / (1 + mp.exp((x - mu) / temperature)) for x in w) - nelec

    mu = mp.findroot(excess, mid, tol=1e-90)
    n = [1 / (1 + mp.exp((x - mu) / temperature)) for x in w]
    entropy = -mp.fsum(p * mp.log(p) + (1 - p) * mp.log(1 - p) for p in n)
    return v * mp.diag(n) * v.H, mu, entropy


def loss(x, nelec, temperature):
    d, mu, entropy = fermi_density_matrix(x, nelec, temperature)
    return jnp.trace(B @ d) + 0.7 * mu + 0.3 * entropy


def density_loss(x, nelec, temperature):
    return jnp.trace(B @ fermi_density_matrix(x, nelec, temperature).density_matrix)


def loss_exact(x, nelec, temperature):
    d, mu, entropy = fermi_exact(x, nelec, temperature)
    return ref.trace_exact(ref.exact(B), d) + mp.mpf(0.7) * mu + mp.mpf(0.3) * entropy


@functools.cache
def derivatives(m, of=loss):
    def packed(t, a, e, nelec, temperature):
        return of(a + sum(s * x for s, x in zip(t, e, strict=True)), nelec, temperature)

    def tangent(f, i):
        return lambda t, *c: jax.jvp(lambda u: f(u, *c), (t,), (jnp.eye(m)[i],))[1]

    def gradient(f, i):
        return lambda t, *c: jax.grad(f)(t, *c)[i]

    forward, reverse = packed, packed
    for i in range(m):
        forward, reverse = tangent(forward, i), gradient(reverse, i)
    return [jax.jit(forward), jax.jit(reverse)]


def check(a, nelec, temperature, m):
    es = [ref.hermitian(6, 20 + i) for i in range(m)]
    exact = ref.derivative_exact(
        ref.along(a, es, lambda x: loss_exact(x, nelec, mp.mpf(temperature))), m
    )
    values = [
        float(f(jnp.zeros(m), jnp.asarray(a), es, nelec, temperature)) for f in derivatives(m)
    ]
    for value in values:
        assert ref.relative(value, exact) < TOLERANCE[m]
    assert np.ptp(values) < 1e-10 * abs(values[0])


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("gap", [1e-1, 1e-6, 1e-12, 0.0])
@pytest.mark.parametrize(("nelec", "temperature"), [(2, 0.3), (2.5, 0.1), (4, 1.0)])
def test_fermi_level_inside_a_pair(gap, nelec, temperature, m):
    """2 or 2.5 electrons: the pair of states 1, 2 is half or three quarters full."""
    check(ref.pairs(gap), float(nelec), temperature, m)


@pytest.mark.slow
def test_third_order():
    check(ref.pairs(0.0), 2.0, 0.3, 3)


@pytest.mark.parametrize("m", [1, 2])
def test_temperature_and_particle_number(m):
    a, e = ref.pairs(0.0), ref.hermitian(6, 20)

    def packed(t):
        return loss(a + t[2] * e, 2.5 + t[0], 0.2 + t[1])

    def exact(n, temperature, s):
        return loss_exact(
            ref.exact(a) + s * ref.exact(e), mp.mpf(2.5) + n, mp.mpf(0.2) + temperature
        )

    if m == 1:
        grad = jax.jit(jax.grad(packed))(jnp.zeros(3))
        for i in range(3):
            expected = ref.derivative_exact(
                lambda t, i=i: exact(*[t if j == i else mp.mpf(0) for j in range(3)]), 1
            )
            assert ref.relative(grad[i], expected) < 1e-9
    else:
        hessian = jax.jit(jax.jacrev(jax.grad(packed)))(jnp.zeros(3))
        expected = ref.derivative_exact(lambda n, t: exact(n, t, mp.mpf(0)), 2)
        assert ref.relative(hessian[0, 1], expected) < 1e-7
        expected = ref.derivative_exact(lambda t, s: exact(mp.mpf(0), t, s), 2)
        assert ref.relative(hessian[1, 2], expected) < 1e-7


@pytest.mark.parametrize("temperature", [1e-2, 1e-4, 1e-8])
def test_low_temperature_is_the_projector(temperature):
    """Gap over temperature up to 1e8: mu between the levels, derivatives of the projector."""
    a = ref.pairs(0.0)
    es = [ref.hermitian(6, 20 + i) for i in range(2)]
    d, mu, entropy = fermi_density_matrix(jnp.asarray(a), 3, temperature)
    assert float(entropy) < 1e-20
    # At the middle of the gap, shifted by the ratio of the level degeneracies 2 and 2.
    assert float(mu) == pytest.approx(-0.25, abs=1e-6)
    exact_p = ref.projector_exact(3)
    exact_d = exact_p(ref.exact(a))
    np.testing.assert_allclose(d, np.array(exact_d.tolist(), float), atol=1e-12)
    for m in (1, 2):
        expected = ref.derivative_exact(
            ref.along(a, es[:m], lambda x: ref.trace_exact(ref.exact(B), exact_p(x))), m
        )
        for f in derivatives(m, density_loss):
            value = f(jnp.zeros(m), jnp.asarray(a), es[:m], 3.0, temperature)
            assert ref.relative(value, expected) < 1e-7


def test_overlap():
    """tr(D S) = N, and the free energy is stationary: dE = tr(D dF) - tr(W dS)."""
    f, s = ref.pairs(0.0), np.eye(6) + 0.1 * ref.hermitian(6, 3)
    d, _, _ = fermi_density_matrix(jnp.asarray(f), 2.5, 0.2, jnp.asarray(s))
    assert float(jnp.trace(d @ s)) == pytest.approx(2.5, abs=1e-12)

    def free_energy(x):
        p, _, entropy = fermi_density_matrix(x, 2.5, 0.2, jnp.asarray(s))
        return jnp.trace(p @ x) - 0.2 * entropy

    np.testing.assert_allclose(jax.grad(free_energy)(jnp.asarray(f)), d, atol=1e-12)


def test_empty_full_and_invalid():
    a = jnp.asarray(ref.pairs(0.0))
    for nelec, expected in ((0, np.zeros((6, 6))), (6, np.eye(6))):
        d, mu, entropy = fermi_density_matrix(a, nelec, 0.1)
        np.testing.assert_allclose(d, expected, atol=1e-12)
        assert np.isfinite(mu)
        assert abs(float(entropy)) < 1e-12
        grad = jax.grad(lambda x, n=nelec: jnp.sum(B * fermi_density_matrix(x, n, 0.1)[0]))(a)
        np.testing.assert_allclose(grad, 0, atol=1e-12)
    for nelec, temperature in ((7, 0.1), (-1, 0.1), (3, 0.0), (3, -1.0)):
        assert np.isnan(fermi_density_matrix(a, nelec, temperature).density_matrix).all()


def test_batches_and_single_precision():
    a = jnp.stack([ref.pairs(g) for g in (0.1, 0.0)])
    n, t = jnp.array([2.0, 2.5]), jnp.array([0.1, 0.3])

    @jax.jit
    def grad(x, nelec, temperature):
        return jax.grad(lambda y: jnp.sum(B * fermi_density_matrix(y, nelec, temperature)[0]))(x)

    looped = jnp.stack([grad(*args) for args in zip(a, n, t, strict=True)])
    np.testing.assert_allclose(grad(a, n, t), looped, atol=1e-12)
    np.testing.assert_allclose(jax.vmap(grad)(a, n, t), looped, atol=1e-12)
    single = grad(a.astype(jnp.float32), n.astype(jnp.float32), t.astype(jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, looped, atol=3e-5 * float(jnp.abs(looped).max()))
