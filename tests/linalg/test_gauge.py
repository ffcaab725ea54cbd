"""gauge_check tells the three kinds of functions apart; spectral_value_and_grad is exact."""

import hermitian_reference as ref
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.linalg import gauge_check, spectral_value_and_grad

B = ref.hermitian(6, 11)
BC = ref.hermitian(6, 11, cplx=True)


def projector(w, v):
    return jnp.real(jnp.trace(BC @ v[:, :3] @ v[:, :3].conj().T))


def exponential(w, v):
    return jnp.real(jnp.trace(BC @ (v * jnp.exp(w)) @ v.conj().T))


def one_vector(w, v):
    return jnp.abs(v[0, 1]) ** 2


def one_eigenvalue(w, v):
    return w[1]


def one_component(w, v):
    return jnp.real(v[0, 0])


@pytest.mark.parametrize("cplx", [False, True])
@pytest.mark.parametrize(
    ("h", "flags"),
    [  # basis, phase, individual eigenvalues, smooth in the matrix
        (projector, (False, False, False, True)),
        (exponential, (False, False, True, True)),
        (one_vector, (True, False, False, False)),
        (one_eigenvalue, (False, False, True, False)),
        (one_component, (False, True, False, False)),
    ],
)
def test_verdicts(h, flags, cplx):
    report = jax.jit(gauge_check(h))(jnp.asarray(ref.pairs(0.0, cplx)))
    basis, phase, individual, smooth = (bool(x) for x in report[6:])
    if h is one_component and cplx:
        basis = False  # a phase is a basis choice of a single complex vector
    assert (basis, phase, individual, smooth) == flags
    assert bool(report.eigh_is_exact) == (not any(flags[:3]))
    assert "verdict" in str(report)


def test_everything_passes_at_separate_eigenvalues():
    report = jax.jit(gauge_check(one_vector))(jnp.asarray(ref.pairs(0.3)))
    assert report.eigh_is_exact
    assert report.smooth_in_matrix


def test_figures_scale_with_the_dependence():
    a = jnp.asarray(ref.pairs(0.0))
    for size in (1e-3, 1e-1):
        report = jax.jit(gauge_check(lambda w, v, s=size: projector(w, v) + s * v[0, 1] ** 2))(a)
        assert size * 1e-3 < float(report.basis_dependence) < size
        assert report.depends_on_basis


@pytest.mark.parametrize("cplx", [False, True])
@pytest.mark.parametrize("gap", [1e-1, 1e-4, 1e-5, 1e-6, 1e-8, 1e-12, 0.0])
def test_gradient_of_a_matrix_function(gap, cplx):
    """V exp(w) V^H, whose in-level limits no rule on (w, V) can know."""
    a, e = ref.pairs(gap, cplx), ref.hermitian(6, 20, cplx)
    value, grad = jax.jit(spectral_value_and_grad(exponential))(jnp.asarray(a))
    f = ref.function_exact(mp.exp)
    line = ref.along(a, [e], lambda x: ref.trace_exact(ref.exact(BC), f(x)))
    assert ref.relative(value, line(mp.mpf(0))) < 1e-13
    assert ref.relative(jnp.real(jnp.sum(grad * e)), ref.derivative_exact(line, 1)) < 1e-9


def test_squares_and_exponentials_at_the_identity():
    b = ref.hermitian(4, 3)
    square = spectral_value_and_grad(lambda w, v: jnp.trace(b @ (v * w**2) @ v.T))
    np.testing.assert_allclose(jax.jit(square)(jnp.eye(4))[1], 2 * b, atol=1e-13)
    exp = spectral_value_and_grad(lambda w, v: jnp.trace(b @ (v * jnp.exp(w)) @ v.T))
    np.testing.assert_allclose(jax.jit(exp)(jnp.eye(4))[1], np.e * b, atol=1e-13)


def test_canonical_second_order_perturbation_theory():
    """MP2 with denominators of single eigenvalues, degenerate occupied and virtual pairs."""
    a, e = ref.rotated([-1.0, -1.0, 0.5, 0.5], 1), ref.hermitian(4, 20)
    half = np.random.default_rng(9).normal(size=(3, 4, 4))
    half = half + half.transpose(0, 2, 1)
    g = np.einsum("xpq,xrs->pqrs", half, half)

    def mp2(w, v):
        o, u = v[:, :2], v[:, 2:]
        k = jnp.einsum("pqrs,pi,qa,rj,sb->iajb", g, o, u, o, u)
        d = w[:2, None] - w[2:]
        return jnp.sum(k**2 / (d[:, :, None, None] + d))

    def exact(x):
        w, c = ref.eigh_exact(x)
        k = np.array([mp.mpf(t) for t in g.ravel()], dtype=object).reshape(g.shape)
        c = np.array(c.tolist(), dtype=object).reshape(4, 4)
        for block in (c[:, :2], c[:, 2:], c[:, :2], c[:, 2:]):
            k = np.tensordot(k, block, axes=(0, 0))
        d = np.array(w[:2], dtype=object)[:, None] - np.array(w[2:], dtype=object)
        return (k**2 / (d[:, :, None, None] + d)).sum()

    _, grad = jax.jit(spectral_value_and_grad(mp2))(jnp.asarray(a))
    expected = ref.derivative_exact(ref.along(a, [e], exact), 1)
    assert ref.relative(jnp.sum(grad * e), expected) < 1e-9
    report = jax.jit(gauge_check(mp2))(jnp.asarray(a))
    assert report.smooth_in_matrix
    assert not report.eigh_is_exact


def test_no_gradient_is_nan():
    a = jnp.stack([ref.pairs(0.0), ref.pairs(0.3)])
    for h in (one_vector, one_eigenvalue):
        _, grad = jax.jit(jax.vmap(spectral_value_and_grad(h)))(a)
        assert np.isnan(grad[0]).all()
        plain = jax.grad(lambda x, h=h: h(*jnp.linalg.eigh(x)))(a[1])
        np.testing.assert_allclose(grad[1], plain, atol=1e-12)
