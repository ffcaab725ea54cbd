"""Vibrations and thermochemistry as plain text and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dqc_lite.errors import InputError
from dqc_lite.properties.thermochemistry import Thermochemistry
from dqc_lite.properties.vibrations import AVOGADRO, HARTREE_IN_JOULE, Vibrations

WIDTH = 10.0
"""Half width at half maximum of the lines of the drawn spectrum, cm^-1."""

ROTORS = {0: "an atom", 2: "a linear molecule", 3: "a nonlinear molecule"}
"""What is said of the number of rotations."""


def table(vibrations: Vibrations) -> str:
    """A line for each mode."""
    head = f"  {'mode':>4}{'cm^-1':>14}{'amu':>12}{'mdyn/A':>12}{'km/mol':>12}"
    columns = (
        vibrations.frequencies, vibrations.reduced_masses, vibrations.force_constants,
        vibrations.intensities,
    )  # fmt: skip
    rows = [
        f"  {i:>4}{frequency:>14.2f}{mass:>12.4f}{constant:>12.4f}{intensity:>12.4f}"
        for i, (frequency, mass, constant, intensity) in enumerate(zip(*columns, strict=True), 1)
    ]
    kind = ROTORS[vibrations.rotational_freedom]
    title = f"Vibrations of {kind}: frequency, reduced mass, force constant, infrared intensity"
    return "\n".join([title, head, *(rows or ["  none"])])


def modes(vibrations: Vibrations, symbols: Sequence[str]) -> str:
    """Displacements of every mode."""
    lines = ["Normal modes (Cartesian displacements of norm 1)"]
    for i, (frequency, mode) in enumerate(
        zip(vibrations.frequencies, vibrations.modes, strict=True), 1
    ):
        lines.append(f"  mode {i}, {frequency:.2f} cm^-1")
        lines += [
            f"  {atom:>4} {symbol:<8}" + "".join(f"{x:>12.6f}" for x in row)
            for atom, (symbol, row) in enumerate(zip(symbols, mode + 0.0, strict=True))
        ]
    return "\n".join(lines)


def thermochemistry(thermo: Thermochemistry) -> str:
    """Contributions and totals."""
    joule = HARTREE_IN_JOULE * AVOGADRO
    lines = [
        f"Thermochemistry at {thermo.temperature:g} K and {thermo.pressure:g} Pa, "
        f"symmetry number {thermo.symmetry_number}",
        f"  {'':<15}{'E / hartree':>18}{'H / hartree':>18}{'S / J/mol/K':>16}{'Cv / J/mol/K':>16}",
    ]
    for name, part in [*thermo.contributions.items(), ("total", thermo.total)]:
        lines.append(
            f"  {name:<15}{part.energy:>18.10f}{part.enthalpy:>18.10f}"
            f"{part.entropy * joule:>16.4f}{part.heat_capacity * joule:>16.4f}"
        )
    lines.append(f"  zero-point energy {thermo.zero_point_energy:.10f} hartree")
    lines.append(f"  Gibbs energy      {thermo.gibbs_energy:.10f} hartree")
    return "\n".join(lines)


def plot(vibrations: Vibrations, path: Path) -> None:
    """The infrared spectrum, Lorentzian lines; raises InputError when it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    real = vibrations.frequencies > 0
    centers, heights = vibrations.frequencies[real], vibrations.intensities[real]
    x = np.linspace(0.0, 1.1 * max(centers, default=1000.0), 4000)
    lines = heights / (np.pi * WIDTH * (1.0 + ((x[:, None] - centers) / WIDTH) ** 2))
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(x, lines.sum(1), linewidth=1.0)
    axes.vlines(centers, 0.0, heights / (np.pi * WIDTH), linewidth=0.6, color="0.5")
    axes.set(
        xlabel="wavenumber / cm$^{-1}$", ylabel="intensity / (km/mol) cm", xlim=(x[-1], 0.0),
    )  # fmt: skip
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise InputError(f"plot = {str(path)!r} cannot be written: {error}") from error
