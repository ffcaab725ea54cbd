"""VV10 against PySCF on its own grid, and its derivatives against finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pyscf import dft, gto
from pyscf.dft.numint import _vv10nlc

from dqc_lite.xc.vv10 import DENSITY_THRESHOLD, VV10, nonlocal_energy

PARAMETERS = (5.9, 0.0093)  # of VV10 itself; not the defaults


@pytest.fixture(scope="module")
def water():
    """(rho with its gradient (4, point), weights, coords) on PySCF's coarsest grid."""
    mol = gto.M(atom="O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", basis="sto-3g", verbose=0)
    grid = dft.Grids(mol)
    grid.level = 0
    grid.build()
    method = dft.RKS(mol, xc="lda,vwn")
    method.grids = grid
    method.kernel()
    ao = method._numint.eval_ao(mol, grid.coords, deriv=1)
    rho = method._numint.eval_rho(mol, ao, method.make_rdm1(), xctype="GGA")
    return rho, grid.weights, grid.coords


def arguments(water):
    rho, weights, coords = water
    return rho[0], (rho[1:] ** 2).sum(0), weights, coords


def test_energy_and_potential_are_those_of_pyscf(water):
    rho, weights, coords = water
    energy, potential = _vv10nlc(rho, coords, rho, weights, coords, PARAMETERS)
    value_and_slopes = jax.jit(jax.value_and_grad(nonlocal_energy, argnums=(1, 2)))
    value, (by_rho, by_sigma) = value_and_slopes(PARAMETERS, *arguments(water))
    assert float(value) == pytest.approx((rho[0] * weights) @ energy, abs=1e-12)
    np.testing.assert_allclose(by_rho, weights * potential[0], rtol=1e-9, atol=1e-15)
    moving = rho[0] >= DENSITY_THRESHOLD
    want = (weights * potential[1])[moving]
    np.testing.assert_allclose(by_sigma[moving], want, rtol=1e-9, atol=1e-15)
    assert np.all(np.asarray(by_sigma)[~moving] == 0.0)


@pytest.fixture(scope="module")
def few():
    """A few points, no two alike; some without density or gradient, one below the threshold."""
    rng = np.random.default_rng(0)
    rho = 10.0 ** rng.uniform(-4, 1, 21)
    rho[:2] = 0.0, 0.5 * DENSITY_THRESHOLD
    sigma = rho ** (8 / 3) * 10.0 ** rng.uniform(-1, 2, 21)
    sigma[2] = 0.0
    return PARAMETERS, rho, sigma, rng.uniform(0, 1, 21), rng.normal(size=(21, 3))


def written_out(parameters, rho, sigma, weights, coords):
    """The definition, pair by pair."""
    b, c = parameters
    kept = rho >= DENSITY_THRESHOLD
    rho, sigma, weights, coords = (x[kept] for x in (rho, sigma, weights, coords))
    omega = np.sqrt(c * (sigma / rho**2) ** 2 + 4 * np.pi * rho / 3)
    kappa = b * 1.5 * np.pi * (rho / (9 * np.pi)) ** (1 / 6)
    square = ((coords[:, None] - coords) ** 2).sum(-1)
    g = omega[:, None] * square + kappa[:, None]
    kernel = -1.5 / (g * g.T * (g + g.T))
    beta = (3 / b**2) ** 0.75 / 32
    return (weights * rho) @ (beta + 0.5 * kernel @ (weights * rho))


@pytest.mark.parametrize("block", [None, 4, 7, 64])
def test_blocks_are_the_definition(few, block):
    value = jax.jit(functools.partial(nonlocal_energy, block=block))(*few)
    assert float(value) == pytest.approx(written_out(*few), rel=1e-13)


def along(arguments, direction, size):
    return jax.tree.map(lambda x, d: x + size * d, arguments, direction)


def directions(arguments):
    """One for each argument: the parameters, then each array (relative where it is positive)."""
    rng = np.random.default_rng(1)
    leaves, structure = jax.tree.flatten(arguments)
    for index, leaf in enumerate(leaves):
        scale = np.ones_like(leaf) if index == len(leaves) - 1 else np.asarray(leaf)
        zeros = [np.zeros_like(np.asarray(x)) for x in leaves]
        zeros[index] = np.asarray(scale * rng.uniform(-1, 1, np.shape(leaf)))
        yield jax.tree.unflatten(structure, zeros)


def inner(a, b):
    return sum(jnp.vdot(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


@functools.partial(jax.jit, static_argnames="order")
def slopes(arguments, direction, order):
    """[E, dE, d2E, ...] along a direction: forward mode, over one reverse from the first on."""

    def energy(size):
        return nonlocal_energy(*along(arguments, direction, size), block=8)

    def slope(size):
        at = along(arguments, direction, size)
        return inner(jax.grad(lambda a: nonlocal_energy(*a, block=8))(at), direction)

    found = [energy(0.0)]
    for _ in range(order):
        found.append(slope(0.0))
        slope = functools.partial(lambda f, x: jax.jvp(f, (x,), (1.0,))[1], slope)
    return found


def test_derivatives_are_finite_differences(few):
    step = 1e-2
    for direction in directions(few):
        at = [np.array(slopes(along(few, direction, n * step), direction, 3)) for n in range(-2, 3)]
        difference = (8 * (at[3] - at[1]) - (at[4] - at[0])) / (12 * step)
        for order in range(3):
            scale = np.abs(at[2]).max()
            assert at[2][order + 1] == pytest.approx(difference[order], rel=2e-6, abs=1e-7 * scale)


@pytest.fixture(scope="module")
def gradient(few):
    """By every argument."""
    return jax.jit(jax.grad(nonlocal_energy, argnums=(0, 1, 2, 3, 4)))(*few)


@pytest.mark.parametrize("argument", range(5))
def test_one_argument_at_a_time(few, gradient, argument):
    """A derivative by one argument alone is the same as by all of them."""
    alone = jax.jit(jax.grad(nonlocal_energy, argnums=argument))(*few)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(gradient[argument]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-18)


def test_hessian_in_reverse_is_that_in_forward_mode(few):
    def energy(rho, coords):
        parameters, _, sigma, weights, _ = few
        return nonlocal_energy(parameters, rho, sigma, weights, coords, block=8)

    forward = jax.jit(jax.jacfwd(jax.grad(energy, (0, 1)), (0, 1)))(few[1], few[4])
    reverse = jax.jit(jax.jacrev(jax.grad(energy, (0, 1)), (0, 1)))(few[1], few[4])
    for a, b in zip(*map(jax.tree.leaves, (forward, reverse)), strict=True):
        scale = np.abs(a).max()
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13 * scale)


QUICK = {"xla_backend_optimization_level": 0}


def test_third_derivative_in_reverse_is_that_in_forward_mode(few):
    first, second = (jax.tree.map(lambda x, d=d: d * jnp.asarray(x), few) for d in (0.1, 0.2))
    third = (*first[:4], jnp.cos(few[4]))

    def gradient(at):
        return jax.grad(lambda a: nonlocal_energy(*a, block=8))(at)

    def forward(at):
        def curvature(at):
            return jax.jvp(gradient, (at,), (first,))[1]

        return inner(jax.jvp(curvature, (at,), (second,))[1], third)

    def reverse(at):
        def slope(at):
            return inner(jax.grad(lambda a: inner(gradient(a), first))(at), second)

        return inner(jax.grad(slope)(at), third)

    a, b = (jax.jit(f, compiler_options=QUICK)(few) for f in (forward, reverse))
    assert float(a) == pytest.approx(float(b), rel=1e-11)


def test_memory_is_that_of_some_rows():
    """Of second and third derivatives in reverse mode: less than one number for each pair."""
    npoint = 4000
    shape = jax.ShapeDtypeStruct((npoint,), float)
    coords = jax.ShapeDtypeStruct((npoint, 3), float)

    def energy(rho, coords):
        return nonlocal_energy(PARAMETERS, rho, rho, jnp.ones(npoint), coords)

    def slope(rho, coords):
        return sum(map(jnp.sum, jax.grad(energy, (0, 1))(rho, coords)))

    def curvature(rho, coords):
        return sum(map(jnp.sum, jax.grad(slope, (0, 1))(rho, coords)))

    for function in (slope, curvature):
        program = jax.jit(jax.grad(function, (0, 1)), compiler_options=QUICK)
        memory = program.lower(shape, coords).compile().memory_analysis()
        assert memory.temp_size_in_bytes < 8 * npoint**2


def test_moving_everything_changes_nothing(gradient):
    by_coords = np.asarray(gradient[4])
    np.testing.assert_allclose(by_coords.sum(0), 0.0, atol=1e-14 * np.abs(by_coords).max())


def test_no_density_is_no_energy():
    value, gradient = jax.jit(jax.value_and_grad(nonlocal_energy, argnums=(1, 2)))(
        PARAMETERS, jnp.zeros(3), jnp.zeros(3), jnp.ones(3), jnp.zeros((3, 3))
    )
    assert value == 0.0
    assert all(np.all(np.asarray(g) == 0.0) for g in gradient)


def test_the_class_holds_the_parameters(few):
    _, *rest = few
    assert float(VV10(*PARAMETERS).energy(*rest)) == float(nonlocal_energy(PARAMETERS, *rest))
    assert (VV10().b, VV10().c) == (6.0, 0.01)
