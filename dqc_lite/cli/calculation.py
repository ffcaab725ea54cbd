"""What the arguments ask for, as objects of the library."""

from __future__ import annotations

import dataclasses
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from dqc_lite.cli.arguments import GRID_LEVEL, STANDARD
from dqc_lite.errors import BasisError, GeometryError, InputError, MethodError
from dqc_lite.integrals.host import layouts
from dqc_lite.method import HF, HF_NAMES, KS, KS_NAMES, Method, Restricted, method_of
from dqc_lite.molecule import Molecule
from dqc_lite.scf import guess as guesses
from dqc_lite.scf.solvers import DEFAULT, DIIS, Planned, SecondOrder
from dqc_lite.xc.functional import Functional
from dqc_lite.xc.names import functional

_RESTRICTED: dict[str, Restricted] = {"auto": None, "true": True, "false": False, "rohf": "rohf"}


@dataclasses.dataclass(frozen=True)
class Calculation:
    """Molecule, method and settings; `electric_field` in atomic units."""

    mol: Molecule
    method: Method
    solver: Planned
    guess: str
    mix: float
    checkpoint: str | None
    electric_field: tuple[float, ...] | None

    @classmethod
    def build(cls, options: Namespace, file: str) -> Calculation:
        """Everything that can be wrong with the input is found here.

        Raises:
            InputError and its subclasses.
        """
        _check_output("json", options.json)
        _check_output("checkpoint", options.checkpoint)
        if not guesses.is_file(options.guess):
            guesses.check(options.guess)
        method = _method(options)
        solver = _solver(options)
        mol = _molecule(options, file)
        reference = method.reference(mol)
        guesses.check_mix(guesses.read(guesses.Guess(options.guess, options.mix), mol), reference)
        _check_auxiliary(mol, method)
        field = options.electric_field
        return cls(
            mol, method, solver, options.guess, options.mix, options.checkpoint,
            tuple(field) if field else None,
        )  # fmt: skip

    @property
    def reference(self) -> str:
        """Kind of determinant."""
        return self.method.reference(self.mol).kind

    @property
    def scf_options(self) -> dict[str, Any]:
        """Keyword arguments of `dqc_lite.solve` and `dqc_lite.energy`."""
        return {
            "solver": self.solver, "guess": guesses.Guess(self.guess, self.mix),
            "electric_field": self.electric_field, "checkpoint": self.checkpoint,
        }  # fmt: skip


def _molecule(options: Namespace, file: str) -> Molecule:
    names = ("charge", "spin", "frame", "ecp", "cart")
    settings = {name: getattr(options, name) for name in names}
    source = _standard_input() if file == STANDARD else Path(file)
    try:
        return Molecule.from_xyz(source, options.basis, **settings)
    except InputError as error:
        if file == STANDARD:
            raise type(error)(f"standard input: {error}") from error
        raise


def _standard_input() -> bytes:
    try:
        return sys.stdin.buffer.read()
    except (AttributeError, ValueError, OSError):
        raise GeometryError("standard input is closed; pass an xyz file there.") from None


def _method(options: Namespace) -> Method:
    if options.density_fit == "":
        raise BasisError("density_fit = '' is empty; name an auxiliary basis or leave it out.")
    common = {
        "restricted": _restricted(options), "density_fit": options.density_fit,
        "smearing": options.smearing,
    }  # fmt: skip
    name = options.method or ("hf" if options.xc is None else "ks")
    if name.lower() not in HF_NAMES:
        level = GRID_LEVEL if options.grid_level is None else options.grid_level
        xc = _functional(name, options.xc)
        return KS(xc, grid_level=level, dispersion=options.dispersion, **common)
    for option in ("xc", "grid_level", "dispersion"):
        if getattr(options, option) is not None:
            flag = option.replace("_", "-")
            raise MethodError(f"--{flag} belongs to --method ks, not to {name!r}.")
    return HF(**common)


def _functional(name: str, xc: str | None) -> Functional | str:
    """The functional of ``--method NAME --xc XC``, either of which may name it."""
    if name.lower() in KS_NAMES:
        if xc is None:
            raise MethodError(
                f"method {name!r} needs a functional; give one with --xc, e.g. --xc pbe."
            )
        return xc
    method = method_of(name)
    assert isinstance(method, KS)
    named = method.xc
    if xc is not None and functional(xc).name != named.name:
        raise MethodError(
            f"--method {name!r} and --xc {xc!r} name two functionals; leave out one of them."
        )
    return named


def _restricted(options: Namespace) -> Restricted:
    """The kind of determinant of ``--restricted``, or in the name of the method."""
    asked = _RESTRICTED[options.restricted]
    named = (HF_NAMES | KS_NAMES).get((options.method or "hf").lower())
    if named is not None and asked is not None and named != asked:
        raise MethodError(
            f"--method {options.method!r} and --restricted {options.restricted} contradict each "
            "other; leave out one of them."
        )
    return asked if named is None else named


def _solver(options: Namespace) -> Planned:
    cycles = options.max_cycle
    tolerances = {"energy_tol": options.energy_tol, "gradient_tol": options.gradient_tol}
    if options.stability and options.solver != "auto":
        raise InputError(f"--stability belongs to --solver auto, not to {options.solver!r}.")
    if options.solver == "diis":
        return DIIS(cycles, **tolerances)
    if options.solver == "second-order":
        return SecondOrder(cycles, **tolerances)
    newton = min(cycles, DEFAULT.max_second_order)
    return dataclasses.replace(
        DEFAULT, max_cycle=cycles, max_second_order=newton,
        stability=options.stability or DEFAULT.stability, **tolerances,
    )  # fmt: skip


def _check_auxiliary(mol: Molecule, method: Method) -> None:
    """Raise BasisError for an unknown auxiliary basis, before the work begins."""
    if not method.density_fit:
        return
    name = None if method.density_fit is True else method.density_fit
    layouts.auxiliary(mol.layout, name)


def _check_output(option: str, name: str | None) -> None:
    """Before hours of work: can the file be written?"""
    if name is None or (option == "json" and name == STANDARD):
        return
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else f"lies in no folder ({path.parent})"
        raise InputError(f"{option} = {name!r} {problem}; give the name of a file to write.")
