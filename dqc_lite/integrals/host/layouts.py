"""PySCF `Mole` objects taken apart into static layouts and arrays; auxiliary basis sets."""

from __future__ import annotations

import contextlib
import functools
import io
import re
from typing import Any

import numpy as np
import pyscf.gto
from pyscf.data.elements import _atom_symbol as format_symbol
from pyscf.data.elements import is_ghost_atom
from pyscf.df import addons
from pyscf.gto.mole import ATOM_OF, SO_TYPE_OF
from pyscf.lib.exceptions import BasisNotFoundError

from dqc_lite.basis import Layout
from dqc_lite.errors import BasisError
from dqc_lite.geometry import ELEMENTS, NO_ELEMENT, element_of

ECPBAS_ENV_SLOTS = (5, 6)
"""Columns of libcint's ECP rows that point into the parameter block: exponents, coefficients."""

Parts = tuple[Layout, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def parts(mole: pyscf.gto.Mole) -> Parts:
    """Layout, positions (bohr), effective charges (e), exponents and coefficients of a `Mole`.

    Raises:
        BasisError: no functions on any atom.
    """
    nshell = mole.nbas
    if nshell == 0:
        raise BasisError("the basis has no functions on any atom.")
    symbols = tuple(symbol_of(mole, i) for i in range(mole.natm))
    ghost = [s != element_of(s) for s in symbols]
    exponents = np.concatenate([mole.bas_exp(i) for i in range(nshell)])
    coefficients = np.concatenate([mole.bas_ctr_coeff(i).T.ravel() for i in range(nshell)])
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
        names=tuple(_name_of(mole, i) for i in range(mole.natm)),
        reference_exponents=exponents,
    )
    charges = np.array([float(mole.atom_charge(i)) for i in range(mole.natm)])
    return layout, np.array(mole.atom_coords()), charges, exponents, coefficients


def symbol_of(mole: pyscf.gto.Mole, atom: int) -> str:
    """The canonical symbol of an atom, whatever PySCF's label ('H^2', 'X-H', 'ghost')."""
    pure = mole.atom_pure_symbol(atom)
    if not is_ghost_atom(pure):
        return pure
    return f"GHOST-{pure.split('-')[1]}" if "-" in pure else NO_ELEMENT


def _name_of(mole: pyscf.gto.Mole, atom: int) -> str:
    """The name of the basis set of an atom, '' for functions given as numbers."""
    basis: Any = mole.basis
    if isinstance(basis, dict):
        entries = {k if k == "default" else format_symbol(k): v for k, v in basis.items()}
        keys = (*_labels(mole.atom_symbol(atom)), "default")
        basis = next((entries[k] for k in keys if k in entries), "")
    return basis if isinstance(basis, str) and "\n" not in basis else ""


def _labels(label: str) -> list[str]:
    """Under what PySCF looks for the basis of an atom, in its order: 'GHOST-O1', 'GHOSTO', 'O1',
    'O'.
    """
    bare = re.sub("^(X|GHOST)-", "", label, flags=re.IGNORECASE)
    return [form for name in (label, bare) for form in (name, re.sub("[^a-zA-Z]", "", name))]


def _ecp_tables(mole: pyscf.gto.Mole) -> dict:
    """ECP rows with their pointers made relative to their own parameter block; without the
    spin-orbit terms, which act on two-component orbitals only.
    """
    if not mole.has_ecp():
        return {}
    rows = np.array(mole._ecpbas[mole._ecpbas[:, SO_TYPE_OF] == 0], np.int32)
    parameters: list[float] = []
    for row in rows:
        for slot in ECPBAS_ENV_SLOTS:
            start, count = int(row[slot]), int(row[2])
            row[slot] = len(parameters)
            parameters += mole._env[start : start + count].tolist()
    return {"ecp_rows": rows, "ecp_parameters": np.array(parameters)}


def fixed_functions(mole: pyscf.gto.Mole) -> tuple[Layout, np.ndarray, np.ndarray]:
    """Layout, exponents and coefficients of ``r^l exp(-a r^2)``, normalization included, of
    functions that are not differentiated (see `dqc_lite.basis.Orbitals`).
    """
    layout, _, _, exponents, _ = parts(mole)
    coefficients = [mole._libcint_ctr_coeff(i).T.ravel() for i in range(mole.nbas)]
    return layout, exponents, np.concatenate(coefficients)


@functools.lru_cache(maxsize=64)
def auxiliary(
    layout: Layout, name: str | None, exchange: bool = True
) -> tuple[Layout, np.ndarray, np.ndarray]:
    """Layout, exponents and normalized coefficients of an auxiliary basis.

    `name` None follows PySCF's rules for the default one, which look at the names of the orbital
    basis sets and, where there is none, at the exponents. Without exact `exchange` that is the
    smaller set for the Coulomb energy alone, if there is one for the basis set of all atoms.

    Raises:
        BasisError: no such auxiliary basis.
    """
    mole = _orbital_mole(layout)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # PySCF advises on its own interface
            basis = name or _default_auxiliary(mole, layout, exchange)
            auxiliary_mole = addons.make_auxmol(mole, basis)
    except (BasisNotFoundError, KeyError, ValueError, AssertionError) as error:
        raise BasisError(
            f"density_fit = {name!r} is no auxiliary basis for "
            f"{', '.join(sorted(set(layout.symbols)))}; True takes the default one."
        ) from error
    return fixed_functions(auxiliary_mole)


def _default_auxiliary(mole: pyscf.gto.Mole, layout: Layout, exchange: bool) -> str | dict:
    coulomb_only = None
    if not exchange and len(set(layout.names)) == 1:
        coulomb_only = addons.predefined_auxbasis(mole, layout.names[0], "PBE")  # or any pure one
    return coulomb_only or addons.make_auxbasis(mole)


def _orbital_mole(layout: Layout) -> pyscf.gto.Mole:
    """A `Mole` with the names, exponents and angular momenta of a layout, as far as the rules for
    auxiliary basis sets look: atoms on a line, contractions of unit coefficients.
    """
    labels = [f"{symbol}{i}" for i, symbol in enumerate(layout.symbols)]
    functions: dict[str, list] = {label: [] for label in labels}
    for s in range(layout.nshell):
        first, last = layout.exponent_offset[s : s + 2]
        rows = [[float(a), 1.0] for a in layout.reference_exponents[first:last]]
        functions[labels[layout.atom[s]]].append([int(layout.l[s]), *rows])
    mole = pyscf.gto.Mole()
    mole.atom = [(label, (0.0, 0.0, 3.0 * i)) for i, label in enumerate(labels)]
    mole.basis, mole.spin, mole.verbose = functions, None, 0
    mole.cart = layout.cartesian
    mole.build(dump_input=False, parse_arg=False)
    mole.basis = {
        label: name or functions[label] for label, name in zip(labels, layout.names, strict=True)
    }
    return mole
