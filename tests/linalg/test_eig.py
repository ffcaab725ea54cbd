"""General eigenproblems against mpmath at 50 digits and closed forms."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.errors import InputError
from dqc_lite.linalg.eig import eig, eigenvalue_condition, eigvals
from dqc_lite.linalg.general_funm import trace_funm_general

N = 4
STEP = mp.mpf(10) ** -12
RNG = np.random.default_rng(21)
MIX, E, F, WEIGHT, OTHER = RNG.normal(size=(5, N, N))
BASIS = np.eye(N) + 0.3 * MIX
CUT = 1.5


def similar(levels, basis=BASIS):
    return basis @ np.diag(levels) @ np.linalg.inv(basis)


# functions of the decomposition that depend on no normalization
def group_projector(a):
    """The eigenvalues left of the cut, whatever vectors stand for them."""
    w, v = eig(a)
    return (v * (jax.lax.stop_gradient(w.real) < CUT)) @ jnp.linalg.inv(v)


def exponential(a):
    w, v = eig(a)
    return (v * jnp.exp(w)) @ jnp.linalg.inv(v)


def two_sided_projector(a):
    w, left, right = eig(a, left=True, gauge="biorthogonal")
    return (right * (jax.lax.stop_gradient(w.real) < CUT)) @ jnp.conj(left).T


def power_sums(a):
    w = eigvals(a)
    return jnp.stack([jnp.sum(w**p) for p in range(N)]) * jnp.eye(N)


def values(a):
    return jnp.diag(eigvals(a)[jnp.argsort(jax.lax.stop_gradient(eigvals(a).real))])


def gauge_vectors(a):
    w, v = eig(a)
    return v[:, jnp.argsort(jax.lax.stop_gradient(w.real))]


# the same in mpmath
def mp_projector(a):
    a = a - CUT * mp.eye(N)
    for _ in range(60):
        a, last = (a + mp.inverse(a)) / 2, a
        if mp.mnorm(a - last, 1) < mp.mpf(10) ** -45:
            break
    return (mp.eye(N) - a) / 2


def mp_power_sums(a):
    return mp.diag([sum((a**p)[i, i] for i in range(N)) for p in range(N)])


def mp_sorted(a):
    w, v = mp.eig(a)
    order = sorted(range(N), key=lambda i: mp.re(w[i]))
    return [w[i] for i in order], [v[:, i] for i in order]


def mp_values(a):
    return mp.diag(mp_sorted(a)[0])


EXACT = {
    group_projector: mp_projector,
    two_sided_projector: mp_projector,
    exponential: lambda a: mp.expm(a, method="taylor"),
    power_sums: mp_power_sums,
    values: mp_values,
}


def reference(fun, a, e, f):
    a, e, f = (mp.matrix(np.asarray(x).tolist()) for x in (a, e, f))

    def loss(s, t):
        x = fun(a + s * STEP * e + t * STEP * f)
        return mp.fsum(
            WEIGHT[i, j] * mp.re(x[i, j]) + OTHER[i, j] * mp.im(x[i, j])
            for i in range(N)
            for j in range(N)
        )

    with mp.workdps(50):
        first = (loss(1, 0) - loss(-1, 0)) / (2 * STEP)
        second = (loss(1, 1) - loss(1, -1) - loss(-1, 1) + loss(-1, -1)) / (4 * STEP**2)
        return float(first), float(second)


@functools.lru_cache
def derivatives(fun):
    @jax.jit
    def run(a, e, f):
        def loss(a):
            x = fun(a)
            weight, other = (w.astype(x.real.dtype) for w in (WEIGHT, OTHER))
            return jnp.sum(weight * x.real + other * x.imag)

        def along(a):
            return jax.jvp(loss, (a,), (e,))[1]

        def against(a):
            return jnp.sum((jax.grad(loss)(a) * e).real)

        twice = jnp.sum((jax.grad(against)(a) * f).real)
        return along(a), against(a), jax.jvp(along, (a,), (f,))[1], twice

    return run


def check(fun, a, e=E, f=F, tol=(1e-9, 1e-7), modes=1e-10, exact=None):
    forward, reverse, second, twice = map(float, derivatives(fun)(a, e, f))
    want = reference(exact or EXACT[fun], a, e, f)
    assert forward == pytest.approx(want[0], rel=tol[0])
    assert reverse == pytest.approx(forward, rel=modes)
    assert second == pytest.approx(want[1], rel=tol[1])
    assert twice == pytest.approx(second, rel=modes)


SEPARATED = similar([1.0, 0.5, 2.0, 3.5])
ROTATING = (
    BASIS
    @ np.array([[0.5, 2, 0, 0], [-2, 0.5, 0, 0], [0, 0, 3, 1], [0, 0, -1, 3]])
    @ np.linalg.inv(BASIS)
)
COMPANION = np.array([[10.0, -35, 50, -24], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])  # 1 2 3 4
DEGENERATE = similar([1.0, 1.0, 2.0, 2.0])
NEAR = similar([1.0, 1.0 + 1e-10, 2.0, 3.0])


START = RNG.bit_generator.state  # after the draws above, so that none is repeated


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    RNG.bit_generator.state = START


@pytest.mark.parametrize("a", [SEPARATED, ROTATING], ids=["real", "complex pairs"])
@pytest.mark.parametrize("fun", [group_projector, two_sided_projector, exponential, power_sums])
def test_invariants(fun, a):
    check(fun, a)


@pytest.mark.parametrize("a", [DEGENERATE, NEAR], ids=["pairs", "near pair"])
@pytest.mark.parametrize("fun", [group_projector, two_sided_projector])
def test_projectors_of_degenerate_groups(fun, a):
    check(fun, a)


def test_companion():
    """Roots of a polynomial: dw_i / dc_j = w_i^(n - 1 - j) / p'(w_i) for the first row c."""
    check(values, COMPANION)
    w = np.linalg.eigvals(COMPANION)
    slopes = np.array([np.prod([x - y for y in w if y != x]) for x in w])
    jacobian = jax.jit(jax.jacfwd(lambda c: eigvals(jnp.asarray(COMPANION).at[0].set(c))))
    got = jacobian(COMPANION[0])
    want = w[:, None] ** np.arange(N - 1, -1, -1) / slopes[:, None]
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_circulant():
    """Normal, with a complex pair: Fourier vectors give every first derivative."""
    c = np.array([1.0, 2.0, -0.5, 0.7])
    a = np.array([[c[(i - j) % N] for j in range(N)] for i in range(N)])
    fourier = np.exp(2j * np.pi * np.outer(np.arange(N), np.arange(N)) / N) / 2
    exact = np.diag(np.conj(fourier).T @ a @ fourier)
    slope = np.diag(np.conj(fourier).T @ E @ fourier)
    w, dw = jax.jit(lambda: jax.jvp(eigvals, (a,), (E,)))()
    order = [int(np.argmin(abs(np.asarray(w) - x))) for x in exact]
    np.testing.assert_allclose(np.asarray(w)[order], exact, atol=1e-13)
    np.testing.assert_allclose(np.asarray(dw)[order], slope, atol=1e-12)
    np.testing.assert_allclose(eigenvalue_condition(a), 1.0, atol=1e-12)


def test_vectors_in_the_lapack_gauge():
    """Unit norm and a real largest component, as values and as derivatives."""
    # real parts apart, so that sorting tells the vectors of the complex matrix from each other
    a = ROTATING * (1 + 0.2j)
    v = np.asarray(gauge_vectors(a))
    rows = [int(np.argmax(np.abs(v[:, j]))) for j in range(N)]

    def exact(a):
        columns = []
        for j, x in enumerate(mp_sorted(a)[1]):
            sign = 1 if v[rows[j], j].real > 0 else -1
            pivot = x[rows[j]]
            columns.append(x * (sign * mp.conj(pivot) / (abs(pivot) * mp.norm(x))))
        return mp.matrix([[columns[j][i] for j in range(N)] for i in range(N)])

    check(gauge_vectors, a, E + 0j, F + 0j, exact=exact)


def test_left_vectors():
    for gauge in ("lapack", "biorthogonal"):
        w, left, right = eig(ROTATING, left=True, gauge=gauge)
        np.testing.assert_allclose(
            jnp.conj(left).T @ ROTATING, w[:, None] * jnp.conj(left).T, atol=1e-12
        )
        overlap = jnp.conj(left).T @ right
        if gauge == "biorthogonal":
            np.testing.assert_allclose(overlap, np.eye(N), atol=1e-12)
        else:
            np.testing.assert_allclose(jnp.linalg.norm(left, axis=0), 1, atol=1e-13)
            np.testing.assert_allclose(overlap - np.diag(np.diag(overlap)), 0, atol=1e-12)
    np.testing.assert_array_equal(eig(ROTATING, left=True, right=False)[0], w)


def lower_half(a):
    """The two eigenvalues of smallest real part, a choice that does not see the scale."""
    w, v = eig(a)
    rank = jnp.argsort(jnp.argsort(jax.lax.stop_gradient(w.real)))
    return (v * (rank < 2)) @ jnp.linalg.inv(v)


@pytest.mark.parametrize("scale", [1e8, 1e-8])
def test_scaling(scale):
    got = derivatives(lower_half)(scale * DEGENERATE, scale * E, scale * F)
    want = reference(mp_projector, DEGENERATE, E, F)
    np.testing.assert_allclose(got[:2], want[0], rtol=1e-9)
    np.testing.assert_allclose(got[2:], want[1], rtol=1e-7)


def test_single_precision():
    a, e, f = (x.astype(np.float32) for x in (SEPARATED, E, F))
    check(group_projector, a, e, f, (3e-5, 1e-3), 1e-3)


@pytest.mark.parametrize("delta", [1e-2, 1e-6])
def test_near_defective(delta):
    """[[1, 1], [d, 1]]: w = 1 +- sqrt(d). Single values to their condition, sums to rounding."""

    def matrix(d):
        return jnp.array([[1.0, 1.0], [0.0, 1.0]]).at[1, 0].set(d)

    def low(d):
        w = eigvals(matrix(d))
        return w[jnp.argmin(jax.lax.stop_gradient(w.real))].real

    def squares(d):
        return jnp.sum(eigvals(matrix(d)) ** 2).real  # 2 + 2 d

    first, second = jax.jit(lambda d: (jax.grad(low)(d), jax.grad(jax.grad(low))(d)))(delta)
    assert float(first) == pytest.approx(-0.5 * delta**-0.5, rel=1e-9)
    assert float(second) == pytest.approx(0.25 * delta**-1.5, rel=1e-7)
    assert float(jax.jit(jax.grad(squares))(delta)) == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize(
    "a",
    [
        np.array([[1.0, 1.0], [0.0, 1.0]]),
        np.array([[1.0, 1.0], [1e-18, 1.0]]),
        np.array([[3.0, 1, 0], [0, 3, 1], [0, 0, 3]]),
    ],
    ids=["jordan", "below rounding", "size 3"],
)
def test_defective_is_nan(a):
    """Values stand; single derivatives do not exist and are NaN, traces of functions do exist."""
    np.testing.assert_allclose(eigvals(a), a[0, 0], atol=1e-4)
    assert float(jnp.sum(eigvals(a)).real) == pytest.approx(np.trace(a), rel=1e-14)
    e = RNG.normal(size=a.shape)
    assert np.isnan(jax.grad(lambda a: jnp.sum(eigvals(a) ** 2).real)(a)).all()
    assert np.isnan(jax.jvp(eigvals, (a,), (e,))[1]).all()
    assert np.isnan(jax.jvp(lambda a: eig(a).eigenvectors, (a,), (e,))[1]).all()
    assert float(jnp.max(eigenvalue_condition(a))) > 1e7
    gradient = jax.grad(lambda a: trace_funm_general(a, lambda z: z**2))(a)
    np.testing.assert_allclose(gradient, 2 * a.T, rtol=1e-9, atol=1e-12)


def test_broadening():
    """1/d becomes d / (d^2 + eta^2), in both modes, and finite at equal eigenvalues."""
    eta = 0.1
    for levels in ([1.0, 2.0, 4.0, 8.0], [1.0, 1.0, 2.0, 2.0]):
        a = np.diag(levels)

        def vectors(a):
            return eig(a, gauge="biorthogonal", broadening=eta).eigenvectors

        gap = a.diagonal()[None, :] - a.diagonal()[:, None]
        want = E * gap / (gap**2 + eta**2)
        forward = jax.jvp(vectors, (a,), (E,))[1]
        np.testing.assert_allclose(forward, want, rtol=1e-12, atol=1e-13)
        _, pull = jax.vjp(vectors, a)
        reverse = float(jnp.sum(pull(WEIGHT + 0j)[0] * E))
        assert reverse == pytest.approx(float(np.sum(WEIGHT * want)), rel=1e-11)


def test_host_path_equals_lapack():
    """The road taken on devices without geev, under jit and vmap."""
    from dqc_lite.linalg.eig import _raw_host

    a = jnp.stack([SEPARATED, ROTATING])
    w, v = jax.jit(jax.vmap(functools.partial(_raw_host, vectors=True)))(a)
    np.testing.assert_allclose(a @ v, v * w[:, None, :], atol=1e-12)
    assert np.isnan(_raw_host(jnp.full((2, 2), jnp.nan), vectors=False)[0]).all()


def test_batches_equal_loops():
    a = jnp.stack([SEPARATED, ROTATING, DEGENERATE])
    grad = jax.jit(jax.grad(lambda a: jnp.sum(WEIGHT * group_projector(a).real)))
    looped = np.stack([grad(x) for x in a])
    np.testing.assert_allclose(jax.vmap(grad)(a), looped, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(eig(a)[1], np.stack([eig(x)[1] for x in a]), atol=1e-12)
    assert eigvals(a).shape == (3, N)


def test_errors_and_empty():
    with pytest.raises(InputError, match="gauge"):
        eig(jnp.eye(2), gauge="real")
    with pytest.raises(InputError, match="broadening"):
        eig(jnp.eye(2), broadening=0.0)
    with pytest.raises(InputError, match="eigvals"):
        eig(jnp.eye(2), right=False)
    with pytest.raises(InputError, match="square"):
        eigvals(jnp.ones((2, 3)))
    assert eigvals(jnp.zeros((0, 0))).shape == (0,)
    assert eig(jnp.zeros((2, 0, 0)), left=True)[1].shape == (2, 0, 0)
