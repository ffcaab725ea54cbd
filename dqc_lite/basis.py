"""Contracted Gaussian basis sets: traced exponents and coefficients over a static shell layout.

An atomic orbital of shell s is, on its centre, a solid harmonic times
``sum_p c_p N_l(a_p) r^l exp(-a_p r^2)``, scaled so that the contraction has unit norm
(Helgaker, Jorgensen, Olsen, *Molecular Electronic-Structure Theory*, sec. 6.6).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Everything about atoms and shells that is not differentiable; hashable, a jit key.

    One entry per shell (``atom``, ``l``, ``nprim``, ``nctr``); the flat ``exponents`` run shell by
    shell, the flat ``coefficients`` shell by shell, contraction by contraction.
    ``ecp_rows`` are libcint's rows of effective core potentials, pointing into ``ecp_parameters``.
    ``names`` of the basis set of each atom ('' if none) and ``reference_exponents``, those of the
    basis as built, decide on the default auxiliary basis.
    ``displacements`` (shell, 3) in bohr lead from the atom of a shell, with which it moves, to its
    centre; they are empty where shells sit on their atoms.
    """

    symbols: tuple[str, ...]
    numbers: tuple[int, ...]
    core_electrons: tuple[int, ...]
    atom: np.ndarray
    l: np.ndarray
    nprim: np.ndarray
    nctr: np.ndarray
    cartesian: bool = False
    ecp_rows: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 8), np.int32))
    ecp_parameters: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    names: tuple[str, ...] = ()
    reference_exponents: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    displacements: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 3)))

    @functools.cached_property
    def _key(self) -> tuple:
        values = (getattr(self, f.name) for f in dataclasses.fields(self))
        return tuple(v.tobytes() if isinstance(v, np.ndarray) else v for v in values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self._key == other._key

    @functools.cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    @property
    def natm(self) -> int:
        return len(self.symbols)

    @property
    def name(self) -> str:
        """The name of the basis set, if all atoms have the same."""
        return self.names[0] if len(set(self.names)) == 1 and self.names[0] else "custom"

    @property
    def nshell(self) -> int:
        return len(self.l)

    @functools.cached_property
    def shell_size(self) -> np.ndarray:
        """Number of functions of one contraction of each shell."""
        return (self.l + 1) * (self.l + 2) // 2 if self.cartesian else 2 * self.l + 1

    @functools.cached_property
    def ao_offset(self) -> np.ndarray:
        """First AO of each shell, and the total at the end."""
        return np.concatenate([[0], np.cumsum(self.shell_size * self.nctr)]).astype(int)

    @property
    def nao(self) -> int:
        return int(self.ao_offset[-1])

    @functools.cached_property
    def ao_atom(self) -> np.ndarray:
        """Atom of each AO."""
        return np.repeat(self.atom, self.shell_size * self.nctr)

    @functools.cached_property
    def exponent_offset(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.nprim)]).astype(int)

    @functools.cached_property
    def coefficient_offset(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.nprim * self.nctr)]).astype(int)

    @property
    def has_ecp(self) -> bool:
        return len(self.ecp_rows) > 0

    @functools.cached_property
    def contraction_table(self) -> ContractionTable:
        return ContractionTable.build(self)


@dataclasses.dataclass(frozen=True)
class ContractionTable:
    """Index tables that turn the loops over shells of the normalization into array operations."""

    exponent: np.ndarray  # (coefficient,) index of the exponent
    l: np.ndarray  # (coefficient,) angular momentum
    contraction: np.ndarray  # (coefficient,) index of the contracted function
    left: np.ndarray  # (pair,) coefficient indices of the self-overlap sums
    right: np.ndarray
    ncontraction: int

    @classmethod
    def build(cls, layout: Layout) -> ContractionTable:
        columns: list[list[int]] = [[], [], [], [], []]
        exponent, l, contraction, left, right = columns
        function = 0
        for s in range(layout.nshell):
            nprim, nctr = int(layout.nprim[s]), int(layout.nctr[s])
            for c in range(nctr):
                first = int(layout.coefficient_offset[s]) + c * nprim
                exponent += range(layout.exponent_offset[s], layout.exponent_offset[s] + nprim)
                l += [int(layout.l[s])] * nprim
                contraction += [function] * nprim
                left += np.repeat(np.arange(first, first + nprim), nprim).tolist()
                right += np.tile(np.arange(first, first + nprim), nprim).tolist()
                function += 1
        arrays = [np.asarray(x, int) for x in columns]
        return cls(arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], function)


@pytree
class Basis:
    """Gaussian basis of a molecule.

    Attributes:
        exponents: (prim,) in bohr^-2, shell by shell, atom by atom.
        coefficients: (ctr * prim,) of normalized primitives, shell by shell, contraction by
            contraction. Contracted functions are normalized in use: an overall factor of a
            contraction changes nothing.
        layout: static shell structure.
    """

    exponents: Float[Array, " prim"]
    coefficients: Float[Array, " coefficient"]
    layout: Layout = static()


def _radial_moment(n: Any, a: Array) -> Array:
    """int_0^inf r^n exp(-a r^2) dr."""
    half = 0.5 * (n + 1.0)
    return 0.5 * jnp.exp(gammaln(half) - half * jnp.log(a))


@adaptive_jit
def normalized_coefficients(basis: Basis) -> Float[Array, " coefficient"]:
    """Coefficients of ``r^l exp(-a r^2)``, primitives and contraction normalized (libcint's)."""
    table = basis.layout.contraction_table
    a = basis.exponents[table.exponent]
    primitive = basis.coefficients / jnp.sqrt(_radial_moment(2.0 * table.l + 2.0, 2.0 * a))
    moment = _radial_moment(2.0 * table.l[table.left] + 2.0, a[table.left] + a[table.right])
    overlap = jax.ops.segment_sum(
        primitive[table.left] * primitive[table.right] * moment,
        table.contraction[table.left],
        num_segments=table.ncontraction,
    )
    return primitive / jnp.sqrt(overlap)[table.contraction]


@pytree
class Orbitals:
    """Atomic orbitals as the integrals need them: normalized, on their centres.

    Attributes:
        centers: (atom, 3) in bohr.
        exponents: (prim,) in bohr^-2.
        coefficients: (ctr * prim,) of ``r^l exp(-a r^2)``, normalization included.
    """

    centers: Float[Array, "atom 3"]
    exponents: Float[Array, " prim"]
    coefficients: Float[Array, " coefficient"]
    layout: Layout = static()

    def beside(self, places: Float[Array, "place 3"]) -> Orbitals:
        """The same functions, with centres at `places` (bohr) behind their own that bear none."""
        centers = jnp.concatenate([self.centers, places])
        return dataclasses.replace(
            self, centers=centers, layout=_with_centers(self.layout, len(places))
        )

    def separated(self) -> Orbitals:
        """The same functions with centres where the shells are, if that is beside their atoms."""
        if not len(self.layout.displacements):
            return self
        centers = self.centers[self.layout.atom] + self.layout.displacements
        return dataclasses.replace(self, centers=centers, layout=_separated(self.layout))


@functools.lru_cache(maxsize=16)
def _separated(layout: Layout) -> Layout:
    """Every shell on a centre of its own."""
    count = layout.nshell
    return dataclasses.replace(
        layout, symbols=("X",) * count, numbers=(0,) * count, core_electrons=(0,) * count,
        atom=np.arange(count), names=("",) * count, displacements=np.zeros((0, 3)),
    )  # fmt: skip


@functools.lru_cache(maxsize=16)
def _with_centers(layout: Layout, count: int) -> Layout:
    """A layout with centres more, without functions."""
    nothing = (0,) * count
    return dataclasses.replace(
        layout,
        symbols=(*layout.symbols, *("X",) * count),
        numbers=(*layout.numbers, *nothing),
        core_electrons=(*layout.core_electrons, *nothing),
        names=(*layout.names, *("",) * count),
    )


def orbitals(positions: Float[Array, "atom 3"], basis: Basis) -> Orbitals:
    """Place the normalized basis functions on `positions` (bohr)."""
    return Orbitals(positions, basis.exponents, normalized_coefficients(basis), basis.layout)
