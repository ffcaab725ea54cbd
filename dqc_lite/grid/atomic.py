"""The static grids of the atoms: levels 0 to 9 of PySCF, in blocks of neighbouring points."""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from dqc_lite._call_errors import named_arguments
from dqc_lite._types import Array, Float, Int
from dqc_lite.basis import Layout
from dqc_lite.errors import InputError
from dqc_lite.geometry import ELEMENTS, element_of
from dqc_lite.grid.angular import COUNTS, lebedev
from dqc_lite.grid.becke import radii_adjustment
from dqc_lite.grid.pruning import PRUNINGS
from dqc_lite.grid.radial import XI, treutler_ahlrichs

PERIOD_ENDS = (2, 10, 18, 36, 54, 86, 118)
RADIAL_COUNT = (
    (10, 15, 20, 30, 35, 40, 50),
    (30, 40, 50, 60, 65, 70, 75),
    (40, 60, 65, 75, 80, 85, 90),
    (50, 75, 80, 90, 95, 100, 105),
    (60, 90, 95, 105, 110, 115, 120),
    (70, 105, 110, 120, 125, 130, 135),
    (80, 120, 125, 135, 140, 145, 150),
    (90, 135, 140, 150, 155, 160, 165),
    (100, 150, 155, 165, 170, 175, 180),
    (200, 200, 200, 200, 200, 200, 200),
)
"""Radial points for each level and period."""
ANGULAR_DEGREE = (
    (11, 15, 17, 17, 17, 17, 17),
    (17, 23, 23, 23, 23, 23, 23),
    (23, 29, 29, 29, 29, 29, 29),
    (29, 29, 35, 35, 35, 35, 35),
    (35, 41, 41, 41, 41, 41, 41),
    (41, 47, 47, 47, 47, 47, 47),
    (47, 53, 53, 53, 53, 53, 53),
    (53, 59, 59, 59, 59, 59, 59),
    (59, 59, 59, 59, 59, 59, 59),
    (65, 65, 65, 65, 65, 65, 65),
)
"""Degree of the largest angular grid for each level and period."""


@named_arguments
@dataclasses.dataclass(frozen=True)
class Grid:
    """How the grid of each atom is made; hashable, a jit key.

    Attributes:
        level: PySCF's, 0 (coarse) to 9: radial points and directions of each element.
        radial: number of radial points, in place of the level's.
        angular: number of directions of the largest Lebedev grid, in place of the level's.
        pruning: "nwchem", "treutler", or None for all directions at all radii.
        element_sizes: whether the radial grid is scaled by the size of the element.

    Raises:
        InputError.
    """

    level: int = 3
    radial: int | None = None
    angular: int | None = None
    pruning: str | None = "nwchem"
    element_sizes: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.level, bool) or self.level not in range(len(RADIAL_COUNT)):
            raise InputError(f"grid_level = {self.level!r} is no level; take 0 (coarse) to 9.")
        if self.radial is not None and self.radial < 1:
            raise InputError(f"radial = {self.radial} points; take at least 1.")
        if self.angular is not None and self.angular not in COUNTS.values():
            known = ", ".join(map(str, COUNTS.values()))
            raise InputError(f"angular = {self.angular} is no Lebedev grid; take one of {known}.")
        if self.pruning not in PRUNINGS:
            known = ", ".join(map(repr, PRUNINGS))
            raise InputError(f"pruning = {self.pruning!r} is unknown; use one of {known}.")

    @classmethod
    def of(cls, level: int | Grid) -> Grid:
        """A level as a grid."""
        return level if isinstance(level, Grid) else cls(level)

    def points(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (point, 3) in bohr and weights (point,) in bohr^3 of an element, 0 for none."""
        period = int(np.searchsorted(PERIOD_ENDS, number))
        nradial = self.radial or RADIAL_COUNT[self.level][period]
        largest = self.angular or COUNTS[ANGULAR_DEGREE[self.level][period]]
        radius, radial_weight = treutler_ahlrichs(nradial, number if self.element_sizes else 0)
        counts = PRUNINGS[self.pruning](number, radius, largest)
        shell_weight = 4.0 * np.pi * radius**2 * radial_weight
        offsets, weights = [], []
        for r, w, count in zip(radius, shell_weight, counts, strict=True):
            direction, angular_weight = lebedev(int(count))
            offsets.append(r * direction)
            weights.append(w * angular_weight)
        return np.concatenate(offsets), np.concatenate(weights)


@functools.lru_cache(maxsize=64)
def atomic_grid(number: int, level: int | Grid) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (point, 3) in bohr and weights (point,) in bohr^3 of an element, 0 for none."""
    return Grid.of(level).points(number)


def neighbouring(points: np.ndarray, block: int) -> np.ndarray:
    """An order of points in which each `block` successive ones are near each other.

    What does not fill a block comes last: those nearest to the nucleus, the most compact. The rest
    is halved again and again, by a coordinate or by the distance from the nucleus, whichever makes
    the two boxes smallest.
    """
    radius = np.linalg.norm(points, axis=1)
    by_radius = np.argsort(radius, kind="stable")
    rest = len(points) % block
    key = np.column_stack([points, radius])

    def halved(indices: np.ndarray) -> list[np.ndarray]:
        if len(indices) <= block:
            return [indices]
        cut = len(indices) // block // 2 * block
        splits = [np.argpartition(k, cut - 1) for k in key[indices].T]
        halves = [(indices[s[:cut]], indices[s[cut:]]) for s in splits]
        low, high = min(halves, key=lambda pair: sum(len(h) * _diagonal(points[h]) for h in pair))
        return halved(low) + halved(high)

    filling = halved(by_radius[rest:]) if len(points) > rest else []
    return np.concatenate([*filling, by_radius[:rest]])


def _diagonal(points: np.ndarray) -> float:
    """Of the box around points."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))


@functools.lru_cache(maxsize=64)
def _ordered_grid(number: int, grid: Grid, block: int) -> tuple[np.ndarray, np.ndarray]:
    offsets, weights = grid.points(number)
    order = neighbouring(offsets, block)
    return offsets[order], weights[order]


@dataclasses.dataclass(frozen=True)
class GridLayout:
    """The atomic grids of a molecule, before it has a geometry; hashable, a jit key.

    Blocks of one atom come first; what fills no block follows, atom by atom; the last block is
    filled up with copies of the last point, of weight 0.

    Attributes:
        elements: atomic number of each atom; a ghost has that of its element.
        grid: how the grid of each is made.
        block: the number of points is a multiple of it.
    """

    elements: tuple[int, ...]
    grid: Grid
    block: int

    @property
    def npoint(self) -> int:
        return len(self.weight)

    @property
    def local(self) -> Float[np.ndarray, "point 3"]:
        """Offsets from the atom a point belongs to, bohr."""
        return self._tables[0]

    @property
    def weight(self) -> Float[np.ndarray, " point"]:
        """Weights of the atomic quadrature (radial, angular, 4 pi r^2), bohr^3."""
        return self._tables[1]

    @property
    def owner(self) -> Int[np.ndarray, " point"]:
        """The atom each point belongs to."""
        return self._tables[2]

    @functools.cached_property
    def radii_adjustment(self) -> Float[np.ndarray, "atom atom"]:
        """Of the partition, by the sizes of the atoms (see `dqc_lite.grid.becke`)."""
        return radii_adjustment(self.elements)

    @functools.cached_property
    def _tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        full: list[tuple] = []
        left: list[tuple] = []
        for atom, number in enumerate(self.elements):
            offsets, weights = _ordered_grid(number, self.grid, self.block)
            cut = len(weights) // self.block * self.block
            owner = np.full(len(weights), atom, np.int32)
            full.append((offsets[:cut], weights[:cut], owner[:cut]))
            left.append((offsets[cut:], weights[cut:], owner[cut:]))
        local, weight, owner = map(np.concatenate, zip(*full, *left, strict=True))
        npad = -len(weight) % self.block
        return (
            np.concatenate([local, np.repeat(local[-1:], npad, 0)]),
            np.concatenate([weight, np.zeros(npad)]),
            np.concatenate([owner, np.repeat(owner[-1:], npad)]),
        )


@functools.lru_cache(maxsize=64)
def grid_layout(layout: Layout, level: int | Grid, block: int) -> GridLayout:
    """The grids of the atoms of a molecule, ghosts included.

    Raises:
        InputError: a level outside 0 to 9, an empty block, an element without radial grid.
    """
    if block < 1:
        raise InputError(f"block = {block!r} points; take at least 1.")
    elements = tuple(ELEMENTS.index(element_of(symbol)) for symbol in layout.symbols)
    heaviest = max(elements)
    if heaviest >= len(XI):
        raise InputError(f"no radial grid for {ELEMENTS[heaviest]}; they end at {ELEMENTS[-16]}.")
    return GridLayout(elements, Grid.of(level), block)


def points(grid: GridLayout, positions: Float[Array, "atom 3"]) -> Float[Array, "point 3"]:
    """All points of the grid, in bohr, moving with the atoms."""
    return block_points(grid.local, grid.owner, positions)


def block_points(
    local: Float[Array | np.ndarray, "point 3"],
    owner: Int[Array | np.ndarray, " point"],
    positions: Float[Array, "atom 3"],
) -> Float[Array, "point 3"]:
    """Some points of the grid, in bohr.

    As a product with a selection matrix: its transpose, which adds up the derivatives of each
    atom, is a product too.
    """
    selection = (owner[:, None] == np.arange(len(positions))).astype(positions.dtype)
    return jnp.matmul(selection, positions, precision="highest") + local
