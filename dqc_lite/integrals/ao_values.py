"""Atomic orbitals and their derivatives at points.

On a centre of its own, with r from there, an atomic orbital is ``A(r) R_0(r)``: A a homogeneous
polynomial of degree l (a real solid harmonic, or a Cartesian monomial) and
``R_n = sum_p (-2 a_p)^n c_p exp(-a_p r^2)``. As ``nabla R_n = r R_{n+1}``,

    d_x (A R_0) = A_x R_0 + A x R_1,

so that a Gaussian is evaluated once for all components, and nothing divides by r or takes its
root. The polynomials and their derivatives are fixed combinations of the monomials of x, y, z.

Alike shells of many atoms are evaluated together; this orders the orbitals by kind of shell.
`ao_order` says how, and `grouped_ao_values` leaves it so: a caller that permutes its matrices
once saves the permutation at every point.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from pyscf.gto.mole import cart2sph

from dqc_lite._types import Array, Float
from dqc_lite.basis import Layout, Orbitals
from dqc_lite.errors import InputError
from dqc_lite.integrals.cartesian import cartesian_powers, ncart

DERIVATIVES = (
    ((0, 0, 0),),
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((2, 0, 0), (1, 1, 0), (1, 0, 1), (0, 2, 0), (0, 1, 1), (0, 0, 2)),
)
"""Derivatives of each order, as powers of d/dx, d/dy, d/dz, in PySCF's order."""


@dataclasses.dataclass(frozen=True, eq=False)
class ShellGroup:
    """Shells of one l, number of primitives and of contractions; as many on each of its atoms.

    Attributes:
        l: angular momentum.
        ranges: first and last + 1 of the sorted atoms (see `Groups`) that carry them.
        exponent: (prim, shell, atom) index of the exponents.
        coefficient: (prim, ctr, shell, atom) index of the coefficients.
        ao: (component, ctr, shell, atom) index of the atomic orbitals.
    """

    l: int
    ranges: tuple[tuple[int, int], ...]
    exponent: np.ndarray
    coefficient: np.ndarray
    ao: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Groups:
    """The shells of a layout by kind.

    Attributes:
        atoms: (atom,) atoms sorted: highest l first, alike ones together.
        carriers: for each l, how many atoms have shells of l or higher: the first of `atoms`.
        groups: the shells.
    """

    atoms: np.ndarray
    carriers: tuple[int, ...]
    groups: tuple[ShellGroup, ...]

    @functools.cached_property
    def order(self) -> np.ndarray:
        """(ao,) atomic orbital in each row of the grouped values."""
        return np.concatenate([group.ao.ravel() for group in self.groups])


@functools.lru_cache(maxsize=256)
def shell_groups(layout: Layout) -> Groups:
    """Sort atoms by the kinds of their shells, and shells by kind."""
    kinds: list[dict[tuple[int, int, int], list[int]]] = [{} for _ in range(layout.natm)]
    for s in range(layout.nshell):
        kind = (int(layout.l[s]), int(layout.nprim[s]), int(layout.nctr[s]))
        kinds[layout.atom[s]].setdefault(kind, []).append(s)
    signature = [
        tuple(sorted(((k, len(s)) for k, s in atom.items()), reverse=True)) for atom in kinds
    ]
    atoms = sorted(range(layout.natm), key=signature.__getitem__, reverse=True)
    members: dict[tuple, list[int]] = {}
    for position, atom in enumerate(atoms):
        for key in signature[atom]:
            members.setdefault(key, []).append(position)
    groups = [
        _group(layout, kind, positions, [kinds[atoms[p]][kind] for p in positions])
        for (kind, _), positions in sorted(members.items())
    ]
    highest = [max((l for l, _, _ in atom), default=-1) for atom in kinds]
    carriers = [sum(h >= l for h in highest) for l in range(max(highest) + 1)]
    return Groups(np.array(atoms, int), tuple(carriers), tuple(groups))


def _group(
    layout: Layout, kind: tuple[int, int, int], positions: list[int], shells: list[list[int]]
) -> ShellGroup:
    l, nprim, nctr = kind
    shell = np.array(shells, int).T  # (shell, atom)
    prim, ctr = np.arange(nprim)[:, None, None], np.arange(nctr)[:, None, None]
    size = int(layout.shell_size[shell.flat[0]])
    component = np.arange(size)[:, None, None, None]
    breaks = np.flatnonzero(np.diff(positions) != 1) + 1
    runs = np.split(np.asarray(positions), breaks)
    return ShellGroup(
        l=l,
        ranges=tuple((int(run[0]), int(run[-1]) + 1) for run in runs),
        exponent=layout.exponent_offset[shell] + prim,
        coefficient=layout.coefficient_offset[shell] + nprim * ctr + prim[:, None],
        ao=layout.ao_offset[shell] + size * ctr + component,
    )


def ao_order(layout: Layout) -> np.ndarray:
    """(ao,) the atomic orbital in each row of `grouped_ao_values`."""
    return shell_groups(layout).order


@functools.partial(jax.jit, static_argnames="order")
def ao_values(
    orbitals: Orbitals, points: Float[Array, "point 3"], order: int
) -> Float[Array, "component ao point"]:
    """Atomic orbitals at points (bohr), in PySCF's order and normalization.

    Args:
        orbitals: normalized orbitals on their centres.
        points: where.
        order: of the derivatives with respect to the point: 0 gives the values; 1 values, d/dx,
            d/dy, d/dz; 2 also xx, xy, xz, yy, yz, zz.

    Returns:
        1, 4 or 10 components; differentiable to any order in everything but `order`.

    Raises:
        InputError: an order other than 0, 1, 2.
    """
    back = np.argsort(ao_order(orbitals.layout))
    return jnp.take(grouped_ao_values(orbitals, points, order), back, axis=1, mode="clip")


def grouped_ao_values(
    orbitals: Orbitals, points: Float[Array, "point 3"], order: int
) -> Float[Array, "component ao point"]:
    """`ao_values` in the order of `ao_order`; to be called inside of `jax.jit`."""
    if not 0 <= order < len(DERIVATIVES):
        raise InputError(f"order = {order!r} of orbital derivatives is none of 0, 1, 2.")
    layout, kinds = orbitals.layout, shell_groups(orbitals.layout)
    # (3, atom, point)
    vector = points.T[:, None] - orbitals.centers[kinds.atoms].T[:, :, None]
    r2 = (vector**2).sum(0)
    angular = _angular_factors(vector, kinds.carriers, layout.cartesian, order)
    values = []
    for group in kinds.groups:
        radial = _radial_factors(orbitals, _at(r2, group.ranges), group, order)
        terms = [
            _at(factor, group.ranges)[:, :, None, None] * moment
            for factor, moment in zip(angular[group.l], radial, strict=True)
        ]
        values.append(sum(terms[1:], terms[0]).reshape(len(terms[0]), -1, len(points)))
    return jnp.concatenate(values, 1)


def _at(array: Float[Array, "*_ atom point"], ranges: tuple[tuple[int, int], ...]) -> Array:
    """The atoms in some ranges."""
    parts = [array[..., first:last, :] for first, last in ranges]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, -2)


def _radial_factors(
    orbitals: Orbitals, r2: Float[Array, "atom point"], group: ShellGroup, order: int
) -> Float[Array, "moment ctr shell atom point"]:
    """R_0 to R_order of the shells of a group."""
    exponent = orbitals.exponents[group.exponent]
    gaussian = jnp.exp(-exponent[..., None] * r2)  # (prim, shell, atom, point)
    factor = [(-2.0 * exponent[:, None]) ** n for n in range(order + 1)]
    weight = orbitals.coefficients[group.coefficient] * jnp.stack(factor)
    weight = jnp.moveaxis(weight, 1, 0)[..., None]  # (prim, moment, ctr, shell, atom, 1)
    # written out, the sum over few primitives is one pass
    return sum(weight[p] * gaussian[p] for p in range(1, len(weight))) + weight[0] * gaussian[0]


def _angular_factors(
    vector: Float[Array, "3 atom point"], carriers: tuple[int, ...], cartesian: bool, order: int
) -> list[list[Float[Array, "component m atom point"]]]:
    """For each l, what multiplies R_0 to R_order in each component of the values."""
    factors, monomials = [], [jnp.ones_like(vector[:1])]
    for l, natm in enumerate(carriers):
        v = vector[:, :natm]
        monomials = [m[:, :natm] for m in monomials]
        if l:
            last = monomials[-1]
            products = [v[0] * last, v[1] * last[-l:], v[2] * last[-1:]]
            monomials.append(jnp.concatenate(products))
        polynomials = [
            jnp.tensordot(_polynomials(l, cartesian, n), monomials[max(l - n, 0)], 1)
            for n in range(order + 1)
        ]
        factors.append(_leibniz(v, polynomials))
    return factors


def _leibniz(
    v: Float[Array, "3 atom point"], a: list[Float[Array, "derivative m atom point"]]
) -> list[Float[Array, "component m atom point"]]:
    """Factors of R_0, R_1, R_2 in the derivatives of A R_0, from the derivatives of A."""
    if len(a) == 1:
        return [a[0]]
    zero = jnp.zeros_like(a[0])
    first = v[:, None] * a[0]
    if len(a) == 2:
        return [jnp.concatenate(a), jnp.concatenate([zero, first])]
    x, y = np.triu_indices(3)
    mixed = v[x, None] * a[1][y] + v[y, None] * a[1][x] + (x == y)[:, None, None, None] * a[0]
    second = v[x, None] * first[y]
    none = jnp.zeros_like(first)
    return [
        jnp.concatenate(a),
        jnp.concatenate([zero, first, mixed]),
        jnp.concatenate([zero, none, second]),
    ]


@functools.lru_cache(maxsize=128)
def _polynomials(l: int, cartesian: bool, order: int) -> np.ndarray:
    """(derivative, component, monomial): derivatives of the angular factors of l.

    The monomials are those of degree l - order; there are none left below 0, where one column of
    zeros stands.
    """
    powers = cartesian_powers(l)
    table = np.eye(ncart(l)) if cartesian and l > 1 else np.array(cart2sph(l)).T
    remaining = cartesian_powers(max(l - order, 0))
    derivatives = np.zeros((len(DERIVATIVES[order]), len(powers), len(remaining)))
    for i, derivative in enumerate(DERIVATIVES[order]):
        left = powers - derivative
        row, column = np.nonzero((left[:, None] == remaining).all(-1))
        for r, c in zip(row, column, strict=True):
            derivatives[i, r, c] = math.prod(map(math.perm, powers[r], derivative))
    return table @ derivatives
