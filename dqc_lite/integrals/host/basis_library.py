"""Names of basis sets and effective core potentials, looked up; PySCF `Mole` objects from them."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyscf.gto
from pyscf.data.elements import COMMON_ISOTOPE_MASSES, MASSES
from pyscf.gto.basis import ALIAS
from pyscf.lib.exceptions import BasisNotFoundError

from dqc_lite import basis_files
from dqc_lite.errors import BasisError, ECPError
from dqc_lite.geometry import ELEMENTS, canonical_symbol, element_of, is_integer


def build_mole(
    symbols: Sequence[str],
    positions: np.ndarray,
    basis: Any,
    *,
    ecp: Any = None,
    cart: bool = False,
) -> pyscf.gto.Mole:
    """A PySCF `Mole` (bohr); electron count and spin are left to the caller.

    Raises:
        BasisError: unknown name, no functions for an element, or entries for single atoms.
        ECPError: unknown ECP, or an ECP basis without its ECP.
    """
    elements = sorted(set(symbols))
    basis, ecp = _by_symbol(basis, "basis"), _by_symbol(ecp, "ecp")
    ecps = {s: e for s in elements if (e := _ecp_of(s, ecp)) is not None}
    entries = {s: _entry_of(s, basis) for s in elements}
    for symbol, entry in entries.items():
        if isinstance(entry, str) and symbol not in ecps:
            _require_ecp(symbol, entry)
    mole = pyscf.gto.Mole()
    mole.atom = [(s, tuple(p)) for s, p in zip(symbols, positions, strict=True)]
    mole.unit, mole.cart, mole.verbose = "Bohr", cart, 0
    mole.basis = {s: _functions_of(s, entry) for s, entry in entries.items()}
    mole.ecp = ecps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mole.build(dump_input=False, parse_arg=False, spin=None)
    mole.basis = entries  # the names decide on the default auxiliary basis
    return mole


def _by_symbol(entries: Any, name: str) -> Any:
    """The entries of a dict by canonical symbol ('o', 8 -> 'O', 'ghost-o' -> 'GHOST-O')."""
    if not isinstance(entries, dict):
        return entries
    found: dict[str, Any] = {}
    for key, entry in entries.items():
        symbol = "default" if key == "default" else canonical_symbol(key)
        if symbol in found or (not str(key).isdecimal() and re.search(r"\d", str(key))):
            raise BasisError(
                f"{name} has an entry for {key!r}: one entry for each element is possible, not for "
                "single atoms; ghosts may have their own, as 'ghost-O'."
            )
        found[symbol] = entry
    return found


def _entry_of(symbol: str, basis: Any) -> str | list:
    """The name of a set, or PySCF's list format, for one element; nothing is looked up yet."""
    element = element_of(symbol)
    if isinstance(basis, dict):
        for key in (symbol, element, "default"):
            if key in basis:
                return _entry_of(symbol, basis[key])
        raise BasisError(f"basis has no entry for element {element!r}; add one or 'default'.")
    if isinstance(basis, str):
        if not basis.strip():
            raise BasisError("basis = '' is empty; name one, such as 'def2-svp'.")
        return _parse(basis, symbol) if "\n" in basis else basis.strip()
    _check_functions(basis, element)
    return basis


def _check_functions(functions: Any, element: str) -> None:
    """Raise `BasisError` unless in PySCF's format ``[[l, [exponent, c, ...], ...], ...]``."""
    try:
        sound = len(functions) > 0
        for l, *rows in functions:
            rows = rows[1:] if isinstance(rows[0], int) else rows  # kappa may follow l
            sound &= is_integer(l) and 0 <= l <= 6 and len(rows) > 0
            sound &= all(math.isfinite(c) for row in rows for c in row)
            sound &= all(row[0] > 0 and len(row) == len(rows[0]) > 1 for row in rows)
    except (TypeError, ValueError, IndexError, KeyError):
        sound = False
    if not sound:
        raise BasisError(
            f"basis = {functions!r} for element {element!r} is neither a name, NWChem text nor "
            "PySCF's list [[l, [exponent > 0, coefficient, ...], ...], ...] with l <= 6."
        )


def _functions_of(symbol: str, entry: str | list) -> list:
    """PySCF's list format of the functions of one element."""
    if not isinstance(entry, str):
        return entry
    # a fresh list each time: Mole.build edits in place
    return [list(shell) for shell in _load(entry, element_of(symbol))]


@functools.lru_cache(maxsize=512)
def _load(name: str, element: str) -> list:
    path = basis_files.find(name)
    if path is not None:
        try:
            return pyscf.gto.basis.parse(path.read_text(), element)
        except (BasisNotFoundError, KeyError, ValueError):
            pass  # the shipped file does not cover this element: PySCF's library may
    try:
        functions = _quietly(pyscf.gto.basis.load, name, element)
    except (BasisNotFoundError, KeyError, ValueError, OSError, AssertionError):
        functions = _from_basis_set_exchange(name, element)
    if not functions:
        raise BasisError(_unknown_basis(name, element))
    return functions


def _quietly(load: Callable, name: str, element: str) -> Any:
    """Without PySCF's advice to install something when a name is only tried."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        return load(name, element)


def _from_basis_set_exchange(name: str, element: str) -> list:
    try:
        import basis_set_exchange
    except ImportError:
        return []
    try:
        number = ELEMENTS.index(element)
        text = basis_set_exchange.get_basis(name, elements=[number], fmt="nwchem")
        return pyscf.gto.basis.parse(text, element)
    except KeyError:
        return []


def _unknown_basis(name: str, element: str) -> str:
    key = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    if key in ALIAS or basis_files.find(name) is not None:
        return f"basis {name!r} has no functions for element {element!r}; choose another."
    near = difflib.get_close_matches(key, list(ALIAS), n=3)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    return (
        f"basis {name!r} is unknown (element {element!r}).{hint} With the package "
        "basis-set-exchange installed its sets are found too."
    )


_SHELL_LINE = re.compile(r"[A-Za-z]{1,3}\s+[A-Za-z]{1,8}")
_OTHER_LINE = re.compile(r"(BASIS|END)\b.*", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?", re.ASCII)


def _parse(text: str, symbol: str) -> list:
    element = element_of(symbol)
    _check_text(text, element)
    for arguments in ((text, element), (text,)):
        try:
            functions = pyscf.gto.basis.parse(*arguments)
            break
        except (BasisNotFoundError, KeyError, ValueError, IndexError) as error:
            reason = error
    else:
        raise BasisError(
            f"basis text for element {element!r} cannot be read as NWChem format: {reason}"
        ) from reason
    _check_functions(functions, element)
    return functions


def _check_text(text: str, element: str) -> None:
    """Raise `BasisError` unless all is names and numbers: PySCF evaluates what is no number."""
    for number, line in enumerate(text.splitlines(), 1):
        content = re.split("[#!]", line)[0].strip()
        known = any(p.fullmatch(content) for p in (_SHELL_LINE, _OTHER_LINE))
        if not (known or all(_NUMBER.fullmatch(word) for word in content.split())):
            raise BasisError(
                f"basis text for element {element!r}, line {number}: {line.strip()[:60]!r} is "
                "neither 'element shell' nor numbers; give NWChem format."
            )


def _ecp_of(symbol: str, ecp: Any) -> list | None:
    """PySCF's format of the ECP of one element, None without."""
    element = element_of(symbol)
    if ecp is None or symbol != element:
        return None
    if isinstance(ecp, dict):
        entry = ecp.get(element, ecp.get("default"))
        return None if entry is None else _ecp_of(symbol, entry)
    if not isinstance(ecp, str):
        return _checked_ecp(ecp, element)
    loaded = _load_ecp(ecp.strip(), element)
    if loaded is None and not _known_ecp(ecp):
        raise ECPError(f"ecp {ecp!r} is unknown for element {element!r}; try ecp='def2-svp'.")
    return loaded


def _checked_ecp(ecp: Any, element: str) -> list:
    """PySCF's format: ``[core electrons, [[l, [rows of each power of r]], ...]]``."""
    try:
        core, channels = ecp
        sound = isinstance(core, int) and all(len(channel) == 2 for channel in channels)
    except (TypeError, ValueError):
        sound = False
    if not sound:
        raise ECPError(
            f"ecp = {ecp!r} for element {element!r} is neither a name nor PySCF's list "
            "[core electrons, [[l, ...], ...]]."
        )
    return ecp


@functools.lru_cache(maxsize=512)
def _load_ecp(name: str, element: str) -> list | None:
    try:
        return _quietly(pyscf.gto.basis.load_ecp, name, element) or None
    except (BasisNotFoundError, KeyError, RuntimeError, ValueError, OSError, AssertionError):
        return None


def _known_ecp(name: str) -> bool:
    """Whether the name holds an ECP for some heavy element."""
    return any(_load_ecp(name.strip(), e) for e in ("Au", "I", "Br", "Xe", "Fe", "Cl", "U"))


def _require_ecp(symbol: str, name: str) -> None:
    if symbol != element_of(symbol) or not _load_ecp(name, symbol):
        return
    if not _has_core_functions(name, symbol):
        raise ECPError(
            f"basis {name!r} replaces the core of {symbol!r} by an effective core potential "
            f"and none is given; pass ecp={name!r}."
        )


def _has_core_functions(name: str, element: str) -> bool:
    """Whether the steepest exponent resolves the 1s core (about 2 Z^2): an all-electron set."""
    steepest = max(max(row[0] for row in shell[1:] if isinstance(row, list | tuple))
                   for shell in _load(name, element))  # fmt: skip
    return steepest > 2.0 * ELEMENTS.index(element) ** 2


def average_masses(numbers: Sequence[int]) -> np.ndarray:
    """Atomic masses averaged over the natural isotopes, amu; 0 for ghost atoms (number 0)."""
    return np.array([MASSES[n] if n else 0.0 for n in numbers])


def main_isotope_masses(numbers: Sequence[int]) -> np.ndarray:
    """Masses of the most abundant isotopes, amu; 0 for ghost atoms (number 0)."""
    return np.array([COMMON_ISOTOPE_MASSES[n] if n else 0.0 for n in numbers])
