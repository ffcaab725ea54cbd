"""Columns of an extended xyz frame, as its ``Properties`` name them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from dqc_lite.errors import GeometryError
from dqc_lite.geometry import canonical_symbol, parse_number

SYMBOLS = ("species", "symbols", "symbol", "element", "elements")
NUMBERS = ("z", "numbers", "atomic_numbers")
POSITIONS = ("pos", "positions")

_PROPERTIES = re.compile(r"([^:\s]+:[SRIL]:[1-9]\d{0,3})(:[^:\s]+:[SRIL]:[1-9]\d{0,3})*", re.I)


class Columns:
    """The columns by name (lower case), each a list of rows of words."""

    def __init__(self, properties: str, rows: Sequence[str], first_line: int) -> None:
        """Split rows of text by ``Properties``.

        Raises:
            GeometryError: no valid ``Properties``, or a row with too few columns.
        """
        self.first_line = first_line
        self.words: dict[str, list[list[str]]] = {}
        if not _PROPERTIES.fullmatch(properties):
            raise GeometryError(
                f"extxyz Properties={properties!r} is no list of name:type:columns, such as "
                "species:S:1:pos:R:3."
            )
        parts = properties.lower().split(":")
        layout = [(name, int(n)) for name, n in zip(parts[::3], parts[2::3], strict=True)]
        width = sum(n for _, n in layout)
        split = [row.split() for row in rows]
        for number, fields in enumerate(split, first_line):
            if len(fields) < width:
                raise GeometryError(
                    f"geometry line {number}: {rows[number - first_line].strip()!r} has "
                    f"{len(fields)} columns; Properties={properties} announces {width}."
                )
        start = 0
        for name, n in layout:
            self.words[name] = [fields[start : start + n] for fields in split]
            start += n

    def labels(self) -> list[str]:
        """Symbols of the atoms, or their atomic numbers.

        Raises:
            GeometryError: neither is there, or they differ.
        """
        symbols = self._first(SYMBOLS)
        numbers = self._first(NUMBERS)
        if symbols is None and numbers is None:
            raise GeometryError(
                f"extxyz Properties name {', '.join(self.words)}: no species and no Z; add one."
            )
        labels = [row[0] for row in symbols or numbers or ()]
        for label, row in zip(labels, numbers or (), strict=False):
            if canonical_symbol(label) != canonical_symbol(row[0]):
                raise GeometryError(f"extxyz species {label!r} and Z = {row[0]} differ.")
        return labels

    def coordinates(self) -> list[list[str]]:
        """Words of the three coordinates of each atom."""
        found = self._first(POSITIONS)
        if found is None or any(len(row) != 3 for row in found):
            raise GeometryError(
                f"extxyz Properties name {', '.join(self.words)}: no pos:R:3; add the positions."
            )
        return found

    def numbers(self, *names: str) -> np.ndarray | None:
        """(atom, column) of the first of these names that there is; None without.

        Raises:
            GeometryError: what is no number.
        """
        for name in names:
            if name in self.words:
                return np.array([
                    [self._number(word, name, line) for word in row]
                    for line, row in enumerate(self.words[name], self.first_line)
                ])  # fmt: skip
        return None

    def _first(self, names: Sequence[str]) -> list[list[str]] | None:
        found: Mapping[str, list[list[str]]] = self.words
        return next((found[name] for name in names if name in found), None)

    @staticmethod
    def _number(word: str, name: str, line: int) -> float:
        try:
            return parse_number(word)
        except ValueError as error:
            raise GeometryError(f"geometry line {line}: {name}: {error}.") from error
