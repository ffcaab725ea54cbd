"""The comment line of an xyz frame: ``key=value`` pairs, and words on charge and multiplicity."""

from __future__ import annotations

import re

from dqc_lite.errors import GeometryError, InputError, SpinError
from dqc_lite.geometry import parse_number
from dqc_lite.readers.structure import CHARGE, FIELDS, MULTIPLICITY, SPIN

_SPOKEN = "|".join(
    sorted((name.replace("_", "[_ ]") for name in CHARGE | MULTIPLICITY | SPIN), reverse=True)
)
_KEY = re.compile(r"""\s*(?:(?<!\S)"([^"]*)"|(?<!\S)'([^']*)'|([^\s="'][^\s="]*))(\s*=\s*)?""")
_NEXT = re.compile(r"""[^\s="']+=""")
_QUOTED = re.compile(r"""(["'])((?:(?!\1)[^\\]|\\.)*)\1""")
_COLON = re.compile(rf"(?<![\w-])({_SPOKEN})\s*:\s*([^\s,;]+)", re.IGNORECASE)
_WORDS = re.compile(
    rf"(?<![\w-])({_SPOKEN})\s+([-+\N{{MINUS SIGN}}]?\d+)(?![\w/]|\.\d)", re.IGNORECASE | re.ASCII
)
_TWO_NUMBERS = re.compile(r"\s*([-+]?\d{1,2})\s+(\d{1,2})\s*", re.ASCII)
_CELL = re.compile(r"\bCELL[({]\w+[)}]", re.IGNORECASE)
_UNITS = re.compile(r"positions\{(\w+)\}", re.IGNORECASE)
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_LENGTHS = {"angstrom", "ang", "bohr", "au", "a.u.", "nm", "pm", "nanometer", "picometer"}
_UNIQUE = CHARGE | MULTIPLICITY | SPIN | FIELDS | {
    "properties", "pbc", "lattice", "cell", "unit", "units",
    "name", "energy", "dipole", "basis", "weight",
}  # fmt: skip
_NO = {"f", "false", "0", ".false."}


def settings_of(comment: str) -> dict[str, str]:
    """What a comment line says by name, as text: ``key=value`` (values in quotes, brackets or
    braces may hold blanks), ``charge: 1``, ``charge 1 multiplicity 2``, or nothing but charge and
    multiplicity (``0 1``).

    Raises:
        SpinError: ``spin 2`` in words, which may mean S or 2S. InputError: a key with a
        meaning here twice.
    """
    numbers = _TWO_NUMBERS.fullmatch(comment)
    if numbers:
        return {"charge": numbers.group(1), "multiplicity": numbers.group(2)}
    found, rest = _pairs(comment)
    for pattern in (_COLON, _WORDS):
        for match in pattern.finditer(rest):
            key, value = re.sub(r"\s", "_", match.group(1)), match.group(2)
            # 0 is both; 1 is 2S for odd numbers of electrons and an error for even ones
            if pattern is _WORDS and key.lower() == "spin" and value not in ("0", "1"):
                raise SpinError(
                    f"the comment line says {match.group(0)!r}, which may be S or 2S; write "
                    "spin=2S or multiplicity=2S+1."
                )
            found.append((key, value))
    settings: dict[str, str] = {}
    for key, value in found:
        if settings.get(key, value) != value and key.lower() in _UNIQUE:
            raise InputError(
                f"the comment line says {key} = {settings[key]} and {key} = {value}; remove one."
            )
        settings[key] = value
    return settings


def _pairs(comment: str) -> tuple[list[tuple[str, str]], str]:
    """``key=value`` pairs, and the words that belong to none."""
    pairs, words, position = [], [], 0
    while position < len(comment):
        match = _KEY.match(comment, position)
        if match is None:  # a quote without its partner, '=' without a key
            position += 1
            continue
        *keys, equals = match.groups()
        key = next(k for k in keys if k is not None)
        position = match.end()
        if equals and equals[-1].isspace() and _NEXT.match(comment, position):
            pairs.append((key, ""))  # "note= charge=1", as ASE writes empty values
        elif equals:
            value, position = _value(comment, position)
            pairs.append((key, value))
        else:
            words.append(key)
    return pairs, " ".join(words)


def _value(comment: str, start: int) -> tuple[str, int]:
    """A value without its quotes, and where it ends."""
    if comment.startswith("_JSON ", start):
        start += len("_JSON ")
    quoted = _QUOTED.match(comment, start)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted.group(2)), quoted.end()
    first = comment[start : start + 1]
    if first in _CLOSING:
        depth = 0
        for i in range(start, len(comment)):
            depth += (comment[i] == first) - (comment[i] == _CLOSING[first])
            if depth == 0:
                return comment[start : i + 1], i + 1
    end = next((i for i in range(start, len(comment)) if comment[i].isspace()), len(comment))
    return comment[start:end].rstrip(",;"), end


def check_periodicity(settings: dict[str, str], comment: str) -> None:
    """Raise `GeometryError` for a frame of a crystal.

    As the format has it, a lattice without ``pbc`` is periodic in all directions.
    """
    named = {key.lower(): value for key, value in settings.items()}
    pbc, lattice = named.get("pbc"), named.get("lattice", named.get("cell"))
    isolated = pbc is not None and set(re.findall(r"[\w.]+", pbc.lower())) <= _NO
    if pbc is not None and not isolated:
        reason = f"pbc = {pbc!r}"
    elif pbc is None and lattice is not None and any(map(_nonzero, words_of(lattice))):
        reason = f'Lattice = {lattice!r} and no pbc="F F F"'
    elif pbc is None and _CELL.search(comment):
        reason = f"the comment line {comment.strip()!r} with a cell"
    else:
        return
    raise GeometryError(
        f"{reason}: periodic structures are not available; give the molecule alone, or write "
        'pbc="F F F" if there is no periodicity.'
    )


def unit_of(settings: dict[str, str], comment: str) -> str:
    """The unit of the coordinates, angstrom unless the comment line names another length."""
    named = {key.lower(): value.lower() for key, value in settings.items()}
    spoken = _UNITS.search(comment)
    if spoken:
        return {"atomic_unit": "bohr"}.get(spoken.group(1).lower(), spoken.group(1))
    units = [named[key] for key in ("unit", "units") if named.get(key) in _LENGTHS]
    return units[0] if units else "angstrom"


def words_of(value: str) -> list[str]:
    """``"1 2 3"``, ``[1, 2, 3]``, ``{1 2 3}`` as a list of words."""
    return re.sub(r"[\[\]{}(),]", " ", value).split()


def _nonzero(word: str) -> bool:
    try:
        return parse_number(word) != 0.0
    except ValueError:
        return True
