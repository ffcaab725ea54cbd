"""eigh, eigvalsh and eigh_block: the contract, at and near repeated eigenvalues."""

import functools

import hermitian_reference as ref
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.errors import InputError
from dqc_lite.linalg import eigh, eigh_block, eigvalsh

TOLERANCE = {1: 1e-9, 2: 1e-7, 3: 1e-5}
MODES = {"forward": ref.forward, "reverse": ref.reverse, "mixed": ref.mixed}


def projector_loss(n, k, cplx=False, **options):
    b = jnp.asarray(ref.hermitian(n, 11, cplx))

    def loss(a):
        v = eigh(a, **options).eigenvectors[:, :k]
        return jnp.real(jnp.trace(b @ v @ v.conj().T))

    return loss


@functools.cache
def derivatives(n, k, m, cplx=False, blocks=None, check=False):
    loss = projector_loss(n, k, cplx, blocks=blocks, check=check)
    return [mode(loss, m) for mode in ([ref.forward, ref.reverse] + [ref.mixed] * (m == 2))]


def check_projector(a, k, m, cplx=False, blocks=None, check=False):
    n = len(a)
    es = [ref.hermitian(n, 20 + i, cplx) for i in range(m)]
    b, p = ref.exact(ref.hermitian(n, 11, cplx)), ref.projector_exact(k)
    exact = ref.derivative_exact(ref.along(a, es, lambda x: ref.trace_exact(b, p(x))), m)
    values = [float(f(jnp.asarray(a), *es)) for f in derivatives(n, k, m, cplx, blocks, check)]
    for value in values:
        assert ref.relative(value, exact) < TOLERANCE[m]
    assert np.ptp(values) < 1e-10 * abs(values[0])


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("gap", [1e-1, 1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14, 1e-16, 0.0])
def test_declared_blocks_at_every_gap(gap, m):
    check_projector(ref.pairs(gap), 3, m, blocks=(3, 3))


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("gap", [1e-16, 0.0])
def test_found_levels(gap, m):
    check_projector(ref.pairs(gap), 3, m)


@pytest.mark.parametrize("m", [1, 2])
def test_complex(m):
    check_projector(ref.pairs(0.0, cplx=True), 3, m, cplx=True)


@pytest.mark.parametrize(
    ("a", "k"),
    [(ref.ring(), 3), (ref.cube(), 4), (ref.complete(), 1), (ref.grid(), 3)],
    ids=["ring", "cube", "complete", "grid"],
)
def test_graphs_second_order(a, k):
    check_projector(a, k, 1)
    check_projector(a, k, 2)


@pytest.mark.parametrize(("gap", "m"), [(1e-4, 1), (1e-6, 1), (1e-4, 2)])
def test_error_law_of_found_levels(gap, m):
    """Just above the tolerance the error is epsilon/gap^m, as documented, and not much less."""
    a, es = ref.pairs(gap), [ref.hermitian(6, 20 + i) for i in range(m)]
    b, p = ref.exact(ref.hermitian(6, 11)), ref.projector_exact(3)
    exact = ref.derivative_exact(ref.along(a, es, lambda x: ref.trace_exact(b, p(x))), m)
    for f in derivatives(6, 3, m):
        assert ref.relative(f(jnp.asarray(a), *es), exact) < 100 * 2.2e-16 / gap**m


@pytest.mark.parametrize("scale", [1e8, 1e-8, 2.0**54])
def test_scale(scale):
    a, e = ref.pairs(0.0), ref.hermitian(6, 20)
    for m in (1, 2):
        for f in derivatives(6, 3, m):
            expected = float(f(a, *[e] * m))
            assert f(a * scale, *[e * scale] * m) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("m", "tolerance"), [(1, 3e-5), (2, 1e-3)])
def test_single_precision(m, tolerance):
    a = ref.pairs(0.0).astype(np.float32)
    es = [ref.hermitian(6, 20 + i).astype(np.float32) for i in range(m)]
    b = ref.hermitian(6, 11).astype(np.float32)
    exact = ref.derivative_exact(
        ref.along(a, es, lambda x: ref.trace_exact(ref.exact(b), ref.projector_exact(3)(x))), m
    )

    def loss(x):
        v = eigh(x).eigenvectors[:, :3]
        return jnp.trace(b @ v @ v.T)

    for mode in (ref.forward, ref.reverse):
        value = mode(loss, m)(jnp.asarray(a), *es)
        assert value.dtype == jnp.float32
        assert ref.relative(value, exact) < tolerance


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("blocks", [None, (3, 3)])
def test_isolated_eigenvalue_to_second_order(name, blocks):
    """An isolated eigenvalue stays exact one by one, also inside a declared block."""
    a, es = ref.pairs(0.0), [ref.hermitian(6, 20 + i) for i in range(2)]
    exact = ref.derivative_exact(ref.along(a, es, lambda x: ref.eigh_exact(x)[0][0]), 2)
    value = MODES[name](lambda x: eigh(x, blocks=blocks).eigenvalues[0], 2)(jnp.asarray(a), *es)
    assert ref.relative(value, exact) < 1e-9


def test_eigenvalues_times_vectors_in_blocks():
    """Eigenvalues and vectors together, orders 1 and 2: sum of a level's w times its projector."""
    a, b = ref.pairs(0.0), ref.hermitian(6, 11)

    def loss(x):
        w, v = eigh(x, blocks=(3, 3))
        return (w[1] + w[2]) * jnp.trace(b @ v[:, :3] @ v[:, :3].T) * w[0]

    def exact(x):
        w, _ = ref.eigh_exact(x)
        return (w[1] + w[2]) * ref.trace_exact(ref.exact(b), ref.projector_exact(3)(x)) * w[0]

    for m in (1, 2):
        es = [ref.hermitian(6, 20 + i) for i in range(m)]
        expected = ref.derivative_exact(ref.along(a, es, exact), m)
        for mode in (ref.forward, ref.reverse):
            assert ref.relative(mode(loss, m)(jnp.asarray(a), *es), expected) < TOLERANCE[m]


def test_identity_and_the_snippets_of_issue_669():
    """JAX issue 669: gradients of sums over eigh of identity and of repeated spectra."""
    for a in (jnp.eye(3), jnp.eye(4, dtype=jnp.complex128), jnp.zeros((3, 3))):
        grad = jax.grad(lambda x: jnp.real(jnp.sum(eigh(x).eigenvalues)))(a)
        np.testing.assert_allclose(grad, np.eye(len(a)), atol=1e-14)
        v_grad = jax.grad(lambda x: jnp.sum(jnp.abs(eigh(x).eigenvectors) ** 2))(a)
        np.testing.assert_allclose(v_grad, 0, atol=1e-14)
    a = jnp.ones((3, 3))  # eigenvalues 0, 0, 3
    jac = jax.jit(jax.jacobian(lambda x: eigh(x)[1][:, 2:] @ eigh(x)[1][:, 2:].T))(a)
    assert np.isfinite(jac).all()
    e = ref.hermitian(3, 1)
    tangent = jnp.einsum("ijkl,kl->ij", jac, e)
    u = np.ones(3) / 3**0.5
    q = np.eye(3) - np.outer(u, u)
    np.testing.assert_allclose(
        tangent, (q @ e @ np.outer(u, u) + np.outer(u, u) @ e @ q) / 3, atol=1e-13
    )


def test_values_and_conventions():
    for cplx in (False, True):
        a = ref.pairs(1e-3, cplx)
        w, v = eigh(jnp.asarray(a))
        np.testing.assert_allclose(a @ v, v * w, atol=1e-13)
        np.testing.assert_allclose(v.conj().T @ v, np.eye(6), atol=1e-13)
        assert (np.diff(w) >= 0).all()
        np.testing.assert_allclose(eigvalsh(jnp.asarray(a)), w)
    pivot = np.abs(v).argmax(0)
    np.testing.assert_allclose(np.imag(np.asarray(v)[pivot, range(6)]), 0, atol=1e-3)


@pytest.mark.parametrize("cplx", [False, True])
def test_generalized(cplx):
    a, b = ref.pairs(0.0, cplx), np.eye(6) + 0.1 * ref.hermitian(6, 3, cplx)
    w, c = eigh(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(a @ c, b @ c * w, atol=1e-12)
    np.testing.assert_allclose(c.conj().T @ b @ c, np.eye(6), atol=1e-12)


@pytest.mark.parametrize("m", [1, 2])
def test_generalized_in_the_direction_of_b(m):
    """S = 1, degenerate F: the density matrix and its energy along both directions."""
    f, d = ref.pairs(0.0), ref.hermitian(6, 11)
    fs = [ref.hermitian(6, 20 + i) for i in range(m)]
    ss = [0.3 * ref.hermitian(6, 30 + i) for i in range(m)]

    def loss(x):
        w, c = eigh(x[0], x[1], blocks=(3, 3))
        return jnp.trace(d @ c[:, :3] @ c[:, :3].T) + w[1] + w[2]

    def exact(*t):
        f_t = ref.moved(f, fs, t)
        s_t = ref.moved(np.eye(6), ss, t)
        half = ref.function_exact(lambda x: 1 / mp.sqrt(x))(s_t)
        w, u = ref.eigh_exact(half * f_t * half)
        c = half * u[:, :3]
        return ref.trace_exact(ref.exact(d), c * c.H) + w[1] + w[2]

    expected = ref.derivative_exact(exact, m)
    directions = [jnp.stack(pair) for pair in zip(fs, ss, strict=True)]
    for mode in (ref.forward, ref.reverse):
        value = mode(loss, m)(jnp.stack([f, np.eye(6)]), *directions)
        assert ref.relative(value, expected) < TOLERANCE[m]


# --- check=True: correct or NaN ----------------------------------------------------------------

B6 = ref.hermitian(6, 11)
WRONG = {
    "one vector of a level": lambda w, v: v[0, 1] ** 2,
    "one eigenvalue of a level": lambda w, v: w[1],
    "squares of eigenvalues weighted by projector": lambda w, v: jnp.trace(B6 @ (v * w**2) @ v.T),
    "exponential": lambda w, v: jnp.trace(B6 @ (v * jnp.exp(w)) @ v.T),
    "sum of all components": lambda w, v: jnp.sum(v),
}
RIGHT = {
    "projector": lambda w, v: jnp.trace(B6 @ v[:, :3] @ v[:, :3].T),
    "level sum": lambda w, v: (w[1] + w[2]) ** 2 + w[0],
    "level projector times mean": lambda w, v: (w[1] + w[2]) * v[0, 1:3] @ v[2, 1:3],
}


@pytest.mark.parametrize("wrap", [jax.jit, lambda f: jax.jit(lambda a: jax.vmap(f)(a[None])[0])])
def test_check_is_nan_outside_the_contract(wrap):
    a = jnp.asarray(ref.pairs(0.0))
    for name, h in WRONG.items():
        grad = wrap(jax.grad(lambda x, h=h: h(*eigh(x, check=True))))(a)
        assert np.isnan(grad).any(), name


@pytest.mark.parametrize("wrap", [jax.jit, lambda f: jax.jit(lambda a: jax.vmap(f)(a[None])[0])])
def test_check_is_exact_inside_the_contract(wrap):
    a, e = jnp.asarray(ref.pairs(0.0)), ref.hermitian(6, 20)
    for name, h in RIGHT.items():
        grad = wrap(jax.grad(lambda x, h=h: h(*eigh(x, check=True))))(a)
        plain = jax.jvp(lambda x, h=h: h(*eigh(x)), (a,), (jnp.asarray(e),))[1]
        np.testing.assert_allclose(jnp.sum(grad * e), plain, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("m", [1, 2])
def test_check_against_the_reference(m):
    check_projector(ref.pairs(0.0), 3, m, check=True)


def test_check_batches_flag_their_own_members():
    a = jnp.stack([ref.pairs(0.0), ref.pairs(0.3)])
    grad = jax.grad(lambda x: jnp.sum(eigh(x, check=True).eigenvectors[:, 0, 1] ** 2))(a)
    assert np.isnan(grad[0]).all()
    assert np.isfinite(grad[1]).all()


def test_check_second_order_of_eigenvalue_squares():
    """sum w^2 over a level passes at order 1 (and is right); at order 2 it must not be silent."""
    a, e = jnp.asarray(np.eye(3)), ref.hermitian(3, 5)

    def grad(x):
        return jax.grad(lambda y: jnp.sum(eigh(y, check=True).eigenvalues ** 2))(x)

    np.testing.assert_allclose(grad(a), 2 * a, atol=1e-13)
    assert np.isnan(jax.jvp(grad, (a,), (e,))[1]).any()
    assert np.isnan(jax.grad(lambda x: jnp.sum(grad(x) * e))(a)).any()


def test_check_complex_phase():
    a = jnp.asarray(ref.pairs(0.3, cplx=True))
    grad = jax.grad(lambda x: jnp.real(eigh(x, check=True).eigenvectors[0, 1]))(a)
    assert np.isnan(grad).any()


def test_block_boundary_inside_a_level_is_nan():
    a = jnp.asarray(ref.pairs(0.0))
    for solver in (lambda x: eigh(x, blocks=(2, 4))[1], lambda x: eigh_block(x, (2, 4))[0]):
        grad = jax.grad(lambda x, s=solver: (s(x)[:, :2] @ s(x)[:, :2].T)[0, 1])(a)
        assert np.isnan(grad).any()


def test_batches_equal_loops():
    a = jnp.stack([ref.pairs(g) for g in (0.1, 1e-9, 0.0)]).reshape(3, 1, 6, 6)

    @jax.jit
    def grad(x):
        def loss(y):
            w, v = eigh(y, blocks=(3, 3))
            p = v[..., :3] @ jnp.swapaxes(v[..., :3], -1, -2)
            return jnp.sum(B6 * p) + jnp.sum(w[..., 0])

        return jax.grad(loss)(x)

    @jax.jit
    def second(x):
        return jax.jvp(grad, (x,), (jnp.broadcast_to(ref.hermitian(6, 20), x.shape),))[1]

    for f in (grad, second):
        looped = jnp.stack([f(x[0]) for x in a])[:, None]
        np.testing.assert_allclose(f(a), looped, atol=1e-11)
        np.testing.assert_allclose(jax.vmap(f)(a), looped, atol=1e-11)


# --- MP2-like sums, through eigh_block ---------------------------------------------------------


def mp2_block(f, g, nocc):
    """sum |<ia|g|jb>|^2 / (e_i + e_j - e_a - e_b) with the blocks of F as matrices."""
    n = f.shape[0]
    v, h = eigh_block(f, (nocc, n - nocc))
    o, u = v[:, :nocc], v[:, nocc:]
    ho, hv = h[:nocc, :nocc], h[nocc:, nocc:]
    k = jnp.einsum("pqrs,pi,qa,rj,sb->iajb", g, o, u, o, u)

    def operator(t):
        out = jnp.einsum("ik,kajb->iajb", ho, t) + jnp.einsum("jk,iakb->iajb", ho, t)
        return out - jnp.einsum("ac,icjb->iajb", hv, t) - jnp.einsum("bc,iajc->iajb", hv, t)

    d = jax.lax.stop_gradient((jnp.diag(ho)[:, None] - jnp.diag(hv)).ravel())
    d = (d[:, None] + d).reshape(k.shape)
    t = jax.lax.custom_linear_solve(operator, k, lambda _, b: b / d, lambda _, b: b / d)
    return jnp.sum(t * k)


def mp2_exact(g, nocc):
    """The same sum over canonical states."""
    n = g.shape[0]
    gm = np.array([mp.mpf(x) for x in g.ravel()], dtype=object).reshape(g.shape)

    def run(a):
        w, v = ref.eigh_exact(a)
        c = np.array(v.tolist(), dtype=object).reshape(n, n)
        k = gm
        for block in (c[:, :nocc], c[:, nocc:], c[:, :nocc], c[:, nocc:]):
            k = np.tensordot(k, block, axes=(0, 0))
        wo, wv = np.array(w[:nocc], dtype=object), np.array(w[nocc:], dtype=object)
        ia = wo[:, None] - wv
        return (k**2 / (ia[:, :, None, None] + ia)).sum()

    return run


@pytest.mark.parametrize("m", [1, 2])
def test_mp2_over_degenerate_occupied_and_virtual_pairs(m):
    a = ref.rotated([-1.0, -1.0, 0.5, 0.5], 1)
    half = np.random.default_rng(9).normal(size=(3, 4, 4))
    half = half + half.transpose(0, 2, 1)
    g = np.einsum("xpq,xrs->pqrs", half, half)
    es = [ref.hermitian(4, 20 + i) for i in range(m)]
    expected = ref.derivative_exact(ref.along(a, es, mp2_exact(g, 2)), m)
    for mode in (ref.forward, ref.reverse):
        value = mode(lambda x: mp2_block(x, jnp.asarray(g), 2), m)(jnp.asarray(a), *es)
        assert ref.relative(value, expected) < TOLERANCE[m]


def test_errors_name_the_remedy():
    with pytest.raises(InputError, match="add up"):
        eigh(jnp.eye(3), blocks=(1, 1))
    with pytest.raises(InputError, match="must agree"):
        eigh(jnp.eye(3), jnp.eye(2))
    with pytest.raises(InputError, match="add up"):
        eigh_block(jnp.eye(3), (4, -1))
