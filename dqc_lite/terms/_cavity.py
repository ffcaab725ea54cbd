"""The surface of the spheres around the atoms of a molecule, by points that appear smoothly.

The switching/Gaussian scheme: Lebedev points on every sphere carry Gaussian charges and are
switched off where they enter another sphere (D. M. York, M. Karplus, J. Phys. Chem. A 103, 11060
(1999); A. W. Lange, J. M. Herbert, J. Chem. Phys. 133, 244111 (2010)). All points are kept, also
those that are off: that is what makes the surface a function of the positions with fixed shapes.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float
from dqc_lite.basis import Layout, Orbitals
from dqc_lite.errors import InputError
from dqc_lite.geometry import ELEMENTS
from dqc_lite.integrals.host import lebedev
from dqc_lite.terms import _gaussian_charges as gaussian
from dqc_lite.units import ANGSTROM_IN_BOHR

WIDTHS = {
    6: 4.84566077868, 14: 4.86458714334, 26: 4.85478226219, 38: 4.90105812685,
    50: 4.89250673295, 86: 4.89741372580, 110: 4.90101060987, 146: 4.89825187392,
    170: 4.90685517725, 194: 4.90337644248, 302: 4.90498088169, 350: 4.86879474832,
    434: 4.90567349080, 590: 4.90624071359, 770: 4.90656435779, 974: 4.90685167998,
    1202: 4.90704098216, 1454: 4.90721023869, 1730: 4.90733270691, 2030: 4.90744499142,
    2354: 4.90753082825, 2702: 4.90760972766, 3074: 4.90767282394, 3470: 4.90773141371,
    3890: 4.90777965981, 4334: 4.90782469526, 4802: 4.90749125553, 5294: 4.90762073452,
    5810: 4.90792902522,
}  # fmt: skip
"""Of the Gaussian charges, by the number of points on a sphere: B. A. Gregersen, D. M. York,
J. Chem. Phys. 122, 194110 (2005), table II."""

VAN_DER_WAALS = {
    "H": 1.10, "He": 1.40, "Li": 1.82, "Be": 1.53, "B": 1.92, "C": 1.70, "N": 1.55, "O": 1.52,
    "F": 1.47, "Ne": 1.54, "Na": 2.27, "Mg": 1.73, "Al": 1.84, "Si": 2.10, "P": 1.80, "S": 1.80,
    "Cl": 1.75, "Ar": 1.88, "K": 2.75, "Ca": 2.31, "Ni": 1.63, "Cu": 1.40, "Zn": 1.39, "Ga": 1.87,
    "Ge": 2.11, "As": 1.85, "Se": 1.90, "Br": 1.85, "Kr": 2.02, "Rb": 3.03, "Sr": 2.49, "Pd": 1.63,
    "Ag": 1.72, "Cd": 1.58, "In": 1.93, "Sn": 2.17, "Sb": 2.06, "Te": 2.06, "I": 1.98, "Xe": 2.16,
    "Cs": 3.43, "Ba": 2.68, "Pt": 1.75, "Au": 1.66, "Hg": 1.55, "Tl": 1.96, "Pb": 2.02, "Bi": 2.07,
    "Po": 1.97, "At": 2.02, "Rn": 2.20, "Fr": 3.48, "Ra": 2.83, "U": 1.86,
}  # fmt: skip
"""Angstrom: A. Bondi, J. Phys. Chem. 68, 441 (1964), 1.10 for H after R. S. Rowland, R. Taylor,
J. Phys. Chem. 100, 7384 (1996), and M. Mantina et al., J. Phys. Chem. A 113, 5806 (2009)."""


@dataclasses.dataclass(frozen=True)
class Spheres:
    """Static, a jit key.

    Attributes:
        atoms: those that have a sphere.
        radii: bohr.
        points: on each.
        natm: all atoms.
    """

    atoms: tuple[int, ...]
    radii: tuple[float, ...]
    points: int
    natm: int

    @classmethod
    def of(cls, layout: Layout, radii: tuple[tuple[str, float], ...], scale: float, points: int):
        """Those of all atoms but ghosts.

        Raises:
            InputError: an element without radius.
        """
        known = VAN_DER_WAALS | dict(radii)
        atoms = tuple(i for i, number in enumerate(layout.numbers) if number)
        symbols = [ELEMENTS[layout.numbers[i]] for i in atoms]
        missing = sorted(set(symbols) - set(known))
        if missing:
            raise InputError(
                f"there is no van der Waals radius of {', '.join(missing)}; give one in angstrom, "
                f"as in radii={{{missing[0]!r}: 2.0}}."
            )
        found = tuple(known[s] * scale * ANGSTROM_IN_BOHR for s in symbols)
        return cls(atoms, found, points, layout.natm)

    @property
    def count(self) -> int:
        """All points."""
        return len(self.atoms) * self.points


@dataclasses.dataclass(frozen=True, eq=False)
class Cavity:
    """What does not depend on the geometry; arrays run over the points, sphere by sphere.

    Attributes:
        spheres: what it is made of.
        atom: (point,) the atom.
        normals: (point, 3) outwards.
        radius: (point,) bohr.
        area: (point,) bohr^2, not switched.
        exponents: (point,) bohr^-2, of the Gaussian charges.
        layout, coefficients: of these as basis functions.
    """

    spheres: Spheres
    atom: np.ndarray
    normals: np.ndarray
    radius: np.ndarray
    area: np.ndarray
    exponents: np.ndarray
    layout: Layout
    coefficients: np.ndarray

    def points(self, positions: Float[Array, "atom 3"]) -> Float[Array, "point 3"]:
        """Bohr."""
        return positions[self.atom] + self.layout.displacements

    def functions(self, positions: Float[Array, "atom 3"]) -> Orbitals:
        """The Gaussian charges, of 1 e each, as functions that move with their atoms."""
        arrays = jnp.asarray(self.exponents), jnp.asarray(self.coefficients)
        return Orbitals(positions, *arrays, self.layout)

    def switches(self, positions: Float[Array, "atom 3"]) -> Float[Array, " point"]:
        """From 0, inside of another sphere, to 1."""
        own = self.atom[:, None] == np.array(self.spheres.atoms)
        apart = self.points(positions)[:, None] - positions[np.array(self.spheres.atoms)]
        # bounded from below: the norm of nothing has no derivative, and is inside anyway
        distance = jnp.sqrt(jnp.maximum((apart**2).sum(-1), 1e-12))
        radii = np.array(self.spheres.radii)
        width = radii * math.sqrt(14.0 / self.spheres.points)
        ratio = radii / width
        inner = radii - (0.5 + ratio - np.sqrt(ratio**2 - 1.0 / 28.0)) * width
        x = jnp.clip(jnp.where(own, 1.0, (distance - inner) / width), 0.0, 1.0)
        return jnp.prod(x**3 * (10.0 - 15.0 * x + 6.0 * x**2), axis=1)

    def squared_distances(self, positions: Float[Array, "atom 3"]) -> Float[Array, "point point"]:
        """Between all points, bohr^2."""
        points = self.points(positions)
        along = ((points[:, None, x] - points[None, :, x]) ** 2 for x in range(3))
        return jnp.asarray(sum(along))

    def on_normals(self, positions: Float[Array, "atom 3"]) -> Float[Array, "point point"]:
        """``(s_i - s_j) n_j``, bohr."""
        points = self.points(positions)
        return points @ self.normals.T - (points * self.normals).sum(-1)

    @property
    def pair_exponents(self) -> Float[np.ndarray, "point point"]:
        """Of the interaction of two of the charges."""
        a = self.exponents
        return a[:, None] * a / (a[:, None] + a)


@functools.lru_cache(maxsize=32)
def cavity(spheres: Spheres) -> Cavity:
    """The points on these spheres."""
    table, count = lebedev.table(spheres.points), len(spheres.atoms)
    normals, weights = np.tile(table[:, :3], (count, 1)), np.tile(table[:, 3], count)
    atom, radius = (np.repeat(x, spheres.points) for x in (spheres.atoms, spheres.radii))
    area = 4.0 * np.pi * weights * radius**2
    exponents = WIDTHS[spheres.points] ** 2 / area
    ones = np.ones(len(atom), int)
    layout = Layout(
        symbols=("X",) * spheres.natm, numbers=(0,) * spheres.natm,
        core_electrons=(0,) * spheres.natm, atom=atom, l=0 * ones, nprim=ones, nctr=ones,
        names=("",) * spheres.natm, displacements=radius[:, None] * normals,
    )  # fmt: skip
    coefficients = gaussian.NORMALIZATION * (exponents / np.pi) ** 1.5
    return Cavity(spheres, atom, normals, radius, area, exponents, layout, coefficients)


def checked_points(points: Any) -> int:
    """Raise InputError unless there is such a set of Lebedev points."""
    if isinstance(points, bool) or points not in WIDTHS:
        known = ", ".join(map(str, WIDTHS))
        raise InputError(f"points = {points!r} is no number of Lebedev points; use one of {known}.")
    return int(points)


def checked_radii(radii: Any) -> tuple[tuple[str, float], ...]:
    """Radii by element as a hashable tuple.

    Raises:
        InputError: no mapping from elements to positive numbers.
    """
    pairs = radii.items() if isinstance(radii, Mapping) else radii
    try:
        made = tuple(sorted((str(symbol), float(radius)) for symbol, radius in pairs or ()))
    except (TypeError, ValueError):
        made = ((repr(radii), math.nan),)
    for symbol, radius in made:
        if symbol not in ELEMENTS[1:] or not 0.0 < radius < math.inf:
            raise InputError(
                f"radii = {radii!r} is not understood; give positive radii in angstrom by element, "
                "as in radii={'O': 1.52}, or None."
            )
    return made
