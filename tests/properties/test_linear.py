"""What counts as linear: one criterion for modes, rotor and symmetry number."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import springs
from hypothesis import given, settings
from hypothesis import strategies as st
from pyscf.hessian import thermo
from systems import mole

import dqc_lite as dqc
from dqc_lite.properties.rotors import bend, rotational_freedom, symmetry_number
from dqc_lite.units import BOHR_IN_ANGSTROM

BASIS = "sto-3g"
CHAINS = {
    "CO2": (("O", -1.16), ("C", 0.0), ("O", 1.16)),
    "HCN": (("H", -1.066), ("C", 0.0), ("N", 1.156)),
    "N2O": (("N", -1.128), ("N", 0.0), ("O", 1.184)),
    "HCl": (("H", 0.0), ("Cl", 1.275)),
    "I2": (("I", 0.0), ("I", 2.67)),
    "C2H2": (("H", -1.66), ("C", -0.6), ("C", 0.6), ("H", 1.66)),
    "HC4H": (
        ("H", -2.95), ("C", -1.89), ("C", -0.69), ("C", 0.69), ("C", 1.89), ("H", 2.95),
    ),
    "HC3N": (("H", -1.06), ("C", 0.0), ("C", 1.206), ("C", 2.584), ("N", 3.743)),
    "C12": tuple(("C", 1.28 * i) for i in range(12)),
}  # fmt: skip
SYMMETRIC = {"CO2", "I2", "C2H2", "HC4H", "C12"}
UNITS = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: 0.1 < np.linalg.norm(v) <= 1.0)


def chain(name: str, along, shift=(0.0, 0.0, 0.0), decimals: int = 12) -> dqc.Molecule:
    """A linear molecule along some direction, its coordinates (angstrom) rounded."""
    unit = np.asarray(along) / np.linalg.norm(along)
    symbols, places = zip(*CHAINS[name], strict=True)
    positions = np.round(np.outer(places, unit) + shift, decimals)
    rows = list(zip(symbols, map(tuple, positions), strict=True))
    return dqc.Molecule.from_atoms(rows, BASIS)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(CHAINS)), UNITS, UNITS, st.integers(3, 8))
def test_rounded_coordinates_are_linear(name: str, along, shift, decimals: int) -> None:
    """From three decimals of an angstrom on nothing but the rounding is left of the bend."""
    mol, exact = chain(name, along, shift, decimals), chain(name, along, shift)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vibrations, expected = springs.vibrations(mol), springs.vibrations(exact)
    assert vibrations.rotational_freedom == 2
    assert len(vibrations.frequencies) == 3 * mol.natm - 5
    thermal, reference = dqc.thermochemistry(vibrations), dqc.thermochemistry(expected)
    assert thermal.symmetry_number == (2 if name in SYMMETRIC else 1)
    spring = 0.05 * 5140.5**2  # a bend of the made-up springs may be soft
    assert vibrations.frequencies.min() ** 2 > 1e-5 * spring
    rotational = [t.contributions["rotational"].entropy for t in (thermal, reference)]
    assert rotational[0] == pytest.approx(rotational[1], rel=2e-3)


def test_entropy_of_rounded_co2() -> None:
    """Against PySCF's rotor at the exact geometry, whose 53.45 cal/mol/K has four modes."""
    exact = chain("CO2", (0, 0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vibrations = springs.vibrations(exact)
        model = mole(exact, BASIS).RHF()
        model.e_tot = vibrations.energy
        known = thermo.thermo(model, vibrations.frequencies / 5140.486729909205, 298.15, 101325)
    for decimals in (3, 4, 5):
        rounded = dqc.thermochemistry(
            springs.vibrations(chain("CO2", (1, 2, 3), decimals=decimals))
        )
        assert rounded.entropy == pytest.approx(known["S_tot"][0], rel=2e-3)
        assert rounded.gibbs_energy == pytest.approx(known["G_tot"][0], abs=2e-5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(["CO2", "HCN", "C2H2", "HC4H"]), UNITS, UNITS)
def test_two_decimals_are_linear_and_doubtful(name: str, along, shift) -> None:
    mol = chain(name, along, shift, 2)
    off = bend(np.asarray(mol.positions)) * BOHR_IN_ANGSTROM
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vibrations = springs.vibrations(mol)
    assert len(vibrations.frequencies) == 3 * mol.natm - 5
    assert [("linear" in str(w.message)) for w in caught] == [True] * (off > 1e-3)


def bent_co2(angle: float) -> dqc.Molecule:
    half = np.radians(0.5 * (180.0 - angle))
    end = 1.16 * np.array([np.cos(half), -np.sin(half), 0.0])
    rows = [("C", (0, 0, 0)), ("O", tuple(end)), ("O", tuple(end * [-1, 1, 1]))]
    return dqc.Molecule.from_atoms(rows, BASIS)


@pytest.mark.parametrize(
    ("angle", "modes", "doubtful"),
    [
        (180.0, 4, None), (179.9, 4, None), (179.0, 4, "as linear"), (177.0, 3, "as nonlinear"),
        (175.0, 3, "as nonlinear"), (170.0, 3, None), (104.5, 3, None),
    ],
)  # fmt: skip
def test_bent_molecules(angle: float, modes: int, doubtful: str | None) -> None:
    """A case in between is taken for one or the other in all places, and said to be."""
    mol = bent_co2(angle)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vibrations = springs.vibrations(mol)
    assert len(vibrations.frequencies) == modes
    assert vibrations.rotational_freedom == 6 - modes if modes == 4 else 3
    thermal = dqc.thermochemistry(vibrations)
    capacity = thermal.contributions["rotational"].heat_capacity
    translation = thermal.contributions["translational"].heat_capacity
    assert capacity / translation == pytest.approx((1.0 if modes == 4 else 1.5) / 1.5)
    assert thermal.symmetry_number == 2
    if doubtful is None:
        assert not caught
    else:
        (warning,) = caught
        assert doubtful in str(warning.message)
        assert "positions" in str(warning.message)


def test_limit_does_not_depend_on_masses_or_ghosts() -> None:
    """Deuterium bends what hydrogen does; empty centres and two atoms bend nothing."""
    mol = chain("HCN", (1, 2, 3), decimals=3)
    positions = np.asarray(mol.positions)
    for masses in ([1.0, 12.0, 14.0], [3.0, 12.0, 14.0], [1e-3, 12.0, 14.0]):
        assert symmetry_number(np.array(masses), positions) == 1
    assert rotational_freedom(positions) == 2
    ghost = dqc.Molecule.from_atoms("N 0 0 0; N 0.3 0.4 1.0; ghost-N 2 0 0", BASIS)
    assert springs.vibrations(ghost).rotational_freedom == 2


@pytest.mark.slow
def test_vibrations_of_rounded_co2() -> None:
    """The bending modes of a rounded geometry are those of the exact one."""
    exact = dqc.vibrations(chain("CO2", (1, 2, 3)))
    rounded = dqc.vibrations(chain("CO2", (1, 2, 3), decimals=3))
    assert len(rounded.frequencies) == 4
    np.testing.assert_allclose(rounded.frequencies, exact.frequencies, rtol=5e-3)
