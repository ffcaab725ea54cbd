"""Rows of different molecules brought to common shapes, in few groups of little waste.

Added basis functions overlap with nothing, are not among the orthonormal combinations that count,
and added grid points have no weight: neither energies nor derivatives notice them.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array
from dqc_lite.basis import Orbitals
from dqc_lite.fit.fixed import FixedRow, require_values
from dqc_lite.grid.quadrature import Quadrature
from dqc_lite.integrals.operators import npair
from dqc_lite.jk import DensityFitted, Exact


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Shapes of a row.

    Attributes:
        kind: of determinant; rows of different kinds have different programs.
        nao, nocc: basis functions, columns of the occupied factor.
        naux: auxiliary functions, 0 with exact integrals.
        blocks: of grid points, 0 without grid.
        nonlocal_blocks: those of nonlocal correlation, 0 without.
        guess: columns of the guess.
    """

    kind: str
    nao: int
    nocc: int
    naux: int
    blocks: int
    nonlocal_blocks: int
    guess: int

    @classmethod
    def of(cls, row: FixedRow) -> Sizes:
        whole = row.repulsion[0]
        naux = len(whole.factor) if isinstance(whole, DensityFitted) else 0
        blocks = (0 if g is None else len(g.weights) for g in (row.grid, row.nonlocal_grid))
        return cls(row.kind, len(row.core), row.nocc, naux, *blocks, row.guess.shape[-1])

    def union(self, other: Sizes) -> Sizes:
        """The smallest shapes that hold both."""
        mine, others = dataclasses.astuple(self)[1:], dataclasses.astuple(other)[1:]
        return Sizes(self.kind, *map(max, mine, others))

    @property
    def cost(self) -> float:
        """Floating-point operations of a Fock build, about."""
        repulsion = self.naux * self.nao**2 * (1 + self.nocc) if self.naux else self.nao**4
        points = 128 * (self.blocks + self.nonlocal_blocks)
        grid = points * 4 * self.nao * (self.nao + 2 * self.nocc)
        pairs = 20 * (128 * self.nonlocal_blocks) ** 2
        spins = 1 if self.kind == "restricted" else 2
        return spins * (repulsion + grid + 20 * self.nao**3) + pairs


def grouped(
    sizes: Sequence[Sizes], count: int, shapes: Sequence[Sizes] = ()
) -> list[tuple[Sizes, list[int]]]:
    """Common shapes and indices of the rows that take them: first the cheapest of the given
    `shapes` that hold a row, for the rest at most `count` new ones.
    """
    homes: dict[Sizes, list[int]] = {}
    rest = []
    for i, s in enumerate(sizes):
        fitting = [shape for shape in shapes if shape.kind == s.kind and shape.union(s) == shape]
        if fitting:
            homes.setdefault(min(fitting, key=lambda f: f.cost), []).append(i)
        else:
            rest.append(i)
    found = list(homes.items())
    if rest:
        for group in buckets([sizes[i] for i in rest], count):
            members = [rest[i] for i in group]
            found.append((functools.reduce(Sizes.union, (sizes[i] for i in members)), members))
    return found


def buckets(sizes: Sequence[Sizes], count: int) -> list[list[int]]:
    """Indices of rows in at most `count` groups (one of each kind at least) of the least cost.

    Rows of one kind are sorted by cost and cut into contiguous groups, optimally for that order.
    """
    kinds = sorted({s.kind for s in sizes})
    orders = {k: sorted((i for i, s in enumerate(sizes) if s.kind == k),
                        key=lambda i: sizes[i].cost) for k in kinds}  # fmt: skip
    best = {k: _cuts([sizes[i] for i in orders[k]], max(count - len(kinds) + 1, 1)) for k in kinds}
    share = {k: 1 for k in kinds}
    for _ in range(count - len(kinds)):
        gains = {
            k: best[k][share[k] - 1][0] - best[k][share[k]][0]
            for k in kinds if share[k] < len(best[k])
        }  # fmt: skip
        if not gains or max(gains.values()) <= 0:
            break
        share[max(gains, key=gains.get)] += 1
    groups = []
    for k in kinds:
        edges = best[k][share[k] - 1][1]
        groups += [orders[k][a:b] for a, b in zip([0, *edges[:-1]], edges, strict=True)]
    return groups


def _cuts(ordered: list[Sizes], count: int) -> list[tuple[float, list[int]]]:
    """For 1, 2, ... groups: their cost and where they end."""
    n = len(ordered)
    cost = np.full((n + 1, n + 1), np.inf)
    for a in range(n):
        held = ordered[a]
        for b in range(a + 1, n + 1):
            held = held.union(ordered[b - 1])
            cost[a, b] = (b - a) * held.cost
    found = [(cost[0, b], [b]) for b in range(n + 1)]
    result = [found[n]]
    for _ in range(1, min(count, n)):
        found = [
            min(
                ((found[a][0] + cost[a, b], [*found[a][1], b]) for a in range(1, b)),
                default=(np.inf, []), key=lambda f: f[0],
            )
            for b in range(n + 1)
        ]  # fmt: skip
        result.append(found[n])
    return result


def pad(row: FixedRow, sizes: Sizes) -> FixedRow:
    """The row in shapes of `sizes`."""
    require_values(row)
    n, more = sizes.nao, sizes.nao - len(row.core)
    whole, long_range = row.repulsion
    return dataclasses.replace(
        row,
        core=_to(row.core, n, n),
        repulsion=(_builder(whole, sizes), None if long_range is None else
                   _builder(long_range, sizes)),
        grid=_grid(row.grid, sizes.blocks, n),
        nonlocal_grid=_grid(row.nonlocal_grid, sizes.nonlocal_blocks, n),
        overlap=_to(row.overlap, n, n) + np.diag(np.arange(n) >= n - more).astype(float),
        x=_to(row.x, n, n),
        kept=_to(row.kept, n),
        guess=_to(row.guess, n, sizes.guess),
        dipole=_to(row.dipole, 3, n, n),
        nocc=sizes.nocc,
    )  # fmt: skip


def _to(x: Array, *shape: int) -> Array:
    """Zeros added at the ends of the axes."""
    x = np.asarray(x)
    # on the host, where no program is compiled for it
    return jax.device_put(np.pad(x, [(0, n - m) for n, m in zip(shape, x.shape, strict=True)]))


@functools.cache
def placeholder() -> Orbitals:
    """Stands for the auxiliary functions, which fixed integrals do not need."""
    from dqc_lite.molecule import Molecule

    return Molecule.from_atoms("H 0 0 0", "sto-3g", spin=1).orbitals()


def _builder(builder: Exact | DensityFitted, sizes: Sizes) -> Exact | DensityFitted:
    n = sizes.nao
    if isinstance(builder, DensityFitted):
        metric = jax.device_put(np.zeros((sizes.naux, sizes.naux)))  # only derivatives need it
        factor = _to(builder.factor, sizes.naux, n, n)
        return DensityFitted(factor, metric, placeholder(), builder.omega)
    # pairs m >= n come row by row, so that those of more functions follow
    last = (npair(n),) if builder.eri.ndim == 2 else (n, n)
    return Exact(_to(builder.eri, npair(n), *last), builder.omega, n)


def _grid(grid: Quadrature | None, blocks: int, nao: int) -> Quadrature | None:
    if grid is None:
        return None
    _, component, _, point = grid.values.shape
    return Quadrature(
        points=_to(grid.points, blocks, point, 3), weights=_to(grid.weights, blocks, point),
        orbitals=None, values=_to(grid.values, blocks, component, nao, point), order=grid.order,
    )  # fmt: skip


@jax.jit
def stacked(trees: Sequence[Any]) -> Any:
    """Pytrees of equal shapes as one with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def unstacked(tree: Any) -> list[Any]:
    """The entries along the leading axis."""
    count = len(jax.tree.leaves(tree)[0])
    return [jax.tree.map(operator.itemgetter(i), tree) for i in range(count)]
