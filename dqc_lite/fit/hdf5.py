"""Data sets in HDF5 files, in atomic units.

A group ``rows/NAME`` holds ``symbols``, ``positions`` (bohr), ``isotope_masses`` (amu, NaN where
none is given) if any, the targets that exist as data sets with their names in `Row`, and attributes
``charge``, ``spin``, ``basis``, ``weight``, ``source``;
``reactions/NAME`` holds ``rows``, ``coefficients`` and attributes ``energy``, ``weight``,
``source``. An attribute ``name`` of a group is the name where NAME, which has no slash, is another.
"""

from __future__ import annotations

import dataclasses
import os
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np

from dqc_lite.errors import InputError
from dqc_lite.fit.dataset import ARRAYS, Dataset, Reaction, Row, collect, molecule

FORMAT = "dqc_lite.dataset/1"
_TARGETS = ("energy", *ARRAYS)


def to_hdf5(dataset: Dataset, path: str | os.PathLike) -> None:
    """Write a data set. The basis is stored by name: give such rows only."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["format"] = FORMAT
        for row in dataset.rows:
            group = _group(file, "rows", row.name)
            group["symbols"] = list(row.mol.symbols)
            group["positions"] = np.asarray(row.mol.positions)
            group.attrs.update(
                charge=row.mol.charge, spin=row.mol.spin, basis=row.mol.layout.name,
                cartesian=row.mol.layout.cartesian, weight=row.weight, source=row.source,
            )  # fmt: skip
            if row.mol.isotope_masses:
                group["isotope_masses"] = np.array(row.mol.isotope_masses, float)
            for name in _TARGETS:
                if getattr(row, name) is not None:
                    group[name] = getattr(row, name)
        for reaction in dataset.reactions:
            group = _group(file, "reactions", reaction.name)
            group["rows"] = list(reaction.stoichiometry)
            group["coefficients"] = list(reaction.stoichiometry.values())
            group.attrs.update(
                energy=reaction.energy, weight=reaction.weight, source=reaction.source
            )


def from_hdf5(path: str | os.PathLike, basis: Any = None) -> Dataset:
    """Read a data set; `basis` replaces that of the file. Bad rows are listed in `problems`."""
    import h5py

    if not Path(path).is_file():
        raise InputError(f"data file {str(path)!r} does not exist.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"data file {str(path)!r} is no HDF5 file: {error}") from error
    with file:
        if file.attrs.get("format") != FORMAT:
            raise InputError(f"data file {str(path)!r} is no data set ({FORMAT}).")
        groups = file.get("rows", {})
        rows, problems = collect(
            (name, lambda name=name, group=group: _row(name, group, basis))
            for name, group in _named(groups)
        )
        reactions = tuple(_reaction(name, g) for name, g in _named(file.get("reactions", {})))
    return Dataset(tuple(rows), reactions, tuple(problems))


def _group(file: Any, kind: str, name: str) -> Any:
    """A new group; HDF5 would take slashes and lone dots in its name for a path."""
    group = file.create_group(f"{kind}/{urllib.parse.quote(name, safe=' ').replace('.', '%2E')}")
    group.attrs["name"] = name
    return group


def _named(groups: Any) -> list[tuple[str, Any]]:
    return [(str(group.attrs.get("name", key)), group) for key, group in groups.items()]


def _whole(key: str, attributes: Any) -> int:
    value = attributes.get(key, 0)
    whole = isinstance(value, int | np.integer | float | np.floating) and value == np.round(value)
    if not whole:
        raise InputError(f"{key} = {value!r} must be a whole number.")
    return int(value)


def _row(name: str, group: Any, basis: Any) -> Row:
    missing = [key for key in ("symbols", "positions") if key not in group]
    if missing:
        raise InputError(f"{', '.join(missing)} missing.")
    attributes = group.attrs
    mol = molecule(
        list(group["symbols"].asstr()[()]), group["positions"][()],
        basis or attributes["basis"], "bohr",
        charge=_whole("charge", attributes), spin=_whole("spin", attributes),
        cart=bool(attributes.get("cartesian", False)),
    )  # fmt: skip
    if "isotope_masses" in group:
        masses = [None if np.isnan(m) else float(m) for m in group["isotope_masses"][()]]
        mol = dataclasses.replace(mol, isotope_masses=tuple(masses))
    targets = {key: group[key][()] for key in _TARGETS if key in group}
    return Row(
        name, mol, **targets, weight=attributes.get("weight", 1.0),
        source=str(attributes.get("source", "")),
    )  # fmt: skip


def _reaction(name: str, group: Any) -> Reaction:
    rows, coefficients = group["rows"].asstr()[()], group["coefficients"][()]
    return Reaction(
        name, dict(zip(map(str, rows), map(float, coefficients), strict=True)),
        float(group.attrs["energy"]), float(group.attrs.get("weight", 1.0)),
        str(group.attrs.get("source", "")),
    )  # fmt: skip
