"""The molecule: a frozen pytree of positions, charges and basis over static data."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._call_errors import named_arguments
from dqc_lite._process import require_own_process
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.basis import Basis, Layout, Orbitals, orbitals
from dqc_lite.errors import (
    ChargeSpinError,
    GeometryError,
    InputError,
    PrecisionError,
    SpinError,
)
from dqc_lite.geometry import (
    check_geometry,
    element_of,
    is_integer,
    length_factor,
    parse_atoms,
)
from dqc_lite.readers import xyz
from dqc_lite.readers.structure import Structure, chosen

if TYPE_CHECKING:
    import ase
    import pyscf.gto


@pytree
class Molecule:
    """Nuclei, basis and electron count. Differentiable leaves:

    Attributes:
        positions: (atom, 3) in bohr.
        charges: (atom,) nuclear charges in e; without the core of an effective core potential,
            0 for ghost atoms. They enter the Hamiltonian, the electron count stays as built.
        basis: exponents and coefficients, see `dqc_lite.basis.Basis`.
        charge: total charge in e (static).
        spin: 2S, the number of unpaired electrons (static).
        isotope_masses: mass of each atom in amu where one was given, else None; () without any
            (static).
    """

    positions: Float[Array, "atom 3"]
    charges: Float[Array, " atom"]
    basis: Basis
    charge: int = static()
    spin: int = static()
    isotope_masses: tuple[float | None, ...] = static(default=())

    @classmethod
    @named_arguments
    def from_atoms(
        cls,
        atoms: str | Sequence,
        basis: Any = "def2-svp",
        *,
        charge: int = 0,
        spin: int = 0,
        unit: str = "angstrom",
        ecp: Any = None,
        cart: bool = False,
    ) -> Molecule:
        """Molecule from ``"O 0 0 0; H 0 0.757 0.587"`` or ``[("O", (0, 0, 0)), ...]``.

        Args:
            atoms: text (atoms separated by ';' or newlines) or a sequence; 'D' and 'T' are hydrogen
                with the masses of its isotopes; 'ghost-H' puts basis functions without a nucleus,
                'ghost' and 'X' too, with a basis of their own in a dict.
            basis: name, or a dict from element to name or to PySCF's list format, or NWChem text.
            charge: total charge in e.
            spin: 2S, the number of unpaired electrons.
            unit: 'angstrom' or 'bohr' of the coordinates.
            ecp: name, or dict from element to name, of effective core potentials.
            cart: Cartesian instead of spherical functions.

        Raises:
            GeometryError, UnknownElementError, BasisError, ECPError, SpinError, ChargeSpinError,
            InputError.
        """
        _check_charge(charge, spin)
        structure = Structure(tuple(parse_atoms(atoms)), unit=unit)
        return cls.from_structure(structure, basis, charge=charge, spin=spin, ecp=ecp, cart=cart)

    @classmethod
    @named_arguments
    def from_xyz(
        cls,
        source: str | bytes | os.PathLike,
        basis: Any = "def2-svp",
        *,
        charge: int | None = None,
        spin: int | None = None,
        frame: int | None = None,
        **options: Any,
    ) -> Molecule:
        """Molecule from an xyz or extended xyz file or text (angstrom); see `docs/readers.md`.

        Args:
            source: a path, or the text.
            basis: as in `from_atoms`, as are other options.
            charge, spin: None takes what the comment line states, else 0.
            frame: which one of several, from 0, negative from the end.

        Raises:
            ChargeSpinError: an argument differs from what the file states. GeometryError: no such
            file, no xyz text, a crystal. InputError: several frames and none chosen. And those of
            `from_atoms`.
        """
        _require_angstrom(options)
        structure = xyz.read(source, frame)
        return cls.from_structure(structure, basis, charge=charge, spin=spin, **options)

    @classmethod
    @named_arguments
    def from_ase(
        cls,
        atoms: ase.Atoms,
        basis: Any = "def2-svp",
        *,
        charge: int | None = None,
        spin: int | None = None,
        **options: Any,
    ) -> Molecule:
        """Molecule from ASE `Atoms`; see `docs/readers.md`.

        Args:
            atoms: not periodic; their own masses are taken.
            basis: as in `from_atoms`, as are other options.
            charge, spin: None takes what `info`, initial charges or initial magnetic moments state,
                else 0. Initial magnetic moments are a guess: `spin` replaces them.

        Raises:
            ChargeSpinError: an argument differs from what the atoms state. GeometryError: periodic.
            And those of `from_atoms`.
        """
        from dqc_lite.interop.ase import structure

        _require_angstrom(options)
        return cls.from_structure(structure(atoms), basis, charge=charge, spin=spin, **options)

    @classmethod
    @named_arguments
    def from_pyscf(cls, mole: pyscf.gto.Mole) -> Molecule:
        """Molecule from a built PySCF `Mole`, with its basis, ECP, masses, charge and spin.

        Raises:
            InputError: what the `Mole` carries besides and would change energies: pseudopotentials,
            modified Coulomb operators, nuclei, repulsions or electron counts (`docs/readers.md`).
        """
        from dqc_lite.integrals.host import moles

        return cls._from_parts(
            *moles.checked_parts(mole),
            charge=int(mole.charge),
            spin=abs(int(mole.spin)),
            masses=moles.masses(mole),
        )

    @classmethod
    @named_arguments
    def from_structure(
        cls,
        structure: Structure,
        basis: Any = "def2-svp",
        *,
        charge: int | None = None,
        spin: int | None = None,
        ecp: Any = None,
        cart: bool = False,
    ) -> Molecule:
        """Molecule from what the readers return; arguments as in `from_xyz`."""
        from dqc_lite.integrals.host import basis_library, layouts

        atoms = structure.atoms
        symbols = [atom.symbol for atom in atoms]
        positions = np.array([atom.position for atom in atoms], float).reshape(-1, 3)
        positions = positions * length_factor(structure.unit)
        check_geometry(symbols, positions)
        charge = chosen("charge", charge, structure.charge)
        spin = chosen("spin", spin, structure.spin)
        mole = basis_library.build_mole(symbols, positions, basis, ecp=ecp, cart=cart)
        parts, masses = layouts.parts(mole), tuple(atom.mass for atom in atoms)
        try:
            _check_charge(charge, spin)
            return cls._from_parts(*parts, charge=int(charge), spin=int(spin), masses=masses)
        except InputError as error:
            sources = [s.text for s in (structure.charge, structure.spin) if s is not None]
            if not sources:
                raise
            raise type(error)(f"{error} ({'; '.join(sources)}.)") from error

    @classmethod
    def _from_parts(
        cls,
        layout: Layout,
        positions: np.ndarray,
        charges: np.ndarray,
        exponents: np.ndarray,
        coefficients: np.ndarray,
        *,
        charge: int,
        spin: int,
        masses: tuple[float | None, ...],
    ) -> Molecule:
        require_x64()
        _check_electrons(round(float(charges.sum())) - charge, charge, spin)
        # device_put, unlike asarray, compiles nothing
        arrays = jax.device_put((exponents, coefficients, positions, charges))
        masses = masses if any(mass is not None for mass in masses) else ()
        basis = Basis(arrays[0], arrays[1], layout)
        return cls(arrays[2], arrays[3], basis, charge, spin, masses)

    def with_positions(self, positions: Float[Array, "atom 3"]) -> Molecule:
        """A copy with nuclei and basis functions at `positions` (bohr).

        Raises:
            GeometryError: another shape than (atom, 3).
        """
        moved = positions
        if not (isinstance(positions, jax.Array) and positions.dtype == jnp.float64):
            moved = jnp.asarray(positions, jnp.float64)
        if moved.shape != (self.natm, 3):
            raise GeometryError(f"positions have shape {moved.shape}; need ({self.natm}, 3).")
        return dataclasses.replace(self, positions=moved)

    @property
    def layout(self) -> Layout:
        return self.basis.layout

    @property
    def symbols(self) -> tuple[str, ...]:
        """Element symbols, 'GHOST-' before those without a nucleus."""
        return self.layout.symbols

    @property
    def natm(self) -> int:
        return self.layout.natm

    @property
    def nao(self) -> int:
        return self.layout.nao

    @functools.cached_property
    def nelectron(self) -> int:
        """Number of electrons outside effective cores."""
        numbers, core = self.layout.numbers, self.layout.core_electrons
        return sum(n - c for n, c in zip(numbers, core, strict=True)) - self.charge

    @property
    def nelec(self) -> tuple[int, int]:
        """Numbers of alpha and beta electrons."""
        return (self.nelectron + self.spin) // 2, (self.nelectron - self.spin) // 2

    def orbitals(self) -> Orbitals:
        """The normalized basis functions on their centres."""
        return orbitals(self.positions, self.basis)

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for symbol in self.symbols:
            name = symbol if symbol == element_of(symbol) else f"({element_of(symbol)} ghost)"
            counts[name] = counts.get(name, 0) + 1
        formula = "".join(f"{s}{n if n > 1 else ''}" for s, n in sorted(counts.items()))
        return (
            f"Molecule({formula}, basis={self.layout.name!r}, nao={self.nao}, "
            f"charge={self.charge}, spin={self.spin})"
        )


def require_x64() -> None:
    """Raise `PrecisionError` unless JAX runs in double precision, `ForkError` where it cannot."""
    require_own_process()
    if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise PrecisionError(
            "double precision is off: hartree energies need jax_enable_x64. Call "
            "dqc_lite.enable_x64() (or jax.config.update('jax_enable_x64', True)) before the first "
            "array is made."
        )


def enable_x64() -> None:
    """Set JAX up for this process: double precision, and CPU programs one after the other.

    Call it before anything is computed. Programs dispatched asynchronously share their threads with
    the copies that host functions (the integrals) wait for: with a single CPU those under `jax.jit`
    would wait for ever. Who sets JAX up without this function does the same with
    ``jax.config.update("jax_cpu_enable_async_dispatch", False)``.
    """
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def _require_angstrom(options: dict[str, Any]) -> None:
    if "unit" in options:
        raise InputError(
            f"unit = {options['unit']!r} is not asked for: xyz files and ASE atoms are in "
            "angstrom; leave it out, or use Molecule.from_atoms."
        )


def _check_charge(charge: Any, spin: Any) -> None:
    if not is_integer(charge):
        raise ChargeSpinError(f"charge = {charge!r} must be a whole number of e.")
    if not is_integer(spin) or int(spin) < 0:
        raise SpinError(f"spin = {spin!r} must be 2S, a whole number of unpaired electrons >= 0.")


def _check_electrons(nelectron: int, charge: int, spin: int) -> None:
    if nelectron < 0:
        raise ChargeSpinError(
            f"charge = {charge} removes more electrons than the nuclei have "
            f"({nelectron + charge}); lower it."
        )
    if spin > nelectron:
        raise ChargeSpinError(f"spin = {spin} unpaired electrons exceed the {nelectron} electrons.")
    if (nelectron - spin) % 2:
        raise SpinError(
            f"spin = {spin} (2S, the number of unpaired electrons) does not fit {nelectron} "
            f"electrons: use spin = {spin + 1 if spin + 1 <= nelectron else spin - 1} "
            "or change the charge."
        )
