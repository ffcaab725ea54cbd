"""The text of a file, whatever its encoding and line ends."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dqc_lite.errors import GeometryError

_LINE_END = re.compile(r"\r*\n|\r")


def lines_of(source: str | bytes | os.PathLike) -> tuple[list[str], str]:
    """Lines of a file, or of `source` itself when it is text of several lines; and what to call it.

    Text is UTF-8 with or without byte-order mark, else Latin-1, in which every byte is a letter:
    what that may get wrong stands in comments.

    Raises:
        GeometryError: no such file, or no text.
    """
    source = os.fspath(source)
    if isinstance(source, bytes):
        if b"\n" in source or b"\r" in source:
            return _split(_decoded(source, "geometry text")), "geometry text"
        source = os.fsdecode(source)
    if "\n" in source or "\r" in source:
        return _split(source.removeprefix("\ufeff")), "geometry text"
    name = f"geometry file {source!r}"
    try:
        data = Path(source).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise GeometryError(f"{name} cannot be read: {reason}; give a path or xyz text.") from error
    return _split(_decoded(data, name)), name


def _decoded(data: bytes, name: str) -> str:
    if b"\0" in data:
        raise GeometryError(f"{name} is not text in UTF-8 or Latin-1.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _split(text: str) -> list[str]:
    return _LINE_END.split(text)
