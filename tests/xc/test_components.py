"""Every component against libxc, on random and extreme densities; finite everywhere."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp
from xc import libxc_oracle as oracle

from dqc_lite.xc.components import COMPONENTS
from dqc_lite.xc.pbe import BETA, GAMMA

OMEGA = 0.3
NPOINT = 64
EPS = np.finfo(float).eps
COMPILER = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
components = pytest.mark.parametrize("label", sorted(COMPONENTS))
spins = pytest.mark.parametrize("spin", [1, 2])


def attenuation(component) -> tuple:
    return (OMEGA,) if getattr(component, "attenuated", False) else ()


def energy_density(component, rows):
    return component.energy_density(oracle.from_rows(rows), *attenuation(component))


def variables(component, spin: int) -> tuple[int, ...]:
    """Those that a component depends on."""
    count = {"lda": spin, "gga": 3 * spin - 1, "mgga": 4 * spin - 1}[component.level]
    return tuple(range(count))


@functools.partial(jax.jit, static_argnames="chosen", compiler_options=COMPILER)
def second_order(component, rows, weights, chosen):
    """e, its gradient and Hessian at each point; the gradient of sum(weights e) by parameter."""

    def slopes(rows):
        e, pullback = jax.vjp(energy_density, component, rows)
        parameters, variables = pullback(weights)
        return variables / weights, (e, parameters)

    def along(index):
        direction = jnp.zeros_like(rows).at[index].set(1.0)
        return jax.jvp(slopes, (rows,), (direction,), has_aux=True)

    gradient, rows_of_hessian, (e, parameters) = jax.vmap(along)(jnp.array(chosen))
    hessian = jnp.zeros((*rows.shape[:1], *rows.shape)).at[jnp.array(chosen)].set(rows_of_hessian)
    return e[0], gradient[0], hessian, jax.tree.map(lambda p: p[0], parameters)


@functools.partial(jax.jit, static_argnames="chosen", compiler_options=COMPILER)
def third_order(component, rows, chosen):
    return oracle.tensors(functools.partial(energy_density, component), rows, 3, chosen)


@functools.cache
def random_rows(spin: int) -> np.ndarray:
    return oracle.as_rows(oracle.sample(NPOINT, spin=spin))


def of_size(rows: np.ndarray) -> np.ndarray:
    """As many points as everywhere, so that one compiled function serves all tests."""
    assert rows.shape[1] <= NPOINT
    return np.take(rows, np.arange(NPOINT), axis=1, mode="wrap")


@functools.cache
def random_result(label: str, spin: int):
    component = COMPONENTS[label]()
    return second_order(component, random_rows(spin), np.ones(NPOINT), variables(component, spin))


def libxc(label: str, spin: int) -> oracle.Libxc:
    return oracle.Libxc(label, spin, *attenuation(COMPONENTS[label]()))


def assert_close(got, want, energy, rows, relative, floor: float):
    """Each entry to `relative`, or to `floor` in the natural unit: `energy` over the variables."""
    scale = np.abs(rows)
    if len(rows) == 7:
        scale[3] = np.sqrt(rows[2] * rows[4])
    unit = np.abs(energy)
    for _ in range(want.ndim - 1):
        unit = unit[..., None, :] / scale
    allowed = relative * np.abs(want) + floor * unit
    excess = np.abs(got - want) / np.where(allowed == 0, 1.0, allowed)
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    assert excess[worst] <= 1, (
        f"entry {worst}: {got[worst]:.15g} instead of {want[worst]:.15g}, {excess[worst]:.2g} "
        f"times what is allowed, at {rows[:, worst[-1]]}"
    )


@components
@spins
def test_values_and_two_derivatives_on_random_densities(label, spin):
    rows = random_rows(spin)
    energy, *derivatives = libxc(label, spin).tensors(rows, 2)
    result = random_result(label, spin)
    assert_close(result[0], energy, energy, rows, 1e-10, 0.0)
    assert_close(result[1], derivatives[0], energy, rows, 1e-10, 1e-13)
    assert_close(result[2], derivatives[1], energy, rows, 1e-8, 1e-12)


@pytest.mark.slow
@components
@spins
def test_third_derivatives_on_random_densities(label, spin):
    rows = random_rows(spin)
    reference = libxc(label, spin)
    if reference.order < 3:
        pytest.skip("libxc has no third derivatives")
    component = COMPONENTS[label]()
    result = third_order(component, rows, variables(component, spin))
    want = reference.tensors(rows, 3)
    assert_close(result[3], want[3], want[0], rows, 1e-8, 1e-11)
    for forward, reverse in zip(result[:3], random_result(label, spin), strict=False):
        np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-13 * np.abs(forward).max())


# The fit to the random-phase approximation has 4 c - b^2 = 0.002 and no value where it is negative.
STEPS = {"lda_c_vwn_rpa": 2e-6, "lda_c_vwn_3": 2e-6}


@components
@spins
def test_parameter_derivatives_are_finite_differences(label, spin):
    component = COMPONENTS[label]()
    rows, chosen = random_rows(spin), variables(component, spin)
    weights = 1.0 / np.maximum(np.abs(random_result(label, spin)[0]), 1e-30)
    leaves, structure = jax.tree.flatten(component)
    got = jax.tree.leaves(second_order(component, rows, weights, chosen)[3])

    def total(index: int, entry: int, step: float) -> float:
        shifted = [np.array(leaf, dtype=float) for leaf in leaves]
        shifted[index].flat[entry] += step
        alike = [v if np.ndim(v0) else float(v) for v, v0 in zip(shifted, leaves, strict=True)]
        changed = jax.tree.unflatten(structure, alike)
        return float(weights @ second_order(changed, rows, weights, chosen)[0])

    for index, leaf in enumerate(leaves):
        for entry, value in enumerate(np.ravel(leaf)):
            step = STEPS.get(label, 2e-3) * (abs(value) or 1.0)
            wide, narrow = (
                (total(index, entry, h) - total(index, entry, -h)) / (2 * h)
                for h in (step, step / 2)
            )
            difference = (4 * narrow - wide) / 3
            derivative = float(np.ravel(got[index])[entry])
            rounding = 50 * EPS * NPOINT / step
            assert derivative == pytest.approx(difference, rel=1e-7, abs=rounding), (index, entry)


X2 = (0.0, 1.0, 1e6)
NRHO = 17


def at_no_gradient(energy: np.ndarray) -> np.ndarray:
    return np.tile(np.split(energy, len(X2))[0], len(X2))


def sizes(rows: np.ndarray) -> np.ndarray:
    """The variables, at no gradient those at x = 1."""
    return np.where(rows == 0, np.tile(rows[:, NRHO : 2 * NRHO], len(X2)), rows)


def closed_shells() -> np.ndarray:
    """Densities 1e-12 to 1e4 with no gradient to large ones; tau from one orbital's up."""
    rho = np.logspace(-12, 4, NRHO)
    x2, rho = (a.ravel() for a in np.meshgrid(X2, rho, indexing="ij"))
    sigma = x2 * rho ** (8 / 3)
    return np.stack([rho, sigma, sigma / (8 * rho) + rho ** (5 / 3)])


def open_shells(b: float) -> np.ndarray:
    """The same with a share of the density in beta, at parallel gradients."""
    rho, sigma, tau = closed_shells()
    a = 1.0 - b
    squares = [a * a * sigma, a * b * sigma, b * b * sigma]
    return np.stack([a * rho, b * rho, *squares, a * tau, b * tau])


def libxc_rounding(rows: np.ndarray) -> np.ndarray:
    """Relative errors of libxc's own: log(1 + 1 / x) at low density and 1 - |zeta|.

    x goes as r_s^2 in Perdew and Wang's fit (of each spin in B97). On which side the errors are
    is shown by `test_extremes_against_many_digits`.
    """
    rho = rows[:1] if len(rows) == 3 else rows[:2]
    rs2 = (3 / (4 * np.pi * rho.min(0))) ** (2 / 3)
    return EPS * (8 * rs2 + 8 * rho.sum(0) / rho.min(0))


@components
@pytest.mark.parametrize(
    "rows",
    [closed_shells(), open_shells(0.5), open_shells(1e-3)],
    ids=["closed", "equal", "polarized"],
)
def test_extreme_densities(label, rows):
    spin = 1 if len(rows) == 3 else 2
    component = COMPONENTS[label]()
    energy, gradient = libxc(label, spin).tensors(rows, 1)
    chosen = variables(component, spin)
    result = second_order(component, of_size(rows), np.ones(NPOINT), chosen)
    got = [np.asarray(r)[..., : rows.shape[1]] for r in result[:2]]
    relative = 1e-10 + libxc_rounding(rows)
    # What large gradients leave of correlation is a small difference in libxc.
    natural = np.maximum(np.abs(energy), np.abs(at_no_gradient(energy)))
    assert_close(got[0], energy, natural, rows, relative, 1e-13)
    assert_close(got[1], gradient, natural, sizes(rows), relative, 1e-13)


@components
def test_empty_spin(label):
    """Exactly no density in beta: the derivatives of what there is."""
    rows = open_shells(0.0)
    component = COMPONENTS[label]()
    energy, gradient = libxc(label, 2).tensors(rows, 1)
    result = second_order(component, of_size(rows), np.ones(NPOINT), variables(component, 2))
    got = [np.asarray(r)[..., : rows.shape[1]] for r in result[:2]]
    relative = 1e-10 + libxc_rounding(rows[[0, 2, 5]])
    natural = np.maximum(np.abs(energy), np.abs(at_no_gradient(energy)))
    if label == "gga_c_lyp":  # nothing, as a difference of large terms in libxc
        assert (got[0] == 0).all()
        natural = rows[0] ** (4 / 3) + rows[2] / rows[0] ** (4 / 3)
    # libxc puts powers of 1 - |zeta| = 2e-16 in the place of those of zero.
    assert_close(got[0], energy, natural, rows, relative, 1e-10)
    own = [0, 2, 5]
    assert_close(got[1][own], gradient[own], natural, sizes(rows)[own], relative, 1e-10)


def delicate(spin: int) -> np.ndarray:
    """No density, hardly any, one spin only; no gradient, hardly any, too much."""
    columns = []
    for a in (0.0, 1e-300, 1e-21, 2e-20, 1e-15, 1e-3, 1.0, 1e4):
        for gradient in (0.0, 1e-150, 1.0, 1e4):
            size = gradient * a ** (4 / 3)
            alpha = [a, size**2, size**2 / (8 * a) + a ** (5 / 3) if a else 0.0]
            if spin == 1:
                columns.append(alpha)
            else:
                for b in (0.0, 1.0):
                    scaled = [b * v for v in alpha]
                    columns.append(
                        [a, scaled[0], alpha[1], scaled[1], scaled[1], alpha[2], scaled[2]]
                    )
    return np.array(columns).T


@components
@spins
@pytest.mark.parametrize("order", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_finite_everywhere(label, spin, order):
    component = COMPONENTS[label]()
    rows = of_size(delicate(spin))
    chosen = variables(component, spin)
    if order == 2:
        result = second_order(component, rows, np.ones(NPOINT), chosen)
    else:
        result = third_order(component, rows, chosen)
    for part in jax.tree.leaves(result):
        bad = ~np.isfinite(part).reshape(-1, part.shape[-1]).all(0) if np.ndim(part) else None
        if bad is None or part.shape[-1] != NPOINT:
            assert np.isfinite(part).all()
        else:
            assert not bad.any(), rows[:, bad]
    empty = rows[:spin].sum(0) == 0
    assert (np.asarray(result[0])[empty] == 0).all()


# Where libxc has lost digits: the formulas as printed in the papers, in 60 of them.


def _pw92_many_digits(a, b, label="lda_c_pw_mod"):
    p = COMPONENTS[label]()

    def g(k, rs):
        x = mp.sqrt(rs)
        beta = [mp.mpf(float(q[k])) for q in (p.beta1, p.beta2, p.beta3, p.beta4)]
        series = sum(c * x ** (i + 1) for i, c in enumerate(beta))
        scale = 2 * mp.mpf(float(p.a[k]))
        alpha = mp.mpf(float(p.alpha1[k]))
        return -scale * (1 + alpha * rs) * mp.log(1 + 1 / (scale * series))

    n = a + b
    rs, z = mp.cbrt(3 / (4 * mp.pi * n)), (a - b) / n
    f = ((1 + z) ** (mp.mpf(4) / 3) + (1 - z) ** (mp.mpf(4) / 3) - 2) / (2 ** (mp.mpf(4) / 3) - 2)
    curvature = g(2, rs) / mp.mpf(float(p.stiffness_scale))
    return g(0, rs) - curvature * f * (1 - z**4) + (g(1, rs) - g(0, rs)) * f * z**4


def _pbe_many_digits(a, b, aa, ab, bb):
    n, z = a + b, (a - b) / (a + b)
    beta, gamma = (mp.mpf(v) for v in (BETA, GAMMA))
    phi = ((1 + z) ** (mp.mpf(2) / 3) + (1 - z) ** (mp.mpf(2) / 3)) / 2
    kf = mp.cbrt(3 * mp.pi**2 * n)
    t2 = (aa + 2 * ab + bb) / (4 * phi**2 * (4 * kf / mp.pi) * n**2)
    e = _pw92_many_digits(a, b)
    big_a = beta / gamma / (mp.exp(-e / (gamma * phi**3)) - 1)
    fraction = (1 + big_a * t2) / (1 + big_a * t2 + big_a**2 * t2**2)
    return n * (e + gamma * phi**3 * mp.log(1 + beta / gamma * t2 * fraction))


def _lyp_many_digits(a, b, aa, ab, bb):
    """Equation 2 of Miehlich et al."""
    ca, cb, cc, cd = (mp.mpf(v) for v in (0.04918, 0.132, 0.2533, 0.349))
    n, total = a + b, aa + 2 * ab + bb
    r, third = 1 / mp.cbrt(n), mp.mpf(1) / 3
    omega = mp.exp(-cc * r) / (1 + cd * r) * n ** (-11 * third)
    delta = cc * r + cd * r / (1 + cd * r)
    fermi = 2 ** (11 * third) * mp.mpf(3) / 10 * (3 * mp.pi**2) ** (2 * third)
    inner = (
        fermi * (a ** (8 * third) + b ** (8 * third))
        + (47 - 7 * delta) / 18 * total
        - (45 - delta) / 18 * (aa + bb)
        - (delta - 11) / 9 * (a * aa + b * bb) / n
    )
    outer = (
        -2 * third * n**2 * total + (2 * third * n**2 - a**2) * bb + (2 * third * n**2 - b**2) * aa
    )
    return -ca * 4 / (1 + cd * r) * a * b / n - ca * cb * omega * (a * b * inner + outer)


def _b88_many_digits(a, b, aa, ab, bb):
    def one(rho, sigma):
        x = mp.sqrt(sigma) / mp.cbrt(rho) ** 4
        beta = mp.mpf(0.0042)
        gradient = beta * x**2 / (1 + 6 * beta * x * mp.asinh(x))
        return -(mp.cbrt(rho) ** 4) * (mp.mpf(3) / 2 * mp.cbrt(3 / (4 * mp.pi)) + gradient)

    return one(a, aa) + one(b, bb)


def _hcth_many_digits(a, b, aa, ab, bb):
    """HCTH/93: exchange, equal spins, opposite spins."""
    fit = COMPONENTS["gga_xc_hcth_93"]()

    def series(coefficients, gamma, x2):
        u = gamma * x2 / (1 + gamma * x2)
        return sum(mp.mpf(float(c)) * u**i for i, c in enumerate(coefficients))

    def exchange(rho):
        return -mp.mpf(3) / 2 * mp.cbrt(3 / (4 * mp.pi)) * mp.cbrt(rho) ** 4

    spins = [(rho, sigma / mp.cbrt(rho) ** 8) for rho, sigma in ((a, aa), (b, bb))]
    same = [rho * _pw92_many_digits(rho, mp.mpf(0), "lda_c_pw") for rho, _ in spins]
    opposite = (a + b) * _pw92_many_digits(a, b, "lda_c_pw") - sum(same)
    c = fit.correlation
    return (
        sum(exchange(r) * series(fit.exchange.coefficients, mp.mpf(0.004), x) for r, x in spins)
        + sum(e * series(c.same, mp.mpf(0.2), x) for e, (_, x) in zip(same, spins, strict=True))
        + opposite * series(c.opposite, mp.mpf(0.006), (spins[0][1] + spins[1][1]) / 2)
    )


@pytest.mark.parametrize(
    ("label", "exact"),
    [
        ("gga_x_b88", _b88_many_digits),
        ("lda_c_pw_mod", lambda a, b, *_: (a + b) * _pw92_many_digits(a, b)),
        ("gga_c_pbe", _pbe_many_digits),
        ("gga_c_lyp", _lyp_many_digits),
        ("gga_xc_hcth_93", _hcth_many_digits),
    ],
)
def test_extremes_against_many_digits(label, exact):
    """Little density, almost one spin only, large gradients: libxc errs by 1e-6 and more there."""
    alpha = np.array([1e-12, 1e-12, 1e-9, 1e-4, 1.0, 1e4])
    beta = alpha * np.array([1.0, 1e-3, 1e-6, 1e-9, 1e-6, 0.5])
    x2 = np.array([1.0, 1e6, 1e4, 1e-4, 100.0, 1e6])
    aa, bb = x2 * alpha ** (8 / 3), x2 * beta ** (8 / 3)
    rows = np.stack([alpha, beta, aa, 0.3 * np.sqrt(aa * bb), bb, alpha, beta])
    component = COMPONENTS[label]()
    chosen = variables(component, 2)
    energy, gradient = second_order(component, of_size(rows), np.ones(NPOINT), chosen)[:2]
    with mp.workdps(60):
        for point, values in enumerate(rows[:5].T):
            arguments = [mp.mpf(v) for v in values]
            want = float(exact(*arguments))
            unit = max(abs(want), abs(float(exact(*arguments[:2], 0, 0, 0))))
            known = 0.0
            if label == "gga_c_lyp":  # grad a . grad b comes as a difference of squares
                known = 0.01 * EPS * (aa + bb)[point] / (alpha + beta)[point] ** (5 / 3)
            assert energy[point] == pytest.approx(want, rel=1e-12, abs=known)
            for i in chosen:
                order = tuple(int(i == j) for j in range(5))
                slope = float(mp.diff(exact, tuple(arguments), order))
                assert gradient[i, point] == pytest.approx(
                    slope, rel=1e-11, abs=max(1e-14 * unit, known) / abs(values[i])
                ), (i, values)
