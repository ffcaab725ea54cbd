"""What ``--json`` writes: strict JSON, null where a number is not finite or not there.

The record of one geometry file, or a list of one record for each of several files; there a file
that could not be calculated has ``schema``, ``command``, ``file`` and ``error``, of ``type`` and
``message``. ``--json -`` writes to standard output.

Fields of every command (units also stand in the file, in ``units``):

- ``schema``: "dqc_lite.result/1"; ``command``; ``file``: the geometry file as it was given,
  "-" for standard input
- ``versions``: of ``dqc_lite``, ``jax``, ``pyscf``
- ``atoms``: a list of ``{"symbol", "position"}``, bohr; ghost atoms are "GHOST-H" and the like
- ``charge`` (e), ``spin`` (2S), ``nelectron`` (outside effective cores)
- ``basis``, ``nao``, ``cartesian``, ``ecp`` (name or null)
- ``method`` ("hf" or "ks"); of "ks" also ``xc`` (the name), ``functional`` (its components),
  ``grid_level``, ``dispersion`` (null, "d3bj", "d3zero", "d4")
- ``reference`` ("restricted", "unrestricted", "restricted open-shell"),
  ``density_fit`` (false, true for the default auxiliary basis, or its name)
- ``electric_field``: three numbers in atomic units, or null
- ``smearing``: hartree, or null
- ``solver``: ``name``, ``guess``, ``max_cycle``, ``energy_tol`` and ``gradient_tol`` in hartree
- ``converged``: of the SCF; for ``check-grad`` of the SCF at the geometry given
- ``energy`` in hartree
- ``timings``: seconds by step

``energy`` and ``forces`` add

- ``components``: the terms of the energy by name, hartree; they sum to ``energy``
- ``iterations``, ``history``: a list of ``{"cycle", "energy", "delta_energy", "gradient_norm"}``,
  hartree
- ``mo_energy`` (hartree) and ``mo_occ``: one list for each set of orbitals (alpha and beta when
  unrestricted), of the orbitals left after the removal of linear dependence
- ``certificate``: ``energy_change``, ``orbital_gradient``, ``gap`` in hartree (null where there is
  no virtual or no occupied orbital), ``kept_orbitals``, ``fock_builds``, ``second_order_cycles``,
  ``saddle_points_left``, ``lowest_hessian_eigenvalue`` (hartree) and ``stable`` (null where the
  stability was not examined)

``forces`` adds ``forces``: one list of three for each atom, hartree/bohr; null if not converged.

``check-grad`` adds ``wrt`` and ``gradient_check``: ``unit`` and what
`dqc_lite.gradcheck.GradientReport.to_dict` holds.
"""

from __future__ import annotations

import json
import math
from argparse import Namespace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from dqc_lite import __version__
from dqc_lite._types import Float
from dqc_lite.cli.calculation import Calculation
from dqc_lite.cli.report import component_names, orbital_sets
from dqc_lite.cli.session import Session
from dqc_lite.errors import DqcLiteError, InputError
from dqc_lite.gradcheck import GradientReport
from dqc_lite.method import HF, Method
from dqc_lite.scf.solution import Solution

SCHEMA = "dqc_lite.result/1"

Record = dict[str, Any] | list[dict[str, Any]]
"""Of one geometry file, or of each of several."""

UNITS = {
    "energy": "hartree",
    "length": "bohr",
    "force": "hartree/bohr",
    "charge": "e",
    "electric_field": "atomic units",
    "time": "s",
}


def of_scf(
    session: Session,
    calculation: Calculation,
    solution: Solution,
    forces: Float[np.ndarray, "atom 3"] | None = None,
) -> dict[str, Any]:
    """The record of ``energy``, and with forces (hartree/bohr) of ``forces``."""
    record = _input(session, calculation) | _solution(solution)
    if forces is not None:
        record["forces"] = forces if solution.converged else None
    return record


def of_check(
    session: Session, calculation: Calculation, report: GradientReport, unit: str
) -> dict[str, Any]:
    """The record of ``check-grad``."""
    return _input(session, calculation) | {
        "converged": True,  # an SCF that does not converge ends the check with an error
        "energy": report.value,
        "wrt": session.options.wrt,
        "gradient_check": {"unit": unit, **report.to_dict()},
    }


def of_error(options: Namespace, file: str, error: DqcLiteError) -> dict[str, Any]:
    """The record of a file that could not be calculated, among several."""
    return {
        "schema": SCHEMA,
        "command": options.command,
        "file": file,
        "error": {"type": type(error).__name__, "message": str(error)},
    }


def text(record: Record) -> str:
    """Strict JSON."""
    return json.dumps(plain(record), indent=2, allow_nan=False)


def write(path: Path, record: Record) -> None:
    """Raises InputError when the file cannot be written."""
    try:
        path.write_text(text(record) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"json = {str(path)!r} cannot be written: {error.strerror}.") from error


def plain(value: Any) -> Any:
    """`value` with lists for arrays and None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _input(session: Session, calculation: Calculation) -> dict[str, Any]:
    options = session.options
    mol, solver = calculation.mol, calculation.solver
    positions = np.asarray(mol.positions)
    return {
        "schema": SCHEMA,
        "command": options.command,
        "file": session.file,
        "versions": {
            "dqc_lite": __version__, "jax": metadata.version("jax"),
            "pyscf": metadata.version("pyscf"),
        },
        "units": UNITS,
        "atoms": [
            {"symbol": symbol, "position": position}
            for symbol, position in zip(mol.symbols, positions, strict=True)
        ],
        "charge": mol.charge,
        "spin": mol.spin,
        "nelectron": mol.nelectron,
        "basis": mol.layout.name,
        "nao": mol.nao,
        "cartesian": mol.layout.cartesian,
        "ecp": options.ecp,
        **_method(calculation.method),
        "reference": calculation.reference,
        "density_fit": calculation.method.density_fit,
        "electric_field": calculation.electric_field,
        "smearing": calculation.method.smearing,
        "solver": {
            "name": options.solver, "guess": calculation.guess, "max_cycle": solver.max_cycle,
            "energy_tol": solver.energy_tol, "gradient_tol": solver.gradient_tol,
        },
    }  # fmt: skip


def _method(method: Method) -> dict[str, Any]:
    if isinstance(method, HF):
        return {"method": "hf"}
    return {
        "method": "ks", "xc": method.xc.name, "functional": str(method.xc),
        "grid_level": method.grid_level, "dispersion": method.dispersion,
    }  # fmt: skip


def _solution(solution: Solution) -> dict[str, Any]:
    certificate = solution.certificate
    cycles = np.asarray(solution.history)[: int(solution.iterations)]
    sets = orbital_sets(solution)
    return {
        "converged": bool(solution.converged),
        "iterations": int(solution.iterations),
        "energy": float(solution.energy),
        "components": {name: solution.energies[name] for name in component_names(solution)},
        "history": [
            {"cycle": cycle, "energy": energy, "delta_energy": change, "gradient_norm": gradient}
            for cycle, (energy, change, gradient) in enumerate(cycles.tolist(), 1)
        ],
        "mo_energy": [energies for _, energies, _ in sets],
        "mo_occ": [occupations for _, _, occupations in sets],
        "certificate": {
            "energy_change": certificate.energy_change,
            "orbital_gradient": certificate.orbital_gradient,
            "gap": certificate.gap,
            "kept_orbitals": certificate.kept_orbitals,
            "fock_builds": certificate.fock_builds,
            "lowest_hessian_eigenvalue": certificate.lowest_hessian_eigenvalue,
            "stable": certificate.stable,
            "second_order_cycles": certificate.second_order_cycles,
            "saddle_points_left": certificate.saddle_points_left,
        },
    }
