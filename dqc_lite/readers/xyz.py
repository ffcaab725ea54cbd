"""Frames of xyz and extended xyz text; every reader of the package uses these.

A frame is a line with the number of atoms, a comment line, and one line for each atom:
``Symbol x y z`` in angstrom, or the columns that ``Properties=...`` in the comment names.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from dqc_lite.errors import GeometryError, InputError
from dqc_lite.geometry import Atom, is_atom_line, is_integer, make_atom, parse_line, parse_number
from dqc_lite.readers import comment as comments
from dqc_lite.readers.columns import Columns
from dqc_lite.readers.structure import (
    Structure,
    agreed,
    from_atomic_charges,
    from_moments,
    stated_by,
    with_masses,
)
from dqc_lite.readers.text import lines_of

_COUNT = re.compile(r"\s*([0-9]{1,9})\s*")
_QM9 = re.compile(r"gdb\s+\d+\s", re.ASCII)

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame, not yet understood.

    Attributes:
        comment: the second line.
        rows: the lines of the atoms.
        line: number of the first of them in the file, from 1.
        name: what messages call the source.
    """

    comment: str
    rows: tuple[str, ...]
    line: int
    name: str

    @functools.cached_property
    def settings(self) -> dict[str, str]:
        """What the comment line says by name, see `comment.settings_of`."""
        return self._named(lambda: comments.settings_of(self.comment))

    @functools.cached_property
    def columns(self) -> Columns | None:
        """Columns by name; None without ``Properties``."""
        properties = _lower(self.settings).get("properties")
        if properties is None:
            return None
        return self._named(lambda: Columns(properties, self.rows, self.line))

    def structure(self) -> Structure:
        """Atoms, and what the frame states of charge and spin.

        Raises:
            GeometryError: a row that is no atom, a crystal. UnknownElementError, ChargeSpinError,
            SpinError, InputError: symbols, charges, spins and units that are not understood.
        """
        return self._named(self._structure)

    def _structure(self) -> Structure:
        settings, columns = self.settings, self.columns
        comments.check_periodicity(settings, self.comment)
        charges, spins = stated_by(settings, "the comment line")
        initial_charge = initial_moment = None
        if columns is not None:
            atomic = columns.numbers("initial_charges", "initial_charge")
            moments = columns.numbers("initial_magmoms", "initial_magmom")
            if atomic is not None:
                initial_charge = from_atomic_charges(atomic, "the frame")
            if moments is not None:
                squeezed = moments[:, 0] if moments.shape[1] == 1 else moments
                initial_moment = from_moments(squeezed, "the frame")
        return Structure(
            self._plain() if columns is None else _atoms(columns),
            agreed([*charges, initial_charge]), agreed([*spins, initial_moment]),
            comments.unit_of(settings, self.comment),
        )  # fmt: skip

    def _plain(self) -> tuple[Atom, ...]:
        try:
            return tuple(parse_line(row, i) for i, row in enumerate(self.rows, self.line))
        except GeometryError as error:
            if is_atom_line(self.comment):
                raise GeometryError(_no_comment_line(self.comment)) from error
            raise

    def _named(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except InputError as error:
            if str(error).startswith(self.name):
                raise
            raise type(error)(f"{self.name}: {error}") from error


def frames(source: str | bytes | os.PathLike) -> list[Frame]:
    """All frames of a file, or of xyz text.

    Raises:
        GeometryError: no file, no xyz text, wrong numbers of atoms.
    """
    lines, name = lines_of(source)
    found: list[Frame] = []
    start = _skip_blank(lines, 0)
    while start < len(lines) or not found:
        try:
            frame = _frame(lines, start, name, first=not found)
        except GeometryError as error:
            previous = found[-1].comment if found else ""
            problem = _no_comment_line(previous) if is_atom_line(previous) else error
            raise GeometryError(f"{name}: {problem}") from error
        found.append(frame)
        start += 2 + len(frame.rows)
        if _QM9.match(frame.comment) and not _begins_frame(lines, start):
            start += 3  # files of QM9 go on with frequencies and two lines of names
        start = _skip_blank(lines, start)
    return found


def read(source: str | bytes | os.PathLike, frame: int | None = None) -> Structure:
    """The only frame of a file or of xyz text, or the one asked for, from 0, negative from the end.

    Raises:
        InputError: several frames and none chosen, or no such one; see also `frames` and
        `Frame.structure`.
    """
    if frame is not None and not is_integer(frame):
        raise InputError(f"frame = {frame!r} must be a whole number, 0 for the first frame.")
    found = frames(source)
    if frame is None and len(found) > 1:
        raise InputError(
            f"{found[0].name} has {len(found)} frames; choose one with frame=, 0 for the first, "
            "-1 for the last."
        )
    number = int(frame or 0)
    if not -len(found) <= number < len(found):
        raise InputError(f"frame = {frame!r}: {found[0].name} has {len(found)} frame(s), from 0.")
    return found[number].structure()


def _frame(lines: list[str], start: int, name: str, first: bool) -> Frame:
    line = lines[start] if start < len(lines) else ""
    count = _COUNT.fullmatch(line)
    if not count and first:
        raise GeometryError(
            f"xyz text must begin with a line holding the number of atoms; got {line[:60]!r}."
        )
    if not count:
        raise GeometryError(
            f"line {start + 1}: {line.strip()[:60]!r} follows the announced atoms and begins no "
            "other frame; correct the number of atoms or remove it."
        )
    natm = int(count.group(1))
    comment = lines[start + 1] if start + 1 < len(lines) else ""
    rows = lines[start + 2 : start + 2 + natm]
    while len(rows) and start + 2 + len(rows) == len(lines) and not rows[-1].strip():
        rows.pop()  # blank lines at the end of the file
    if len(rows) < natm:
        if is_atom_line(comment):
            raise GeometryError(_no_comment_line(comment))
        raise GeometryError(f"xyz text announces {natm} atoms and has {len(rows)}.")
    return Frame(comment, tuple(rows), start + 3, name)


def _no_comment_line(comment: str) -> str:
    return (
        f"the comment line {comment.strip()!r} is an atom, and atoms are missing after it: after "
        "the number of atoms comes a line of comment, which may be blank."
    )


def _begins_frame(lines: list[str], start: int) -> bool:
    return start < len(lines) and _COUNT.fullmatch(lines[start]) is not None


def _skip_blank(lines: list[str], start: int) -> int:
    while start < len(lines) and not lines[start].strip():
        start += 1
    return start


def _atoms(columns: Columns) -> tuple[Atom, ...]:
    labels, coordinates = columns.labels(), columns.coordinates()
    atoms = [
        make_atom([label, *xyz], f"geometry line {line}")
        for line, (label, xyz) in enumerate(
            zip(labels, coordinates, strict=True), columns.first_line
        )
    ]
    masses = columns.numbers("masses", "mass")
    return with_masses(atoms, None if masses is None else masses[:, 0], "the frame")


def vector(value: str) -> np.ndarray:
    """Numbers of ``"1 2 3"`` or ``[1, 2, 3]``.

    Raises:
        ValueError: what is no number.
    """
    return np.array([parse_number(word) for word in comments.words_of(value)])


def _lower(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in settings.items()}
