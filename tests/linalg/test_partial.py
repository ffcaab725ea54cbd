"""Lowest eigenpairs of operators against mpmath at 50 digits and closed forms."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.errors import InputError
from dqc_lite.linalg.partial import eigsh

N, K = 14, 2  # large enough that the iteration, and not the dense way, runs
STEP = mp.mpf(10) ** -12
RNG = np.random.default_rng(31)


def hermitian(n=N, imaginary=0.0):
    x = RNG.normal(size=(n, n)) + (1j * imaginary * RNG.normal(size=(n, n)) if imaginary else 0)
    return (x + np.conj(x).T) / 2


def with_levels(levels, imaginary=0.0):
    q = np.linalg.eigh(hermitian(imaginary=imaginary))[1]
    a = (q * np.array(levels)) @ np.conj(q).T
    return (a + np.conj(a).T) / 2


E, F, WEIGHT = hermitian(), hermitian(), hermitian()
PAIR = [-1.0, -1.0, *np.linspace(1, 4, N - 2)]
SIMPLE = [-2.0, -1.0, *np.linspace(1, 4, N - 2)]


def mp_density(a, b=None):
    """Projector on the levels below zero (times B^-1) by Newton's iteration for the sign."""
    inverse = mp.eye(N) if b is None else mp.inverse(b)
    x = inverse * a
    for _ in range(60):
        x, last = (x + mp.inverse(x)) / 2, x
        if mp.mnorm(x - last, 1) < mp.mpf(10) ** -40:
            break
    return (mp.eye(N) - x) / 2 * inverse


def to_mp(x):
    return mp.matrix(np.asarray(x).tolist())


def reference(point, e, f):
    """Derivatives of tr(WEIGHT D) + tr(A D), D the density matrix of the levels below zero."""
    point, e, f = ([to_mp(x) for x in xs] for xs in (point, e, f))
    weight = to_mp(WEIGHT)

    def loss(s, t):
        x = [p + s * STEP * u + t * STEP * v for p, u, v in zip(point, e, f, strict=True)]
        d = (weight + x[0]) * mp_density(*x)
        return mp.re(mp.fsum(d[i, i] for i in range(N)))

    with mp.workdps(50):
        first = (loss(1, 0) - loss(-1, 0)) / (2 * STEP)
        second = (loss(1, 1) - loss(1, -1) - loss(-1, 1) + loss(-1, -1)) / (4 * STEP**2)
        return float(first), float(second)


@functools.lru_cache
def derivatives(solve):
    def dot(x, y):
        return sum(jnp.sum((p * jnp.conj(q)).real) for p, q in zip(x, y, strict=True))

    @jax.jit
    def run(point, e, f):
        def loss(point):
            w, x = solve(*point)[:2]
            density = x @ jnp.conj(x).T
            return jnp.sum(WEIGHT.astype(x.real.dtype) * density.real) + jnp.sum(w)

        def along(point):
            return jax.jvp(loss, (point,), (e,))[1]

        def against(point):
            gradient = jax.grad(loss)(point)
            return dot([jnp.conj(g) for g in gradient], e)

        twice = dot([jnp.conj(g) for g in jax.grad(against)(point)], f)
        return along(point), against(point), jax.jvp(along, (point,), (f,))[1], twice

    return run


def check(solve, point, e, f, tol=(1e-9, 1e-7), modes=1e-10):
    forward, reverse, second, twice = map(float, derivatives(solve)(point, e, f))
    want = reference(point, e, f)
    assert forward == pytest.approx(want[0], rel=tol[0])
    assert reverse == pytest.approx(forward, rel=modes)
    assert second == pytest.approx(want[1], rel=tol[1])
    assert twice == pytest.approx(second, rel=modes)


def lowest(a, b=None):
    return eigsh(a, K, b)


START = RNG.bit_generator.state  # after the draws above, so that none is repeated


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    RNG.bit_generator.state = START


@pytest.mark.parametrize("levels", [PAIR, SIMPLE], ids=["pair", "simple"])
def test_derivatives(levels):
    check(lowest, [with_levels(levels)], [E], [F])


def group_only(a):
    return jnp.zeros(K), eigsh(a, K).eigenvectors


@pytest.mark.parametrize("scale", [1e8, 1e-8])
def test_scaling(scale):
    """The projector does not see the scale, neither do its logarithmic derivatives."""
    a = with_levels(PAIR)
    want = derivatives(group_only)([a], [E], [F])
    got = derivatives(group_only)([scale * a], [scale * E], [scale * F])
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_generalized():
    b = np.eye(N) + 0.02 * hermitian() @ hermitian().T
    b = (b + b.T) / 2
    a = with_levels(SIMPLE)
    check(lowest, [a, b], [E, 0.1 * hermitian()], [F, 0.1 * hermitian()])
    result = eigsh(a, K, b)
    x = result.eigenvectors
    np.testing.assert_allclose(x.T @ b @ x, np.eye(K), atol=1e-12)
    np.testing.assert_allclose(a @ x, b @ x * result.eigenvalues, atol=1e-11)


def test_complex():
    a = with_levels(PAIR, imaginary=1.0)
    check(lowest, [a], [hermitian(imaginary=1.0)], [hermitian(imaginary=0.5)])


def test_single_precision():
    point, e, f = ([x.astype(np.float32)] for x in (with_levels(SIMPLE), E, F))
    check(lowest, point, e, f, (3e-5, 1e-3), 1e-3)


def test_single_vectors():
    """Simple levels: dv_i = sum_j v_j <v_j|E|v_i> / (w_i - w_j), up to the sign of v_i."""
    a = with_levels(SIMPLE)
    w, v = np.linalg.eigh(a)
    result, tangent = jax.jit(lambda: jax.jvp(lambda a: eigsh(a, K)[:2], (a,), (E,)))()
    np.testing.assert_allclose(result[0], w[:K], rtol=1e-12)
    np.testing.assert_allclose(tangent[0], np.diag(v.T @ E @ v)[:K], rtol=1e-10)
    for i in range(K):
        others = [j for j in range(N) if j != i]
        change = sum(v[:, j] * (v[:, j] @ E @ v[:, i]) / (w[i] - w[j]) for j in others)
        sign = np.sign(v[:, i] @ np.asarray(result[1])[:, i])
        np.testing.assert_allclose(sign * tangent[1][:, i], change, rtol=1e-8, atol=1e-10)


def ring(x, potential):
    """Hueckel ring with a site potential, applied without a matrix."""
    return potential[:, None] * x - jnp.roll(x, 1, axis=0) - jnp.roll(x, -1, axis=0)


def ring_density(potential, **options):
    n = potential.shape[0]
    x = eigsh(ring, 3, args=(potential,), n=n, **options).eigenvectors
    return jnp.sum(x**2, axis=1)


def ring_response(n):
    """d density_i / d potential_j of the three lowest levels, one degenerate pair among them."""
    k = np.arange(n)
    w = -2 * np.cos(2 * np.pi * k / n)
    v = np.exp(2j * np.pi * np.outer(k, k) / n) / np.sqrt(n)
    low = [0, 1, n - 1]
    high = [j for j in range(n) if j not in low]
    total = 0
    for i in low:
        for j in high:
            overlap = np.conj(v[:, j]) * v[:, i]
            total = total + 2 * np.outer(np.conj(overlap), overlap).real / (w[i] - w[j])
    return total


def test_operator_without_a_matrix():
    """Degenerate levels of a ring, by both modes, with and without preconditioner."""
    n = 40
    potential = jnp.zeros(n)
    want = ring_response(n)
    step = RNG.normal(size=n)
    result = jax.jit(lambda v: eigsh(ring, 3, args=(v,), n=n))(potential)
    assert bool(result.converged)
    np.testing.assert_allclose(
        result.eigenvalues, [-2, *[-2 * np.cos(2 * np.pi / n)] * 2], rtol=1e-12
    )
    tangent = jax.jit(lambda v: jax.jvp(ring_density, (v,), (step,))[1])(potential)
    np.testing.assert_allclose(tangent, want @ step, rtol=1e-9, atol=1e-9)

    def closed_over(potential):  # parameters the operator closes over count as well
        x = eigsh(lambda x: ring(x, potential), 3, n=n, diagonal=jnp.zeros(n)).eigenvectors
        return jnp.sum(step * jnp.sum(x**2, axis=1))

    gradient = jax.jit(jax.grad(closed_over))(potential)
    np.testing.assert_allclose(gradient, want @ step, rtol=1e-9, atol=1e-9)


def test_start_and_iterations_drop_out():
    n = 40
    potential = jnp.cos(jnp.arange(n) * 1.0)
    weight = RNG.normal(size=n)

    @jax.jit
    def gradient(start):
        return jax.grad(lambda v: jnp.sum(weight * ring_density(v, X0=start)))(potential)

    first, second = (gradient(RNG.normal(size=(n, 4))) for _ in range(2))
    np.testing.assert_allclose(first, second, rtol=1e-8, atol=1e-9)


def test_certificate():
    """Too few iterations, or a cut through a level: values come with a flag, derivatives NaN."""
    n = 40
    potential = jnp.cos(jnp.arange(n) * 1.0)

    def loss(v):
        return jnp.sum(ring_density(v, maxiter=2)[:5])

    result = eigsh(ring, 3, args=(potential,), n=n, maxiter=2)
    assert not bool(result.converged)
    assert float(jnp.max(result.residuals)) > 1e-6
    assert np.isnan(jax.grad(loss)(potential)).all()
    split = with_levels([-2.0, -1.0, -1.0, *np.linspace(1, 4, N - 3)])
    cut = jax.jit(jax.grad(lambda a: jnp.sum(eigsh(a, 2).eigenvectors[0] ** 2)))(split)
    assert np.isnan(cut).all()


def test_dense_way_is_the_same():
    a = with_levels(PAIR)

    def density(a, method):
        return jnp.sum(WEIGHT * (lambda x: x @ x.T)(eigsh(a, K, method=method).eigenvectors))

    dense, iterated = (
        jax.jit(jax.grad(functools.partial(density, method=m)))(a) for m in ("dense", "lobpcg")
    )
    np.testing.assert_allclose(dense, iterated, rtol=1e-9, atol=1e-11)
    every = eigsh(a, N, method="dense").eigenvalues
    np.testing.assert_allclose(every, np.linalg.eigvalsh(a), atol=1e-12)


def test_batches_equal_loops():
    a = jnp.stack([with_levels(PAIR), with_levels(SIMPLE)])

    def loss(a):
        x = eigsh(a, K).eigenvectors
        return jnp.sum(WEIGHT * (x @ jnp.swapaxes(x, -1, -2)))

    grad = jax.jit(jax.grad(loss))
    np.testing.assert_allclose(grad(a), np.stack([grad(x) for x in a]), rtol=1e-9, atol=1e-11)
    assert eigsh(a, K).residuals.shape == (2, K)


def test_errors():
    with pytest.raises(InputError, match="method"):
        eigsh(jnp.eye(4), 1, method="arpack")
    with pytest.raises(InputError, match="dimension"):
        eigsh(lambda x: x, 1)
    with pytest.raises(InputError, match="k=5"):
        eigsh(jnp.eye(4), 5)
    with pytest.raises(InputError, match="X0"):
        eigsh(jnp.eye(4), 2, X0=jnp.ones((4, 1)))
