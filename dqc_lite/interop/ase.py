"""ASE structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dqc_lite.errors import GeometryError, InputError
from dqc_lite.geometry import parse_atoms
from dqc_lite.readers.structure import (
    Structure,
    agreed,
    from_atomic_charges,
    from_moments,
    stated_by,
    with_masses,
)

if TYPE_CHECKING:
    import ase

_WHERE = "atoms.info"


def structure(atoms: ase.Atoms) -> Structure:
    """Atoms (angstrom) with their own masses, and what they state of charge and spin: `info` as in
    the comment line of an xyz file, initial charges, initial magnetic moments.

    A cell without periodicity, constraints, velocities, tags and the calculator are not looked at.

    Raises:
        GeometryError: periodic. InputError and its subclasses: no `Atoms`, statements that are not
        understood or do not agree.
    """
    if not hasattr(atoms, "get_chemical_symbols"):
        raise InputError(f"atoms is a {type(atoms).__name__}; give one ase.Atoms.")
    if any(atoms.pbc):
        raise GeometryError(
            f"atoms.pbc = {atoms.pbc.tolist()}: periodic structures are not available; set "
            "atoms.pbc = False for the molecule alone."
        )
    charges, spins = stated_by(atoms.info, _WHERE)
    if atoms.has("initial_charges"):
        charges.append(from_atomic_charges(atoms.get_initial_charges(), "atoms"))
    if atoms.has("initial_magmoms"):
        spins.append(from_moments(atoms.get_initial_magnetic_moments(), "atoms"))
    rows = zip(atoms.get_chemical_symbols(), atoms.get_positions().tolist(), strict=True)
    masses = atoms.get_masses() if atoms.has("masses") else None
    return Structure(
        with_masses(parse_atoms(list(rows)), masses, "atoms"), agreed(charges), agreed(spins)
    )
