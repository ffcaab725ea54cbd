"""Vibrations, infrared intensities and thermochemistry against PySCF and independent assembly."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import springs
from pyscf.hessian import thermo
from systems import mean_field, mole, molecule

import dqc_lite as dqc
from dqc_lite.properties.rotors import symmetry_number
from dqc_lite.properties.vibrations import atomic_masses

BASIS = "sto-3g"


@pytest.fixture(scope="module")
def water() -> dqc.Vibrations:
    return dqc.vibrations(molecule("h2o rotated", BASIS))


@pytest.fixture(scope="module")
def reference():
    return mean_field(molecule("h2o rotated", BASIS), BASIS, dqc.HF())


def test_modes_of_water(water: dqc.Vibrations, reference) -> None:
    expected = thermo.harmonic_analysis(
        reference.mol, reference.Hessian().kernel(), imaginary_freq=False
    )
    np.testing.assert_allclose(water.frequencies, expected["freq_wavenumber"], rtol=1e-6)
    np.testing.assert_allclose(water.reduced_masses, expected["reduced_mass"], rtol=1e-6)
    np.testing.assert_allclose(water.force_constants, expected["force_const_dyne"], rtol=1e-6)
    overlap = np.einsum("iax,jax->ij", water.modes, expected["norm_mode"])
    norms = np.linalg.norm(expected["norm_mode"].reshape(3, -1), axis=1)
    np.testing.assert_allclose(np.abs(np.diagonal(overlap)) / norms, 1.0, rtol=1e-6)
    assert water.imaginary == 0


def test_intensities_of_water(water: dqc.Vibrations, reference) -> None:
    """From dipole moments of PySCF at displaced geometries; 42.2561 km/mol is 1 (D/A)^2/amu."""
    step, debye_per_angstrom = 0.01, 2.541746473 / 0.52917721092
    slopes = []
    for mode, mass in zip(water.modes, water.reduced_masses, strict=True):
        dipoles = []
        for n in (-2, -1, 1, 2):
            moved = reference.mol.set_geom_(
                water.positions + n * step * mode, unit="Bohr", inplace=False
            )
            mf = reference.reset(moved).run()
            dipoles.append(mf.dip_moment(unit="AU", verbose=0))
        d = (dipoles[0] - 8 * dipoles[1] + 8 * dipoles[2] - dipoles[3]) / (12 * step)
        slopes.append(42.2561 * ((d * debye_per_angstrom) ** 2).sum() / mass)
    np.testing.assert_allclose(water.intensities, slopes, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("temperature", "pressure"), [(298.15, 101325.0), (77.0, 2e4)])
def test_thermochemistry(
    water: dqc.Vibrations, reference, temperature: float, pressure: float
) -> None:
    ours = dqc.thermochemistry(water, temperature, pressure, symmetry_number=2)
    model = reference.reset(mole(molecule("h2o rotated", BASIS), BASIS)).run()
    frequencies = thermo.harmonic_analysis(model.mol, model.Hessian().kernel())["freq_au"]
    expected = thermo.thermo(model, frequencies, temperature, pressure)
    assert ours.symmetry_number == expected["sym_number"][0]
    assert dqc.thermochemistry(water).symmetry_number == 2
    for value, name in (
        (ours.zero_point_energy, "ZPE"), (ours.energy, "E_tot"), (ours.enthalpy, "H_tot"),
        (ours.gibbs_energy, "G_tot"),
    ):  # fmt: skip
        assert value == pytest.approx(expected[name][0], abs=1e-7)
    # PySCF's Boltzmann constant is that of CODATA 2006
    assert ours.entropy == pytest.approx(expected["S_tot"][0], rel=2e-6)
    assert ours.total.heat_capacity == pytest.approx(expected["Cv_tot"][0], rel=2e-6)


def test_thermochemistry_of_a_linear_molecule_and_an_atom() -> None:
    mol = molecule("co2", BASIS)
    for name, count in (("co2", 4), ("he", 0)):
        mol = molecule(name, BASIS)
        vibrations = springs.vibrations(mol)
        assert len(vibrations.frequencies) == count
        ours = dqc.thermochemistry(vibrations)
        built = mole(mol, BASIS)
        model = built.RHF()
        model.e_tot = vibrations.energy
        factor = 5140.486729909205  # cm^-1 of one (hartree/(amu bohr^2))^1/2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = thermo.thermo(model, vibrations.frequencies / factor, 298.15, 101325)
        if name == "co2":
            assert ours.entropy == pytest.approx(expected["S_tot"][0], rel=2e-6)
        assert ours.enthalpy == pytest.approx(expected["H_tot"][0], abs=1e-7)


@pytest.mark.parametrize(
    ("name", "count"),
    [("he", 0), ("n2", 1), ("co2", 4), ("c2h2 rotated", 7), ("h2o", 3), ("water-ghost", 3)],
)
def test_number_of_modes(name: str, count: int) -> None:
    """3N - 6, 3N - 5 on a line, none of an atom or of ghosts; orthogonal to rigid motions."""
    mol = molecule(name, BASIS)
    vibrations = springs.vibrations(mol)
    assert len(vibrations.frequencies) == count
    momentum = np.einsum("a,kax->kx", vibrations.masses, vibrations.modes)
    spin = np.einsum(
        "a,kax->kx", vibrations.masses, np.cross(vibrations.positions, vibrations.modes)
    )
    np.testing.assert_allclose(momentum, 0.0, atol=1e-10)
    np.testing.assert_allclose(spin, 0.0, atol=1e-8)
    assert vibrations.frequencies.min(initial=1.0) > 0


def test_imaginary_modes_are_negative() -> None:
    mol = molecule("h2o", BASIS)
    up, down = springs.vibrations(mol), None
    hessian = np.random.default_rng(0).normal(size=(9, 9))
    down = springs.vibrations(mol, -(hessian @ hessian.T).reshape(3, 3, 3, 3))
    assert up.imaginary == 0
    assert down.imaginary == 3
    assert (down.force_constants < 0).all()
    assert dqc.thermochemistry(down).zero_point_energy == 0.0


def test_masses() -> None:
    mol = molecule("water-ghost", BASIS)
    np.testing.assert_allclose(atomic_masses(mol), [15.999, 1.008, 1.008, 0.0], atol=1e-3)
    np.testing.assert_allclose(
        atomic_masses(mol, "isotope"), [15.9949146, 1.00782503, 1.00782503, 0.0], atol=1e-6
    )
    heavy = [16.0, 2.0, 2.0, 5.0]
    np.testing.assert_allclose(atomic_masses(mol, heavy), [16.0, 2.0, 2.0, 0.0])
    for wrong in ([1.0], [16.0, -1.0, 1.0, 0.0], "heavy"):
        with pytest.raises(dqc.errors.InputError, match="masses"):
            atomic_masses(mol, wrong)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"pressure": -1.0}])
def test_thermochemistry_input(wrong: dict) -> None:
    with pytest.raises(dqc.errors.InputError, match=next(iter(wrong))):
        dqc.thermochemistry(springs.vibrations(molecule("h2o", BASIS)), **wrong)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("he", 1), ("hf", 1), ("n2", 2), ("co2", 2), ("h2o rotated", 2), ("ch2o", 2), ("nh3", 3),
        ("ch3", 6), ("ch4 rotated", 12), ("c6h6", 12), ("sf6", 24),
    ],
)  # fmt: skip
def test_symmetry_numbers(name: str, number: int) -> None:
    mol = molecule(name, BASIS)
    assert symmetry_number(atomic_masses(mol), np.asarray(mol.positions)) == number


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "degenerate"),
    [("co2", 2), ("nh3", 4), ("ch4 rotated", 8), ("c6h6", 20)],
)
def test_degenerate_modes(name: str, degenerate: int) -> None:
    """Modes that symmetry makes equal: as many as expected, equal to 0.01 cm^-1."""
    mol = symmetric(name)
    frequencies = dqc.vibrations(mol, solver=dqc.DIIS(gradient_tol=1e-10)).frequencies
    near = np.isclose(frequencies[:, None], frequencies, rtol=0, atol=0.01)
    assert (near.sum(1) > 1).sum() == degenerate


def symmetric(name: str) -> dqc.Molecule:
    """Exactly symmetric geometries."""
    if name == "co2":
        return molecule("co2", BASIS)
    if name == "nh3":
        angles = 2 * np.pi / 3 * np.arange(3)
        atoms = [("H", (0.94 * np.cos(a), 0.94 * np.sin(a), -0.38)) for a in angles]
        return dqc.Molecule.from_atoms([("N", (0, 0, 0)), *atoms], BASIS)
    if name.startswith("ch4"):
        corners = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
        atoms = [("H", tuple(0.63 * x for x in c)) for c in corners]
        mol = dqc.Molecule.from_atoms([("C", (0, 0, 0)), *atoms], BASIS)
        turn = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
        return mol.with_positions(mol.positions @ turn.T)
    angles = np.pi / 3 * np.arange(6)
    atoms = [
        (symbol, (r * np.cos(a), r * np.sin(a), 0.0))
        for symbol, r in (("C", 1.39), ("H", 2.48))
        for a in angles
    ]
    return dqc.Molecule.from_atoms(atoms, BASIS)
