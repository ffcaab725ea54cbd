"""Functionals that libxc evaluates: values and derivatives of every order it has."""

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.dft.libxc as libxc
import pytest
from xc import libxc_oracle

from dqc_lite.errors import FunctionalError
from dqc_lite.xc.names import functional

POINTS = 6
DENSITY = {1: libxc_oracle.unpolarized, 2: libxc_oracle.polarized}


def moderate(spin: int):
    """Densities away from every cutoff: (rho, sigma, tau)."""
    rng = np.random.default_rng(5)
    rho = 10.0 ** rng.uniform(-2, 1, (2, POINTS))
    size = 10.0 ** rng.uniform(-0.7, 0.3, (2, POINTS)) * 3.0 * rho ** (4 / 3)
    sigma = np.stack([size[0] ** 2, 0.3 * size[0] * size[1], size[1] ** 2])
    tau = sigma[::2] / (8 * rho) * 1.2 + 3.0 * rho ** (5 / 3)
    whole = (rho, sigma, tau) if spin == 2 else (2 * rho[0], 4 * sigma[0], 2 * tau[0])
    return tuple(map(jnp.asarray, whole))


def total(f, spin):
    """Energy of all points, weighted, as a function of their variables."""
    weights = jnp.linspace(0.5, 1.5, POINTS)
    return lambda *v: jnp.vdot(weights, f.energy_density(DENSITY[spin](*v)))


@pytest.mark.parametrize("spin", [1, 2])
@pytest.mark.parametrize("label", ["lda_c_vwn", "gga_c_pbe", "mgga_c_tpss"])
def test_derivatives_are_libxcs(label, spin):
    """Value, gradient, and with directions d: D2 d by reverse, D3 d d by reverse, D3 d d d."""
    variables = moderate(spin)
    rows = jnp.asarray(libxc_oracle.as_rows(variables))
    along = rows * np.random.default_rng(8).uniform(-1, 1, rows.shape)
    f = functional("libxc:" + label)

    @jax.jit
    def everything(rows):
        def energy(rows):
            return f.energy_density(libxc_oracle.from_rows(rows)).sum()

        def first(rows):
            return jnp.vdot(jax.grad(energy)(rows), along)

        def second(rows):
            return jax.jvp(first, (rows,), (along,))[1]

        return [
            f.energy_density(libxc_oracle.from_rows(rows)),
            jax.grad(energy)(rows),
            jax.grad(first)(rows),
            jax.grad(second)(rows),
            jax.jvp(second, (rows,), (along,))[1],
        ]

    value, gradient, once, twice, thrice = everything(rows)
    along = np.asarray(along)
    tensors = libxc_oracle.Libxc(label, spin).tensors(np.asarray(rows), 3)
    expected = np.einsum("ijkp,ip,jp->kp", tensors[3], along, along)
    np.testing.assert_allclose(value, tensors[0], rtol=1e-11)
    np.testing.assert_allclose(gradient, tensors[1], rtol=1e-10, atol=1e-12)
    _close(once, np.einsum("ijp,ip->jp", tensors[2], along))
    _close(twice, expected)
    _close(thrice, np.vdot(expected, along))


def _close(found, expected):
    """To rounding of the largest of each variable."""
    scale = np.abs(expected).max(-1, keepdims=True)
    assert np.all(np.abs(found - expected) <= 1e-10 * scale + 1e-14)


@pytest.mark.parametrize("name", ["gga_x_b86,lyp", "r2scan01,r2scan"])
def test_values_and_first_derivatives_of_names_that_are_only_there(name):
    variables = moderate(2)
    f = functional("libxc:" + name)
    e, (vrho, vsigma, vtau) = libxc_oracle.first_derivatives(f, libxc_oracle.polarized, variables)
    expected, vxc, _, _ = libxc_oracle.evaluate(name, *variables, order=1)
    np.testing.assert_allclose(e, expected, rtol=1e-12)
    np.testing.assert_allclose(vrho, vxc[0].T, rtol=1e-12)
    np.testing.assert_allclose(vsigma, vxc[1].T, rtol=1e-12)
    if len(vxc) > 2:
        np.testing.assert_allclose(vtau, vxc[3].T, rtol=1e-12)


def test_under_vmap_and_jit():
    f = functional("libxc:gga_x_b86,lyp")
    rho, sigma, tau = moderate(1)
    batch = [jnp.stack([x, 1.1 * x, 0.9 * x]) for x in (rho, sigma, tau)]
    energy = total(f, 1)
    found = jax.jit(jax.vmap(jax.grad(energy)))(*batch)
    np.testing.assert_allclose(
        found, [jax.grad(energy)(*(x[k] for x in batch)) for k in range(3)], rtol=1e-12
    )


def test_every_order_asks_the_host_once(monkeypatch):
    from dqc_lite.integrals.host import libxc

    asked = []
    real = libxc.derivatives
    monkeypatch.setattr(libxc, "derivatives", lambda *a: asked.append(a[2]) or real(*a))
    energy, variables = total(functional("libxc:gga_x_b86,lyp"), 1), moderate(1)
    jax.jit(jax.value_and_grad(energy))(*variables)[0].block_until_ready()
    assert asked == [1]
    jax.block_until_ready(jax.jit(jax.hessian(energy))(*variables))
    assert asked == [1, 2]


def test_one_order_too_many_is_refused_while_tracing():
    energy, variables = total(functional("libxc:slater,"), 1), moderate(1)
    function = energy
    for _ in range(3):
        function = jax.grad(lambda *v, g=function: jnp.sum(g(*v)))
    assert np.isfinite(function(*variables)).all()
    fourth = jax.grad(lambda *v: jnp.sum(function(*v)))
    with pytest.raises(FunctionalError, match="order 3 only"):
        jax.make_jaxpr(fourth)(*variables)


def test_coefficients_are_libxcs():
    f = functional("libxc:camb3lyp")
    omega, alpha, beta = libxc.rsh_coeff("camb3lyp")
    assert f.omega == omega
    assert f.exact_exchange == pytest.approx(alpha + beta, abs=1e-15)
    assert f.long_range_exchange == pytest.approx(-beta, abs=1e-15)
    f = functional("libxc:wb97m_v")
    assert (f.nonlocal_correlation, f.nonlocal_weight) == ((6.0, 0.01), 1.0)
    f = functional("libxc:mpw1k")
    assert f.exact_exchange == pytest.approx(libxc.hybrid_coeff("mpw1k"))
    assert f.long_range_exchange is None
    assert f.omega is None
    f = functional("libxc:lc_wpbe")
    assert (f.exact_exchange, f.long_range_exchange, f.omega) == (None, 1.0, 0.4)
    f = functional("libxc:HF")
    assert (f.components, f.exact_exchange, f.level) == ((), 1.0, None)
    assert functional("libxc:ityh,").omega is None


def test_omega_is_fixed():
    variables = moderate(2)
    density = libxc_oracle.polarized(*variables)
    component = functional("libxc:hse06").components[0]
    expected = libxc_oracle.evaluate("hse06", *variables, order=0)[0]
    compiled = jax.jit(lambda omega: component.energy_density(density, omega))
    np.testing.assert_allclose(component.energy_density(density, 0.11), expected, rtol=1e-12)
    np.testing.assert_allclose(compiled(0.11), expected, rtol=1e-12)
    assert np.isnan(compiled(0.2)).all()
    with pytest.raises(FunctionalError, match=r"omega = 0\.2"):
        component.energy_density(density, 0.2)
    with pytest.raises(FunctionalError, match="omega"):
        jax.grad(lambda w: component.energy_density(density, w).sum())(0.11)
    held = jax.grad(lambda w: w * component.energy_density(density, jax.lax.stop_gradient(w))[0])
    assert held(0.11) == pytest.approx(expected[0], rel=1e-12)


def test_two_attenuations_of_hse03_stay_as_they_are():
    variables = moderate(1)
    found = functional("libxc:hse03").energy_density(libxc_oracle.unpolarized(*variables))
    expected = libxc_oracle.evaluate("hse03", *variables, order=0)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_nothing_in_it_is_trainable_and_it_says_so():
    f = functional("libxc:m06l,m06l")
    assert jax.tree.leaves(f.components) == []
    assert "not trainable" in repr(f)
    assert "m06l,m06l" in repr(f)
    half = 0.5 * f + functional("pbe,")
    assert half.weights == (0.5, 1.0)


def test_empty_points():
    rho = jnp.array([0.0, 1e-30, 0.1])
    sigma, tau = jnp.array([0.0, 0.0, 0.0]), jnp.array([0.0, 0.0, 0.2])
    f = functional("libxc:tpss")
    slopes = jax.grad(
        lambda *v: f.energy_density(libxc_oracle.unpolarized(*v)).sum(), (0, 1, 2)
    )(rho, sigma, tau)  # fmt: skip
    assert np.isfinite(slopes).all()
    assert (np.array(slopes)[:, :2] == 0).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("libxc:", "empty"),
        ("libxc:gga_x_pbee,", "GGA_X_PBE|gga_x_pbe"),
        ("libxc:mgga_x_br89,", "Laplacian"),
        ("libxc:lcy_blyp", "erf"),
        ("libxc:zlp", "ambiguous"),
        ("libxc:b3lyp-d3bj", "dispersion"),
        ("libxc:camb3lyp+hse06", "range separation"),
    ],
)
def test_what_is_not_understood_is_refused(name, message):
    with pytest.raises(FunctionalError, match=message):
        functional(name)
