"""Every component against libxc, on random and extreme densities; finite everywhere."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from xc import libxc_oracle as oracle

from dqc_lite.xc.components import COMPONENTS

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


def assert_close(got, want, energy, rows, relative: float, floor: float):
    """Each entry to `relative`, or to `floor` in the natural unit: energy over the variables."""
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
            step = 2e-3 * (abs(value) or 1.0)
            wide, narrow = (
                (total(index, entry, h) - total(index, entry, -h)) / (2 * h)
                for h in (step, step / 2)
            )
            difference = (4 * narrow - wide) / 3
            derivative = float(np.ravel(got[index])[entry])
            assert derivative == pytest.approx(
                difference, rel=1e-7, abs=1e-9 * NPOINT / (abs(value) or 1.0)
            ), f"parameter {index}, entry {entry}"


def closed_shells() -> np.ndarray:
    """Densities 1e-12 to 1e4 with no gradient to large ones; tau from one orbital's up."""
    rho, x2, excess = (
        a.ravel() for a in np.meshgrid(10.0 ** np.arange(-12, 5), [0.0, 1.0, 1e6], [1.0])
    )
    sigma = x2 * rho ** (8 / 3)
    tau = sigma / (8 * rho) + excess * rho ** (5 / 3)
    return np.stack([rho, sigma, tau])


def open_shells(*shares: float) -> np.ndarray:
    """The same with a share of the density in beta, at parallel gradients."""
    rho, sigma, tau = closed_shells()
    rows = []
    for share in shares:
        a, b = 1.0 - share, share
        squares = [a * a * sigma, a * b * sigma, b * b * sigma]
        rows.append([a * rho, b * rho, *squares, a * tau, b * tau])
    return np.concatenate(rows, axis=1)


def libxc_rounding(rows: np.ndarray) -> np.ndarray:
    """Relative errors of libxc's own: log(1 + 1 / x) at low density and 1 - |zeta|.

    x goes as r_s^2 in Perdew and Wang's fit. `test_extremes_against_many_digits` shows on which
    side the errors are.
    """
    rho = rows[:1] if len(rows) == 3 else rows[:2]
    total = rho.sum(0)
    rs2 = (3 / (4 * np.pi * total)) ** (2 / 3)
    return EPS * (rs2 + 8 * (total / np.min(rho, axis=0) if len(rho) == 2 else 0.0))


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
    assert_close(got[0], energy, energy, rows, relative, 0.0)
    flat = np.where(rows == 0, 1.0, rows)
    assert_close(got[1], gradient, energy, flat, relative, 1e-13)


@components
def test_empty_spin(label):
    """Exactly no density in beta: the derivatives of what there is."""
    rows = open_shells(0.0)
    component = COMPONENTS[label]()
    energy, gradient = libxc(label, 2).tensors(rows, 1)
    result = second_order(component, of_size(rows), np.ones(NPOINT), variables(component, 2))
    got = [np.asarray(r)[..., : rows.shape[1]] for r in result[:2]]
    relative = 1e-10 + libxc_rounding(rows[:1])
    for value in (energy, got[0]):
        value[np.abs(value) < 1e-14 * np.abs(rows[0] ** (4 / 3))] = 0.0
    assert_close(got[0], energy, energy, rows, relative, 0.0)
    own = [0, 2, 5]
    assert_close(
        got[1][own], gradient[own], energy, np.where(rows == 0, 1.0, rows)[own], relative, 1e-13
    )


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
