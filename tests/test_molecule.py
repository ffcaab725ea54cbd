"""Molecules: every way in, the errors on the way, and the pytree."""

import dataclasses

import ase
import jax
import numpy as np
import pyscf.gto
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import ROTATION, molecule

import dqc_lite as dqc
from dqc_lite import errors
from dqc_lite.units import ANGSTROM_IN_BOHR

WATER = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"
XYZ = "3\nwater\nO 0 0 0\nH 0 0.757 0.587\nH 0 -0.757 0.587\n"


def test_every_way_in_gives_the_same_molecule(tmp_path) -> None:
    path = tmp_path / "water.xyz"
    path.write_text(XYZ)
    mole = pyscf.gto.M(atom=WATER, basis="def2-svp", verbose=0)
    atoms = ase.Atoms("OHH", [(0, 0, 0), (0, 0.757, 0.587), (0, -0.757, 0.587)])
    rows = [("O", (0, 0, 0)), ("h", (0, 0.757, 0.587)), [1, 0, -0.757, 0.587]]
    expected = dqc.Molecule.from_atoms(WATER, basis="def2-svp")
    for mol in (
        dqc.Molecule.from_xyz(path, basis="def2-svp"),
        dqc.Molecule.from_xyz(str(path), basis="def2-svp"),
        dqc.Molecule.from_xyz(XYZ, basis="def2-svp"),
        dqc.Molecule.from_pyscf(mole),
        dqc.Molecule.from_ase(atoms, basis="def2-svp"),
        dqc.Molecule.from_atoms(rows, basis="def2-svp"),
        dqc.Molecule.from_atoms(WATER.replace(";", "\n"), basis="DEF2-SVP".lower()),
    ):
        assert mol.symbols == ("O", "H", "H")
        assert (mol.charge, mol.spin, mol.nelec, mol.nao) == (0, 0, (5, 5), 24)
        np.testing.assert_allclose(mol.positions, expected.positions, atol=1e-8)
        np.testing.assert_allclose(mol.charges, [8, 1, 1])
        np.testing.assert_allclose(mol.basis.exponents, expected.basis.exponents)
        np.testing.assert_allclose(mol.basis.coefficients, expected.basis.coefficients, rtol=1e-12)
        assert mol.layout == expected.layout
        assert hash(mol.layout) == hash(expected.layout)


def test_units() -> None:
    angstrom = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 1", "sto-3g")
    bohr = dqc.Molecule.from_atoms(f"H 0 0 0; H 0 0 {ANGSTROM_IN_BOHR}", "sto-3g", unit="Bohr")
    np.testing.assert_allclose(angstrom.positions, bohr.positions, rtol=1e-15)
    assert abs(float(angstrom.positions[1, 2]) - 1.8897261254) < 1e-8


def test_is_a_pytree_of_its_leaves() -> None:
    mol = molecule("h2o", "6-31g")
    assert len(jax.tree.leaves(mol)) == 4
    doubled = jax.tree.map(lambda x: 2 * x, mol)
    assert isinstance(doubled, dqc.Molecule)
    np.testing.assert_allclose(doubled.charges, 2 * mol.charges)
    assert doubled.spin == mol.spin
    moved = mol.with_positions(mol.positions + 1.0)
    assert moved.basis is mol.basis
    with pytest.raises(dataclasses.FrozenInstanceError):
        mol.positions = mol.charges


def test_from_ase_takes_the_spin_from_the_magnetic_moments() -> None:
    oxygen = ase.Atoms("O2", [(0, 0, 0), (0, 0, 1.2)], magmoms=[1, 1])
    assert dqc.Molecule.from_ase(oxygen, "sto-3g").spin == 2
    assert dqc.Molecule.from_ase(oxygen, "sto-3g", spin=0).spin == 0


@pytest.mark.parametrize("cart", [False, True])
def test_general_contractions_and_cartesian_functions(cart: bool) -> None:
    mol = dqc.Molecule.from_atoms(WATER, "cc-pvdz", cart=cart)
    mole = pyscf.gto.M(atom=WATER, basis="cc-pvdz", cart=cart, verbose=0)
    assert mol.nao == mole.nao == (25 if cart else 24)
    from dqc_lite.integrals import operators

    orbitals = mol.orbitals()
    np.testing.assert_allclose(operators.overlap(orbitals), mole.intor("int1e_ovlp"), atol=1e-13)
    np.testing.assert_allclose(operators.kinetic(orbitals), mole.intor("int1e_kin"), atol=1e-12)
    nuclear = operators.nuclear(orbitals, mol.charges)
    np.testing.assert_allclose(nuclear, mole.intor("int1e_nuc"), atol=1e-12)


def test_ghost_atoms_and_effective_cores() -> None:
    ghost = molecule("water-ghost", "6-31g")
    assert ghost.symbols[3] == "GHOST-O"
    assert float(ghost.charges[3]) == 0
    assert ghost.nelectron == 10
    iodide = molecule("hi", "def2-svp")
    np.testing.assert_allclose(iodide.charges, [1, 25])
    assert iodide.nelectron == 26


def test_basis_per_element_and_as_text() -> None:
    text = "H S\n 3.42525091 0.15432897\n 0.62391373 0.53532814\n 0.16885540 0.44463454\nEND\n"
    named = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.74", "sto-3g")
    listed = {"H": pyscf.gto.basis.load("sto-3g", "H")}
    for basis in ({"H": "sto-3g"}, {"default": "sto-3g"}, listed):
        other = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.74", basis)
        np.testing.assert_allclose(other.basis.coefficients, named.basis.coefficients, rtol=1e-12)
    parsed = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.74", text)
    np.testing.assert_allclose(parsed.basis.exponents, named.basis.exponents, rtol=1e-7)


E = errors
BAD = [
    (dict(atoms=WATER, spin=1), E.SpinError, r"spin = 1 .*2S.*10 electrons"),
    (dict(atoms=WATER, charge=1), E.SpinError, r"spin = 0 .*9 electrons.*spin = 1"),
    (dict(atoms=WATER, spin=-2), E.SpinError, r"spin = -2"),
    (dict(atoms=WATER, spin=0.5), E.SpinError, r"spin = 0\.5"),
    (dict(atoms=WATER, spin=12), E.ChargeSpinError, r"spin = 12.*10 electrons"),
    (dict(atoms=WATER, charge=11), E.ChargeSpinError, r"charge = 11"),
    (dict(atoms=WATER, charge=0.5), E.ChargeSpinError, r"charge = 0\.5"),
    (dict(atoms=WATER, charge=float("nan")), E.ChargeSpinError, r"charge = nan"),
    (dict(atoms="Qq 0 0 0"), E.UnknownElementError, r"'Qq'.*ghost-C"),
    (dict(atoms=WATER, basis="no-such"), E.BasisError, r"'no-such' is unknown"),
    (dict(atoms=WATER, basis="def2-svpp"), E.BasisError, r"Did you mean def2svp"),
    (dict(atoms="U 0 0 0", basis="sto-3g"), E.BasisError, r"'sto-3g' has no functions.*'U'"),
    (dict(atoms=WATER, basis=""), E.BasisError, r"empty"),
    (dict(atoms=WATER, basis={"O": "sto-3g"}), E.BasisError, r"no entry for element 'H'"),
    (dict(atoms="H 0 0 0; H 0 0 0.01"), E.GeometryError, r"atoms 0 \(H\) and 1 \(H\).*0\.0189"),
    (dict(atoms="O 0 0 0; ghost-H 0 0 0.001"), E.GeometryError, r"GHOST-H"),
    (dict(atoms="H 0 0 nan; H 0 0 1"), E.GeometryError, r"atom 0 \(H\).*not finite"),
    (dict(atoms="H 0 0 1e9; H 0 0 1"), E.GeometryError, r"beyond 100000"),
    (dict(atoms="H 0 0; H 0 0 1"), E.GeometryError, r"line 1"),
    (dict(atoms="H 0 0 __import__('os'); H 0 0 1"), E.GeometryError, r"no numbers"),
    (dict(atoms=""), E.GeometryError, r"no atoms"),
    (dict(atoms=7), E.GeometryError, r"atoms = 7"),
    (dict(atoms=[("H",)]), E.GeometryError, r"atom 1"),
    (dict(atoms=WATER, unit="furlong"), E.InputError, r"unit = 'furlong'.*'bohr'"),
    (dict(atoms="I 0 0 0; H 0 0 1.6", basis="def2-svp"), E.ECPError, r"'I'.*ecp='def2-svp'"),
    (dict(atoms="I 0 0 0; H 0 0 1.6", basis={"default": "def2-svp"}), E.ECPError, r"'I'.*ecp="),
    (dict(atoms=WATER, ecp="no-such"), E.ECPError, r"'no-such'"),
    (dict(atoms="I 0 0 0", basis="def2-svp", ecp={"I": [5]}), E.ECPError, r"\[5\]"),
    (dict(atoms="He 0 0 0", basis=None), E.BasisError, r"basis = None"),
    (dict(atoms="He 0 0 0", basis={"He": []}), E.BasisError, r"basis = \[\]"),
    (dict(atoms="He 0 0 0", basis={"He": [[0, [-1.0, 1.0]]]}), E.BasisError, r"-1\.0"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD, ids=[str(b[0]) for b in BAD])
def test_bad_input(arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        dqc.Molecule.from_atoms(**arguments)


BAD_XYZ = [
    ("no-such.xyz", r"'no-such.xyz' cannot be read"),
    ("\n\n", r"number of atoms"),
    ("3\n\nO 0 0 0\n", r"announces 3 atoms and has 1"),
    ("²\n\n", r"number of atoms"),
    ("1\nProperties=pos:R:3\n0 0 0\n", r"no species and no Z"),
]


@pytest.mark.parametrize(("text", "message"), BAD_XYZ, ids=[m for _, m in BAD_XYZ])
def test_bad_xyz(text: str, message: str) -> None:
    with pytest.raises(errors.GeometryError, match=message):
        dqc.Molecule.from_xyz(text)


def test_bad_methods() -> None:
    with pytest.raises(errors.MethodError, match=r"restricted=False or 'rohf'"):
        dqc.energy(molecule("ch3", "sto-3g"), dqc.HF(restricted=True))
    for restricted in ("maybe", 1):
        with pytest.raises(errors.MethodError, match=rf"restricted = {restricted!r}"):
            dqc.HF(restricted=restricted)
    for auxiliary in (1, ""):
        with pytest.raises(errors.BasisError, match=rf"density_fit = {auxiliary!r}"):
            dqc.HF(density_fit=auxiliary)
    with pytest.raises(errors.BasisTooSmallError, match=r"2 electrons of one spin.*1 basis"):
        dqc.energy(dqc.Molecule.from_atoms("He 0 0 0", "sto-3g", charge=-1, spin=1))
    with pytest.raises(errors.InputError, match=r"guess = 'magic'.*minao"):
        dqc.energy(molecule("h2o", "sto-3g"), guess="magic")
    with pytest.raises(errors.InputError, match=r"electric_field"):
        dqc.energy(molecule("h2o", "sto-3g"), electric_field=[0.1, 0.2])
    for bad in (dict(max_cycle=0), dict(energy_tol=0.0), dict(damping=1.0)):
        with pytest.raises(errors.InputError, match=next(iter(bad))):
            dqc.DIIS(**bad)


def test_positions_are_checked_and_promoted() -> None:
    mol = molecule("h2o", "sto-3g")
    with pytest.raises(errors.GeometryError, match=r"\(1, 3\); need \(3, 3\)"):
        mol.with_positions(np.zeros((1, 3)))
    single = mol.with_positions(np.asarray(mol.positions, np.float32))
    assert single.positions.dtype == np.float64
    assert dqc.forces(single).dtype == np.float64


def test_mole_with_features_that_are_not_here() -> None:
    with pytest.raises(errors.InputError, match="not built"):
        dqc.Molecule.from_pyscf(pyscf.gto.Mole(atom="He 0 0 0", verbose=0))
    mole = pyscf.gto.M(atom="He 0 0 0", basis="sto-3g", verbose=0)
    mole.omega = 0.3
    with pytest.raises(errors.InputError, match=r"omega = 0\.3"):
        dqc.Molecule.from_pyscf(mole)


def test_single_precision_is_refused() -> None:
    with jax.enable_x64(False), pytest.raises(errors.PrecisionError, match=r"enable_x64\(\)"):
        dqc.Molecule.from_atoms("H 0 0 0; H 0 0 1", "sto-3g")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="HOC0123456789 .;-+eE\nnaifx@()", max_size=40))
def test_any_text_is_a_molecule_or_a_named_error(text: str) -> None:
    try:
        mol = dqc.Molecule.from_atoms(text, "sto-3g")
    except errors.DqcLiteError:
        return
    else:
        assert mol.natm >= 1
        assert np.isfinite(mol.positions).all()


def test_rotation_and_translation_leave_the_energy() -> None:
    mol = molecule("nh3", "6-31g*")
    energy = float(dqc.energy(mol))
    assert abs(float(dqc.energy(mol.with_positions(mol.positions @ ROTATION.T))) - energy) < 1e-10
    assert abs(float(dqc.energy(mol.with_positions(mol.positions + 3.0))) - energy) < 1e-10
