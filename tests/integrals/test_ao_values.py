"""Atomic orbitals at points: against PySCF, and their derivatives of every kind."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.gto
import pytest

from dqc_lite.basis import Basis, orbitals
from dqc_lite.errors import InputError
from dqc_lite.integrals.ao_values import ao_order, ao_values, grouped_ao_values
from dqc_lite.integrals.host.layouts import parts

RNG = np.random.default_rng(3)
HIGH = [[l, [1.9 - 0.2 * l, 0.6], [0.5, 0.5]] for l in range(7)] + [[l, [0.3, 1.0]] for l in (0, 2)]
GENERAL = [[0, [2.0, 0.5, -0.3], [0.6, 0.2, 0.9]], [2, [0.8, 0.6, 0.1, 0.4], [0.3, 0.2, 0.7, 0.1]]]
SYSTEMS = {
    "s to i": {"atom": "C 0.1 0.2 0.3; H 1 2 -0.5", "basis": {"C": HIGH, "H": "sto-3g"}},
    "general": {"atom": "H 0 0 1; O 0 1 0; H 1 0 0.5", "basis": {"H": GENERAL, "O": "cc-pvdz"}},
    "ghosts": {"atom": "O 0 0 0; ghost-O 0 0.3 2; H 1.4 1.1 0; X-H 1 1 1", "basis": "def2-svp"},
    "alternating": {"atom": "H 0 0 1; F 0 2 0; H 1 0 0.5; Cl 0 0 5", "basis": "6-31g*"},
}


def build(cart=False, **keywords):
    """A PySCF molecule and the same as orbitals."""
    mole = pyscf.gto.M(verbose=0, unit="Bohr", spin=None, cart=cart, **keywords)
    layout, positions, _, exponents, coefficients = parts(mole)
    basis = Basis(jnp.asarray(exponents), jnp.asarray(coefficients), layout)
    return mole, orbitals(jnp.asarray(positions), basis)


def some_points(mole, n=40):
    """Points around the nuclei, and the nuclei."""
    points = mole.atom_coords()[RNG.integers(mole.natm, size=n)] + RNG.normal(size=(n, 3))
    return np.concatenate([points, mole.atom_coords()])


def reference(mole, points, order):
    """PySCF's values, without its cutoff."""
    name = "GTOval_cart" if mole.cart else "GTOval_sph"
    value = mole.eval_gto(f"{name}_deriv{order}", points, cutoff=1e-200)
    return value.transpose(0, 2, 1)


@pytest.fixture(scope="module")
def small():
    """Two atoms with s, p, d and f shells; jitted values of a few points."""
    shells = [[0, [1.5, 0.4], [0.7, 0.3]], [1, [0.8, 1.0]], [2, [0.6, 1.0]], [3, [0.9, 1.0]]]
    mole, o = build(atom="O 0.1 0.2 0.3; H 0.7 -0.9 1.1", basis={"O": shells, "H": "sto-3g"})
    return mole, o, jnp.asarray(some_points(mole, 3))


@pytest.mark.parametrize("cart", [False, True], ids=["spherical", "cartesian"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_equal_to_pyscf(name, cart):
    mole, o = build(cart=cart, **SYSTEMS[name])
    points = some_points(mole)
    made = np.asarray(ao_values(o, jnp.asarray(points), 2))
    expected = reference(mole, points, 2)
    scale = np.abs(expected).max(-1, keepdims=True)  # of each derivative of each orbital
    assert np.all(np.abs(made - expected) <= 1e-13 * scale + 1e-12 * np.abs(expected))


def test_lower_orders_are_the_first_components(small):
    _, o, points = small
    second = ao_values(o, points, 2)
    np.testing.assert_allclose(ao_values(o, points, 0), second[:1], rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(ao_values(o, points, 1), second[:4], rtol=1e-14, atol=1e-16)


def test_grouped_order(small):
    _, o, points = small
    order = ao_order(o.layout)
    assert sorted(order) == list(range(o.layout.nao))
    grouped = grouped_ao_values(o, points, 1)
    np.testing.assert_array_equal(grouped, np.asarray(ao_values(o, points, 1))[:, order])


@pytest.mark.parametrize("order", [-1, 3])
def test_order_out_of_range(small, order):
    _, o, points = small
    with pytest.raises(InputError, match=rf"order = {order}"):
        ao_values(o, points, order)


def central(function, step=2e-3):
    """Derivative at 0, error of order step^4."""
    return (
        8.0 * (function(step) - function(-step)) - (function(2 * step) - function(-2 * step))
    ) / (12.0 * step)


def test_derivatives_to_third_order():
    """By centres, exponents, coefficients and points together; reverse, forward over it."""
    shells = [[0, [1.5, 0.4], [0.7, 0.3]], [1, [0.8, 1.0]], [2, [0.6, 1.0]]]
    mole, o = build(atom="O 0.1 0.2 0.3; H 0.7 -0.9 1.1", basis={"O": shells, "H": "sto-3g"})
    points = jnp.asarray(some_points(mole, 3))
    weight = RNG.normal(size=(4, o.layout.nao, len(points)))
    start = (o.centers, o.exponents, o.coefficients, points)
    direction = [0.3 * RNG.normal(size=x.shape) * np.abs(x) for x in start]

    def total(centers, exponents, coefficients, points):
        moved = dataclasses.replace(
            o, centers=centers, exponents=exponents, coefficients=coefficients
        )
        return (weight * ao_values(moved, points, 1)).sum()

    def first(t):
        at = [x + t * d for x, d in zip(start, direction, strict=True)]
        value, slopes = jax.value_and_grad(total, argnums=(0, 1, 2, 3))(*at)
        return value, sum((g * d).sum() for g, d in zip(slopes, direction, strict=True))

    second = jax.jacfwd(lambda t: first(t)[1])
    orders = jax.jit(
        lambda t: jnp.stack([*first(t), second(t), jax.jacfwd(second)(t)]),
        compiler_options={"xla_backend_optimization_level": 0},
    )
    expected = central(lambda t: np.asarray(orders(t)))
    np.testing.assert_allclose(orders(0.0)[1:], expected[:-1], rtol=1e-7, atol=1e-7)


def test_automatic_derivative_by_the_point_is_the_analytic_one(small):
    """Also on the nuclei, which are among the points."""
    _, o, points = small
    jacobian = jax.jit(jax.vmap(jax.jacfwd(lambda p: ao_values(o, p[None], 1)[..., 0])))(points)
    automatic = np.moveaxis(np.asarray(jacobian), 0, 2)  # (component, ao, point, xyz)
    analytic = np.asarray(ao_values(o, points, 2))
    x, y = np.triu_indices(3)
    np.testing.assert_allclose(np.moveaxis(automatic[0], -1, 0), analytic[1:4], atol=1e-13)
    second = np.stack([automatic[1 + i, ..., j] for i, j in zip(x, y, strict=True)])
    np.testing.assert_allclose(second, analytic[4:], atol=1e-12)


def test_moving_everything_changes_nothing(small):
    _, o, points = small
    shift = jnp.array([0.3, -1.2, 0.8])
    moved = dataclasses.replace(o, centers=o.centers + shift)
    np.testing.assert_allclose(
        ao_values(moved, points + shift, 1), ao_values(o, points, 1), atol=1e-13
    )


def test_kinds_of_shells_not_shells_decide_on_the_program():
    """One exponential per kind of shell, however many atoms there are."""

    def exponentials(text):
        _, o = build(atom=text, basis="def2-svp")
        program = jax.make_jaxpr(lambda p: grouped_ao_values(o, p, 1))(np.zeros((5, 3)))
        return str(program).count("= exp ")

    few = exponentials("C 0 0 0; H 0 0 2")
    many = exponentials("C 0 0 0; H 0 0 2; C 3 0 0; H 3 0 2; C 6 0 0; H 6 0 2; C 9 0 0; H 9 0 2")
    assert few == many == 7
