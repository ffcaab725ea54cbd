"""Reading molecular geometries from text. Text is parsed, never evaluated."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dqc_lite.errors import GeometryError, InputError, UnknownElementError
from dqc_lite.units import ANGSTROM_IN_BOHR

ELEMENTS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As "
    "Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd "
    "Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am "
    "Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
).split()

MIN_DISTANCE = 0.1
"""Atoms nearer than this (bohr) are refused."""

MAX_COORDINATE = 1e5
"""Coordinates beyond this (bohr) are refused."""

_GHOST = re.compile(r"^(?:ghost[-_.:]?|gh[-_.:(]|x[-_.:]|@)([a-z]{1,3})\)?\d*$", re.IGNORECASE)
_ATOM = re.compile(r"^([a-z]{1,3})[-_.@:]?\d*$", re.IGNORECASE)

Atom = tuple[str, tuple[float, float, float]]


def length_factor(unit: str) -> float:
    """Bohr per `unit`, 'angstrom' or 'bohr'."""
    name = str(unit).strip().lower()
    if name in ("angstrom", "ang", "a", "angstroms"):
        return ANGSTROM_IN_BOHR
    if name in ("bohr", "au", "a.u.", "b"):
        return 1.0
    raise InputError(f"unit = {unit!r} is not understood; use 'angstrom' or 'bohr'.")


def canonical_symbol(label: str | int) -> str:
    """'o', 'O1', 8 -> 'O';  'ghost-H', 'X-H', '@h', 'Gh(H)' -> 'GHOST-H'."""
    text = str(label).strip()
    if re.fullmatch("[0-9]{1,3}", text) and 0 < int(text) < len(ELEMENTS):
        return ELEMENTS[int(text)]
    ghost = _GHOST.match(text)
    plain = ghost or _ATOM.match(text)
    symbol = plain.group(1).capitalize() if plain else ""
    if symbol not in ELEMENTS or symbol == "X":
        raise UnknownElementError(
            f"element {label!r} is unknown; use a symbol such as 'C' (or 6), "
            "and 'ghost-C' for basis functions without a nucleus."
        )
    return f"GHOST-{symbol}" if ghost else symbol


def element_of(symbol: str) -> str:
    """The element of a canonical symbol, ghost or not."""
    return symbol.removeprefix("GHOST-")


def _parse_line(line: str, number: int) -> Atom:
    fields = line.replace(",", " ").split()
    if len(fields) < 4:
        raise GeometryError(
            f"geometry line {number}: {line.strip()!r} is no 'Symbol x y z'; give one atom a line."
        )
    try:
        x, y, z = (float(f) for f in fields[1:4])
    except ValueError as error:
        raise GeometryError(
            f"geometry line {number}: {line.strip()!r} has coordinates that are no numbers."
        ) from error
    return canonical_symbol(fields[0]), (x, y, z)


def parse_atoms(atoms: str | Sequence) -> list[Atom]:
    """Atoms from ``"O 0 0 0; H 0 0 1"`` (or lines), or ``[("O", (0, 0, 0)), ...]``."""
    if isinstance(atoms, str):
        lines = enumerate(re.split(r"[;\n]", atoms), 1)
        kept = [(s, i) for i, s in lines if s.strip() and not s.lstrip().startswith("#")]
        return [_parse_line(s, i) for s, i in kept]
    parsed = []
    try:
        rows = list(atoms)
    except TypeError:
        raise GeometryError(f"atoms = {atoms!r} is neither text nor a sequence of atoms.") from None
    for i, row in enumerate(rows, 1):
        try:
            symbol, xyz = (row[0], row[1]) if len(row) == 2 else (row[0], row[1:4])
            x, y, z = (float(v) for v in xyz)
        except (TypeError, ValueError, IndexError, KeyError):
            raise GeometryError(f"atom {i}: {row!r} is no (symbol, (x, y, z)).") from None
        parsed.append((canonical_symbol(symbol), (x, y, z)))
    return parsed


def read_xyz(source: str | os.PathLike) -> str:
    """Text of an xyz file, or the text itself when `source` is xyz text."""
    text = os.fspath(source)
    if "\n" in text:
        return text
    try:
        return Path(text).read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        raise GeometryError(
            f"geometry file {text!r} cannot be read: {reason}; give a path or xyz text."
        ) from error
    except ValueError as error:  # undecodable bytes, or a NUL in the name
        raise GeometryError(f"geometry file {text!r} is not text.") from error


def parse_xyz(text: str) -> list[Atom]:
    """Atoms of the first frame of (ext)xyz text, coordinates in angstrom.

    Columns beyond the fourth are ignored; an extxyz `Properties` other than species, pos first
    is refused.
    """
    lines = text.splitlines()
    first = lines[0].split() if lines else []
    if len(first) != 1 or not re.fullmatch("[0-9]{1,9}", first[0]):
        raise GeometryError(
            "xyz text must begin with a line holding the number of atoms; got "
            f"{lines[0][:60] if lines else ''!r}."
        )
    natm = int(first[0])
    properties = re.search(r"Properties=(\S+)", lines[1]) if len(lines) > 1 else None
    if properties and not properties.group(1).lower().startswith("species:s:1:pos:r:3"):
        raise GeometryError(
            f"extxyz Properties={properties.group(1)!r} is not supported; "
            "species and pos must come first."
        )
    body = lines[2 : 2 + natm]
    if len(body) < natm:
        raise GeometryError(f"xyz text announces {natm} atoms and has {len(body)}.")
    return [_parse_line(line, i) for i, line in enumerate(body, 3)]


def check_geometry(symbols: Sequence[str], positions: np.ndarray) -> None:
    """Raise `GeometryError` for empty, non-finite, far away or coinciding atoms (bohr)."""
    if len(symbols) == 0:
        raise GeometryError("the geometry has no atoms.")
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        i = int(np.argmin(finite))
        raise GeometryError(f"atom {i} ({symbols[i]}) has position {positions[i]}: not finite.")
    far = np.abs(positions).max(axis=1) > MAX_COORDINATE
    if far.any():
        i = int(np.argmax(far))
        raise GeometryError(
            f"atom {i} ({symbols[i]}) has position {positions[i]} bohr, beyond {MAX_COORDINATE:g}; "
            "check the unit."
        )
    _check_distances(symbols, positions)


def _check_distances(symbols: Sequence[str], positions: np.ndarray) -> None:
    for i in range(1, len(symbols)):
        distance = np.linalg.norm(positions[:i] - positions[i], axis=1)
        j = int(np.argmin(distance))
        if distance[j] < MIN_DISTANCE:
            raise GeometryError(
                f"atoms {j} ({symbols[j]}) and {i} ({symbols[i]}) are {distance[j]:.4f} bohr "
                f"apart, nearer than {MIN_DISTANCE}; check the geometry and its unit."
            )


def is_integer(value: object) -> bool:
    """Whether `value` is an integer number (2, 2.0, np.int64(2)), not a bool or text."""
    if isinstance(value, bool | str | bytes) or value is None:
        return False
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return math.isfinite(number) and number == int(number)
