"""``dqc-lite freq FILE``: vibrations, infrared intensities and thermochemistry.

The file that ``--json`` writes holds, beside the fields of ``forces`` (`dqc_lite.cli.record`),

- ``hessian``: (atom, 3, atom, 3) hartree/bohr^2; ``dipole_derivatives``: (atom, 3, 3) e, the
  dipole component last; ``polarizability``: (3, 3) bohr^3
- ``vibrations``: ``frequencies`` in cm^-1 (imaginary ones negative), ``reduced_masses`` in amu,
  ``force_constants`` in millidyne/angstrom, ``intensities`` in km/mol, ``modes`` (mode, atom, 3)
  of norm 1, ``masses`` in amu, ``rotational_freedom`` (3, 2 of a linear molecule, 0 of an atom)
- ``thermochemistry``: ``temperature`` (K), ``pressure`` (Pa), ``symmetry_number``, hartree for
  ``zero_point_energy``, ``energy``, ``enthalpy``, ``gibbs_energy``, hartree/K for ``entropy`` and
  ``heat_capacity`` (constant volume), and ``contributions`` by motion

all null where the self-consistent field did not converge.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dqc_lite.cli.session import Session
from dqc_lite.errors import InputError

if TYPE_CHECKING:
    from dqc_lite.cli.calculation import Calculation
    from dqc_lite.properties.hessian import Harmonic
    from dqc_lite.properties.thermochemistry import Thermochemistry
    from dqc_lite.properties.vibrations import Vibrations
    from dqc_lite.scf.solution import Solution

STATIONARY_BELOW = 1e-3
"""Largest component of the forces (hartree/bohr) at which frequencies mean what they say."""

_RESULTS = (
    "forces", "hessian", "dipole_derivatives", "polarizability", "vibrations", "thermochemistry",
)  # fmt: skip


def run(session: Session) -> int:
    """Exit code 1 when the SCF did not converge; the JSON file is written, its results null."""
    _check_plot(session.options.plot)
    options, calculation = session.options, session.prepare()

    from dqc_lite.cli import record, scf_result, vibration_report
    from dqc_lite.properties.hessian import converge, derivatives_of
    from dqc_lite.properties.thermochemistry import thermochemistry
    from dqc_lite.properties.vibrations import analyze, atomic_masses

    masses = atomic_masses(calculation.mol, "isotope" if options.isotope else None)
    with session.running("SCF"):
        problem, converged, solution = converge(
            calculation.mol, calculation.method, **calculation.scf_options, throw=False
        )
        solution.energy.block_until_ready()
    solution = _without_field(calculation, solution)
    scf_result.show(session, calculation, solution)
    written = record.of_scf(session, calculation, solution)
    if not solution.converged:
        session.finish(written | dict.fromkeys(_RESULTS))
        return scf_result.verdict(session, calculation, solution)
    with session.running("second derivatives"):
        strict = dataclasses.replace(converged, throw=True)
        derivatives = derivatives_of(problem, strict, solution)
        vibrations = analyze(calculation.mol, derivatives, masses)
    thermo = thermochemistry(
        vibrations, options.temperature, options.pressure, options.symmetry_number
    )
    print(vibration_report.table(vibrations), end="\n\n")
    if options.verbose:
        print(vibration_report.modes(vibrations, calculation.mol.symbols), end="\n\n")
    print(vibration_report.thermochemistry(thermo), end="\n\n")
    _warn(vibrations)
    if options.plot is not None:
        vibration_report.plot(vibrations, Path(options.plot))
    session.finish(written | _fields(derivatives, vibrations, thermo))
    return 0


def _check_plot(name: str | None) -> None:
    """Before the work begins: can the picture be made?"""
    if name is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError(
            f"plot = {name!r} needs matplotlib, which is not installed; "
            "pip install 'dqc_lite[plot]'."
        )
    if not Path(name).parent.is_dir():
        raise InputError(f"plot = {name!r} lies in no folder ({Path(name).parent}).")


def _without_field(calculation: Calculation, solution: Solution) -> Solution:
    """Without the energy in a field of 0, which is there for its derivatives, unless asked for."""
    if calculation.electric_field is not None:
        return solution
    energies = {name: e for name, e in solution.energies.items() if name != "electric_field"}
    return dataclasses.replace(solution, energies=energies)


def _warn(vibrations: Vibrations) -> None:
    sys.stdout.flush()
    if vibrations.max_force > STATIONARY_BELOW:
        print(
            f"warning: the geometry is not stationary: the largest force is "
            f"{vibrations.max_force:.1e} hartree/bohr. Optimize it with the same method first.",
            file=sys.stderr,
        )
    if vibrations.imaginary:
        modes = "mode is" if vibrations.imaginary == 1 else "modes are"
        print(
            f"warning: {vibrations.imaginary} {modes} imaginary (printed as negative): the "
            "geometry is no minimum. They are left out of the thermochemistry.",
            file=sys.stderr,
        )


def _fields(
    derivatives: Harmonic, vibrations: Vibrations, thermo: Thermochemistry
) -> dict[str, Any]:
    names = (
        "frequencies", "reduced_masses", "force_constants", "intensities", "modes", "masses",
        "rotational_freedom",
    )  # fmt: skip
    return {
        "forces": derivatives.forces,
        "hessian": derivatives.hessian,
        "dipole_derivatives": derivatives.dipole_derivatives,
        "polarizability": derivatives.polarizability,
        "vibrations": {name: getattr(vibrations, name) for name in names},
        "thermochemistry": {
            "temperature": thermo.temperature,
            "pressure": thermo.pressure,
            "symmetry_number": thermo.symmetry_number,
            "zero_point_energy": thermo.zero_point_energy,
            **dataclasses.asdict(thermo.total),
            "gibbs_energy": thermo.gibbs_energy,
            "contributions": {k: dataclasses.asdict(c) for k, c in thermo.contributions.items()},
        },
    }
