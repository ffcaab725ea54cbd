"""Ideal-gas thermochemistry: rigid rotor, harmonic oscillators.

McQuarrie, *Statistical Mechanics* (1976), ch. 6 and 8. Imaginary modes are left out.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from dqc_lite._call_errors import named_arguments
from dqc_lite.errors import InputError
from dqc_lite.properties.rotors import symmetry_number as count_rotations
from dqc_lite.properties.vibrations import (
    AMU_IN_KG,
    BOHR_IN_METRE,
    HARTREE_IN_JOULE,
    LIGHT_SPEED,
    Vibrations,
    principal_axes,
)

# CODATA 2018
PLANCK = 6.62607015e-34
BOLTZMANN = 1.380649e-23
BOLTZMANN_IN_HARTREE = BOLTZMANN / HARTREE_IN_JOULE


@dataclasses.dataclass(frozen=True)
class Contribution:
    """Of one kind of motion: hartree, hartree and hartree/K, hartree/K (at constant volume)."""

    energy: float = 0.0
    enthalpy: float = 0.0
    entropy: float = 0.0
    heat_capacity: float = 0.0

    def __add__(self, other: Contribution) -> Contribution:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Contribution(*(a + b for a, b in pairs))


@dataclasses.dataclass(frozen=True)
class Thermochemistry:
    """Of an ideal gas of molecules.

    Attributes:
        temperature: K.
        pressure: Pa.
        symmetry_number: of the rotation.
        zero_point_energy: hartree.
        contributions: "electronic", "translational", "rotational" and "vibrational".
    """

    temperature: float
    pressure: float
    symmetry_number: int
    zero_point_energy: float
    contributions: dict[str, Contribution]

    @property
    def total(self) -> Contribution:
        return sum(self.contributions.values(), Contribution())

    @property
    def energy(self) -> float:
        """Internal energy, electronic and zero-point energy included, hartree."""
        return self.total.energy

    @property
    def enthalpy(self) -> float:
        """H, hartree."""
        return self.total.enthalpy

    @property
    def entropy(self) -> float:
        """S, hartree/K."""
        return self.total.entropy

    @property
    def gibbs_energy(self) -> float:
        """G = H - T S, hartree."""
        return self.enthalpy - self.temperature * self.entropy


@named_arguments
def thermochemistry(
    vibrations: Vibrations,
    temperature: float = 298.15,
    pressure: float = 101325.0,
    symmetry_number: int | None = None,
) -> Thermochemistry:
    """Thermodynamic functions at a temperature (K) and pressure (Pa).

    `symmetry_number` None: the number of rotations that leave the molecule as it is, within 0.01
    bohr. The rotor is that of `Vibrations.rotational_freedom`. The electronic state is 2S + 1
    times degenerate; others are not populated.

    Raises:
        InputError: temperature, pressure or symmetry number that are not positive.
    """
    for name, value in (("temperature", temperature), ("pressure", pressure)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} = {value!r} must be a positive number.")
    real = vibrations.masses > 0
    masses, positions = vibrations.masses[real], vibrations.positions[real]
    if symmetry_number is None:
        symmetry_number = count_rotations(masses, positions)
    elif symmetry_number < 1:
        raise InputError(f"symmetry_number = {symmetry_number!r} must be 1 or more.")
    quanta = PLANCK * LIGHT_SPEED * 100.0 / BOLTZMANN * vibrations.frequencies  # kelvin
    quanta = quanta[quanta > 0]
    k = BOLTZMANN_IN_HARTREE
    electronic = Contribution(
        vibrations.energy, vibrations.energy, k * math.log(vibrations.spin + 1)
    )
    return Thermochemistry(
        temperature=temperature,
        pressure=pressure,
        symmetry_number=symmetry_number,
        zero_point_energy=float(0.5 * k * quanta.sum()),
        contributions={
            "electronic": electronic,
            "translational": _translation(float(masses.sum()), temperature, pressure),
            "rotational": _rotation(masses, positions, temperature, symmetry_number),
            "vibrational": _vibration(quanta, temperature),
        },
    )


def _translation(mass: float, temperature: float, pressure: float) -> Contribution:
    """Sackur and Tetrode; mass in amu."""
    k, heat = BOLTZMANN_IN_HARTREE, BOLTZMANN * temperature
    if not mass:
        return Contribution()
    wave = 2.0 * math.pi * mass * AMU_IN_KG * heat / PLANCK**2
    states = wave**1.5 * heat / pressure
    return Contribution(
        1.5 * k * temperature, 2.5 * k * temperature, k * (2.5 + math.log(states)), 1.5 * k
    )


def _rotation(
    masses: np.ndarray, positions: np.ndarray, temperature: float, symmetry_number: int
) -> Contribution:
    """Classical rigid rotor."""
    k = BOLTZMANN_IN_HARTREE
    if len(masses) < 2:
        return Contribution()
    moments = principal_axes(masses, positions)[1] * AMU_IN_KG * BOHR_IN_METRE**2
    ratios = 8.0 * math.pi**2 * moments * BOLTZMANN * temperature / PLANCK**2
    if len(moments) == 2:
        half, states = 1.0, math.sqrt(ratios.prod())  # equal, but for rounded positions
    else:
        half, states = 1.5, math.sqrt(math.pi * ratios.prod())
    energy = half * k * temperature
    entropy = k * (half + math.log(states / symmetry_number))
    return Contribution(energy, energy, entropy, half * k)


def _vibration(quanta: np.ndarray, temperature: float) -> Contribution:
    """Harmonic oscillators of these temperatures h nu / k (K), zero-point energy included."""
    k, x = BOLTZMANN_IN_HARTREE, quanta / temperature
    occupation = 1.0 / np.expm1(x)
    energy = float(k * (quanta * (0.5 + occupation)).sum())
    entropy = float(k * (x * occupation - np.log1p(-np.exp(-x))).sum())
    capacity = float(k * (x**2 * occupation * (occupation + 1.0)).sum())
    return Contribution(energy, energy, entropy, capacity)
