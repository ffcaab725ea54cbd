"""Atoms from text and sequences, and sound geometries. Text is parsed, never evaluated."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

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

ISOTOPES = {"D": ("H", 2.01410177812), "T": ("H", 3.0160492779)}
"""Isotopes with symbols of their own: element and mass in amu (AME 2012)."""

NO_ELEMENT = "GHOST-X"
"""The symbol of basis functions on a centre without nucleus that belong to no element."""

_GHOST = re.compile(r"^(?:ghost[-_.:]?|gh[-_.:(]|x[-_.:]|@)([a-z]{1,3})\)?\d*$", re.IGNORECASE)
_NO_ELEMENT = re.compile(r"^(?:ghost|x|ghost[-_.:]?x)[-_.:]?\d*$", re.IGNORECASE | re.ASCII)
_ATOM = re.compile(r"^([a-z]{1,3})[-_.@:]?\d*$", re.IGNORECASE)

_MINUS = str.maketrans({"\N{MINUS SIGN}": "-"})
_NUMBER = re.compile(
    r"([-+]?(?:\d+\.?\d*|\.\d+))(?:(?:[edq]|\*\^)([-+]?\d+)|([-+]\d{3}))?",
    re.IGNORECASE | re.ASCII,
)
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d\S*", re.ASCII)


class Atom(NamedTuple):
    """Canonical symbol, coordinates, and the mass in amu where the label is that of an isotope."""

    symbol: str
    position: tuple[float, float, float]
    mass: float | None = None


def length_factor(unit: str) -> float:
    """Bohr per `unit`, 'angstrom' or 'bohr'."""
    name = str(unit).strip().lower()
    if name in ("angstrom", "ang", "a", "angstroms"):
        return ANGSTROM_IN_BOHR
    if name in ("bohr", "au", "a.u.", "b"):
        return 1.0
    raise InputError(f"unit = {unit!r} is not understood; use 'angstrom' or 'bohr'.")


def canonical_symbol(label: str | int) -> str:
    """'o', 'O1', 8 -> 'O';  'D' -> 'H';  'ghost-H', 'X-H', '@h', 'Gh(H)' -> 'GHOST-H';
    'ghost', 'X', 'ghost1' -> 'GHOST-X'.

    Raises:
        UnknownElementError.
    """
    text = str(label).strip()
    if re.fullmatch("[0-9]{1,3}", text) and 0 < int(text) < len(ELEMENTS):
        return ELEMENTS[int(text)]
    if _NO_ELEMENT.match(text):
        return NO_ELEMENT
    ghost = _GHOST.match(text)
    plain = ghost or _ATOM.match(text)
    symbol = plain.group(1).capitalize() if plain else ""
    symbol = ISOTOPES.get(symbol, (symbol,))[0]
    if symbol not in ELEMENTS or symbol == "X":
        raise UnknownElementError(
            f"element {label!r} is unknown; use a symbol such as 'C' (or 6), 'D' for deuterium, "
            "and 'ghost-C' for basis functions without a nucleus."
        )
    return f"GHOST-{symbol}" if ghost else symbol


def isotope_mass(label: str | int) -> float | None:
    """Mass in amu of an isotope with a symbol of its own ('D', 't1'), else None."""
    plain = _ATOM.match(str(label).strip())
    return ISOTOPES.get(plain.group(1).capitalize(), ("", None))[1] if plain else None


def element_of(symbol: str) -> str:
    """The element of a canonical symbol, ghost or not."""
    return symbol.removeprefix("GHOST-")


def parse_number(text: str) -> float:
    """A decimal number; exponents as '1e-1', '1D-01', '1.0-101' (Fortran), '1*^-1' (Mathematica).

    Raises:
        ValueError: anything else, but for 'nan' and 'inf'.
    """
    plain = text.translate(_MINUS)
    match = _NUMBER.fullmatch(plain)
    if match:
        exponent = match.group(2) or match.group(3)
        return float(f"{match.group(1)}e{exponent}" if exponent else match.group(1))
    if plain.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return float(plain)
    raise ValueError(f"{text!r} is no number")


def parse_line(line: str, number: int) -> Atom:
    """An atom from 'Symbol x y z'; further columns of numbers and words are not looked at.

    Raises:
        GeometryError: no such line, or further columns that say something about the atom.
    """
    fields = _fields(line, number)
    atom = make_atom(fields, f"geometry line {number}: {line.strip()!r}")
    rest = fields[4:]
    speaking = [field for field in rest if "=" in field]
    if speaking:
        raise GeometryError(
            f"geometry line {number}: {speaking[0]!r} after the coordinates is not understood; "
            "remove it (masses: 'D', 'T', or masses= of dqc_lite.vibrations)."
        )
    if len(rest) >= 4 and not _is_number(rest[0]) and all(map(_is_number, rest[1:4])):
        raise GeometryError(
            f"geometry line {number}: {line.strip()!r} holds more than one atom; separate them "
            "by ';' or a new line."
        )
    return atom


def make_atom(fields: Sequence[str], where: str) -> Atom:
    """An atom from a label and three numbers as text."""
    if len(fields) < 4:
        raise GeometryError(f"{where} is no 'Symbol x y z'; give one atom a line.")
    try:
        x, y, z = map(parse_number, fields[1:4])
    except ValueError as error:
        raise GeometryError(f"{where} has coordinates that are no numbers: {error}.") from error
    return Atom(canonical_symbol(fields[0]), (x, y, z), isotope_mass(fields[0]))


def is_atom_line(line: str) -> bool:
    """Whether a line reads as 'Symbol x y z'."""
    try:
        parse_line(line, 0)
    except InputError:
        return False
    return True


def _is_number(text: str) -> bool:
    try:
        parse_number(text)
    except ValueError:
        return False
    return True


def _fields(line: str, number: int) -> list[str]:
    fields = line.split()
    if len(fields) >= 4 and any(map(_DECIMAL_COMMA.fullmatch, fields[1:4])):
        raise GeometryError(
            f"geometry line {number}: {line.strip()!r} has decimal commas or coordinates that are "
            "run together; write decimal points and blanks between the numbers."
        )
    return line.replace(",", " ").split()


def parse_atoms(atoms: str | Sequence) -> list[Atom]:
    """Atoms from ``"O 0 0 0; H 0 0 1"`` (or lines), or ``[("O", (0, 0, 0)), ...]``."""
    if isinstance(atoms, str):
        lines = enumerate(re.split(r"[;\n\r]", atoms.removeprefix("\ufeff")), 1)
        kept = [(s, i) for i, s in lines if s.strip() and not s.lstrip().startswith("#")]
        return [parse_line(s, i) for s, i in kept]
    try:
        rows = list(atoms)
    except TypeError:
        raise GeometryError(f"atoms = {atoms!r} is neither text nor a sequence of atoms.") from None
    return [_parse_row(row, i) for i, row in enumerate(rows, 1)]


def _parse_row(row: Any, number: int) -> Atom:
    try:
        label, *xyz = row
        x, y, z = (_coordinate(v) for v in (xyz if len(xyz) == 3 else xyz[0]))
        if len(xyz) not in (1, 3):
            raise ValueError
    except (TypeError, ValueError, IndexError, KeyError):
        raise GeometryError(f"atom {number}: {row!r} is no (symbol, (x, y, z)).") from None
    return Atom(canonical_symbol(label), (x, y, z), isotope_mass(label))


def _coordinate(value: Any) -> float:
    return parse_number(value.strip()) if isinstance(value, str) else float(value)


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
