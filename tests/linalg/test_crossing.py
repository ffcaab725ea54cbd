"""Generalized gradients of eigenvalues where they meet."""

import runpy
from pathlib import Path

import hermitian_reference as ref
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.errors import InputError
from dqc_lite.linalg import (
    eigenvalue_directional_derivatives,
    eigenvalue_subgradient,
    minimal_norm_subgradient,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "eigenvalue_crossing.py"


@pytest.mark.parametrize("cplx", [False, True])
@pytest.mark.parametrize("a", [ref.pairs(0.0), np.eye(6), ref.ring(), ref.complete()])
def test_directional_derivatives(a, cplx):
    """One-sided differences in 50 digits: step 1e-20, error 1e-20."""
    e = ref.hermitian(6, 5, cplx)
    step = mp.mpf(10) ** -20
    # An exactly degenerate neighbour of the float matrix, so that the reference has the level too.
    levels = np.round(np.linalg.eigvalsh(a), 9)
    exact_v = ref.eigh_exact(ref.exact(ref.hermitian(6, 8)))[1]
    point = exact_v * mp.diag([mp.mpf(x) for x in levels]) * exact_v.H
    moved, _ = ref.eigh_exact(point + step * ref.exact(e))
    expected = [float((x - mp.mpf(y)) / step) for x, y in zip(moved, sorted(levels), strict=True)]
    floats = np.array(exact_v.tolist(), dtype=float).reshape(6, 6)
    values = jax.jit(eigenvalue_directional_derivatives)((floats * levels) @ floats.T, e)
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_subgradient_set():
    a = jnp.asarray(ref.pairs(0.0))
    level = eigenvalue_subgradient(a, 2)
    assert int(level.multiplicity) == 2
    assert int(level.position) == 1
    assert float(level.value) == pytest.approx(-1.0)
    element = level.element()
    assert float(jnp.trace(element)) == pytest.approx(1.0)
    np.testing.assert_allclose(a @ element, -element, atol=1e-13)
    top = eigenvalue_subgradient(a)
    assert int(top.multiplicity) == 1
    plain = jax.grad(lambda x: jnp.linalg.eigvalsh(x)[-1])(a)
    np.testing.assert_allclose(top.element(), plain, atol=1e-12)
    g = jnp.diag(jnp.array([0.0, 1.0, 0, 0, 0, 0]))
    assert float(jnp.trace(level.element(g))) == pytest.approx(1.0)


def crossing(x):
    """Eigenvalues 3 |(x0, x2)| + (x1 - 1)^2/2 and its mirror image."""
    block = 3 * jnp.array([[x[0], x[2]], [x[2], -x[0]]])
    return block + 0.5 * (x[1] - 1) ** 2 * jnp.eye(2)


def test_least_norm_element():
    run = jax.jit(lambda x: minimal_norm_subgradient(crossing, x))
    at_crossing = run(jnp.zeros(3))
    np.testing.assert_allclose(at_crossing.subgradient, [0, -1, 0], atol=1e-9)
    assert float(at_crossing.norm) == pytest.approx(1.0)
    assert float(at_crossing.gap) < 1e-12
    smooth = run(jnp.array([0.1, 0.0, 0.0]))
    np.testing.assert_allclose(smooth.subgradient, [3, -1, 0], atol=1e-9)
    optimum = run(jnp.array([0.0, 1.0, 0.0]))
    assert float(optimum.norm) < 1e-9


def test_least_norm_is_steepest_descent():
    """The exact directional derivative of the largest eigenvalue along -g/|g| is -|g|."""
    rng = np.random.default_rng(3)
    parts = [jnp.asarray(ref.hermitian(5, 40 + i)) for i in range(4)]
    q = ref.orthogonal(5, 2)
    base = jnp.asarray((q * np.array([-1.0, 0.0, 1.0, 1.0, 1.0])) @ q.T)

    def matrix(x):
        return base + sum(t * p for t, p in zip(x["t"], parts, strict=True))

    zero = {"t": jnp.zeros(4)}
    best = jax.jit(lambda x: minimal_norm_subgradient(matrix, x, steps=3000))(zero)
    g = best.subgradient["t"]

    @jax.jit
    def slope(d):
        direction = sum(t * p for t, p in zip(d, parts, strict=True))
        return eigenvalue_directional_derivatives(base, direction)[-1]

    assert float(slope(-g / best.norm)) == pytest.approx(-float(best.norm), rel=1e-4)
    others = rng.normal(size=(200, 4))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert float(jax.vmap(slope)(jnp.asarray(others)).min()) >= -float(best.norm) * (1 + 1e-6)


def test_gap_function():
    """minus the gap above 2 states, one level on each side, against jax.grad."""
    parts = [jnp.asarray(ref.hermitian(4, 40 + i)) for i in range(2)]
    base = jnp.diag(jnp.array([-1.0, -0.5, 0.5, 1.0]))

    def matrix(x):
        return base + x[0] * parts[0] + x[1] * parts[1]

    def minus_gap(x):
        w = jnp.linalg.eigvalsh(matrix(x))
        return w[1] - w[2]

    run = jax.jit(lambda x: minimal_norm_subgradient(matrix, x, {1: 1.0, 2: -1.0}))
    result = run(jnp.zeros(2))
    np.testing.assert_allclose(result.subgradient, jax.grad(minus_gap)(jnp.zeros(2)), atol=1e-12)
    assert float(result.value) == pytest.approx(-1.0)


def test_errors_name_the_value():
    with pytest.raises(InputError, match="k=7"):
        eigenvalue_subgradient(jnp.eye(3), 7)
    with pytest.raises(InputError, match=r"jax\.vmap"):
        eigenvalue_subgradient(jnp.ones((2, 3, 3)))


def test_example_reaches_the_minimum():
    runpy.run_path(str(EXAMPLE), run_name="__main__")
