"""All functions on one atom: atoms, a bare proton, an atom with partners that have none."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib

import jax
import numpy as np
import pyscf.gto
import pytest
import scipy.constants

import dqc_lite as dqc
from dqc_lite.cli import main

UHF, ROHF = dqc.HF(restricted=False), dqc.HF(restricted="rohf")
FITTED, PBE = dqc.HF(density_fit=True), dqc.KS("pbe", grid_level=0)
ATOMS = [
    ("He", 0, 0, dqc.HF()),
    ("He", 0, 0, FITTED),
    ("H", 0, 1, UHF),
    ("C", 0, 2, UHF),
    ("H", 1, 0, dqc.HF()),
    pytest.param("H", 0, 1, ROHF, marks=pytest.mark.slow),
    pytest.param("C", 0, 2, FITTED, marks=pytest.mark.slow),
    pytest.param("B", 0, 1, dqc.HF(smearing=0.02), marks=pytest.mark.slow),
    pytest.param("He", 0, 0, PBE, marks=pytest.mark.slow),
    pytest.param("C", 0, 2, PBE, marks=pytest.mark.slow),
    pytest.param("N", 0, 3, dqc.KS("b3lyp", grid_level=0), marks=pytest.mark.slow),
]


def atom(symbol: str, charge: int, spin: int) -> dqc.Molecule:
    return dqc.Molecule.from_atoms([(symbol, (0.1, -0.2, 0.3))], "sto-3g", charge=charge, spin=spin)


def sackur_tetrode(mass: float, temperature: float, pressure: float) -> float:
    """Entropy of an ideal gas of particles of this mass (amu), in units of k."""
    kg, heat = mass * scipy.constants.atomic_mass, scipy.constants.k * temperature
    volume = heat / pressure
    states = volume * (2.0 * math.pi * kg * heat / scipy.constants.h**2) ** 1.5
    return math.log(states) + 2.5


@pytest.mark.parametrize(("symbol", "charge", "spin", "method"), ATOMS)
def test_an_atom(symbol: str, charge: int, spin: int, method) -> None:
    """No force constants, no modes; the entropy of translation and of the spin."""
    mol = atom(symbol, charge, spin)
    np.testing.assert_allclose(dqc.hessian(mol, method), 0.0, atol=1e-9)
    vibrations = dqc.vibrations(mol, method)
    assert vibrations.frequencies.shape == vibrations.intensities.shape == (0,)
    assert vibrations.modes.shape == (0, 1, 3)
    assert vibrations.rotational_freedom == 0
    boltzmann = scipy.constants.k / scipy.constants.physical_constants["Hartree energy"][0]
    for temperature, pressure in ((298.15, 101325.0), (1000.0, 1e5)):
        thermo = dqc.thermochemistry(vibrations, temperature, pressure)
        entropy = sackur_tetrode(vibrations.masses[0], temperature, pressure) + math.log(spin + 1)
        assert thermo.entropy / boltzmann == pytest.approx(entropy, rel=1e-7)
        enthalpy = vibrations.energy + 2.5 * boltzmann * temperature
        assert thermo.enthalpy == pytest.approx(enthalpy, abs=1e-9)
        assert thermo.total.heat_capacity == pytest.approx(1.5 * boltzmann, rel=1e-7)


@pytest.mark.parametrize(
    ("symbol", "spin", "method"),
    [("He", 0, dqc.HF()), pytest.param("C", 2, UHF, marks=pytest.mark.slow)],
)
def test_nested_derivatives_of_an_atom(symbol: str, spin: int, method) -> None:
    """Nothing changes where an atom is moved: neither the force nor any other first derivative."""
    mol = atom(symbol, 0, spin)

    def energy(positions, exponents=mol.basis.exponents):
        return dqc.energy(_with_exponents(mol, exponents).with_positions(positions), method)

    nested = jax.hessian(energy)(mol.positions)
    np.testing.assert_allclose(nested, 0.0, atol=1e-9)
    gradient = jax.grad(energy, argnums=(0, 1))
    move = np.array([[0.3, -0.5, 0.8]])
    _, along = jax.jvp(lambda r: gradient(r, mol.basis.exponents), (mol.positions,), (move,))
    for part in along:
        np.testing.assert_allclose(part, 0.0, atol=1e-9)


def _with_exponents(mol: dqc.Molecule, exponents) -> dqc.Molecule:
    return dataclasses.replace(mol, basis=dataclasses.replace(mol.basis, exponents=exponents))


@pytest.mark.parametrize("partner", ["H", pytest.param("ghost-H", marks=pytest.mark.slow)])
def test_partners_without_functions(partner: str) -> None:
    """All functions on one atom, beside a bare proton or an empty centre: against differences."""
    built = pyscf.gto.M(
        atom=f"He 0 0 0; {partner} 0.2 0.1 1.1", basis={"He": "6-31g"},
        charge=int(partner == "H"), verbose=0,
    )  # fmt: skip
    mol = dqc.Molecule.from_pyscf(built)
    hessian = np.asarray(dqc.hessian(mol))
    np.testing.assert_allclose(hessian.sum(2), 0.0, atol=1e-8)
    move, step = np.array([[0.1, 0.3, -0.2], [0.4, -0.1, 0.6]]), 0.004
    tight = dqc.DIIS(gradient_tol=1e-10)
    g = [
        -np.asarray(dqc.forces(mol.with_positions(mol.positions + n * step * move), solver=tight))
        for n in (-2, -1, 1, 2)
    ]
    expected = (g[0] - 8 * g[1] + 8 * g[2] - g[3]) / (12 * step)
    found = np.einsum("axby,by->ax", hessian, move)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)
    assert (np.abs(found).max() > 1e-3) == (partner == "H")


def test_freq_command(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "carbon.xyz", tmp_path / "out.json"
    file.write_text("1\n\nC 0 0 0\n")
    arguments = ["--basis", "sto-3g", "--method", "hf", "--spin", "2", "--json", str(out)]
    assert main(["freq", str(file), *arguments, "--no-cache"]) == 0
    assert "Vibrations of an atom" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["vibrations"]["frequencies"] == []
    assert written["vibrations"]["rotational_freedom"] == 0
    # of a p shell with two electrons it depends on where the hole is
    assert written["polarizability"] == [[None] * 3] * 3
    entropy = sackur_tetrode(written["vibrations"]["masses"][0], 298.15, 101325.0) + math.log(3)
    assert written["thermochemistry"]["entropy"] == pytest.approx(entropy * 3.1668116e-6, rel=1e-6)
