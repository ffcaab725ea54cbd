"""PySCF `Mole` objects: built from names of basis sets, taken apart into layouts."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyscf.gto
from pyscf.gto.basis import ALIAS
from pyscf.gto.mole import ATOM_OF
from pyscf.lib.exceptions import BasisNotFoundError

from dqc_lite import basis_files
from dqc_lite.basis import Layout
from dqc_lite.errors import BasisError, ECPError
from dqc_lite.geometry import ELEMENTS, canonical_symbol, element_of

ECPBAS_ENV_SLOTS = (5, 6)
"""Columns of libcint's ECP rows that point into the parameter block: exponents, coefficients."""


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
        BasisError: unknown name, or no functions for an element.
        ECPError: unknown ECP, or an ECP basis without its ECP.
    """
    elements = sorted(set(symbols))
    ecps = {s: e for s in elements if (e := _ecp_of(s, ecp)) is not None}
    if isinstance(basis, str) and "\n" not in basis:
        _require_ecp(elements, basis, ecps)
    mole = pyscf.gto.Mole()
    mole.atom = [(s, tuple(p)) for s, p in zip(symbols, positions, strict=True)]
    mole.unit, mole.cart, mole.verbose = "Bohr", cart, 0
    mole.basis = {s: _functions_of(s, basis) for s in elements}
    mole.ecp = ecps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mole.build(dump_input=False, parse_arg=False, spin=None)
    mole.basis = basis if isinstance(basis, str) and "\n" not in basis else mole.basis
    return mole


def _functions_of(symbol: str, basis: Any) -> list:
    """PySCF's list format of the functions of one element."""
    element = element_of(symbol)
    if isinstance(basis, dict):
        for key in (symbol, element, "default"):
            if key in basis:
                return _functions_of(symbol, basis[key])
        raise BasisError(f"basis has no entry for element {element!r}; add one or 'default'.")
    if not isinstance(basis, str):
        return basis
    if not basis.strip():
        raise BasisError("basis = '' is empty; name one, such as 'def2-svp'.")
    if "\n" in basis:
        return _parse(basis, symbol)
    # a fresh list each time: Mole.build edits in place
    return [list(shell) for shell in _load(basis.strip(), element)]


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


def _parse(text: str, symbol: str) -> list:
    element = element_of(symbol)
    try:
        return pyscf.gto.basis.parse(text, element)
    except (BasisNotFoundError, KeyError, ValueError, IndexError):
        pass
    try:
        return pyscf.gto.basis.parse(text)
    except (BasisNotFoundError, KeyError, ValueError, IndexError) as error:
        raise BasisError(
            f"basis text for element {element!r} cannot be read as NWChem format: {error}"
        ) from error


def _ecp_of(symbol: str, ecp: Any) -> list | None:
    """PySCF's format of the ECP of one element, None without."""
    element = element_of(symbol)
    if ecp is None or symbol != element:
        return None
    if isinstance(ecp, dict):
        entry = ecp.get(element, ecp.get("default"))
        return None if entry is None else _ecp_of(symbol, entry)
    if not isinstance(ecp, str):
        return ecp
    loaded = _load_ecp(ecp.strip(), element)
    if loaded is None and not _known_ecp(ecp):
        raise ECPError(f"ecp {ecp!r} is unknown for element {element!r}; try ecp='def2-svp'.")
    return loaded


@functools.lru_cache(maxsize=512)
def _load_ecp(name: str, element: str) -> list | None:
    try:
        return _quietly(pyscf.gto.basis.load_ecp, name, element) or None
    except (BasisNotFoundError, KeyError, RuntimeError, ValueError, OSError, AssertionError):
        return None


def _known_ecp(name: str) -> bool:
    """Whether the name holds an ECP for some heavy element."""
    return any(_load_ecp(name.strip(), e) for e in ("Au", "I", "Br", "Xe", "Fe", "Cl", "U"))


def _require_ecp(elements: Sequence[str], name: str, ecps: dict) -> None:
    for symbol in elements:
        if symbol == element_of(symbol) and symbol not in ecps and _load_ecp(name, symbol):
            if _has_core_functions(name, symbol):
                continue
            raise ECPError(
                f"basis {name!r} replaces the core of {symbol!r} by an effective core potential "
                f"and none is given; pass ecp={name!r}."
            )


def _has_core_functions(name: str, element: str) -> bool:
    """Whether the steepest exponent resolves the 1s core (about 2 Z^2): an all-electron set."""
    steepest = max(max(row[0] for row in shell[1:] if isinstance(row, list | tuple))
                   for shell in _load(name, element))  # fmt: skip
    return steepest > 2.0 * ELEMENTS.index(element) ** 2


def parts(mole: pyscf.gto.Mole) -> tuple[Layout, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Layout, positions (bohr), effective charges (e), exponents and coefficients of a `Mole`."""
    nshell = mole.nbas
    if nshell == 0:
        raise BasisError("the basis has no functions on any atom.")
    named = isinstance(mole.basis, str) and "\n" not in mole.basis
    symbols = tuple(mole.atom_symbol(i) for i in range(mole.natm))
    symbols = tuple(canonical_symbol(s) for s in symbols)
    ghost = [s != element_of(s) for s in symbols]
    exponents = np.concatenate([mole.bas_exp(i) for i in range(nshell)])
    layout = Layout(
        symbols=symbols,
        numbers=tuple(0 if g else ELEMENTS.index(s) for s, g in zip(symbols, ghost, strict=True)),
        core_electrons=tuple(int(mole.atom_nelec_core(i)) for i in range(mole.natm)),
        atom=mole._bas[:, ATOM_OF].astype(int),
        l=np.array([mole.bas_angular(i) for i in range(nshell)], int),
        nprim=np.array([mole.bas_nprim(i) for i in range(nshell)], int),
        nctr=np.array([mole.bas_nctr(i) for i in range(nshell)], int),
        cartesian=bool(mole.cart),
        **_ecp_tables(mole),
        name=mole.basis if named else "custom",
        fingerprint=b"" if named else exponents.tobytes(),
        source=mole,
    )
    coefficients = np.concatenate([mole.bas_ctr_coeff(i).T.ravel() for i in range(nshell)])
    charges = np.array([float(mole.atom_charge(i)) for i in range(mole.natm)])
    return layout, np.array(mole.atom_coords()), charges, exponents, coefficients


def _ecp_tables(mole: pyscf.gto.Mole) -> dict:
    """ECP rows with their pointers made relative to their own parameter block."""
    if not mole.has_ecp():
        return {}
    rows = np.array(mole._ecpbas, np.int32)
    parameters: list[float] = []
    for row in rows:
        for slot in ECPBAS_ENV_SLOTS:
            start, count = int(row[slot]), int(row[2])
            row[slot] = len(parameters)
            parameters += mole._env[start : start + count].tolist()
    return {"ecp_rows": rows, "ecp_parameters": np.array(parameters)}


@functools.lru_cache(maxsize=64)
def auxiliary(layout: Layout, name: str | None) -> tuple[Layout, np.ndarray, np.ndarray]:
    """Layout, exponents and normalized coefficients of an auxiliary basis.

    `name` None follows PySCF's rules for the default one.

    Raises:
        BasisError: no such auxiliary basis.
    """
    from pyscf.df import addons

    mole = layout.source
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # PySCF advises on its own interface
            basis = addons.make_auxbasis(mole) if name is None else name
            auxiliary_mole = addons.make_auxmol(mole, basis)
    except (BasisNotFoundError, KeyError, ValueError) as error:
        raise BasisError(
            f"density_fit = {name!r} is no auxiliary basis for "
            f"{', '.join(sorted(set(layout.symbols)))}; True takes the default one."
        ) from error
    return fixed_functions(auxiliary_mole)


def fixed_functions(mole: pyscf.gto.Mole) -> tuple[Layout, np.ndarray, np.ndarray]:
    """Layout, exponents and coefficients of ``r^l exp(-a r^2)``, normalization included, of
    functions that are not differentiated (see `dqc_lite.basis.Orbitals`).
    """
    layout, _, _, exponents, _ = parts(mole)
    coefficients = [mole._libcint_ctr_coeff(i).T.ravel() for i in range(mole.nbas)]
    return layout, exponents, np.concatenate(coefficients)
