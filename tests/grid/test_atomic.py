"""The static atomic grids: PySCF's points and weights, and their arrangement in blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.gto
import pytest
from pyscf.dft import gen_grid, radi

from dqc_lite.basis import Layout
from dqc_lite.errors import InputError
from dqc_lite.geometry import ELEMENTS
from dqc_lite.grid import Grid, atomic, radii
from dqc_lite.grid.radial import treutler_ahlrichs


def layout_of(*symbols):
    """Atoms without functions."""
    none = np.zeros(0, int)
    numbers = tuple(ELEMENTS.index(s) if s in ELEMENTS else 0 for s in symbols)
    return Layout(symbols, numbers, (0,) * len(symbols), none, none, none, none)


def reference(symbol, level):
    """PySCF's grid of an atom."""
    mole = pyscf.gto.M(atom=f"{symbol} 0 0 0", basis=[[0, [1.0, 1.0]]], spin=None, verbose=0)
    return gen_grid.gen_atomic_grids(mole, radi_method=radi.treutler, level=level)[symbol]


def canonical(offsets, weights):
    """Points sorted by distance and direction, for comparison."""
    radius = np.linalg.norm(offsets, axis=1)
    keys = np.round(np.column_stack([offsets / radius[:, None], np.log(radius)]), 7)
    order = np.lexsort(keys.T)
    return offsets[order], weights[order]


def assert_same_grid(made, expected):
    assert len(made[1]) == len(expected[1])
    (points, weights), (points0, weights0) = canonical(*made), canonical(*expected)
    scale = np.linalg.norm(points0, axis=1, keepdims=True)
    assert np.all(np.abs(points - points0) <= 1e-12 * scale)
    np.testing.assert_allclose(weights, weights0, rtol=1e-12)


@pytest.mark.parametrize("level", range(10))
def test_levels(level):
    """Hydrogen and one other of periods 2 to 5 in turn."""
    for symbol in ("H", ("C", "Cl", "Fe", "I")[level % 4]):
        assert_same_grid(
            atomic.atomic_grid(ELEMENTS.index(symbol), level), reference(symbol, level)
        )


def test_all_elements():
    """Numbers of points of level 0, radii and radial scales, hydrogen to lawrencium."""
    for number in range(1, 104):
        r, weight = treutler_ahlrichs(20, number)
        r0, weight0 = radi.treutler_ahlrichs(20, number)
        np.testing.assert_allclose(r, r0, rtol=1e-12)
        np.testing.assert_allclose(weight, weight0, rtol=1e-12)
        assert radii.bragg(number) == pytest.approx(radi.BRAGG_RADII[number], rel=1e-8)
    for number in (2, 3, 10, 11, 18, 19, 36, 37, 54, 55, 86, 87):
        made = atomic.atomic_grid(number, 0)
        assert len(made[1]) == len(reference(ELEMENTS[number], 0)[1])


@pytest.mark.parametrize("block", [1, 100, 4096, 10**6])
def test_blocks_hold_the_atomic_grids(block):
    grid = atomic.grid_layout(layout_of("H", "GHOST-C", "H"), 1, block)
    assert grid.elements == (1, 6, 1)
    assert grid.npoint % block == 0
    real = grid.weight != 0
    for atom, number in enumerate(grid.elements):
        chosen = real & (grid.owner == atom)
        made = (grid.local[chosen], grid.weight[chosen])
        assert_same_grid(made, atomic.atomic_grid(number, 1))
    assert np.count_nonzero(~real) < block
    padding = grid.local[~real]
    assert np.all(padding == grid.local[real][-1])


def test_blocks_are_compact():
    """Full blocks: one atom each, and smaller boxes than those of points in order of radius."""
    block = 128
    grid = atomic.grid_layout(layout_of("C", "H"), 3, block)
    full = slice(0, (grid.npoint // block - 2) * block)
    owners = grid.owner[full].reshape(-1, block)
    assert np.all(owners == owners[:, :1])

    def mean_size(points):
        boxes = points[: len(points) // block * block].reshape(-1, block, 3)
        return np.linalg.norm(np.ptp(boxes, axis=1), axis=1).mean()

    assert mean_size(grid.local[full]) < 0.6 * mean_size(atomic.atomic_grid(6, 3)[0])


def test_layout_is_a_jit_key(compilations):
    layout = layout_of("H", "C")
    grid = atomic.grid_layout(layout, 0, 64)
    again = atomic.GridLayout((1, 6), Grid(0), 64)
    assert grid is atomic.grid_layout(layout_of("H", "C"), 0, 64)
    assert grid == again
    assert hash(grid) == hash(again)
    assert grid != atomic.grid_layout(layout, 1, 64)
    assert grid != atomic.grid_layout(layout_of("C", "H"), 0, 64)
    run = jax.jit(atomic.points, static_argnums=0)
    positions = jnp.array([[0.0, 0.1, 0.2], [0.3, 1.4, 2.5]])
    made = run(grid, positions)
    with compilations() as count:
        run(again, positions)
    assert count() == 0
    np.testing.assert_allclose(made, grid.local + np.asarray(positions)[grid.owner], atol=1e-15)


@pytest.mark.parametrize("level", [-1, 10, 2.5])
def test_level_out_of_range(level):
    with pytest.raises(InputError, match=f"grid_level = {level}"):
        atomic.grid_layout(layout_of("H"), level, 128)


def test_refused_input():
    with pytest.raises(InputError, match="block = 0"):
        atomic.grid_layout(layout_of("H"), 3, 0)
    with pytest.raises(InputError, match="no radial grid for Rf"):
        atomic.grid_layout(layout_of("H", "Rf"), 3, 128)


@pytest.mark.parametrize("element_sizes", [True, False])
@pytest.mark.parametrize("pruning", ["treutler", "nwchem", None])
def test_grid_given_by_numbers(
    pruning: str | None, element_sizes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radi, "ATOM_SPECIFIC_TREUTLER_GRIDS", element_sizes)
    mole = pyscf.gto.M(atom="O 0 0 0", basis=[[0, [1.0, 1.0]]], verbose=0)
    prune = pruning and getattr(gen_grid, f"{pruning}_prune")
    expected = gen_grid.gen_atomic_grids(
        mole, {"O": (50, 194)}, radi_method=radi.treutler, prune=prune
    )["O"]
    grid = Grid(radial=50, angular=194, pruning=pruning, element_sizes=element_sizes)
    for got, reference in zip(canonical(*grid.points(8)), canonical(*expected), strict=True):
        np.testing.assert_allclose(got, reference, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"angular": 195}, "angular = 195 is no Lebedev grid"),
        ({"radial": 0}, "radial = 0"),
        ({"pruning": "sg1"}, "pruning = 'sg1' is unknown"),
        ({"level": 10}, "grid_level = 10"),
        ({"level": True}, "grid_level = True"),
    ],
)
def test_impossible_grids(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Grid(**options)
