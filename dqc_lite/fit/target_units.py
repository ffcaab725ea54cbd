"""Units of the targets in data files; inside everything is atomic."""

from __future__ import annotations

from dqc_lite.errors import InputError
from dqc_lite.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

KCAL_PER_MOL = 1.0 / 627.509474063
"""1 kcal/mol (thermochemical) in hartree (CODATA 2018)."""

_EV_PER_ANGSTROM = BOHR_IN_ANGSTROM / HARTREE_IN_EV

FACTORS: dict[str, dict[str, float]] = {
    "energy": {
        "hartree": 1.0, "ev": 1.0 / HARTREE_IN_EV,
        "kcal/mol": KCAL_PER_MOL, "kj/mol": KCAL_PER_MOL / 4.184,
    },
    "forces": {"hartree/bohr": 1.0, "ev/angstrom": _EV_PER_ANGSTROM},
    "dipole": {"e bohr": 1.0, "debye": 0.3934302695, "e angstrom": 1.0 / BOHR_IN_ANGSTROM},
}  # fmt: skip
"""Atomic units in one unit of each name."""


def factor(quantity: str, unit: str) -> float:
    """Atomic units in one `unit` of "energy", "forces" or "dipole".

    Raises:
        InputError: an unknown unit.
    """
    known = FACTORS[quantity]
    try:
        return known[unit.strip().lower()]
    except KeyError:
        raise InputError(
            f"unit of {quantity} = {unit!r} is unknown; use one of {', '.join(known)}."
        ) from None
