"""The basis-set files this package ships, found by name.

The files are NWChem text. In a checkout they lie in the top-level folder ``basis/``; the wheel
carries them as ``dqc_lite/_basis_files``. Names that are not shipped are not an error here: the
caller turns to PySCF's library.
"""

from __future__ import annotations

import functools
from pathlib import Path

_SUFFIX = ".nw"

# shipped name -> (file stem, other accepted spellings); spellings are normalised before comparing
_SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sto-3g": ("sto-3g", ()),
    "6-31g": ("6-31g", ()),
    "6-31g*": ("6-31gs", ("6-31gs", "6-31g(d)")),
    "def2-svp": ("def2-svp", ()),
}


def normalise(name: str) -> str:
    """`name` in the form that PySCF compares: lower case without ``-``, ``_`` and blanks."""
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


_STEM_OF = {
    normalise(spelling): stem
    for name, (stem, others) in _SETS.items()
    for spelling in (name, *others)
}


@functools.cache
def _directory() -> Path | None:
    package = Path(__file__).resolve().parent
    installed, checkout = package / "_basis_files", package.parent / "basis"
    if installed.is_dir():
        return installed
    # Beside an installed package, "basis" would be somebody else's: ask for the checkout's mark.
    if checkout.is_dir() and (package.parent / "pyproject.toml").is_file():
        return checkout
    return None


def shipped() -> tuple[str, ...]:
    """Names of the basis sets that the package ships, e.g. ``"6-31g*"``."""
    return tuple(_SETS)


def find(name: str, symbol: str | None = None) -> Path | None:
    """The shipped NWChem file of basis set `name`, or None when the package does not ship it.

    `name` is spelled as in PySCF: case, ``-``, ``_`` and blanks do not matter; ``6-31g*`` may also
    be written ``6-31gs`` or ``6-31g(d)``. With `symbol` (an element symbol such as ``"Cl"``) the
    answer is also None when the file has no functions for that element. Never raises for an
    unknown name or element.
    """
    stem, directory = _STEM_OF.get(normalise(name)), _directory()
    if stem is None or directory is None:
        return None
    path = directory / (stem + _SUFFIX)
    if not path.is_file():
        return None
    if symbol is not None and symbol.strip().capitalize() not in elements(path):
        return None
    return path


@functools.cache
def elements(path: Path) -> tuple[str, ...]:
    """Element symbols for which the NWChem file at `path` has functions, in the file's order."""
    symbols: dict[str, None] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split("#", 1)[0].split()
        # a shell starts with "C    S"; "BASIS ..." and "END" are the file's frame
        if len(words) == 2 and words[0].isalpha() and words[1].isalpha():
            symbols[words[0].capitalize()] = None
    return tuple(symbols)
