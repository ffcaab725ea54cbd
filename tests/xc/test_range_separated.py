"""Short-range exchange and the functionals made with it: libxc, many digits, finite differences."""

import functools
import itertools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pyscf.dft.libxc as libxc
import pytest
from xc import libxc_oracle as oracle
from xc.many_digits import exact_attenuation

from dqc_lite.xc import b97m, ityh, omega_b97, wpbeh
from dqc_lite.xc.attenuation import attenuation
from dqc_lite.xc.components import COMPONENTS

FAMILIES = (ityh, wpbeh, omega_b97, b97m)
FUNCTIONALS = {name: table for family in FAMILIES for name, table in family.FUNCTIONALS.items()}
COMPILER = {"xla_backend_optimization_level": 0}
compiled = functools.partial(jax.jit, compiler_options=COMPILER)


def derivative(function, *which: int):
    """Of an elementwise function, by its arguments `which`, one after another."""
    for index in which:
        function = functools.partial(_slope, function, index)
    return function


def _slope(function, index, *arguments):
    tangents = [jnp.full_like(a, float(i == index)) for i, a in enumerate(arguments)]
    return jax.jvp(function, arguments, tuple(tangents))[1]


# --- the attenuation function


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_attenuation_keeps_its_digits(order):
    a = np.concatenate([10.0 ** np.linspace(-3, 4, 15), [0.0299, 0.0301, 0.4, 0.499, 0.501, 0.6]])
    got = compiled(derivative(attenuation, *(0,) * order))(a)
    with mp.workdps(80):
        want = [float(mp.diff(exact_attenuation, mp.mpf(x), order, h=mp.mpf(10) ** -15)) for x in a]
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_attenuation_without_screening():
    derivatives = [derivative(attenuation, *(0,) * order) for order in range(4)]
    values = compiled(lambda a: [d(a) for d in derivatives])(jnp.zeros(()))
    np.testing.assert_allclose(values, [1.0, -8 / 3 * np.sqrt(np.pi), 16.0, 0.0], rtol=1e-14)


# --- whole functionals


@functools.cache
def random_rows(spin: int) -> np.ndarray:
    """Densities at which libxc's own rounding is small, also in the wPBE hole."""
    rho, sigma, tau = map(np.asarray, oracle.sample(oracle.NPOINT, seed=3))
    dense = 10.0 ** np.random.default_rng(5).uniform(-1, 3, rho.shape)
    ratio = dense / rho
    pairs = np.stack([ratio[0] ** 2, ratio[0] * ratio[1], ratio[1] ** 2]) ** (4 / 3)
    rows = np.concatenate([dense, sigma * pairs, tau * ratio ** (5 / 3)])
    return rows if spin == 2 else np.stack([2 * rows[0], 4 * rows[2], 2 * rows[5]])


def semilocal(parts, rows, omega):
    """(energy per volume, derivatives by each of the rows) of (weight, component) pairs."""

    def energy(rows):
        density, total = oracle.from_rows(rows), 0.0
        for weight, component in parts:
            screened = (omega,) if getattr(component, "attenuated", False) else ()
            total = total + weight * component.energy_density(density, *screened)
        return total

    value, pullback = jax.vjp(energy, jnp.asarray(rows))
    return value, pullback(jnp.ones_like(value))[0]


@pytest.mark.parametrize("name", sorted(FUNCTIONALS))
def test_sums_are_those_of_libxc(name):
    table = FUNCTIONALS[name]
    rows = random_rows(2)
    want, slopes = oracle.Libxc(name, 2).tensors(rows, 1)
    parts = [(weight, COMPONENTS[label]()) for weight, label in table["components"]]
    energy, gradient = map(np.asarray, semilocal(parts, rows, table["omega"]))
    np.testing.assert_allclose(energy, want, rtol=1e-10)
    natural = np.abs(want) / np.maximum(np.abs(rows), 1e-30)
    assert np.all(np.abs(gradient - slopes) <= 1e-10 * np.abs(slopes) + 1e-12 * natural)


@pytest.mark.parametrize("name", sorted(FUNCTIONALS))
def test_exact_exchange_and_nonlocal_correlation_are_those_of_libxc(name):
    table = FUNCTIONALS[name]
    omega, long_range, rest = libxc.rsh_coeff(name)
    assert (table["omega"] or 0.0) == pytest.approx(omega, abs=1e-15)
    assert (table["exact_exchange"] or 0.0) == pytest.approx(long_range + rest, abs=1e-15)
    assert (table["long_range_exchange"] or 0.0) == pytest.approx(-rest, abs=1e-15)
    nonlocal_correlation = [pair for pair, _ in libxc.nlc_coeff(name)]
    assert nonlocal_correlation == ([table["vv10"]] if table["vv10"] else [])


def total_energy(component, rows, omega):
    return component.energy_density(oracle.from_rows(rows), omega).sum()


@pytest.mark.parametrize(
    "label", ["gga_x_ityh", "gga_x_wpbeh", "hyb_gga_xc_wb97x", "hyb_mgga_xc_wb97m_v"]
)
def test_derivative_by_omega_is_the_finite_difference(label):
    component, omega, step = COMPONENTS[label](), 0.3, 4e-3
    rows = np.concatenate([oracle.as_rows(oracle.sample(40, seed=1, spin=1)), random_rows(1)], 1)
    energies = compiled(jax.vmap(total_energy, (None, None, 0)))
    e = energies(component, rows, omega + step * np.arange(-2.0, 3.0))
    narrow, wide = (e[3] - e[1]) / (2 * step), (e[4] - e[0]) / (4 * step)
    got = compiled(jax.grad(total_energy, argnums=2))(component, rows, omega)
    assert got == pytest.approx(float(4 * narrow - wide) / 3, rel=1e-7)


def test_ityh_at_low_density_to_many_digits():
    """libxc is off by 2e-7 at 1e-15: there the gradient only enters at the next order."""
    rho, x2, omega = np.array([1e-15, 1e-12, 1e-9, 1e-6]), np.array([0.0, 1e-2, 1.0, 1e2]), 0.3
    rows = np.stack([2 * rho, 4 * x2 * rho ** (8 / 3), np.zeros(4)])
    component = ityh.ITYHExchange()
    got = compiled(jax.grad(total_energy, argnums=1))(component, rows, omega)

    def energy(n, sigma):
        y = sigma / 4 / (n / 2) ** (mp.mpf(8) / 3)
        x = mp.sqrt(y)
        uniform = mp.mpf(3) / 4 * mp.cbrt(6 / mp.pi)
        beta = mp.mpf("0.0042")
        factor = 1 + beta * y / (1 + 6 * beta * x * mp.asinh(x)) / uniform
        a = mp.mpf("0.3") * mp.sqrt(factor) / (2 * mp.cbrt(3 * mp.pi**2 * n))
        return -2 * uniform * (n / 2) ** (mp.mpf(4) / 3) * factor * exact_attenuation(a)

    with mp.workdps(80):
        for index, row in enumerate(rows[:2].T):
            n, sigma = map(mp.mpf, row)
            by_n = mp.diff(energy, (n, sigma), (1, 0), h=n * mp.mpf(10) ** -20)
            assert got[0, index] == pytest.approx(float(by_n), rel=1e-12)
            step = mp.mpf(10) ** -30 * n ** (mp.mpf(8) / 3)
            by_sigma = (energy(n, sigma + step) - energy(n, sigma)) / step
            assert got[1, index] == pytest.approx(float(by_sigma), rel=1e-12)


# --- the screened PBE hole

ERFC = [
    1.0, -1.128223946706117, 1.452736265762971, -1.243162299390327, 0.971824836115601,
    -0.568861079687373, 0.246880514820192, -0.065032363850763, 0.008401793031216,
]  # fmt: skip


def hole(s2):
    """(A, B, C (1 + s^2 F), E (1 + s^2 G), D + s^2 H, s^2 H) of the rescaled s^2."""
    a, b, c, d, e = map(mp.mpf, (1.0161144, -0.37170836, -0.077215461, 0.57786348, -0.051955731))
    s = mp.sqrt(s2)
    if s >= 1:
        s = s - mp.log1p(mp.exp(s - mp.mpf(8.572844))) if s <= 15 else mp.mpf(8.572844)
    s2 = s**2
    h = (mp.mpf(0.00979681) * s2 + mp.mpf(0.0410834) * s2**2) / (
        1 + mp.mpf(0.187440) * s**4 + mp.mpf(0.00120824) * s**5 + mp.mpf(0.0347188) * s**6
    )
    first = 1 + s2 * (mp.mpf(6.4753871) * h + mp.mpf(0.47965830))
    g = d + s2 * h
    if s > mp.mpf(0.08):
        root = 3 * s * mp.sqrt(h / a) / 2
        bracket = 15 * e + 6 * c * first * g + 4 * b * g**2 + 8 * a * g**3
        total = mp.sqrt(mp.pi) * bracket / (16 * g ** mp.mpf(3.5)) + 3 * mp.pi / 4 * (
            1 - mp.sqrt(a) * mp.exp(root**2) * mp.erfc(root)
        )
        second = e - total * 16 * g ** mp.mpf(3.5) / (15 * mp.sqrt(mp.pi))
    else:
        series = (-0.02628417880, -0.07117647788, 0.08534541323)
        second = e + sum(mp.mpf(k) * s2 ** (n + 1) for n, k in enumerate(series))
    return a, b, c * first, second, g, s2 * h


def factor_in_closed_form(s2, w):
    """The enhancement factor in incomplete gamma functions, as published: with cancellations."""
    a, b, c, e, g, s2h = hole(s2)
    r = mp.sqrt(g + w**2)
    t0 = (1 - w / r) / (2 * g)
    t1 = (1 - w / r) / (2 * g**2) - w / (4 * g * r**3)
    t2 = (1 - w / r) / g**3 - w / (2 * g**2 * r**3) - 3 * w / (8 * g * r**5)
    h = s2h + (mp.mpf(1.455915450052607) if w < 14 else 2) * w**2
    q, x = h + g - s2h, 9 * h / (4 * a)
    tail = (mp.log(h / q) + mp.exp(x) * mp.e1(x)) / 2
    for k, coefficient in enumerate(ERFC[1:], start=1):
        n = mp.mpf(k) / 2
        screened = (h / x) ** -n * mp.exp(x) * mp.gammainc(1 - n, x)
        tail += mp.mpf(coefficient) * w**k * mp.gamma(n) / 2 * (q**-n - screened) * (w < 14)
    return -mp.mpf(8) / 9 * (a * tail + b * t0 + c * t1 + e * t2)


def factor_by_quadrature(s2, w):
    """The enhancement factor from the hole, integrated numerically."""
    a, b, c, e, g, s2h = hole(s2)

    def erfc(y):
        if w >= 14:
            return mp.exp(-2 * (w * y) ** 2)
        series = sum(mp.mpf(k) * (w * y) ** n for n, k in enumerate(ERFC))
        return mp.exp(-mp.mpf(1.455915450052607) * (w * y) ** 2) * series

    def integrand(y):
        gaussian = mp.exp(-g * y**2)
        cut = 1 / (1 + 4 * a * y**2 / 9)
        first = a / y * (gaussian - cut * mp.exp(-s2h * y**2)) * erfc(y)
        return first + y * (b + c * y**2 + e * y**4) * gaussian * mp.erfc(w * y)

    unit = 1 / (1 + w)
    return -mp.mpf(8) / 9 * mp.quad(integrand, [0, unit, 3 * unit, 8 * unit, 20, 60])


def pairs(s, w):
    grid = np.array(list(itertools.product(s, w))).T
    return grid[0] ** 2, grid[1]


FACTOR = wpbeh.PBEHole().factor


def test_screened_hole_is_the_integral_of_the_hole():
    s2, w = pairs([0.05, 0.5, 2.0], [0.3, 2.0, 20.0])
    with mp.workdps(20):
        want = [
            float(factor_by_quadrature(mp.mpf(a), mp.mpf(b))) for a, b in zip(s2, w, strict=True)
        ]
    np.testing.assert_allclose(compiled(FACTOR)(s2, w), want, rtol=1e-12)


@pytest.mark.parametrize(
    ("which", "relative"),
    [((), 1e-12), ((0,), 1e-11), ((1,), 1e-11), ((0, 0), 1e-9), ((1, 1), 1e-9)]
    + [
        pytest.param(k, 1e-8, marks=pytest.mark.slow)
        for k in [(0, 1), (0, 0, 0), (0, 1, 1), (1, 1, 1)]
    ],
)
def test_screened_hole_and_its_derivatives_to_many_digits(which, relative):
    """By s^2 and w. libxc is off by 3e-6 at w = 13.9 and by 2e-4 at w = 1e5."""
    s2, w = pairs([1e-3, 0.079, 0.081, 0.9, 4.0, 20.0], [1e-3, 0.5, 1.02, 1.1, 13.9, 14.1, 1e3])
    got = np.asarray(compiled(derivative(FACTOR, *which))(s2, w))
    counts = which.count(0), which.count(1)
    with mp.workdps(50):
        for index, (a, b) in enumerate(zip(s2, w, strict=True)):
            step = mp.mpf(10) ** -14
            point = mp.mpf(a), mp.mpf(b)
            want = float(mp.diff(factor_in_closed_form, point, counts, h=step) if which
                         else factor_in_closed_form(*point))  # fmt: skip
            natural = float(factor_in_closed_form(*point)) / a ** counts[0] / b ** counts[1]
            assert abs(got[index] - want) <= relative * abs(want) + 1e-14 * abs(natural), (a, b)


def test_unscreened_hole_is_the_limit():
    s2 = np.array([0.0, 1e-3, 0.079, 0.081, 0.9, 4.0, 20.0]) ** 2
    got = compiled(FACTOR)(s2)
    with mp.workdps(40):
        want = [float(factor_in_closed_form(mp.mpf(x), mp.mpf(10) ** -30)) for x in s2[1:]]
    np.testing.assert_allclose(got[1:], want, rtol=1e-13)
    assert got[0] == pytest.approx(1.0, rel=1e-5)  # the uniform gas, as well as the hole fits it


def test_hole_parameters_have_the_derivatives_of_finite_differences():
    rows = np.concatenate([oracle.as_rows(oracle.sample(20, seed=1, spin=1)), random_rows(1)], 1)
    component = wpbeh.WPBEHExchange()
    got = compiled(jax.grad(total_energy))(component, rows, 0.3)
    energy = compiled(total_energy)
    leaves, structure = jax.tree.flatten(component)
    for index, (leaf, slope) in enumerate(zip(leaves, jax.tree.leaves(got), strict=True)):
        for entry, value in enumerate(np.ravel(leaf)):

            def shifted(step, index=index, entry=entry):
                changed = [np.array(x, dtype=float) for x in leaves]
                changed[index].flat[entry] += step
                changed[-1] = float(changed[-1])
                return energy(jax.tree.unflatten(structure, changed), rows, 0.3)

            step = 1e-3 * abs(value)
            narrow = (shifted(step) - shifted(-step)) / (2 * step)
            wide = (shifted(2 * step) - shifted(-2 * step)) / (4 * step)
            difference = float(4 * narrow - wide) / 3
            noise = 1e-12 * float(abs(shifted(0.0))) / step
            assert np.ravel(slope)[entry] == pytest.approx(difference, rel=1e-6, abs=noise)


# --- everywhere


def delicate() -> np.ndarray:
    """No density, hardly any, one spin only; no gradient, hardly any, a large one."""
    a = np.array([0.0, 1e-300, 1e-21, 2e-20, 1e-15, 1e-3, 1.0, 1e4])
    gradient = np.array([0.0, 1e-150, 1.0, 1e4])
    b = np.array([0.0, 1.0])
    a, gradient, b = (x.ravel() for x in np.meshgrid(a, gradient, b))
    size = gradient * a ** (4 / 3)
    tau = np.where(a > 0, size**2 / (8 * np.where(a > 0, a, 1.0)), 0.0)
    squares = np.stack([size**2, b * size**2, b * size**2])
    return np.concatenate([[a, b * a], squares, [tau, b * tau]])


@pytest.mark.parametrize("label", ["gga_x_wpbeh", "gga_x_wpbeh_unscreened"])
def test_hole_is_finite_everywhere(label):
    component, rows = COMPONENTS[label](), delicate()
    screened = (0.3,) if getattr(component, "attenuated", False) else ()

    def energy(component, rows):
        return component.energy_density(oracle.from_rows(rows), *screened)

    def slopes(component, rows):
        return jax.grad(lambda *x: energy(*x).sum(), argnums=(0, 1))(component, rows)

    direction = jnp.ones_like(rows)
    values, gradient, change = compiled(
        lambda rows: (
            energy(component, rows),
            *jax.jvp(functools.partial(slopes, component), (rows,), (direction,)),
        )
    )(rows)
    for leaf in jax.tree.leaves((values, gradient, change)):
        assert np.all(np.isfinite(leaf))
    empty = rows[:2].max(0) <= 1e-20
    assert np.all(np.asarray(values)[empty] == 0.0)
    assert np.all(np.asarray(values)[~empty] < 0.0)


def test_closed_shell_of_the_hole_is_two_equal_spins():
    closed = oracle.as_rows(oracle.sample(20, seed=2, spin=1))
    n, sigma, tau = closed
    both = np.stack([n / 2, n / 2, sigma / 4, sigma / 4, sigma / 4, tau / 2, tau / 2])
    energy = compiled(
        lambda rows: wpbeh.WPBEHExchange().energy_density(oracle.from_rows(rows), 0.3)
    )
    one, two = energy(closed), energy(both)
    np.testing.assert_allclose(one, two, rtol=1e-14)
