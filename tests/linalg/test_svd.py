"""Singular value decomposition, polar factor and pseudo-inverse against mpmath at 50 digits."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.errors import InputError
from dqc_lite.linalg.svd import pinv, polar, svd

STEP = mp.mpf(10) ** -10


# functions under test; the cut of the projectors lies between the second and the third value
def left_projector(a):
    u = svd(a).u[:, :2]
    return u @ jnp.conj(u).T


def right_projector(a):
    v = jnp.conj(svd(a).vh[:2]).T
    return v @ jnp.conj(v).T


def best_rank_two(a):
    """u_k u_k^H a, the invariant form; u s vh with single values is not one."""
    return left_projector(a) @ a


def unitary(a):
    u, _, vh = svd(a)
    return u @ vh


def polar_unitary(a):
    return polar(a).unitary


def polar_positive(a):
    return polar(a).positive


def left_positive(a):
    return polar(a, "left").positive


def null_projector(a):
    """The complement of the range, by the completion of u."""
    u = svd(a, full_matrices=True).u[:, a.shape[1] :]
    return u @ jnp.conj(u).T


# the same in mpmath, without any decomposition: Newton iterations and normal equations
def mp_sign(a):
    for _ in range(60):
        a, last = (a + mp.inverse(a)) / 2, a
        if mp.mnorm(a - last, 1) < mp.mpf(10) ** -45:
            break
    return a


def mp_left_projector(a, cut=1.5):
    return (mp.eye(a.rows) + mp_sign(a * a.H - mp.mpf(cut) ** 2 * mp.eye(a.rows))) / 2


def mp_right_projector(a):
    return mp_left_projector(a.H)


def mp_best(a):
    return mp_left_projector(a) * a


def mp_unitary(a):
    if a.rows < a.cols:
        return mp_unitary(a.H).H
    return a * mp.inverse(mp.sqrtm(a.H * a))


def mp_positive(a):
    return mp_unitary(a).H * a


def mp_left_positive(a):
    return a * mp_unitary(a).H


def mp_null_projector(a):
    return mp.eye(a.rows) - a * mp.inverse(a.H * a) * a.H


def mp_pinv(a):
    if a.rows < a.cols:
        return mp_pinv(a.H).H
    return mp.inverse(a.H * a) * a.H


EXACT = {
    left_projector: mp_left_projector,
    right_projector: mp_right_projector,
    best_rank_two: mp_best,
    unitary: mp_unitary,
    polar_unitary: mp_unitary,
    polar_positive: mp_positive,
    left_positive: mp_left_positive,
    null_projector: mp_null_projector,
    pinv: mp_pinv,
}


def weights(rows, cols):
    """A weight for every entry, without symmetry and exact in both arithmetics."""
    i, j = np.indices((rows, cols))
    return ((3 * i + 5 * j) % 7 - 3) / 4 + i / 8


def reference(fun, a, e, f):
    a, e, f = (mp.matrix(np.asarray(x).tolist()) for x in (a, e, f))

    def loss(s, t):
        x = fun(a + s * STEP * e + t * STEP * f)
        g = weights(x.rows, x.cols)
        return mp.re(mp.fsum(g[i, j] * x[i, j] for i in range(x.rows) for j in range(x.cols)))

    with mp.workdps(50):
        first = (loss(1, 0) - loss(-1, 0)) / (2 * STEP)
        second = (loss(1, 1) - loss(1, -1) - loss(-1, 1) + loss(-1, -1)) / (4 * STEP**2)
        third = (loss(2, 0) - 2 * loss(1, 0) + 2 * loss(-1, 0) - loss(-2, 0)) / (2 * STEP**3)
        return float(loss(0, 0)), float(first), float(second), float(third)


def scalar(fun):
    def loss(a):
        x = fun(a)
        return jnp.sum((weights(*x.shape).astype(x.real.dtype) * x).real)

    return loss


@functools.lru_cache
def derivatives(fun):
    loss = scalar(fun)

    @jax.jit
    def run(a, e, f):
        def along(a):
            return jax.jvp(loss, (a,), (e,))[1]

        def against(a):
            return jnp.sum((jax.grad(loss)(a) * e).real)

        twice = jnp.sum((jax.grad(against)(a) * f).real)
        return loss(a), along(a), against(a), jax.jvp(along, (a,), (f,))[1], twice

    return run


def check(fun, a, e, f, tol=(1e-9, 1e-7), modes=1e-10):
    value, forward, reverse, second, twice = map(float, derivatives(fun)(a, e, f))
    want = reference(EXACT[fun], a, e, f)
    assert value == pytest.approx(want[0], rel=tol[0], abs=tol[0])
    assert forward == pytest.approx(want[1], rel=tol[0])
    assert reverse == pytest.approx(forward, rel=modes)
    assert second == pytest.approx(want[2], rel=tol[1])
    assert twice == pytest.approx(second, rel=modes)


RNG = np.random.default_rng(11)


def make(rows, cols, values, dtype=float):
    """A matrix with these singular values in random bases, and two random directions."""

    def random(m, n):
        x = RNG.normal(size=(m, n))
        return x + 1j * RNG.normal(size=(m, n)) if dtype is complex else x

    u, v = (np.linalg.qr(random(m, m))[0] for m in (rows, cols))
    k = len(values)
    a = (u[:, :k] * np.array(values)) @ v[:k]
    scale = max(values)
    return a, scale * random(rows, cols), scale * random(rows, cols)


VALUES = {
    "pair above": [2.0, 2.0, 1.0],
    "near pair": [2.0, 2.0 - 1e-9, 1.0],
    "simple": [3.0, 2.0, 1.0],
    "pair below": [2.0, 1.0, 1.0],
    "identity": [1.0, 1.0, 1.0],
}


START = RNG.bit_generator.state  # after the draws above, so that none is repeated


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    RNG.bit_generator.state = START


@pytest.mark.parametrize("name", ["pair above", "near pair", "simple"])
@pytest.mark.parametrize("fun", [best_rank_two, polar_positive, left_positive])
def test_square(fun, name):
    check(fun, *make(3, 3, VALUES[name]))


@pytest.mark.parametrize("name", VALUES)
def test_polar_factor(name):
    a, e, f = make(3, 3, VALUES[name])
    check(polar_unitary, np.eye(3) if name == "identity" else a, e, f)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4)], ids=["tall", "wide"])
@pytest.mark.parametrize("fun", [right_projector, unitary, pinv])
def test_rectangular(fun, shape):
    check(fun, *make(*shape, VALUES["pair above"]))


def test_completion():
    check(null_projector, *make(4, 3, VALUES["pair above"]))
    check(null_projector, *make(4, 3, VALUES["identity"]))


def test_rank_deficient():
    """Subspaces above the cut, with exact zeros below: a null value, a null cluster."""
    for fun in (left_projector, right_projector):
        check(fun, *make(4, 3, [2.0, 2.0, 0.0]))
    check(left_projector, *make(4, 4, [2.0, 2.0, 0.0, 0.0]))


def top_vector(a):
    u = svd(a).u[:, :1]
    return u @ jnp.conj(u).T


EXACT[top_vector] = mp_left_projector


@pytest.mark.parametrize("dtype", [float, complex])
def test_rank_one(dtype):
    check(top_vector, *make(4, 3, [2.0], dtype))


def test_complex():
    for fun in (unitary, left_projector):
        check(fun, *make(3, 3, VALUES["pair above"], complex))


@pytest.mark.parametrize("fun", [unitary, pinv])
def test_single_precision(fun):
    a, e, f = (x.astype(np.float32) for x in make(3, 3, VALUES["pair above"]))
    # an exact pair in float32: a diagonal one, rotated values would only be a near pair
    a = np.diag(np.float32([2.0, 2.0, 1.0]))
    check(fun, a, e, f, (3e-5, 1e-3), 1e-3)


@pytest.mark.parametrize("scale", [1e8, 1e-8, 2.0**54])
def test_scaling(scale):
    a, e, f = make(3, 3, VALUES["pair above"])
    want = derivatives(unitary)(a, e, f)
    got = derivatives(unitary)(scale * a, scale * e, scale * f)
    exact = reference(mp_unitary, a, e, f)
    np.testing.assert_allclose(got, want, rtol=1e-9)
    assert float(got[3]) == pytest.approx(exact[2], rel=1e-7)


def test_third_order():
    a, e, f = make(3, 3, VALUES["pair above"])
    loss = scalar(unitary)

    def along(fun):
        return lambda a: jax.jvp(fun, (a,), (e,))[1]

    def against(fun):
        return lambda a: jnp.sum(jax.grad(fun)(a) * e)

    want = reference(mp_unitary, a, e, f)[3]
    assert float(jax.jit(along(along(along(loss))))(a)) == pytest.approx(want, rel=1e-5)
    assert float(jax.jit(against(along(against(loss))))(a)) == pytest.approx(want, rel=1e-5)


def test_singular_values():
    """d s_i = u_i^T da v_i for simple values; the sum over a pair; sum s^2 to second order."""
    a, e, _ = make(3, 3, VALUES["simple"])
    u, _, vh = np.linalg.svd(a)
    tangent = jax.jit(lambda: jax.jvp(lambda a: svd(a).s, (a,), (e,))[1])()
    np.testing.assert_allclose(tangent, np.diag(u.T @ e @ vh.T), rtol=1e-10)
    squares = jax.grad(lambda a: jnp.sum(svd(a).s ** 2))
    hessian = jax.jit(lambda: jax.jvp(squares, (a,), (e,))[1])()
    np.testing.assert_allclose(hessian, 2 * e, rtol=1e-9, atol=1e-9)
    a, e, _ = make(3, 3, [2.0, 2.0, 0.0])
    np.testing.assert_allclose(jax.jit(squares)(a), 2 * a, rtol=1e-9, atol=1e-12)


def test_pinv_keeps_rank():
    """Moving the factors of B C keeps the rank: pinv = pinv(C) pinv(B), full-rank inverses."""
    b, c = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 3))
    e, f = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 3))
    weight = weights(3, 4)

    def loss(b, c):
        return jnp.sum(weight * pinv(b @ c, rtol=1e-10))

    def along(b, c):
        return jax.jvp(loss, (b, c), (e, f))[1]

    first, second = jax.jit(lambda: jax.jvp(along, (b, c), (e, f)))()
    b, c, e, f = (mp.matrix(x.tolist()) for x in (b, c, e, f))

    def exact(t):
        t = t * STEP
        x = mp_pinv(c + t * f) * mp_pinv(b + t * e)
        return mp.fsum(weight[i, j] * x[i, j] for i in range(3) for j in range(4))

    with mp.workdps(50):
        want = (exact(1) - exact(-1)) / (2 * STEP)
        curve = (exact(1) - 2 * exact(0) + exact(-1)) / STEP**2
    assert float(first) == pytest.approx(float(want), rel=1e-9)
    assert float(second) == pytest.approx(float(curve), rel=1e-7)


def test_polar_without_full_rank_is_nan():
    a, e, _ = make(3, 3, [2.0, 1.0, 0.0])
    assert np.isfinite(polar(a).unitary).all()
    assert np.isnan(jax.jit(jax.grad(scalar(polar_unitary)))(a)).all()
    assert np.isnan(jax.jvp(polar_unitary, (a,), (e,))[1]).all()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3), (1, 3)])
def test_factorization(shape, full):
    a = RNG.normal(size=(2, *shape))
    u, s, vh = svd(a, full)
    k = min(shape)
    np.testing.assert_allclose((u[..., :k] * s[:, None]) @ vh[..., :k, :], a, atol=1e-13)
    assert u.shape == (2, shape[0], shape[0] if full else k)
    assert vh.shape == (2, shape[1] if full else k, shape[1])
    w, p = polar(a)
    np.testing.assert_allclose(w @ p, a, atol=1e-13)
    np.testing.assert_allclose(pinv(a), np.linalg.pinv(a), atol=1e-12)


def test_batches_equal_loops():
    a = np.stack([make(3, 3, VALUES[name])[0] for name in ("pair above", "simple", "identity")])
    grad = jax.jit(jax.grad(lambda a: jnp.sum(weights(3, 3) * polar(a).unitary)))
    looped = np.stack([grad(x) for x in a])
    np.testing.assert_allclose(grad(a), looped, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(jax.vmap(grad)(a), looped, rtol=1e-11, atol=1e-12)


def test_errors():
    with pytest.raises(InputError, match="matrices"):
        svd(jnp.ones(3))
    with pytest.raises(InputError, match="side"):
        polar(jnp.eye(2), "top")
