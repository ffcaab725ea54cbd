"""Raw Cartesian shells, the shells their derivatives need, and libcint's tables for both.

A raw shell is one contraction, ``sum_p c_p x^i y^j z^k exp(-a_p r^2)`` for all i + j + k = l, with
r from its centre and no normalization but c. Derivatives of such functions are such functions:
``d/dA_x`` gives ``2a (i+1, j, k) - i (i-1, j, k)`` and ``d/da`` gives ``-r^2``, that is minus
``(i+2, j, k) + (i, j+2, k) + (i, j, k+2)`` (Helgaker, Jorgensen, Olsen, *Molecular
Electronic-Structure Theory*, sec. 9.2). The structure is static and NumPy;
what acts on integrals is JAX.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import overload

import jax
import jax.numpy as jnp
import numpy as np
from pyscf.gto.mole import cart2sph
from scipy.linalg import block_diag

from dqc_lite._types import Array, Float
from dqc_lite.basis import Layout
from dqc_lite.errors import BasisError

MAX_L = 12
"""The highest angular momentum libcint evaluates."""
DENSE_COMPONENTS = 96
"""Up to this size one dense product to AOs: it compiles five times faster than block by block."""


@dataclasses.dataclass(frozen=True, eq=False)
class RawLayout:
    """Static structure of raw shells; hashable.

    Attributes:
        atom, l, nprim: (shell,) centre, angular momentum, number of primitives.
        exponent: (coefficient,) index of each primitive's exponent, shell by shell.
    """

    atom: np.ndarray
    l: np.ndarray
    nprim: np.ndarray
    exponent: np.ndarray

    def __post_init__(self) -> None:
        if self.l.size and self.l.max() > MAX_L:
            raise BasisError(
                f"an integral needs a shell of l = {self.l.max()}, libcint stops at {MAX_L}: each "
                "derivative by a position raises l by 1, by an exponent by 2. Differentiate fewer "
                "times, or leave out the functions of highest l."
            )

    @functools.cached_property
    def _key(self) -> tuple[bytes, ...]:
        arrays = (self.atom, self.l, self.nprim, self.exponent)
        return tuple(np.asarray(a, np.int64).tobytes() for a in arrays)

    @functools.cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RawLayout) and (self is other or self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def coefficient_offset(self) -> np.ndarray:
        """(shell + 1,) first coefficient of each shell, and the total."""
        return _offsets(self.nprim)

    @functools.cached_property
    def coefficient_shell(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.l)), self.nprim)

    @functools.cached_property
    def component_offset(self) -> np.ndarray:
        """(shell + 1,) first component of each shell, and the total."""
        return _offsets(ncart(self.l))

    @functools.cached_property
    def component_shell(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.l)), ncart(self.l))

    @functools.cached_property
    def powers(self) -> np.ndarray:
        """(component, 3) powers of x, y, z."""
        return np.concatenate([cartesian_powers(int(l)) for l in self.l] or [np.zeros((0, 3), int)])

    @property
    def ncomponent(self) -> int:
        return int(self.component_offset[-1])


@dataclasses.dataclass(frozen=True, eq=False)
class Shift:
    """Derivative of every function of a layout as a combination of functions of another layout.

    Attributes:
        layout: the shells the derivative needs, all in one layout: one evaluation serves all.
        source: (coefficient',) old coefficient behind each new one.
        raised: (coefficient',) whether it carries a factor of twice the exponent.
        index, weight: (direction, term, component): derivative of a component along a direction
            is ``sum_t weight * new[index]``.
    """

    layout: RawLayout
    source: np.ndarray
    raised: np.ndarray
    index: np.ndarray
    weight: np.ndarray


@functools.lru_cache(maxsize=512)
def raw_layout(layout: Layout) -> RawLayout:
    """One raw shell per contraction, in the order of the atomic orbitals."""
    nctr = layout.nctr
    return RawLayout(
        np.repeat(layout.atom, nctr),
        np.repeat(layout.l, nctr),
        np.repeat(layout.nprim, nctr),
        layout.contraction_table.exponent,
    )


@functools.lru_cache(maxsize=512)
def gradient(layout: RawLayout) -> Shift:
    """d/dA: shells of l + 1 with coefficients 2 a c, then shells of l - 1 with coefficients c."""
    shell, lowered = np.arange(len(layout.l)), np.flatnonzero(layout.l > 0)
    origin = np.concatenate([shell, lowered])
    raised = np.arange(len(origin)) < len(shell)
    new, source = _subset(layout, origin, layout.l[origin] + np.where(raised, 1, -1))
    rank = np.zeros(len(shell), int)  # position of the lowered copy of each shell
    rank[lowered] = len(shell) + np.arange(len(lowered))
    index = np.zeros((3, 2, layout.ncomponent), int)
    weight = np.ones((3, 2, layout.ncomponent))
    for x, unit in enumerate(np.eye(3, dtype=int)):
        power = layout.powers[:, x]
        index[x, 0] = _position(new, layout.component_shell, layout.powers + unit)
        down = _position(new, rank[layout.component_shell], layout.powers - unit)
        index[x, 1] = np.where(power > 0, down, 0)
        weight[x, 1] = -power
    return Shift(new, source, raised[new.coefficient_shell], index, weight)


@functools.lru_cache(maxsize=512)
def radial(layout: RawLayout) -> Shift:
    """Multiplication by r^2: shells of l + 2 with the same coefficients."""
    shell = np.arange(len(layout.l))
    new, source = _subset(layout, shell, layout.l + 2)
    steps = 2 * np.eye(3, dtype=int)
    index = [_position(new, layout.component_shell, layout.powers + step) for step in steps]
    unraised, weight = np.zeros(len(source), bool), np.ones((1, 3, layout.ncomponent))
    return Shift(new, source, unraised, np.array(index)[None], weight)


@overload
def ncart(l: int) -> int: ...


@overload
def ncart(l: np.ndarray) -> np.ndarray: ...


def ncart(l: np.ndarray | int) -> np.ndarray | int:
    """Number of Cartesian components of angular momentum l."""
    return (l + 1) * (l + 2) // 2


def cartesian_powers(l: int) -> np.ndarray:
    """(component, 3) powers in libcint's order: x from high to low, then y."""
    powers = [(i, j, l - i - j) for i in range(l, -1, -1) for j in range(l - i, -1, -1)]
    return np.array(powers, int)


def _position(layout: RawLayout, shell: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Component with given powers in given shells."""
    below = powers[:, 1] + powers[:, 2]
    return layout.component_offset[shell] + below * (below + 1) // 2 + powers[:, 2]


def _subset(
    layout: RawLayout, shells: np.ndarray, l: np.ndarray
) -> tuple[RawLayout, np.ndarray]:
    """Copies of `shells` with new angular momenta, and where their coefficients come from."""
    nprim = layout.nprim[shells]
    within = np.arange(nprim.sum()) - np.repeat(_offsets(nprim)[:-1], nprim)
    source = np.repeat(layout.coefficient_offset[shells], nprim) + within
    return RawLayout(layout.atom[shells], l, nprim, layout.exponent[source]), source


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(int)


@functools.partial(jax.jit, static_argnames=("layout", "kind", "axis"))
def contract(
    tensor: Float[Array, " ..."],
    velocity: Float[Array, "_ _ _"],
    *,
    layout: RawLayout,
    kind: str,
    axis: int,
) -> Float[Array, " ..."]:
    """Sum over directions of velocity (lead or 1, component, direction) times the derivative."""
    shift = {"gradient": gradient, "radial": radial}[kind](layout)
    spread = [velocity.shape[0]] + [1] * (tensor.ndim - 1)
    spread[axis] = layout.ncomponent
    weights = [1 if i != axis else layout.ncomponent for i in range(tensor.ndim)]
    total = jnp.zeros(())
    for x, (index, weight) in enumerate(zip(shift.index, shift.weight, strict=True)):
        derivative = sum(
            jnp.take(tensor, i, axis=axis, mode="clip") * w.reshape(weights)
            for i, w in zip(index, weight, strict=True)
            if w.any()
        )
        total += derivative * velocity[..., x].reshape(spread)
    return total


@functools.partial(jax.jit, static_argnames=("layouts",))
def to_atomic_orbitals(
    tensor: Float[Array, " ..."], layouts: tuple[Layout, ...]
) -> Float[Array, " ..."]:
    """Raw components to AOs along axes 1..K: real spherical harmonics, or Cartesian AOs."""
    if max(raw_layout(layout).ncomponent for layout in layouts) > DENSE_COMPONENTS:
        for axis, layout in enumerate(layouts, start=1):
            tensor = _axis_to_orbitals(tensor, layout, axis)
        return tensor
    operands: list = []
    for axis, layout in enumerate(layouts, start=1):
        blocks = [component_to_orbital(int(l), layout.cartesian) for l in raw_layout(layout).l]
        operands += [block_diag(*blocks), [axis, axis + 4]]
    old = list(range(len(layouts) + 1))
    return jnp.einsum(tensor, old, *operands, [0, *(axis + 4 for axis in old[1:])])


def _axis_to_orbitals(tensor: Array, layout: Layout, axis: int) -> Array:
    """One dense product per angular momentum."""
    raw, pieces, positions = raw_layout(layout), [], []
    offset = _offsets(np.repeat(layout.shell_size, layout.nctr))
    for l in np.unique(raw.l):
        shells = np.flatnonzero(raw.l == l)
        matrix = component_to_orbital(int(l), layout.cartesian)
        ncomponent, norbital = matrix.shape
        components = raw.component_offset[shells, None] + np.arange(ncomponent)
        positions.append((offset[shells, None] + np.arange(norbital)).ravel())
        piece = jnp.take(tensor, components.ravel(), axis=axis, mode="clip")
        piece = jnp.moveaxis(piece, axis, -1)
        piece = piece.reshape(*piece.shape[:-1], len(shells), ncomponent) @ matrix
        pieces.append(piece.reshape(*piece.shape[:-2], len(shells) * norbital))
    gathered = jnp.concatenate(pieces, -1)[..., np.argsort(np.concatenate(positions))]
    return jnp.moveaxis(gathered, -1, axis)


def component_to_orbital(l: int, is_cartesian: bool) -> np.ndarray:
    """(component, orbital): PySCF's harmonics of ``x^i y^j z^k``; p functions run x, y, z."""
    if is_cartesian and l > 1:
        return np.eye(ncart(l))
    return np.array(cart2sph(l))
