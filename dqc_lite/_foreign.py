"""What is given in the place of a molecule, and what it takes to make one of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dqc_lite._call_errors import shown
from dqc_lite.errors import InputError, PrecisionError
from dqc_lite.molecule import Molecule


def require_molecule(given: Any) -> Molecule:
    """The argument `mol` of all functions of a molecule.

    Raises:
        InputError: something else; the message tells how to make a molecule of it.
        PrecisionError: a molecule that has lost its double precision.
    """
    if not isinstance(given, Molecule):
        raise InputError(f"mol = {shown(given)} is {_described(given)}.")
    for leaf in jax.tree.leaves(given):
        if getattr(leaf, "dtype", None) == np.float32:
            raise PrecisionError(
                f"mol = {given!r} is in single precision: it came into this process before double "
                "precision was on. Call dqc_lite.enable_x64() before, as in "
                "Pool(initializer=dqc_lite.enable_x64)."
            )
    return given


def _described(given: Any) -> str:
    """The kind of thing, and the remedy."""
    packages = {kind.__module__.partition(".")[0] for kind in type(given).__mro__}
    if isinstance(given, type):
        what = "a class"
    elif isinstance(given, list | tuple) or (isinstance(given, str) and len(given.split()) > 3):
        return "no Molecule but its atoms; give Molecule.from_atoms(atoms, basis=...)"
    elif isinstance(given, os.PathLike) or (isinstance(given, str) and Path(given).suffix):
        return "the name of a file; give Molecule.from_xyz(file, basis=...)"
    elif "ase" in packages and hasattr(given, "get_chemical_symbols"):
        return "an ASE Atoms; give Molecule.from_ase(atoms, basis=...)"
    elif "pyscf" in packages:
        mole = "mole" if hasattr(given, "_atm") else "method.mol"
        return f"an object of PySCF; give Molecule.from_pyscf({mole})"
    elif hasattr(given, "hamiltonian") or hasattr(given, "exact_exchange"):
        return "a method; the molecule comes first, as in energy(mol, method)"
    elif isinstance(getattr(given, "mol", None), Molecule):
        return f"a {type(given).__name__}; give its molecule, .mol"
    else:
        what = f"no Molecule but of type {type(given).__name__}"
    return (
        f"{what}; make a molecule with Molecule.from_atoms, from_xyz, from_ase or from_pyscf, "
        "as in Molecule.from_atoms('H 0 0 0; H 0 0 0.74', basis='sto-3g')"
    )
