"""Exact conditions of meta-GGAs, their limits, and where libxc is not exact."""

import ctypes
import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from xc import libxc_oracle as oracle
from xc import many_digits

from dqc_lite.xc import m06, scan, tpss
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.reduced import UNIFORM_TAU
from dqc_lite.xc.slater import SlaterExchange

COMPILER = {"xla_backend_optimization_level": 0}
LABELS = tpss.LABELS | scan.LABELS | m06.LABELS
CORRELATION = sorted(label for label in LABELS if "_c_" in label)


def libxc(label: str, spin: int, zeta: float | None = None, enforce: bool = True):
    """`oracle.Libxc` with the threshold of 1 - |zeta|, and the bound tau >= tau_W, as wanted."""
    functional = oracle.Libxc(label, spin, zeta=zeta)
    handle, library = ctypes.c_void_p(functional._handle), oracle._library()
    library.xc_func_set_fhc_enforcement(handle, ctypes.c_int(enforce))
    return functional


def gradient(component, rows):
    """(energy per volume, derivatives (variable, point)), by operations made for `NPOINT`."""
    npoint, rows = rows.shape[1], jnp.asarray(oracle.of_size(rows))
    e, pullback = jax.vjp(lambda r: component.energy_density(oracle.from_rows(r)), rows)
    return e[:npoint], pullback(jnp.ones_like(e))[0][:, :npoint]


def hydrogen() -> tuple[LocalDensity, np.ndarray]:
    """The atom's density on radial points, and their weights."""
    x, w = np.polynomial.legendre.leggauss(oracle.NPOINT)
    r, w = 0.5 * (x + 1), 0.5 * w
    r, w = 12.0 * r / (1.0 - 0.7 * r), w * 12.0 / (1.0 - 0.7 * r) ** 2
    rho = np.exp(-2 * r) / np.pi
    sigma = 4 * rho**2
    zero = np.zeros_like(rho)
    rows = [rho, zero, sigma, zero, zero, sigma / (8 * rho), zero]
    return oracle.from_rows(jnp.asarray(np.stack(rows))), 4 * np.pi * r**2 * w


@pytest.mark.parametrize(
    ("label", "error"),
    [("tpss", 1e-6), ("revtpss", 1e-5), ("scan", 1e-4), ("r2scan", 1e-4)],
)
def test_exchange_of_hydrogen(label, error):
    """-5/16 hartree, which the parameters of these functionals were chosen to give."""
    density, weights = hydrogen()
    assert weights @ density.rho[0] == pytest.approx(1.0, abs=1e-8)
    energy = float(weights @ LABELS[f"mgga_x_{label}"]().energy_density(density))
    assert energy == pytest.approx(-0.3125, abs=error)


@pytest.mark.parametrize("label", CORRELATION)
def test_no_correlation_of_one_electron(label):
    density, _ = hydrogen()
    energy = LABELS[label]().energy_density(density)
    uniform = PW92.modified().energy_density(density)
    np.testing.assert_array_less(np.abs(energy), 1e-14 * (1.0 + np.abs(uniform)))


def uniform_limit(component, density: LocalDensity):
    """What is left of a component without gradient at the tau of the uniform gas."""
    uniform = PW92.modified()
    if isinstance(component, m06.MinnesotaExchange):
        constant = component.a[0] + (0.0 if component.d is None else component.d[0])
        return component.scale * constant * SlaterExchange().energy_density(density)
    if isinstance(component, m06.MinnesotaCorrelation):
        same, opposite = component.same[0], component.opposite[0]
        if component.d_same is not None:
            same, opposite = same + component.d_same[0], opposite + component.d_opposite[0]
        alone = density.summed(density.rho * uniform.polarized_per_particle(density.rho))
        return same * alone + opposite * (uniform.energy_density(density) - alone)
    if hasattr(component, "uniform"):
        return uniform.energy_density(density)
    return SlaterExchange().energy_density(density)


@pytest.mark.parametrize("label", sorted(set(LABELS) - {"mgga_x_rscan", "mgga_c_rscan"}))
@pytest.mark.parametrize("spin", [1, 2])
def test_uniform_gas(label, spin):
    """Exact exchange, Perdew and Wang's correlation; multiples of them in fits; not in rSCAN."""
    rho = 10.0 ** np.linspace(-3, 2, oracle.NPOINT)
    rho = np.stack([rho, 0.3 * rho])[:spin]
    tau = UNIFORM_TAU * rho ** (5 / 3)
    density = LocalDensity(*map(jnp.asarray, (rho, 0.0 * rho, 0.0 * rho[0], tau)))
    component = LABELS[label]()
    got = component.energy_density(density)
    unit = SlaterExchange().energy_density(density)
    error = np.abs(got - uniform_limit(component, density)) / np.abs(unit)
    assert error.max() < (3e-11 if "r2scan" in label else 2e-14)  # digits of r2SCAN's polynomials


def test_minnesota_exchange_that_keeps_the_uniform_gas():
    """With its exact exchange, a_0 + d_0 = 1 in M06-L and M06."""
    for label, fraction in (("mgga_x_m06_l", 0.0), ("hyb_mgga_x_m06", 0.27)):
        component = LABELS[label]()
        assert component.a[0] + component.d[0] + fraction == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("label", ["mgga_c_tpss", "mgga_c_revtpss"])
def test_tpss_correlation_beside_libxc_without_its_threshold(label):
    """libxc puts 2e-16 for 1 - |zeta| = 0, whose power 2/3 it takes, 4e-11, in each spin alone."""
    rows = oracle.as_rows(oracle.sample(oracle.NPOINT, seed=3))
    component = LABELS[label]()
    errors = []
    for threshold in (None, 1e-60):
        energy, slopes = libxc(label, 2, threshold).tensors(rows, 1)
        got = gradient(component, rows)
        scale = np.abs(rows)
        scale[3] = np.sqrt(rows[2] * rows[4])
        allowed = np.abs(slopes * scale) + np.abs(energy)
        errors.append(
            (np.abs(got[0] / energy - 1).max(), (np.abs(got[1] - slopes) * scale / allowed).max())
        )
    assert max(errors[1]) < 1e-11
    assert errors[0][0] > 5 * errors[1][0]


def switched(alpha, c1, c2, d):
    """SCAN's f with mpmath's numbers."""
    return mpmath.exp(-c1 * alpha / (1 - alpha)) if alpha < 1 else -d * mpmath.exp(c2 / (1 - alpha))


@pytest.mark.parametrize("label", ["mgga_x_scan", "mgga_c_scan"])
def test_derivatives_of_scan_switch(label):
    """To third order, around alpha = 1 too: libxc sets f = 0 where it is below 2e-16."""
    switch = LABELS[label]().switch
    alphas = np.array([-0.5, 0.0, 0.3, 0.9, 0.97, 0.98, 0.985, 1.02, 1.03, 1.05, 1.5, 30.0])
    derivatives = [switch]
    for _ in range(3):
        derivatives.append(jax.grad(derivatives[-1]))

    @functools.partial(jax.jit, compiler_options=COMPILER)
    def jet(alphas):
        return [jax.vmap(derivative)(alphas) for derivative in derivatives]

    with mpmath.workdps(60):
        c1, c2, d = (mpmath.mpf(str(c)) for c in (switch.c1, switch.c2, switch.d))
        for order, got in enumerate(jet(jnp.asarray(alphas))):
            want = [
                float(mpmath.diff(lambda a: switched(a, c1, c2, d), mpmath.mpf(float(a)), order))
                for a in alphas
            ]
            np.testing.assert_allclose(got, want, rtol=2e-12, atol=1e-250)
    near = jnp.asarray(1.0 + np.linspace(-1e-3, 1e-3, len(alphas) + 2)[1:-1]).at[0].set(1.0)
    np.testing.assert_array_equal(jet(near), 0.0)


@pytest.mark.parametrize("label", sorted(scan.LABELS))
def test_what_scan_switch_leaves_of_one_orbital(label):
    """1 - f in its own digits where alpha is next to nothing: all of a polarized orbital's energy
    in rSCAN correlation, where libxc's powers of 1 - |zeta| leave 1e-16 of the uniform gas."""
    switch = LABELS[label]().switch
    alphas = np.array([1e-30, 1e-12, 1e-6, 1e-3, 0.1, 0.5, 0.9, 3.0, 30.0])
    f, rest = switch.shares(jnp.asarray(alphas))
    with mpmath.workdps(60):
        want = [1 - many_digits.switch_of(switch, mpmath.mpf(float(a))) for a in alphas]
        np.testing.assert_allclose(rest, [float(w) for w in want], rtol=2e-14)
        np.testing.assert_allclose(f, [float(1 - w) for w in want], rtol=2e-12)


def test_libxc_cuts_scan_off():
    """At alpha = 0.985 and no gradient f = 6e-19, f' = 2e-15; libxc has neither."""
    rho = 1.0
    tau = 0.985 * UNIFORM_TAU * 2.0 ** (-2 / 3)
    rows = np.array([[rho], [0.0], [tau]])
    _, slopes = libxc("mgga_c_scan", 1).tensors(rows, 1)
    component = scan.SCANCorrelation()
    got = float(gradient(component, rows)[1][2, 0])
    assert slopes[2, 0] == 0.0
    exponent = 0.64 / 0.015
    slope = -exponent / 0.015 * np.exp(-exponent * 0.985)
    rs = (3 / (4 * np.pi)) ** (1 / 3)
    e0 = -component.b1 / (1 + component.b2 * np.sqrt(rs) + component.b3 * rs)
    e1 = float(PW92.modified().energy_density(oracle.from_rows(jnp.asarray(rows)))[0])
    assert got == pytest.approx((e0 - e1) * slope * 0.985 / tau, rel=1e-10)


@pytest.mark.parametrize("label", ["mgga_x_r2scan", "mgga_c_r2scan"])
def test_switch_of_r2scan_is_smooth(label):
    """Twice differentiable at alpha = 0, three times at 2.5, to the digits of its coefficients."""
    switch = LABELS[label]().switch
    assert float(switch(jnp.array(1.0))) == pytest.approx(0.0, abs=1e-11)
    for at, orders in ((0.0, 3), (2.5, 3)):
        derivative = switch
        for _ in range(orders):
            left, right = (float(derivative(jnp.array(at + h))) for h in (-1e-12, 1e-12))
            assert left == pytest.approx(right, rel=1e-8, abs=1e-8)
            derivative = jax.grad(derivative)


def extreme(spin: int) -> np.ndarray:
    """Densities 1e-12 to 1e4, gradients and tau from one orbital's bound to large, empty spins."""
    rng = np.random.default_rng(2)
    rho = 10.0 ** rng.uniform(-12, 4, (2, 300)) * 10.0 ** rng.uniform(-1, 1, (2, 300))
    rho[1, ::5] = 0.0
    rho[0, 1::10] = 0.0
    rho[:, 2::50] = 0.0
    size = rng.choice([0.0, 1e-6, 1e-2, 1.0, 10.0, 1e4], (2, 300)) * rho ** (4 / 3)
    across = rng.uniform(-1, 1, 300) * size[0] * size[1]
    sigma = np.stack([size[0] ** 2, across, size[1] ** 2])
    bound = sigma[::2] / (8 * np.where(rho > 0, rho, 1.0))
    tau = bound + rng.choice([0.0, 1e-12, 1.0, 1e8], (2, 300)) * rho ** (5 / 3)
    if spin == 2:
        return np.concatenate([rho, sigma, tau])
    return np.stack([2 * rho[0], 4 * sigma[0], 2 * tau[0]])


@pytest.mark.slow
@pytest.mark.parametrize("label", sorted(LABELS))
@pytest.mark.parametrize("spin", [1, 2])
def test_three_derivatives_are_finite(label, spin):
    component, rows = LABELS[label](), jnp.asarray(extreme(spin))
    direction = jnp.asarray(np.random.default_rng(4).normal(size=rows.shape)) * rows

    def along(function):
        return lambda r: jax.jvp(function, (r,), (direction,))[1]

    def energy(r):
        return component.energy_density(oracle.from_rows(r))

    third, reverse = jax.vjp(along(along(energy)), rows)
    assert np.isfinite(third).all()
    assert np.isfinite(reverse(jnp.ones_like(third))[0]).all()
    assert (np.asarray(energy(rows))[np.asarray(rows[:spin]).sum(0) == 0] == 0).all()


@pytest.mark.parametrize("kind", ["x", "c"])
@pytest.mark.parametrize("name", ["tpss", "scan", "r2scan", "m06_l"])
def test_one_orbital(name, kind):
    """tau at the bound exactly, which libxc's minimum of tau_W / tau and 1 may overstep."""
    rng = np.random.default_rng(6)
    rho = 10.0 ** rng.uniform(-6, 4, 40)
    sigma = (10.0 ** rng.uniform(-1, 1, 40)) ** 2 * rho ** (8 / 3)
    rows = np.stack([rho, sigma, sigma / (8 * rho)])
    label = f"mgga_{kind}_{name}"
    energy, slopes = libxc(label, 1, 1e-60).tensors(rows, 1)
    got = [np.asarray(part) for part in gradient(LABELS[label](), rows)]
    np.testing.assert_allclose(got[0], energy, rtol=3e-10)
    inside = slice(None)
    if label == "mgga_c_tpss":
        # its derivative of min(z, 1) is 0 where rounding has left z above 1
        inside = np.abs(got[1][2] - slopes[2]) < 1e-8 * np.abs(got[1][2])
        assert inside.sum() > 5
        rows = rows * np.array([[1.0], [1.0 - 1e-9], [1.0]])
        limit = libxc(label, 1, 1e-60).tensors(rows, 1)[1]
        np.testing.assert_allclose(got[1], limit, rtol=1e-5)
    unit = np.abs(energy / rows)
    excess = np.abs(got[1] - slopes) / (np.abs(slopes) + 1e-3 * unit)
    assert excess[:, inside].max() < 5e-10


@pytest.mark.parametrize("share", [0.5, 1e-3])
def test_tpss_correlation_at_large_gradients_against_many_digits(share):
    """Where libxc's PBE cancels: its derivatives are off by 1e-7 to 1e-5, these are not."""
    rho, x2 = np.array([1e-6, 1.0, 1e4]), 1e6
    sigma = x2 * rho ** (8 / 3)
    tau = sigma / (8 * rho) + rho ** (5 / 3)
    a, b = 1 - share, share
    rows = np.stack(
        [a * rho, b * rho, a * a * sigma, a * b * sigma, b * b * sigma, a * tau, b * tau]
    )
    _, got = gradient(tpss.TPSSCorrelation(), rows)
    _, theirs = libxc("mgga_c_tpss", 2).tensors(rows, 1)
    _, want = many_digits.values_and_slopes(many_digits.EXACT["mgga_c_tpss"], rows)
    np.testing.assert_allclose(got, want, rtol=1e-10)
    assert np.abs(theirs / want - 1).max() > 1e-8
