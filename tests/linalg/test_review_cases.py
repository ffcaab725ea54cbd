"""Inputs on which plausible implementations are silently wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dqc_lite import linalg

RNG = np.random.default_rng(12)


def _rotated_jordan(n: int) -> np.ndarray:
    q = np.linalg.qr(RNG.normal(size=(n, n)))[0]
    return q @ (1.3 * np.eye(n) + np.diag(np.ones(n - 1), 1)) @ q.T


@pytest.mark.parametrize("n", [2, 3, 5])
def test_rotated_jordan_block_is_recognized(n: int) -> None:
    """Rounding splits its eigenvalues: the derivative is NaN all the same."""
    for _ in range(5):
        a, e = _rotated_jordan(n), RNG.normal(size=(n, n))
        assert np.isnan(jax.jvp(linalg.eigvals, (a,), (e,))[1]).all()
        second = jax.grad(
            lambda t: jnp.sum(linalg.eigvals(a + t * e) ** 2).real  # noqa: B023
        )
        assert np.isnan(jax.grad(second)(0.0))


def test_semisimple_repeated_values_are_not_taken_for_defective() -> None:
    x = np.eye(4) + 0.3 * RNG.normal(size=(4, 4))
    a = x @ np.diag([1.0, 1.0, 2.0, 3.0]) @ np.linalg.inv(x)
    e = RNG.normal(size=(4, 4))
    slope = jax.jvp(lambda m: jnp.sum(linalg.eigvals(m)), (a,), (e,))[1]
    np.testing.assert_allclose(slope.real, np.trace(e), rtol=1e-10)


@pytest.mark.parametrize("function", [linalg.funm, lambda a, f: linalg.funm(a, f, hermitian=False)])
def test_function_with_state(function) -> None:
    """A method whose object has changed is another function."""

    class Exponential:
        b = 1.0

        def __call__(self, x):
            return jnp.exp(self.b * x)

    f, a = Exponential(), jnp.eye(2)
    assert abs(complex(function(a, f)[0, 0]) - np.e) < 1e-12
    f.b = 2.0
    assert abs(complex(function(a, f)[0, 0]) - np.e**2) < 1e-12


def test_captured_values_under_vmap() -> None:
    a = jnp.asarray(np.diag([1.0, 2.0]) + np.diag([0.5], 1))
    times = jnp.arange(3.0)
    batched = jax.vmap(lambda t: linalg.funm(a, lambda z: jnp.exp(z * t), hermitian=False))(times)
    looped = [linalg.funm(a, lambda z: jnp.exp(z * t), hermitian=False) for t in times]  # noqa: B023
    np.testing.assert_allclose(batched, looped, atol=1e-12)


@pytest.mark.parametrize("h", [lambda w, v: v[0, 0], lambda w, v: v[0, 0] * v[1, 0] + w.sum()])
def test_no_finite_gradient_of_what_depends_on_the_basis(h) -> None:
    assert np.isnan(linalg.spectral_value_and_grad(h)(jnp.eye(3))[1]).all()


@pytest.mark.parametrize("condition", [1e2, 1e6])
def test_cut_level_with_ill_conditioned_overlap(condition: float) -> None:
    """The reduction spoils eigenvalues by eps cond(b): a split of that size is no gap."""
    n = 6
    q = np.linalg.qr(RNG.normal(size=(n, n)))[0]
    b = q @ np.diag(np.geomspace(1, 1 / condition, n)) @ q.T
    half = np.linalg.cholesky(b)
    u = np.linalg.qr(RNG.normal(size=(n, n)))[0]
    a = half @ u @ np.diag([-1.0, 1, 1, 2, 3, 4]) @ u.T @ half.T
    _, cut = linalg.spectral_projector(a, 2, b, return_status=True)
    _, whole = linalg.spectral_projector(a, 3, b, return_status=True)
    assert not cut.defined
    assert whole.defined


def test_sign_of_tiny_numbers() -> None:
    a = jnp.asarray(np.diag([-1.0, 2.0]) * 1e-24, jnp.float32)
    e = jnp.asarray([[0, 1], [1, 0]], jnp.float32)
    slope = jax.jvp(linalg.signm, (a,), (e,))[1]
    np.testing.assert_allclose(slope[0, 1], 2 / 3e-24, rtol=1e-5)


def test_positive_functions_at_singular_matrices() -> None:
    """Rounding leaves zero eigenvalues of either sign: they are zero all the same."""
    for _ in range(4):
        v = RNG.normal(size=(5, 2))
        a, e = v @ v.T, RNG.normal(size=(5, 5))
        e = e + e.T
        root = linalg.sqrtm(a)
        np.testing.assert_allclose(root @ root, a, atol=1e-12)
        cube = linalg.powm(a, 1.5)
        np.testing.assert_allclose(cube, a @ root, atol=1e-11)
        # x^1.5 is differentiable along v dv^T + dv v^T, which stays positive
        d = RNG.normal(size=v.shape)

        def power(t):
            moved = v + t * d  # noqa: B023
            return linalg.powm(moved @ moved.T, 1.5)

        slope = jax.jvp(power, (0.0,), (1.0,))[1]
        expected = (power(1e-4) - power(-1e-4)) / 2e-4
        np.testing.assert_allclose(slope, expected, atol=1e-5 * np.abs(expected).max())
        assert np.isnan(linalg.logm(a)).all()
        assert np.isnan(linalg.invsqrtm(a)).all()
        assert not np.isfinite(jax.jvp(linalg.sqrtm, (a,), (e,))[1]).all()


def test_general_functions_at_singular_matrices() -> None:
    x = np.eye(4) + 0.3 * RNG.normal(size=(4, 4))
    a, e = x @ np.diag([0.0, 1, 2, 3]) @ np.linalg.inv(x), RNG.normal(size=(4, 4))
    a = np.where(np.abs(a) < 1e-16, 0, a)
    assert np.isnan(linalg.logm(a, "gen")).all()
    shifted = a + 1e-3 * np.eye(4)
    assert np.isfinite(linalg.logm(shifted, "gen")).all()
    slope = jax.jvp(lambda m: linalg.sqrtm(m, "gen"), (a,), (e,))[1]
    assert not np.isfinite(slope).all()
    assert np.isfinite(jax.jvp(lambda m: linalg.sqrtm(m, "gen"), (shifted,), (e,))[1]).all()
