"""Data sets from extended xyz files and from the collections that ASE ships."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dqc_lite.errors import InputError
from dqc_lite.fit.dataset import Dataset, Problem, Reaction, Row, collect
from dqc_lite.fit.target_units import KCAL_PER_MOL, factor
from dqc_lite.molecule import Molecule
from dqc_lite.readers import xyz
from dqc_lite.units import HARTREE_IN_EV


def from_extxyz(
    path: str | os.PathLike,
    basis: Any = "def2-svp",
    *,
    energy_unit: str = "eV",
    force_unit: str = "eV/angstrom",
    dipole_unit: str = "e angstrom",
    source: str = "",
) -> Dataset:
    """Rows from an extended xyz file.

    Read are the columns of symbols, positions, forces and masses, and of the comment line
    ``energy``, ``dipole``, ``name``, ``basis``, ``weight``, and charge and spin as
    `dqc_lite.Molecule.from_xyz` reads them. Default units are ASE's. Frames that cannot be used are
    left out and listed in `problems`.

    Raises:
        InputError: no such file. GeometryError: no xyz file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"data file {str(path)!r} does not exist.")

    def row(name: str, frame: xyz.Frame) -> Row:
        columns, said = frame.columns, frame.settings
        forces = None if columns is None else columns.numbers("forces")
        return Row(
            name,
            Molecule.from_structure(
                frame.structure(), said.get("basis", basis) if isinstance(basis, str) else basis
            ),
            energy=_scaled(_said(said, "energy", ()), factor("energy", energy_unit)),
            forces=_scaled(forces, factor("forces", force_unit)),
            dipole=_scaled(_said(said, "dipole", (3,)), factor("dipole", dipole_unit)),
            weight=float(_said(said, "weight", (), 1.0)), source=source or path.name,
        )  # fmt: skip

    frames = enumerate(xyz.frames(path))
    named = [(_name(frame, default=f"{path.stem}-{i}"), frame) for i, frame in frames]
    rows, problems = collect((n, lambda n=n, f=f: row(n, f)) for n, f in named)
    return Dataset(tuple(rows), problems=tuple(problems))


def _name(frame: xyz.Frame, default: str) -> str:
    try:
        return frame.settings.get("name", default)
    except InputError:  # the row has the same error, and is listed with it
        return default


def _said(settings: Mapping[str, str], key: str, shape: tuple, default: Any = None) -> Any:
    """A number or a vector of the comment line."""
    if key not in settings:
        return default
    try:
        return xyz.vector(settings[key]).reshape(shape)
    except ValueError as error:
        raise InputError(f"{key} = {settings[key]!r}: {error}.") from error


def g2_atomization_energy(name: str) -> float:
    """Nonrelativistic-like electronic atomization energy of a G2 molecule, hartree.

    The zero-point energy is removed: from the enthalpy of formation at 298 K,
    ``De = sum_A [H_f0(A) - (H298 - H0)(A)] - H_f298(M) + (H298 - H0)(M) + ZPE(M)``
    (L. A. Curtiss et al., J. Chem. Phys. 106, 1063 (1997)), A over the atoms, whose thermal
    corrections are those of the elements in their standard states. Numbers from `ase.data.g2`.
    """
    from ase.symbols import string2symbols

    data = _ase("data.g2").data
    entry = data[name]
    energy = -entry["enthalpy"] + entry["ZPE"] + entry["thermal correction"]
    for atom in string2symbols(entry["symbols"]):
        energy += data[atom]["enthalpy"] - data[atom]["thermal correction"]
    return energy * KCAL_PER_MOL


def g2(
    basis: Any = "def2-svp", names: Iterable[str] | None = None, max_heavy: int | None = None
) -> Dataset:
    """Atomization energies of the G2 set: a reaction to its atoms for each molecule.

    Args:
        basis: of all molecules.
        names: molecules by ASE's names, all by default.
        max_heavy: leave out molecules with more atoms other than hydrogen.

    Geometries (MP2(full)/6-31G*) and spins are those of ASE's collection.
    """
    from ase.symbols import string2symbols

    module = _ase("data.g2")
    collection = _ase("collections").g2
    wanted = list(module.molecule_names) if names is None else list(names)
    unknown = sorted(set(wanted) - set(module.molecule_names))
    if unknown:
        raise InputError(f"names {unknown} are no molecules of the G2 set.")
    symbols = {name: string2symbols(module.data[name]["symbols"]) for name in wanted}
    if max_heavy is not None:
        wanted = [n for n in wanted if sum(s != "H" for s in symbols[n]) <= max_heavy]
    atoms = sorted({s for name in wanted for s in symbols[name]})

    def row(name: str) -> Row:
        return Row(name, Molecule.from_ase(collection[name], basis), source="G2, ase.data.g2")

    rows, problems = collect((name, lambda name=name: row(name)) for name in [*wanted, *atoms])
    reactions, thermochemistry = [], []
    for name in wanted:
        coefficients: dict[str, float] = {name: -1.0}
        for s in symbols[name]:
            coefficients[s] = coefficients.get(s, 0.0) + 1.0
        try:
            energy = g2_atomization_energy(name)
        except (KeyError, TypeError):
            thermochemistry.append(Problem(f"{name} atomization", "no thermochemistry in ASE."))
            continue
        reactions.append(Reaction(f"{name} atomization", coefficients, energy, source="G2"))
    return Dataset(tuple(rows), tuple(reactions), (*problems, *thermochemistry))


def s22(basis: Any = "def2-svp", names: Iterable[str] | None = None) -> Dataset:
    """Interaction energies of the S22 complexes, CCSD(T) at the basis-set limit, from ASE.

    A complex and its two parts at the same geometry are three rows, without counterpoise
    correction (P. Jurecka et al., Phys. Chem. Chem. Phys. 8, 1985 (2006)).
    """
    module = _ase("data.s22")
    wanted = list(module.s22) if names is None else list(names)
    unknown = sorted(set(wanted) - set(module.s22))
    if unknown:
        raise InputError(f"names {unknown} are no complexes of S22; ASE has {list(module.s22)}.")
    entries, reactions = [], []

    def row(name: str, atoms: Any) -> Row:
        return Row(name, Molecule.from_ase(atoms, basis), source="S22, ase.data.s22")

    for name in wanted:
        whole = module.create_s22_system(name)
        first = module.get_number_of_dimer_atoms(name)[0]
        parts = {name: whole, f"{name}_a": whole[:first], f"{name}_b": whole[first:]}
        entries += [(n, lambda n=n, a=a: row(n, a)) for n, a in parts.items()]
        coefficients = dict(zip(parts, (1.0, -1.0, -1.0), strict=True))
        energy = module.get_interaction_energy_cc(name) / HARTREE_IN_EV
        reactions.append(Reaction(f"{name} interaction", coefficients, energy, source="S22"))
    rows, problems = collect(entries)
    return Dataset(tuple(rows), tuple(reactions), tuple(problems))


def _scaled(value: Any, unit: float) -> Any:
    return None if value is None else np.asarray(value, float) * unit


def _ase(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"ase.{name}")
    except ImportError as error:
        raise InputError("this data source needs ASE; pip install ase.") from error
