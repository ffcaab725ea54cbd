"""Harmonic vibrations: frequencies, normal modes, infrared intensities.

With coordinates weighted by the root of the mass, translations and rotations projected out, the
Hessian has the squared angular frequencies as eigenvalues (Wilson, Decius, Cross, *Molecular
Vibrations*, 1955). The infrared intensity of a mode Q is ``N_A/(12 eps_0 c^2) |dmu/dQ|^2``.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from dqc_lite._foreign import require_molecule
from dqc_lite._types import Float
from dqc_lite.errors import InputError
from dqc_lite.method import MethodLike
from dqc_lite.molecule import Molecule
from dqc_lite.properties.hessian import Harmonic, harmonic
from dqc_lite.properties.rotors import rotational_freedom, warn_if_doubtful
from dqc_lite.units import BOHR_IN_ANGSTROM

# CODATA 2018
HARTREE_IN_JOULE = 4.3597447222071e-18
AMU_IN_KG = 1.66053906660e-27
LIGHT_SPEED = 299792458.0
AVOGADRO = 6.02214076e23
VACUUM_PERMITTIVITY = 8.8541878128e-12
ELEMENTARY_CHARGE = 1.602176634e-19
BOHR_IN_METRE = BOHR_IN_ANGSTROM * 1e-10

ANGULAR = math.sqrt(HARTREE_IN_JOULE / (AMU_IN_KG * BOHR_IN_METRE**2))
"""Radians per second of one (hartree/(amu bohr^2))^1/2."""

IN_WAVENUMBERS = ANGULAR / (2.0 * math.pi * LIGHT_SPEED * 100.0)
"""The same in cm^-1."""

IN_MILLIDYNE_PER_ANGSTROM = 0.01 * HARTREE_IN_JOULE / BOHR_IN_METRE**2
"""1 hartree/bohr^2."""

IN_KM_PER_MOL = (
    1e-3 * AVOGADRO * ELEMENTARY_CHARGE**2
    / (12.0 * VACUUM_PERMITTIVITY * LIGHT_SPEED**2 * AMU_IN_KG)
)  # fmt: skip
"""1 e^2/amu."""


@dataclasses.dataclass(frozen=True)
class Vibrations:
    """Harmonic vibrations of a molecule; modes in ascending order of frequency.

    Attributes:
        frequencies: (mode,) cm^-1, imaginary ones as negative numbers.
        modes: (mode, atom, 3) Cartesian displacements, each of norm 1.
        reduced_masses: (mode,) amu.
        force_constants: (mode,) millidyne/angstrom.
        intensities: (mode,) infrared, km/mol.
        masses: (atom,) amu, 0 for ghost atoms.
        positions: (atom, 3) bohr.
        energy: hartree, electronic.
        spin: 2S.
        max_force: the largest component of the forces, hartree/bohr: the analysis means little
            unless it is small.
    """

    frequencies: Float[np.ndarray, " mode"]
    modes: Float[np.ndarray, "mode atom 3"]
    reduced_masses: Float[np.ndarray, " mode"]
    force_constants: Float[np.ndarray, " mode"]
    intensities: Float[np.ndarray, " mode"]
    masses: Float[np.ndarray, " atom"]
    positions: Float[np.ndarray, "atom 3"]
    energy: float
    spin: int
    max_force: float

    @property
    def rotational_freedom(self) -> int:
        """Number of rotations: 0 for an atom, 2 for a linear molecule (within 0.01 angstrom), 3."""
        return rotational_freedom(self.positions[self.masses > 0])

    @property
    def imaginary(self) -> int:
        """Number of modes along which the energy curves down."""
        return int((self.frequencies < 0).sum())


def vibrations(
    mol: Molecule, method: MethodLike | None = None, *, masses: Any = None, **options: Any
) -> Vibrations:
    """Harmonic vibrations with infrared intensities.

    Args:
        mol: the molecule, at a stationary point.
        method: as in `dqc_lite.solve`; Hartree-Fock by default.
        masses: None: averages over the natural isotopes (PySCF's table and choice); "isotope":
            of the most abundant isotopes; those that the molecule was given (deuterium, masses of
            ASE and PySCF) come before both; or (atom,) numbers in amu. Ghost atoms stay in place.
        options: as in `dqc_lite.energy`.

    Warns where it is doubtful whether the molecule is linear (`dqc_lite.properties.rotors`).

    Raises:
        InputError for masses that do not fit; else as in `dqc_lite.hessian`.
    """
    weights = atomic_masses(require_molecule(mol), masses)
    return analyze(mol, harmonic(mol, method, **options), weights)


def atomic_masses(mol: Molecule, masses: Any = None) -> Float[np.ndarray, " atom"]:
    """Masses in amu, as in `vibrations`."""
    from dqc_lite.integrals.host import basis_library

    if masses is None:
        return _with_isotopes(mol, basis_library.average_masses(mol.layout.numbers))
    if isinstance(masses, str) and masses == "isotope":
        return _with_isotopes(mol, basis_library.main_isotope_masses(mol.layout.numbers))
    real = np.array(mol.layout.numbers) > 0
    try:
        given = np.asarray(masses, float)
    except (TypeError, ValueError):
        given = np.zeros(0)
    if given.shape != (mol.natm,) or not (given[real] > 0).all():
        raise InputError(
            f"masses = {masses!r} must be None, 'isotope' or {mol.natm} positive numbers of amu."
        )
    return np.where(real, given, 0.0)


def _with_isotopes(mol: Molecule, masses: np.ndarray) -> np.ndarray:
    given = mol.isotope_masses or (None,) * mol.natm
    return np.array([m if own is None else own for own, m in zip(given, masses, strict=True)])


def analyze(mol: Molecule, derivatives: Harmonic, masses: np.ndarray) -> Vibrations:
    """Normal modes from a Hessian; `masses` (atom,) in amu, 0 for what does not move."""
    moving = np.flatnonzero(masses)
    positions = np.asarray(mol.positions)
    warn_if_doubtful(positions[moving])
    root = np.repeat(np.sqrt(masses[moving]), 3)
    hessian = np.asarray(derivatives.hessian)[moving][:, :, moving]
    weighted = hessian.reshape(len(root), -1) / root / root[:, None]
    internal = _internal(masses[moving], positions[moving])
    values, vectors = np.linalg.eigh(internal.T @ weighted @ internal)
    displacements = (internal @ vectors).T / root  # dR/dQ, bohr per amu^1/2 bohr
    reduced = 1.0 / (displacements**2).sum(1)
    polar = np.asarray(derivatives.dipole_derivatives)[moving].reshape(-1, 3)
    modes = np.zeros((len(values), mol.natm, 3))
    unit = displacements * np.sqrt(reduced)[:, None]
    modes[:, moving] = unit.reshape(len(values), len(moving), 3)
    return Vibrations(
        frequencies=IN_WAVENUMBERS * np.sign(values) * np.sqrt(np.abs(values)),
        modes=modes,
        reduced_masses=reduced,
        force_constants=IN_MILLIDYNE_PER_ANGSTROM * reduced * values,
        intensities=IN_KM_PER_MOL * ((displacements @ polar) ** 2).sum(1),
        masses=masses,
        positions=positions,
        energy=float(derivatives.solution.energy),
        spin=mol.spin,
        max_force=float(np.abs(np.asarray(derivatives.forces)).max()),
    )


def _internal(masses: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Orthonormal mass-weighted displacements but for translations and rotations, in columns."""
    if len(masses) == 0:
        return np.zeros((0, 0))
    root = np.sqrt(masses)[:, None, None]
    translations = root * np.eye(3)
    turning = principal_axes(masses, positions)[0]
    apart = positions - center_of_mass(masses, positions)
    rotations = root * np.cross(turning.T[None], apart[:, None]).transpose(0, 2, 1)
    rigid = np.concatenate([translations, rotations], 2).reshape(3 * len(masses), -1)
    complete, _ = np.linalg.qr(rigid, mode="complete")
    return complete[:, rigid.shape[1] :]


def center_of_mass(masses: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(3,) bohr."""
    return masses @ positions / masses.sum()


def principal_axes(masses: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes (3, rotation) in columns and moments of inertia, amu bohr^2, ascending.

    Of the rotations there are: all three axes, two of a linear molecule, none of an atom.
    """
    apart = positions - center_of_mass(masses, positions)
    second = np.einsum("a,ax,ay->xy", masses, apart, apart)
    moments, axes = np.linalg.eigh(np.trace(second) * np.eye(3) - second)
    still = 3 - rotational_freedom(positions)
    return axes[:, still:], moments[still:]
