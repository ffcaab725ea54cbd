"""Electrostatic embedding: ``E = sum_k q_k (sum_A Z_A/|R_A - r_k| - tr(P <m|1/|r - r_k||n>))``.

The charges act on electrons and nuclei; their energy among themselves is not included, as in the
QM/MM of PySCF.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.zero_valued import differential_of, summed, without_value, zero
from dqc_lite.basis import Layout, Orbitals
from dqc_lite.density import Density
from dqc_lite.errors import GeometryError, InputError
from dqc_lite.integrals import differentials, operators
from dqc_lite.molecule import Molecule
from dqc_lite.terms import _gaussian_charges as gaussian
from dqc_lite.terms.term import Leaf, LinearTerm, as_array, require_array

CLOSEST = 1e-4
"""Bohr between a point charge and a nucleus, below which it is taken for a mistake."""


@pytree
class PointCharges(LinearTerm):
    """Charges around the molecule. All three are leaves.

    Attributes:
        charges: (charge,) e.
        places: (charge, 3) bohr.
        widths: None for points, or (charge,) bohr: each charge is then a Gaussian distribution
            proportional to ``exp(-r^2/width^2)``.

    Raises, when used:
        InputError: shapes that do not fit, widths that are not positive.
        GeometryError: a point charge on a nucleus.
    """

    name: ClassVar[str] = "point_charges"

    charges: Leaf
    places: Leaf
    widths: Leaf = None

    def __post_init__(self) -> None:
        for name in ("charges", "places", "widths"):
            object.__setattr__(self, name, as_array(getattr(self, name)))

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Array, Array]:
        self._check(mol)
        beside = orbitals.beside(self.places)
        if self.widths is None:
            h = operators.nuclear(beside, self._on_centers(mol))
        else:
            attraction = -self.charges @ operators.three_center(beside, self._functions(beside))
            h = operators.unpack(attraction, mol.nao)
        return self._repulsion(mol), h

    def differential(
        self, mol: Molecule, orbitals: Orbitals, integrals: tuple[Array, Array], density: Density
    ) -> Array:
        beside = orbitals.beside(self.places)
        nuclei = without_value(self._repulsion(mol))
        if self.widths is None:
            attraction = differentials.nuclear(beside, self._on_centers(mol), density.total)
            return summed([nuclei, attraction])
        functions = self._functions(beside)
        pairs = operators.pack(density.total * (2.0 - jnp.eye(mol.nao)))
        along = differentials.three_center(beside, functions, -self.charges[:, None] * pairs)
        return summed([nuclei, along, _along_charges((self.charges,), (beside, functions, pairs))])

    def _repulsion(self, mol: Molecule) -> Float[Array, ""]:
        """Of the nuclei, hartree."""
        real = np.flatnonzero(mol.layout.numbers)  # a ghost atom may sit on a charge
        apart = mol.positions[real, None] - self.places
        squared = (apart**2).sum(-1)
        if self.widths is None:
            potential = 1.0 / jnp.sqrt(squared)
        else:
            potential = gaussian.potential(self.widths**-2.0, squared)
        return mol.charges[real] @ potential @ self.charges

    def _on_centers(self, mol: Molecule) -> Float[Array, " center"]:
        """The charges on the centres of `Orbitals.beside`."""
        return jnp.concatenate([zero((mol.natm,)), self.charges])

    def _functions(self, beside: Orbitals) -> Orbitals:
        """The distributions as functions on the centres of `Orbitals.beside`."""
        exponents = self.widths**-2.0
        coefficients = gaussian.NORMALIZATION * (exponents / jnp.pi) ** 1.5
        count = len(self.places)
        layout = _one_function_each(beside.layout.natm - count, count)
        return Orbitals(beside.centers, exponents, coefficients, layout)

    def _check(self, mol: Molecule) -> None:
        for name in ("charges", "places", "widths"):
            require_array(name, getattr(self, name))
        shapes = jnp.shape(self.charges), jnp.shape(self.places)
        if len(shapes[0]) != 1 or shapes[1] != (*shapes[0], 3):
            raise InputError(
                f"charges have shape {shapes[0]} and places {shapes[1]}; give (n,) charges in e "
                "and (n, 3) places in bohr."
            )
        if self.widths is not None:
            if jnp.shape(self.widths) != shapes[0]:
                raise InputError(
                    f"widths have shape {jnp.shape(self.widths)} and charges {shapes[0]}; give one "
                    "width in bohr for each charge, or None."
                )
            if _concrete(self.widths) and not (np.asarray(self.widths) > 0).all():
                raise InputError(f"widths = {self.widths} must be positive; None makes points.")
        elif _concrete(self.places) and _concrete(mol.positions):
            self._check_distances(mol)

    def _check_distances(self, mol: Molecule) -> None:
        for i in np.flatnonzero(mol.layout.numbers):
            apart = np.asarray(self.places) - np.asarray(mol.positions)[i]
            distance = np.linalg.norm(apart, axis=1)
            if (distance < CLOSEST).any():
                k = int(distance.argmin())
                raise GeometryError(
                    f"point charge {k} lies on atom {i} ({mol.symbols[i]}), {distance[k]:.1e} bohr "
                    "from its nucleus; move it, leave it out, or give it a width."
                )


def _concrete(x: Any) -> bool:
    return not isinstance(x, jax.core.Tracer)


def _potentials(moved: tuple[int, ...], charges: tuple, fixed: Any) -> list[Array]:
    """Derivatives of the attraction along the charges."""
    beside, functions, pairs = fixed
    return [-operators.three_center(beside, functions) @ pairs]


_along_charges = differential_of(_potentials)


@functools.lru_cache(maxsize=8)
def _one_function_each(before: int, count: int) -> Layout:
    """An s function on each of the last `count` centres."""
    ones, centers = np.ones(count, int), before + count
    return Layout(
        symbols=("X",) * centers, numbers=(0,) * centers, core_electrons=(0,) * centers,
        atom=np.arange(before, centers), l=0 * ones, nprim=ones, nctr=ones,
        names=("",) * centers,
    )  # fmt: skip
