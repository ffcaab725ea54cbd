"""Functions of general matrices and their derivatives against mpmath at 50 digits."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.errors import InputError
from dqc_lite.linalg.general_funm import (
    expm_general,
    funm_general,
    logm_general,
    sqrtm_general,
    trace_funm_general,
)

N = 3
STEP = mp.mpf(10) ** -12


def funm_exp(a):
    return funm_general(a, jnp.exp)


def funm_sqrt(a):
    return funm_general(a, jnp.sqrt)


def exact_exp(a):
    return mp.expm(a, method="taylor")


EXACT = {
    expm_general: exact_exp,
    sqrtm_general: mp.sqrtm,
    logm_general: mp.logm,
    funm_exp: exact_exp,
    funm_sqrt: mp.sqrtm,
}


def reference(fun, weight, a, e, f):
    weight, a, e, f = (mp.matrix(np.asarray(x).tolist()) for x in (weight, a, e, f))

    def loss(s, t):
        x = fun(a + s * STEP * e + t * STEP * f)
        return mp.re(mp.fsum(weight[i, j] * x[i, j] for i in range(N) for j in range(N)))

    with mp.workdps(50):
        first = (loss(1, 0) - loss(-1, 0)) / (2 * STEP)
        second = (loss(1, 1) - loss(1, -1) - loss(-1, 1) + loss(-1, -1)) / (4 * STEP**2)
        return float(loss(0, 0)), float(first), float(second)


@functools.lru_cache
def derivatives(fun):
    @jax.jit
    def run(weight, a, e, f):
        def loss(a):
            return jnp.sum((weight * fun(a)).real)

        def along(a):
            return jax.jvp(loss, (a,), (e,))[1]

        def against(a):
            return jnp.sum((jax.grad(loss)(a) * e).real)

        twice = jnp.sum((jax.grad(against)(a) * f).real)
        return loss(a), along(a), against(a), jax.jvp(along, (a,), (f,))[1], twice

    return run


def check(fun, a, e, f, tol=(1e-9, 1e-7), modes=1e-10):
    """``a`` real or complex; the weight is fixed and has no symmetry."""
    weight = np.random.default_rng(9).normal(size=(N, N)).astype(np.asarray(a).real.dtype)
    value, forward, reverse, second, twice = map(float, derivatives(fun)(weight, a, e, f))
    want = reference(EXACT[fun], weight, a, e, f)
    assert value == pytest.approx(want[0], rel=tol[0], abs=1e-14)
    assert forward == pytest.approx(want[1], rel=tol[0])
    assert reverse == pytest.approx(forward, rel=modes)
    assert second == pytest.approx(want[2], rel=tol[1])
    assert twice == pytest.approx(second, rel=modes)


def jordan(value, n=N):
    return value * np.eye(n) + np.diag(np.ones(n - 1), 1)


RNG = np.random.default_rng(4)
MIX, E, F = RNG.normal(size=(3, N, N))
BASIS = np.eye(N) + 0.3 * MIX
CASES = {
    "identity": np.eye(N),
    "near identity": np.eye(N) + 1e-9 * MIX,
    "jordan": jordan(1.3),
    "jordan rotated": BASIS @ jordan(1.3) @ np.linalg.inv(BASIS),
    "jordan and level": np.array([[2.0, 1, 0], [0, 2, 0], [0, 0, 0.5]]),
    "near-defective": np.array([[1.0, 1, 0], [1e-10, 1, 0], [0, 0, 3]]),
    "close": np.diag([1.0, 1 + 1e-7, 4.0]) + np.triu(MIX, 1),
    "companion": np.array([[6.0, -11, 6], [1, 0, 0], [0, 1, 0]]),  # roots 1, 2, 3
    "circulant": np.array([[3.0, 1, 0.5], [0.5, 3, 1], [1, 0.5, 3]]),  # complex pair
}


START = RNG.bit_generator.state  # after the draws above, so that none is repeated


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    RNG.bit_generator.state = START


# a generic function compiles a long Taylor series: one of the two in the default suite
SLOW_TO_COMPILE = pytest.param(funm_sqrt, marks=pytest.mark.slow, id="funm_sqrt")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "fun", [*(f for f in EXACT if f is not funm_sqrt), SLOW_TO_COMPILE], ids=lambda f: f.__name__
)
def test_derivatives(fun, name):
    check(fun, CASES[name], E, F)


@pytest.mark.parametrize("fun", [expm_general, funm_exp], ids=lambda fun: fun.__name__)
def test_nilpotent(fun):
    check(fun, jordan(0.0), E, F)
    check(fun, BASIS @ jordan(0.0) @ np.linalg.inv(BASIS), E, F)


@pytest.mark.parametrize("scale", [1e8, 1e-8])
@pytest.mark.parametrize("fun", [sqrtm_general, logm_general, funm_sqrt])
def test_scaling(fun, scale):
    check(fun, scale * CASES["jordan rotated"], scale * E, scale * F)


def test_complex():
    a = CASES["jordan"] * (0.6 + 0.8j)
    for fun in (sqrtm_general, logm_general):
        check(fun, a, E * (1 + 0.3j), F - 0.2j * E)


@pytest.mark.parametrize("fun", [sqrtm_general, logm_general, funm_exp])
def test_single_precision(fun):
    a, e, f = (x.astype(np.float32) for x in (CASES["jordan and level"], E, F))
    check(fun, a, e, f, (3e-5, 1e-3), 1e-4)


def test_third_order():
    """exp at a nilpotent Jordan block: D^3 along the block itself is d^3/dt^3 exp(t J) = J^3 exp(J)
    = 0 for size 3, and J + t I gives exp(J)."""
    weight = RNG.normal(size=(N, N))
    block = jordan(0.0)

    def loss(t, u):
        return jnp.sum(weight * funm_exp(t * block + u * np.eye(N)))

    mixed = jax.jit(jax.grad(jax.jacfwd(jax.grad(loss, 1), 1), 0))(1.0, 0.0)
    want = np.sum(weight * (block + block @ block))  # J exp(J)
    assert float(mixed) == pytest.approx(want, rel=1e-10)


def test_trace_of_defective():
    """Symmetric functions of eigenvalues at a Jordan block: tr A^3 and two derivatives."""
    a = CASES["jordan rotated"]

    def loss(a):
        return trace_funm_general(a, lambda z: z**3)

    gradient = jax.jit(jax.grad(loss))(a)
    np.testing.assert_allclose(gradient, 3 * (a @ a).T, rtol=1e-9)
    second = jax.jit(lambda: jax.grad(lambda a: jnp.sum(jax.grad(loss)(a) * E))(a))()
    np.testing.assert_allclose(second, 3 * (a @ E + E @ a).T, rtol=1e-7)


def test_projector_beside_a_jordan_block():
    """A step function is analytic at the spectrum: it gives the projector of a group."""
    a = BASIS @ CASES["jordan and level"] @ np.linalg.inv(BASIS)

    def projector(a):
        return funm_general(a, lambda z: jnp.where(z.real < 1, 1 + 0j, 0j))

    want = BASIS @ np.diag([0.0, 0, 1]) @ np.linalg.inv(BASIS)
    np.testing.assert_allclose(projector(a), want, atol=1e-13)
    # A + t [A, E] moves P by [P, E]
    tangent = jax.jit(lambda e: jax.jvp(projector, (a,), (e,))[1])(a @ E - E @ a)
    np.testing.assert_allclose(tangent, want @ E - E @ want, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_parameters_of_the_function():
    """d^k/db^k exp(b A) = A^k exp(b A), through a value that f closes over."""
    a = jordan(0.7)
    weight = RNG.normal(size=(N, N))

    def loss(b, c):
        return jnp.sum(weight * funm_general(a, lambda z: c[0] * jnp.exp(b * z) + c[1]))

    c = jnp.array([1.0, 0.5])
    exp = np.array(mp.expm(mp.matrix(a.tolist())).tolist(), float)
    first = jax.jit(jax.grad(loss, argnums=(0, 1)))(1.0, c)
    assert float(first[0]) == pytest.approx(np.sum(weight * (a @ exp)), rel=1e-11)
    np.testing.assert_allclose(first[1], [np.sum(weight * exp), np.trace(weight)], rtol=1e-11)
    second = jax.jit(jax.grad(jax.grad(loss)))(1.0, c)
    assert float(second) == pytest.approx(np.sum(weight * (a @ a @ exp)), rel=1e-10)


@pytest.mark.parametrize("fun", [sqrtm_general, logm_general, funm_sqrt])
def test_nan_where_not_real(fun):
    a = np.diag([1.0, -1.0, 2.0])
    assert np.isnan(fun(a)).all()
    if fun is funm_sqrt:
        return
    want = {logm_general: 1j * np.pi}.get(fun, 1j)
    np.testing.assert_allclose(fun(a + 0j)[1, 1], want, atol=1e-14)


def test_nan_where_no_derivative():
    assert np.isnan(jax.grad(lambda a: sqrtm_general(a).sum())(np.diag([1.0, 0.0]))).all()
    assert np.isnan(logm_general(np.diag([1.0, 0.0]))).all()
    assert np.isnan(funm_sqrt(np.diag([1.0, 1.0], 1))).any()


@pytest.mark.parametrize("fun", [sqrtm_general, logm_general, funm_exp])
def test_batches_equal_loops(fun):
    a = np.stack([CASES["jordan"], CASES["circulant"]])
    grad = jax.jit(jax.grad(lambda a: jnp.sum(MIX * fun(a))))
    np.testing.assert_allclose(fun(a), np.stack([fun(x) for x in a]), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(grad(a), np.stack([grad(x) for x in a]), rtol=1e-11, atol=1e-12)
    mapped = jax.jit(jax.vmap(jax.grad(lambda a: jnp.sum(MIX * fun(a)))))(a)
    np.testing.assert_allclose(mapped, grad(a), rtol=1e-11, atol=1e-12)


def test_errors_and_empty():
    with pytest.raises(InputError, match="square"):
        logm_general(jnp.ones((2, 3)))
    for fun in EXACT:
        assert fun(jnp.zeros((0, 0))).shape == (0, 0)
