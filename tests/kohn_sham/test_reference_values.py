"""Kohn-Sham energies and gradients of the published and peer-tested values."""

import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest

import dqc_lite as dqc

DATA = pathlib.Path(__file__).parents[1] / "data" / "reference_values.json"
pytestmark = pytest.mark.usefixtures("compiled_once")
KINDS = {"RKS": True, "UKS": False, "ROKS": "rohf"}
ROWS = [r for r in json.loads(DATA.read_text()) if r["method"] in KINDS]


def _grid(row: dict) -> int | dqc.Grid:
    """From the words of the row."""
    text = f"{row['name']}; {row['grid']}"
    given = re.search(r"\((\d+),(\d+)\)", text)
    level = re.search(r"level[ -](\d)", text)
    pruning = "nwchem"
    if "treutler_prune" in text:
        pruning = "treutler"
    elif "prune=None" in text or "unpruned" in text or (given and "atom_grid" not in text):
        pruning = None
    return dqc.Grid(
        level=int(level[1]) if level else 3,
        radial=int(given[1]) if given else None,
        angular=int(given[2]) if given else None,
        pruning=pruning,
        element_sizes="ATOM_SPECIFIC_TREUTLER_GRIDS=False" not in text,
    )


def _method(row: dict) -> dqc.KS:
    functional = dqc.functional(row["xc"])
    omega = re.search(r"omega=([\d.]+)", row.get("grid", ""))
    if omega:
        functional = dataclasses.replace(functional, omega=float(omega[1]))
    return dqc.KS(functional, restricted=KINDS[row["method"]], grid_level=_grid(row))


def _molecule(row: dict) -> dqc.Molecule:
    return dqc.Molecule.from_atoms(
        row["atoms"], row["basis"], unit=row["unit"], charge=row["charge"], spin=row["spin"]
    )


# degenerate open shells, and states that DIIS alone leaves for a saddle point
LARGE = ("6-311++g**", "6-311g(d)", "aug-cc-pvdz")
LONG = (
    "m05", "H2O- ", "H2O+ UKS svwn", "UKS b3lyp/STO-3G", "NO doublet", "F atom doublet", "B2",
    "C2 singlet", "level-6", "H2O+ UKS b88,p86", "H2O+ UKS m06l",
    "H2O+ ROKS lda,vwn/6-31G gradient",
)  # fmt: skip
HARD = ("lowest stable state", "B atom", "O atom")


def _solver(row: dict) -> dqc.Auto | dqc.DIIS:
    return dqc.Auto() if any(s in row["name"] for s in HARD) else dqc.DIIS()


def _case(row: dict):
    # minima that differ by the orientation of the p hole to the grid; this one is a minimum too
    other = row["name"].startswith("F atom doublet UKS SCAN")
    reason = "converges to a stable state 3e-5 hartree above the lowest of several"
    marks = [pytest.mark.xfail(strict=True, reason=reason)] if other else []
    slow = row["basis"] in LARGE or any(s in row["name"] for s in LONG)
    marks += [pytest.mark.slow] if slow else []
    return pytest.param(row, id=row["name"], marks=marks)


ENERGIES = [r for r in ROWS if r["property"] == "energy"]
GRADIENTS = [r for r in ROWS if r["property"].startswith("gradient")]


def test_every_row_is_known() -> None:
    rest = [r for r in ROWS if r not in ENERGIES and r not in GRADIENTS]
    assert all("essian" in r["property"] or "stability" in r["property"] for r in rest)


@pytest.mark.parametrize("row", [_case(r) for r in ENERGIES])
def test_energy(row: dict) -> None:
    energy = float(dqc.energy(_molecule(row), _method(row), solver=_solver(row)))
    assert abs(energy - row["value"]) < row["tolerance"]


@pytest.mark.parametrize("row", [_case(r) for r in GRADIENTS])
def test_gradient(row: dict) -> None:
    gradient = -np.asarray(dqc.forces(_molecule(row), _method(row)))
    value = row["value"]["array"]
    np.testing.assert_allclose(gradient, value, rtol=0, atol=row["tolerance"])
