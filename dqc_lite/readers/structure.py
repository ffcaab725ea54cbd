"""A molecule as a file or another program states it, and what it states of charge and spin."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dqc_lite.errors import ChargeSpinError, InputError, SpinError
from dqc_lite.geometry import Atom, element_of, is_integer, parse_number

CHARGE = {"charge", "total_charge", "tot_charge", "net_charge", "molecular_charge", "chrg"}
"""Names under which files state the total charge; case does not matter."""

SPIN = {"spin", "uhf", "unpaired", "unpaired_electrons", "nunpaired", "num_unpaired_electrons"}
"""Names of 2S, the number of unpaired electrons."""

MULTIPLICITY = {"multiplicity", "mult", "spin_multiplicity", "molecular_multiplicity"}
"""Names of 2S + 1."""

AMBIGUOUS = {"total_spin"}
"""Names that some programs use for 2S and others for 2S + 1."""

FIELDS = {"electric_field", "external_field", "efield"}
"""Names of a homogeneous electric field, which is no part of a molecule here."""

_WHOLE = 0.05
"""Sums of charges or moments of atoms are whole numbers within this."""


class Stated(NamedTuple):
    """A charge or 2S that a source states; `value` None where it states no usable one.

    `binding`: an argument that differs is an error; otherwise (initial magnetic moments, which are
    a guess) the argument replaces it.
    """

    value: int | None
    text: str
    binding: bool = True


@dataclasses.dataclass(frozen=True)
class Structure:
    """Atoms with what their source states of charge and spin (2S); None where it states nothing."""

    atoms: tuple[Atom, ...]
    charge: Stated | None = None
    spin: Stated | None = None
    unit: str = "angstrom"


def with_masses(atoms: Sequence[Atom], masses: Any, where: str) -> tuple[Atom, ...]:
    """The atoms with these masses (amu, (atom,)), centres without nucleus apart; None: as they are.

    Raises:
        InputError: masses that are not positive.
    """
    if masses is None:
        return tuple(atoms)
    found = []
    for i, (atom, mass) in enumerate(zip(atoms, map(float, masses), strict=True)):
        if atom.symbol != element_of(atom.symbol):
            found.append(atom)
        elif not 0.0 < mass < math.inf:
            raise InputError(f"{where} has the mass {mass:g} for atom {i} ({atom.symbol}).")
        else:
            found.append(atom._replace(mass=mass))
    return tuple(found)


def chosen(name: str, argument: Any, stated: Stated | None) -> Any:
    """The `argument` if given, else what the source states, else 0.

    Raises:
        ChargeSpinError: argument and source differ, or the source states no usable number.
    """
    if argument is None:
        if stated is not None and stated.value is None:
            raise ChargeSpinError(f"{stated.text}; say which with {name}=.")
        return 0 if stated is None else stated.value
    if stated is not None and stated.binding and stated.value not in (None, argument):
        raise ChargeSpinError(
            f"the argument is {name} = {argument!r}, but {stated.text}; leave the argument out, or "
            "correct one of them."
        )
    return argument


def agreed(statements: Iterable[Stated | None]) -> Stated | None:
    """One of several statements of the same quantity.

    Raises:
        ChargeSpinError: they differ.
    """
    known = [s for s in statements if s is not None]
    usable = [s for s in known if s.value is not None]
    for other in usable[1:]:
        if other.value != usable[0].value:
            raise ChargeSpinError(
                f"{usable[0].text}, but {other.text}: they do not agree; correct one of them."
            )
    return next(iter(usable or known), None)


Statements = list[Stated | None]


def stated_by(settings: Mapping[str, Any], where: str) -> tuple[Statements, Statements]:
    """Statements of charge and of spin among named values, e.g. of an extended xyz comment line.

    Raises:
        ChargeSpinError, SpinError: no whole number. InputError: an ambiguous name, a field.
    """
    charges: Statements = []
    spins: Statements = []
    for key, value in settings.items():
        name = str(key).lower()
        if value is None:
            continue
        text = f"{where} says {key} = {value}"
        if name in CHARGE:
            charges.append(Stated(_whole(value, text, ChargeSpinError), text))
        elif name in SPIN:
            spins.append(Stated(_whole(value, text, SpinError), text))
        elif name in MULTIPLICITY:
            multiplicity = _whole(value, text, SpinError)
            if multiplicity < 1:
                raise SpinError(f"{text}: a multiplicity is 2S + 1, at least 1.")
            spins.append(Stated(multiplicity - 1, text))
        elif name in AMBIGUOUS:
            raise SpinError(f"{text}: write spin=2S or multiplicity=2S+1, which are unambiguous.")
        elif name in FIELDS and not _is_zero(value):
            raise InputError(
                f"{text}: a field is no part of a molecule; remove it and pass electric_field= "
                "(atomic units) to the calculation."
            )
    return charges, spins


def from_atomic_charges(charges: Any, where: str) -> Stated | None:
    """The total charge from initial charges of the atoms; None where all are zero."""
    charges = np.asarray(charges, float)
    if not charges.any():
        return None
    total = float(charges.sum())
    text = f"{where} has initial charges with the sum {total:g}"
    if not abs(total - round(total)) < _WHOLE:
        return Stated(None, f"{text}, which is no whole number of e")
    return Stated(round(total), text)


def from_moments(moments: Any, where: str) -> Stated | None:
    """2S from initial magnetic moments of the atoms; None where all are zero."""
    moments = np.asarray(moments, float)
    if not moments.any():
        return None
    total = float(moments.sum())
    text = f"{where} has initial magnetic moments with the sum {total:g}"
    if moments.ndim > 1:
        return Stated(None, f"{where} has initial magnetic moments with directions", False)
    if moments.min() < 0 < moments.max():
        return Stated(None, f"{text} and both signs, and orbitals start without them here", False)
    if not abs(total - round(total)) < _WHOLE:
        return Stated(None, f"{text}, which is no whole number of electrons", False)
    return Stated(abs(round(total)), text, False)


def _whole(value: Any, text: str, error: type[InputError]) -> int:
    number = _number(value)
    if not is_integer(number):
        raise error(f"{text}, which is no whole number.")
    return int(number)


def _number(value: Any) -> Any:
    """A number from text, from a number, or from an array of one number; None otherwise."""
    if isinstance(value, str):
        try:
            return parse_number(value.strip(" ,;[](){}"))
        except ValueError:
            return None
    return np.ravel(value)[0] if np.size(value) == 1 else None


def _is_zero(value: Any) -> bool:
    try:
        values = [parse_number(v) for v in value.split()] if isinstance(value, str) else value
        return not np.asarray(values, float).any()
    except (TypeError, ValueError):
        return False
