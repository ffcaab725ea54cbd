"""General matrices far from unit scale, and eigenvalues of very different size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqc_lite import linalg as la
from dqc_lite.errors import InputError

RNG = np.random.default_rng(21)
BASIS, E = np.eye(4) + 0.3 * RNG.normal(size=(4, 4)), RNG.normal(size=(4, 4))
INVERSE = np.linalg.inv(BASIS)


def sign_and_slope(w, e):
    """V sign(w) V^-1 and its derivative along e by first divided differences."""
    s = np.sign(w.real)
    gap = np.where(s[:, None] != s[None, :], w[:, None] - w[None, :], 1)
    dd = (s[:, None] - s[None, :]) / gap
    return BASIS @ np.diag(s) @ INVERSE, BASIS @ (dd * (INVERSE @ e @ BASIS)) @ INVERSE


@jax.jit
def signs(a, e):
    value, forward = jax.jvp(lambda x: la.signm(x, "gen"), (a,), (e,))
    weight = jnp.arange(16.0).reshape(4, 4)
    gradient = jax.grad(lambda x: jnp.sum((weight * la.signm(x, "gen")).real))(a)
    return value, forward, jnp.sum((gradient * e).real), jnp.sum((weight * forward).real)


@settings(max_examples=25, deadline=None)
@given(st.floats(-11, 1), st.booleans(), st.booleans())
def test_sign_beside_large_eigenvalues(exponent, negative, cmplx):
    w = np.array([10.0**exponent * (-1 if negative else 1), -1, 2, -3])
    a, e = BASIS @ np.diag(w) @ INVERSE, E
    if cmplx:
        a, e = a + 0j, e * (1 + 0.3j)
    value, slope = sign_and_slope(w, e)
    # rounding of a moves the small eigenvalue itself by 1e-15
    tol = 1e-13 + 1e-15 / abs(w[0])
    got, forward, reverse, summed = signs(a, e)
    np.testing.assert_allclose(got, value, atol=1e-12)
    np.testing.assert_allclose(forward, slope, atol=10 * tol * max(1, np.abs(slope).max()))
    np.testing.assert_allclose(reverse, summed, rtol=1e-9, atol=1e-9 * np.abs(slope).max())


def test_no_sign_on_the_imaginary_axis():
    turn = np.array([[0.0, -1], [1, 0]])
    nilpotent = np.array([[1.0, -1.0], [1.0, -1.0]])
    for a in (turn, turn + 0j, nilpotent, nilpotent + 0j, np.diag([1.0, 0]), np.zeros((2, 2))):
        assert np.isnan(la.signm(a, "gen")).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_complex_pair_beside_a_large_eigenvalue(dtype):
    large = 1e4 if dtype == "float32" else 1e8
    a = np.array([[large, 0, 0], [0, -1, -1], [0, 1, -1]], dtype)
    root, log = np.sqrt(-1 + 1j), np.log(-1 + 1j)
    tol = 100 * np.finfo(dtype).eps
    for f, z in ((la.sqrtm, root), (la.logm, log)):
        want = np.array([[z.real, -z.imag], [z.imag, z.real]])
        np.testing.assert_allclose(f(a, "gen")[1:, 1:], want, atol=tol * large**0.5)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-8, 1e-11])
def test_narrow_complex_pair(size):
    a = np.array([[-1, -size], [size, -1]])
    np.testing.assert_allclose(
        la.sqrtm(a, "gen"), [[size / 2, -1], [1, size / 2]], atol=1e-15 + size**2
    )
    want = [[size**2 / 2, size - np.pi], [np.pi - size, size**2 / 2]]
    np.testing.assert_allclose(la.logm(a, "gen"), want, atol=1e-14 + size**3)


@pytest.mark.parametrize("n", [2, 3])
def test_real_roots_of_defective_negative_matrices_do_not_exist(n):
    for _ in range(5):
        q = np.linalg.qr(RNG.normal(size=(n, n)))[0]
        a = q @ (-np.eye(n) + np.diag(np.ones(n - 1), 1)) @ q.T
        assert np.isnan(la.sqrtm(a, "gen")).all()
        assert np.isnan(la.logm(a, "gen")).all()


G = np.random.default_rng(1).normal(size=(4, 4))
SCALES = [("float32", s) for s in (1e12, 1e18, 1e30, 1e-13, 1e-20, 1e-30)]
SCALES += [("float64", s) for s in (1e139, 1e200, 1e300, 1e-145, 1e-200, 1e-290)]


@pytest.mark.parametrize(("dtype", "scale"), SCALES)
def test_eigenvalues_of_scaled_matrices(dtype, scale):
    a = (G * scale).astype(dtype)
    exact = np.sort_complex(np.linalg.eigvals(G))
    tol = 100 * np.finfo(dtype).eps
    w, v = la.eig(a)
    for values in (w, la.eigvals(a), jnp.diagonal(la.schur(a).triangular)):
        got = np.sort_complex(np.asarray(values, complex) / scale)
        np.testing.assert_allclose(got, exact, atol=10 * tol)
    ratio = np.asarray(w, complex) / scale
    np.testing.assert_allclose(G @ np.asarray(v), np.asarray(v) * ratio, atol=10 * tol)
    slope = jax.jvp(lambda x: jnp.sum((la.eigvals(x) / scale) ** 2).real, (a,), (a,))[1]
    np.testing.assert_allclose(slope, 2 * np.trace(G @ G), rtol=100 * tol)


POSITIVE = np.array([[4, 1, 0, 0.5], [1, 3, 0.2, 0], [0, 0.2, 2, 0.1], [0.5, 0, 0.1, 1]])
FAR = [("float32", 1e-12), ("float32", 1e12), ("float64", 1e-100), ("float64", 1e100)]


@pytest.mark.parametrize(("f", "degree"), [(la.sqrtm, 0.5), (la.invsqrtm, -0.5), (la.logm, 0)])
def test_second_derivatives_are_homogeneous(f, degree):
    hessian = jax.jit(jax.hessian(lambda a: f(a)[0, 1]))
    for dtype, scale in FAR:
        near = np.asarray(hessian(POSITIVE.astype(dtype)), float)
        far = np.asarray(hessian((POSITIVE * scale).astype(dtype)), float)
        tol = 200 * np.finfo(dtype).eps * np.abs(near).max()
        np.testing.assert_allclose(far * scale ** (2 - degree), near, atol=tol)


@pytest.mark.parametrize("scale", [1e-160, 1e-20, 1e20, 1e150])
def test_gradients_of_singular_subspaces_are_homogeneous(scale):
    def projector(a):
        u = la.svd(a).u[:, :2]
        return (u @ u.T)[0, 1]

    for f in (projector, lambda a: la.polar(a).unitary[0, 1]):
        gradient = jax.jit(jax.grad(f))
        near, far = gradient(G), gradient(G * scale)
        np.testing.assert_allclose(far * scale, near, atol=1e-12 * np.abs(near).max())


@pytest.mark.parametrize("large", [1e4, 1e6, 1e8])
def test_graded_triangular_matrices(large):
    a = jnp.array([[1, large], [0, 2.0]])
    want = [[0.5, -large / 4], [0, 0.25]]
    np.testing.assert_allclose(la.solve_sylvester(a, a, jnp.eye(2)), want, rtol=1e-12)
    assert abs(jax.jacfwd(la.sqrtm_general)(a)[0, 0, 0, 0] - 0.5) < 1e-8
    b = jnp.array([[0.3, large], [0, 0.5]])
    log = [[np.log(0.3), large * np.log(0.5 / 0.3) / 0.2], [0, np.log(0.5)]]
    np.testing.assert_allclose(la.logm_general(b), log, rtol=1e-13)


def test_logarithm_of_a_graded_matrix():
    diagonal = np.array([0.3235, 0.3009, 0.3221, 0.3074])
    a = np.diag(diagonal) + np.triu(np.full((4, 4), 3e4), 1)
    log = la.logm_general(a)
    np.testing.assert_allclose(jnp.diagonal(log), np.log(diagonal), rtol=1e-14)
    upper = np.triu_indices(4)
    np.testing.assert_allclose(la.expm_general(log)[upper], a[upper], rtol=4e-5)


def test_empty_and_bad_inputs():
    empty = jnp.zeros((0, 0))
    assert la.polar(empty).positive.shape == (0, 0)
    assert la.polar(jnp.zeros((3, 0))).positive.shape == (0, 0)
    assert la.fermi_density_matrix(empty, 0.0, 0.1).density_matrix.shape == (0, 0)
    for call in (
        lambda: la.spectral_gap(jnp.eye(3), 9),
        lambda: la.spectral_gap(jnp.eye(3), -1),
        lambda: la.eigh(jnp.ones((2, 3, 3)), jnp.ones((5, 3, 3))),
        lambda: la.fermi_density_matrix(jnp.eye(3), jnp.ones(2), 0.1),
        lambda: la.svd(jnp.ones((2, 2), jnp.float16)),
        lambda: la.pinv(jnp.ones((2, 2), jnp.float16)),
    ):
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("split", [1e-10, 1e-11, 1e-13])
def test_no_finite_derivative_beside_a_jordan_block(scale, split):
    a = scale * np.array([[1, 1], [split, 1]])

    def function(x):
        w, v = la.eig(x)
        return (v * jnp.tanh(w / scale)) @ jnp.linalg.inv(v)

    assert np.isnan(jax.jvp(function, (a,), (a @ (a.T / scale),))[1]).any()
