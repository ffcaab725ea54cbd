"""The molecular grid: PySCF's weights, their derivatives, and integrals with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.gto
import pytest
from pyscf.dft import gen_grid

from dqc_lite.basis import Basis, orbitals
from dqc_lite.grid import atomic, becke
from dqc_lite.integrals.ao_values import ao_values
from dqc_lite.integrals.host.layouts import parts

BLOCK = 128
SYSTEMS = {
    "He": "He 0.1 0.2 0.3",
    "CO2": "C 0 0 0; O 0 0 2.19; O 0 0 -2.19",  # points on the axis, beyond other atoms
    "water, ghost": "O 0 0 0; H 0 1.43 1.11; H 0 -1.43 1.11; ghost-O 0 0.5 -5",
    "heavy": "I 0 0 0; Br 0 4 2; Na -3 1 1; H 2.5 0 -1.5",
}


def build(atom):
    """A molecule of PySCF with one function an atom, and its layout and positions."""
    functions = {"default": [[0, [1.1, 1.0]]]}
    mole = pyscf.gto.M(atom=atom, unit="Bohr", basis=functions, spin=None, verbose=0)
    layout, positions, _, exponents, coefficients = parts(mole)
    basis = Basis(jnp.asarray(exponents), jnp.asarray(coefficients), layout)
    return mole, layout, jnp.asarray(positions), basis


@jax.jit
def weights_at(positions, points, owner, adjustment):
    return becke.becke_weights(positions, points, owner, adjustment)


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("name", SYSTEMS)
def test_molecular_grid_is_pyscfs(name, level):
    mole, layout, positions, _ = build(SYSTEMS[name])
    grid = atomic.grid_layout(layout, level, BLOCK)
    points = np.asarray(atomic.points(grid, positions))
    share = weights_at(positions, points, grid.owner, grid.radii_adjustment)
    weights = np.asarray(grid.weight * share)
    expected = gen_grid.Grids(mole)
    expected.level, expected.alignment = level, 0
    expected.build(sort_grids=False)
    sizes = [np.count_nonzero((grid.owner == a) & (grid.weight != 0)) for a in range(mole.natm)]
    owner = np.repeat(np.arange(mole.natm), sizes)
    assert len(owner) == len(expected.weights)

    def sorted_by_place(owner, local, *columns):
        radius = np.linalg.norm(local, axis=1)
        keys = [*np.round(local / radius[:, None], 7).T, np.round(np.log(radius), 7), owner]
        order = np.lexsort(keys)
        return [column[order] for column in columns]

    real = grid.weight != 0
    made = sorted_by_place(grid.owner[real], grid.local[real], points[real], weights[real])
    local = expected.coords - mole.atom_coords()[owner]
    reference = sorted_by_place(owner, local, expected.coords, expected.weights)
    np.testing.assert_allclose(made[0], reference[0], rtol=0, atol=1e-13)
    # relative to the weight in the atomic grid, of which the partition leaves a share
    scale = sorted_by_place(grid.owner[real], grid.local[real], grid.weight[real])[0]
    assert np.all(np.abs(made[1] - reference[1]) <= 1e-12 * np.abs(scale))


@pytest.mark.parametrize("natm", [2, 25, 50])
def test_many_atoms_against_the_definition(natm):
    """In one pass and in several, filled up and not."""
    rng = np.random.default_rng(natm)
    positions = 4.0 * rng.normal(size=(natm, 3))
    points = 4.0 * rng.normal(size=(7, 3))
    owner = rng.integers(natm, size=7)
    adjustment = becke.radii_adjustment(rng.integers(1, 54, size=natm).tolist())
    np.testing.assert_array_equal(adjustment, -adjustment.T)
    distance = np.linalg.norm(points - positions[:, None], axis=-1)
    separation = np.linalg.norm(positions[:, None] - positions, axis=-1) + np.eye(natm)
    mu = (distance[:, None] - distance) / separation[..., None]
    g = mu + adjustment[..., None] * (1 - mu**2)
    for _ in range(3):
        g = 1.5 * g - 0.5 * g**3
    factors = 0.5 * (1 - g)
    factors[np.arange(natm), np.arange(natm)] = 1.0
    cells = factors.prod(1)
    expected = (cells / cells.sum(0))[owner, np.arange(7)]
    made = weights_at(positions, points, owner, adjustment)
    np.testing.assert_allclose(made, expected, rtol=1e-11, atol=1e-15)


def central(function, step=1e-3):
    """Derivative at 0, error of order step^4."""
    return (
        8.0 * (function(step) - function(-step)) - (function(2 * step) - function(-2 * step))
    ) / (12.0 * step)


@pytest.fixture(scope="module")
def moving():
    """Weighted sum of the weights of a bent molecule along a line, with its derivatives.

    Among the points are the nuclei, twice the same one, and points on an axis behind an atom.
    """
    rng = np.random.default_rng(5)
    positions = jnp.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 1.8, -0.9], [2.2, 0.1, 0.3]])
    some = 1.2 * rng.normal(size=(8, 3))
    special = [[0.0, 0.0, 3.0], [0.0, 0.0, -2.0], [0.0, 0.0, 3.0], [0.0, 0.0, 1.0]]
    points = jnp.asarray(np.concatenate([some, positions, special]))
    owner = np.array([0, 1, 2, 3] * 4)
    adjustment = becke.radii_adjustment((8, 1, 6, 17))
    factor = jnp.asarray(rng.normal(size=len(owner)))

    def total(positions, points):
        return (factor * becke.becke_weights(positions, points, owner, adjustment)).sum()

    direction = tuple(jnp.asarray(rng.normal(size=x.shape)) for x in (positions, points))

    def at(t):
        return tuple(x + t * d for x, d in zip((positions, points), direction, strict=True))

    def along(t):
        return total(*at(t))

    def reverse(t):
        gradient = jax.grad(total, argnums=(0, 1))(*at(t))
        return sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))

    first, second = jax.grad(along), jax.jacfwd(reverse)
    orders = jax.jit(
        lambda t: jnp.stack([along(t), first(t), second(t), jax.jacfwd(second)(t)]),
        compiler_options={"xla_backend_optimization_level": 0},
    )
    return total, (positions, points), orders


def test_derivatives_to_third_order(moving):
    """Away from the special places, where they are limits."""
    _, _, orders = moving
    start = 0.05
    expected = central(lambda t: np.asarray(orders(start + t)))
    np.testing.assert_allclose(orders(start)[1:], expected[:-1], rtol=1e-7, atol=1e-7)


def test_derivatives_at_coincidences(moving):
    """On the nuclei and on the axes behind them, at t = 0."""
    _, _, orders = moving
    made = np.asarray(orders(0.0))
    assert np.isfinite(made).all()
    expected = central(lambda t: np.asarray(orders(t)), step=1e-3)
    np.testing.assert_allclose(made[1:3], expected[:2], rtol=1e-6, atol=1e-6)


def test_forward_is_reverse_and_moving_everything_changes_nothing(moving):
    total, (positions, points), _ = moving
    forward, reverse = jax.jit(
        lambda *x: (jax.jacfwd(total, (0, 1))(*x), jax.grad(total, (0, 1))(*x))
    )(positions, points)
    for a, b in zip(forward, reverse, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)
    np.testing.assert_allclose(reverse[0].sum(0) + reverse[1].sum(0), 0.0, atol=1e-12)


def test_one_atom():
    points = jnp.array([[0.0, 0.0, 0.0], [0.3, 0.1, -2.0]])
    position, owner = np.zeros((1, 3)), np.zeros(2, int)
    adjustment = becke.radii_adjustment((6,))

    def share(position):
        return becke.becke_weights(position, points, owner, adjustment)

    value, slope = jax.jit(lambda x: (share(x), jax.jacrev(share)(x)))(position)
    np.testing.assert_array_equal(value, 1.0)
    np.testing.assert_array_equal(slope, 0.0)


@pytest.fixture(scope="module")
def squares():
    """int of the sum of the squares of the AOs of water, as a function of the geometry."""
    _, layout, positions, basis = build("O 0 0 0; H 0 1.43 1.11; H 0 -1.43 1.11")
    grid = atomic.grid_layout(layout, 3, BLOCK)
    table = (grid.local, grid.weight, grid.owner)

    @jax.jit
    def integral(positions):
        def of_block(block):
            local, weight, owner = block
            points = atomic.block_points(local, owner, positions)
            share = becke.becke_weights(positions, points, owner, grid.radii_adjustment)
            values = ao_values(orbitals(positions, basis), points, 0)[0]
            return (values**2).sum(0) @ (weight * share)

        blocks = jax.tree.map(lambda x: jnp.asarray(x.reshape(-1, BLOCK, *x.shape[1:])), table)
        return jax.lax.map(of_block, blocks).sum()

    return integral, positions


def test_norm_of_gaussians(squares):
    integral, positions = squares
    assert float(integral(positions)) == pytest.approx(3.0, abs=1e-5)


def test_forces_of_the_quadrature(squares):
    """The error of the quadrature has a gradient: consistent, free of a net force and torque."""
    integral, positions = squares
    gradient = np.asarray(jax.jit(jax.grad(integral))(positions))
    direction = np.random.default_rng(2).normal(size=positions.shape)
    expected = central(lambda t: float(integral(positions + t * direction)))
    assert (gradient * direction).sum() == pytest.approx(expected, abs=1e-10)
    np.testing.assert_allclose(gradient.sum(0), 0.0, atol=1e-12)


def test_moved_and_turned_molecules(squares):
    """Moving changes nothing; turning, against a grid of fixed directions, next to nothing."""
    integral, positions = squares
    value = float(integral(positions))
    moved = float(integral(positions + jnp.array([3.0, -1.0, 2.0])))
    assert moved == pytest.approx(value, abs=1e-12)
    q, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))
    turned = float(integral(positions @ q))
    assert turned == pytest.approx(value, abs=1e-5)
    assert turned != value
