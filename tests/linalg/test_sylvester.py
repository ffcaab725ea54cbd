"""Sylvester and Lyapunov equations against a 50-digit Kronecker solve."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.errors import InputError
from dqc_lite.linalg.schur import schur
from dqc_lite.linalg.sylvester import solve_lyapunov, solve_sylvester

M, N = 3, 2
STEP = mp.mpf(10) ** -12


def exact_sylvester(a, b, q):
    """a x + x b = q by LU of the Kronecker matrix, mpmath matrices in and out."""
    m, n = a.rows, b.rows
    big, rhs = mp.zeros(m * n), mp.zeros(m * n, 1)
    for i in range(m):
        for j in range(n):
            rhs[i * n + j] = q[i, j]
            for k in range(m):
                big[i * n + j, k * n + j] += a[i, k]
            for k in range(n):
                big[i * n + j, i * n + k] += b[k, j]
    x = mp.lu_solve(big, rhs)
    return mp.matrix([[x[i * n + j] for j in range(n)] for i in range(m)])


def exact_lyapunov(a, q):
    return exact_sylvester(a, a.H, q)


def to_mp(x):
    return mp.matrix(np.asarray(x).tolist())


def reference(solve, weight, point, e, f):
    """Re sum(weight * x) and its derivatives along e, and along e and f: 50-digit differences."""
    point, e, f = ([to_mp(x) for x in xs] for xs in (point, e, f))
    weight = to_mp(weight)

    def loss(s, t):
        x = solve(*(p + s * STEP * u + t * STEP * v for p, u, v in zip(point, e, f, strict=True)))
        return mp.re(mp.fsum(weight[i, j] * x[i, j] for i in range(x.rows) for j in range(x.cols)))

    with mp.workdps(50):
        first = (loss(1, 0) - loss(-1, 0)) / (2 * STEP)
        second = (loss(1, 1) - loss(1, -1) - loss(-1, 1) + loss(-1, -1)) / (4 * STEP**2)
        return float(loss(0, 0)), float(first), float(second)


@functools.lru_cache
def derivatives(solve):
    """Value, jvp, vjp, jvp of jvp, grad of grad, compiled once for all cases of one shape."""

    def dot(x, y):
        return sum(jnp.sum((p * q).real) for p, q in zip(x, y, strict=True))

    @jax.jit
    def run(weight, point, e, f):
        def loss(point):
            return jnp.sum((weight * solve(*point)).real)

        def along(point):
            return jax.jvp(loss, (point,), (e,))[1]

        def against(point):
            return dot(jax.grad(loss)(point), e)

        return (
            loss(point),
            along(point),
            against(point),
            jax.jvp(along, (point,), (f,))[1],
            dot(jax.grad(against)(point), f),
        )

    return run


def check(solve, exact, weight, point, e, f, tol=(1e-9, 1e-7), modes=1e-10):
    value, forward, reverse, second, twice = map(float, derivatives(solve)(weight, point, e, f))
    want = reference(exact, weight, point, e, f)
    assert value == pytest.approx(want[0], rel=tol[0])
    assert forward == pytest.approx(want[1], rel=tol[0])
    assert reverse == pytest.approx(forward, rel=modes)
    assert second == pytest.approx(want[2], rel=tol[1])
    assert twice == pytest.approx(second, rel=modes)


def draw(*shapes, seed=0, dtype=float):
    rng = np.random.default_rng(seed)
    out = []
    for shape in shapes:
        x = rng.normal(size=shape)
        out.append((x + 1j * rng.normal(size=shape) if dtype is complex else x).astype(dtype))
    return out


ROTATION = np.array([[0.2, -3.0, 0.5], [3.0, 0.2, 0.1], [0.0, 0.0, 1.0]])  # 0.2 +- 3i
CASES = {
    "complex pairs": (ROTATION, np.array([[0.1, 2.0], [-2.0, 0.1]])),
    "equal spectra": (np.diag([1.0, 1.0, 1.0]), np.eye(2)),
    "jordan": (np.array([[2.0, 1, 0], [0, 2, 1], [0, 0, 2]]), np.array([[2.0, 1], [0, 2]])),
    "overlapping scales": (
        np.array([[1e-4, 0.3, 2.0], [0, 1.0, 30.0], [0, 0, 1e4]]),
        np.array([[2e-4, 1.0], [0, 5e3]]),
    ),
    "nearly singular": (np.diag([1.0, 2.0, 3.0]) + 0.1, np.array([[-1.001, 0.2], [0.1, 4.0]])),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("scale", [1.0, 1e8, 1e-8])
def test_derivatives(name, scale):
    a, b = (scale * x for x in CASES[name])
    q, weight = draw((M, N), (M, N))
    e, f = (
        [scale * u, scale * v, w]
        for u, v, w in (draw(a.shape, b.shape, q.shape, seed=s) for s in (1, 2))
    )
    if name == "overlapping scales":  # directions graded like the matrices
        e, f = ([1e-4 * x for x in d[:2]] + d[2:] for d in (e, f))
    check(solve_sylvester, exact_sylvester, weight, [a, b, q], e, f)


@pytest.mark.parametrize("a", [ROTATION, CASES["jordan"][0]], ids=["complex pair", "jordan"])
def test_lyapunov(a):
    q, weight = draw((M, M), (M, M))
    e, f = draw(a.shape, a.shape, seed=1), draw(a.shape, a.shape, seed=2)
    check(solve_lyapunov, exact_lyapunov, weight, [a, q], e, f)


def test_complex_input():
    a, b, q, weight = draw((M, M), (N, N), (M, N), (M, N), dtype=complex)
    e, f = (draw((M, M), (N, N), (M, N), seed=s, dtype=complex) for s in (1, 2))
    check(solve_sylvester, exact_sylvester, weight, [a, b, q], e, f)


def test_single_precision():
    a, b = (x.astype(np.float32) for x in CASES["complex pairs"])
    q, weight = draw((M, N), (M, N), dtype=np.float32)
    e, f = (draw(a.shape, b.shape, q.shape, seed=s, dtype=np.float32) for s in (1, 2))
    check(solve_sylvester, exact_sylvester, weight, [a, b, q], e, f, (3e-5, 1e-3), 1e-4)


def test_third_order():
    """d^3/dt^3 of x / (2 (1 + t)) is -6 x / 2: a = b = (1 + t) I."""

    def loss(t):
        return solve_sylvester((1 + t) * jnp.eye(2), (1 + t) * jnp.eye(2), jnp.ones((2, 2)))[0, 1]

    third = jax.jit(jax.grad(jax.jacfwd(jax.grad(loss))))(0.0)
    assert float(third) == pytest.approx(-3.0, rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e8, 1e-8])
def test_singular_is_nan(scale):
    """Common eigenvalues of a and -b: NaN, though LAPACK only sees them to rounding."""
    (a,) = draw((4, 4), seed=3)
    solve = jax.jit(solve_sylvester)
    q = jnp.ones((4, 4))
    assert np.isnan(solve(scale * a, -scale * a.T, q)).all()
    assert np.isnan(jax.grad(lambda a: solve_sylvester(a, -a, q).sum())(scale * a)).all()
    assert np.isfinite(solve(scale * a, scale * a, q)).all()


def test_batches_equal_loops():
    a, b, q = draw((4, M, M), (N, N), (4, M, N), seed=5)
    together = jax.jit(solve_sylvester)(a, b, q)
    alone = np.stack([solve_sylvester(a[i], b, q[i]) for i in range(4)])
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-12)
    mapped = jax.vmap(lambda a, q: jax.grad(lambda a: solve_sylvester(a, b, q).sum())(a))(a, q)
    looped = np.stack(
        [jax.grad(lambda a, i=i: solve_sylvester(a, b, q[i]).sum())(a[i]) for i in range(4)]
    )
    np.testing.assert_allclose(mapped, looped, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("output", ["real", "complex"])
def test_schur_form(output):
    a = jnp.asarray(draw((2, 4, 4), seed=6)[0])
    t, u = jax.jit(lambda a: schur(a, output))(a)
    np.testing.assert_allclose(u @ t @ jnp.conj(jnp.swapaxes(u, -1, -2)), a, atol=1e-13)
    np.testing.assert_allclose(np.tril(t, -1 if output == "complex" else -2), 0, atol=1e-15)
    assert not np.any(jax.grad(lambda a: jnp.abs(schur(a, output).triangular).sum())(a))


def test_host_path_equals_lapack():
    """The road taken on devices without a Schur decomposition, under jit and vmap."""
    from dqc_lite.linalg.schur import _schur_host

    a = draw((3, 4, 4), seed=7, dtype=complex)[0]
    t, u = jax.jit(jax.vmap(_schur_host))(a)
    np.testing.assert_allclose(u @ t @ np.conj(np.swapaxes(u, -1, -2)), a, atol=1e-13)
    assert np.isnan(_schur_host(jnp.full((2, 2), jnp.nan))[0]).all()


def test_errors():
    with pytest.raises(InputError, match="q has shape"):
        solve_sylvester(jnp.eye(2), jnp.eye(3), jnp.ones((3, 2)))
    with pytest.raises(InputError, match="square"):
        solve_lyapunov(jnp.ones((2, 3)), jnp.ones((2, 3)))
    with pytest.raises(InputError, match="real matrix"):
        schur(jnp.eye(2) + 0j, "real")
