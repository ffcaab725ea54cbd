"""What the arguments ask for, as objects of the library."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from pathlib import Path
from typing import Any

from dqc_lite.errors import GeometryError, InputError, MethodError
from dqc_lite.method import HF
from dqc_lite.molecule import Molecule
from dqc_lite.scf import guess as guesses
from dqc_lite.scf.diis import DIIS

_RESTRICTED = {"auto": None, "true": True, "false": False, "rohf": "rohf"}


@dataclasses.dataclass(frozen=True)
class Calculation:
    """Molecule, method and settings; `electric_field` in atomic units."""

    mol: Molecule
    method: HF
    solver: DIIS
    guess: str
    electric_field: tuple[float, ...] | None

    @classmethod
    def build(cls, options: Namespace) -> Calculation:
        """Everything that can be wrong with the input is found here.

        Raises:
            InputError and its subclasses.
        """
        _check_output(options.json)
        guesses.check(options.guess)
        method = _method(options)
        solver = DIIS(
            max_cycle=options.max_cycle,
            energy_tol=options.energy_tol,
            gradient_tol=options.gradient_tol,
        )
        mol = _molecule(options)
        method.reference(mol)
        field = options.electric_field
        return cls(mol, method, solver, options.guess, tuple(field) if field else None)

    @property
    def reference(self) -> str:
        """Kind of determinant."""
        return self.method.reference(self.mol).kind

    @property
    def scf_options(self) -> dict[str, Any]:
        """Keyword arguments of `dqc_lite.solve` and `dqc_lite.energy`."""
        return {
            "solver": self.solver, "guess": self.guess, "electric_field": self.electric_field,
        }  # fmt: skip


def _molecule(options: Namespace) -> Molecule:
    settings = {name: getattr(options, name) for name in ("charge", "spin", "ecp", "cart")}
    # a path, whatever is in its name: Molecule.from_xyz takes text of several lines for a geometry
    path = Path(options.file.replace("\n", "?"))
    try:
        return Molecule.from_xyz(path, options.basis, **settings)
    except OSError as error:
        reason = error.strerror or str(error)
        raise GeometryError(
            f"geometry file {options.file!r} cannot be read: {reason}."
        ) from error


def _method(options: Namespace) -> HF:
    if options.method.lower() != "hf":
        raise MethodError(f"method {options.method!r} is not available; use 'hf'.")
    return HF(restricted=_RESTRICTED[options.restricted], density_fit=options.density_fit)


def _check_output(name: str | None) -> None:
    """Before hours of work: can the file be written?"""
    if name is None:
        return
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else f"lies in no folder ({path.parent})"
        raise InputError(f"json = {name!r} {problem}; give the name of a file to write.")
