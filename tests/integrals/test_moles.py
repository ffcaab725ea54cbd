"""What a PySCF `Mole` carries: taken with PySCF's energy, or refused by name."""

import numpy as np
import pyscf.gto
import pytest
from pyscf import scf
from pyscf.hessian import thermo
from pyscf.pbc import gto as pbc_gto
from pyscf.qmmm import mm_mole

import dqc_lite as dqc
from dqc_lite import errors

WATER = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"
DIMER = f"{WATER}; ghost-O 0 0 2.9; ghost-H 0 0.757 3.4; ghost-H 0 -0.757 3.4"
OXYGEN = pyscf.gto.basis.load("sto-3g", "O")
BARE = {"O": "sto-3g", "H": "sto-3g"}


def water(**options) -> pyscf.gto.Mole:
    return pyscf.gto.M(**{"atom": WATER, "basis": "sto-3g", "verbose": 0} | options)


def changed(change, **options) -> pyscf.gto.Mole:
    mole = water(**options)
    change(mole)
    return mole


def pyscf_energy(mole: pyscf.gto.Mole, density_fit: bool = False) -> float:
    mf = scf.HF(mole).density_fit() if density_fit else scf.HF(mole)
    return float(mf.run(conv_tol=1e-12).e_tot)


def with_attribute(name: str, value) -> pyscf.gto.Mole:
    return changed(lambda mole: setattr(mole, name, value))


def with_entry(table: str, index, value) -> pyscf.gto.Mole:
    return changed(lambda mole: getattr(mole, table).__setitem__(index, value))


class OwnRepulsion(pyscf.gto.Mole):
    def energy_nuc(self, *_: object) -> float:
        return 0.0


E = errors
REFUSED = {
    "pseudo of water": (lambda: water(basis="gth-szv", pseudo="gth-pade"), r"GTH.*for (O, H|H, O)"),
    "pseudo of He": (
        lambda: water(atom="He 0 0 0", basis="gth-szv", pseudo="gth-pade"), r"GTH.*for He"
    ),
    "pseudo of one element": (lambda: water(pseudo={"O": "gth-pade"}), r"GTH.*for O;"),
    "repulsion": (lambda: with_attribute("enuc", 1.0), r"enuc = 1\.0.*9\.18"),
    "repulsion by a method": (
        lambda: with_attribute("energy_nuc", lambda *_: 1.0), r"energy_nuc of its own"
    ),
    "repulsion of a subclass": (
        lambda: OwnRepulsion(atom=WATER, basis="sto-3g", verbose=0).build(),
        r"OwnRepulsion.*energy_nuc",
    ),
    "integrals of its own": (lambda: with_attribute("intor", lambda *_: 0), r"intor of its own"),
    "nuclear charge": (lambda: with_entry("_atm", (0, 0), 9), r"nuclear charge 9 for atom 0"),
    "ghost by its charge": (lambda: with_entry("_atm", (0, 0), 0), r"nuclear charge 0 for atom 0"),
    "electrons": (lambda: with_attribute("nelectron", 8), r"nelectron = 8"),
    "electrons by spin": (lambda: with_attribute("nelec", (5, 4)), r"nelectron = 9"),
    "no spin": (lambda: with_attribute("spin", None), r"spin = None"),
    "charge": (lambda: with_attribute("charge", 0.5), r"charge = 0\.5"),
    "long range": (lambda: with_attribute("omega", 0.3), r"omega = 0\.3"),
    "short range": (lambda: changed(lambda m: m.set_range_coulomb(-0.3)), r"omega = -0\.3"),
    "screening": (lambda: with_entry("_env", 0, 5.0), r"cutoff 5"),
    "Gaussian nuclei": (lambda: water(nucmod="G"), r"Gaussian nuclei"),
    "one Gaussian nucleus": (lambda: changed(lambda m: m.set_nuc_mod(1, 1e3)), r"Gaussian nuclei"),
    "MM charges": (lambda: mm_mole.create_mm_mol([[0, 0, 3.0]], [0.5]), r"MM"),
    "mass": (
        lambda: with_attribute("nucprop", {"O": {"mass": -1.0}}), r"mass = -1\.0 for atom 0"
    ),
    "cell": (
        lambda: pbc_gto.Cell(
            atom="He 0 0 0", basis="sto-3g", a=5 * np.eye(3), verbose=0, unit="B"
        ).build(),
        r"periodic",
    ),
    "coinciding nuclei": (
        lambda: water(atom="H 0 0 0; H 0 0 0"), r"atoms 0 \(H\) and 1 \(H\)"
    ),
    "a mean field": (lambda: scf.RHF(water()), r"mole is a RHF.*mf\.mol"),
    "text": (lambda: WATER, r"mole is a str"),
    "not built": (lambda: pyscf.gto.Mole(atom=WATER, verbose=0), r"not built"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_by_name(make, message: str) -> None:
    with pytest.raises(errors.InputError, match=message):
        dqc.Molecule.from_pyscf(make())


def lone(mole: pyscf.gto.Mole) -> None:
    """What leaves the energy alone."""
    mole.set_f12_zeta(1.2)
    mole.set_rinv_zeta(2.0)
    mole.set_rinv_origin((1.0, 2.0, 3.0))
    mole.set_common_origin((1.0, 2.0, 3.0))


TAKEN = {
    "labels": lambda: water(atom="H^2 0 0 0; H@1 0 0 0.74", basis={"H^2": "sto-3g", "H": "6-31g"}),
    "symmetry": lambda: water(symmetry=True),
    "origins and geminals": lambda: changed(lone),
    "negative spin": lambda: water(atom="O 0 0 0; H 0 0 0.97", spin=-1),
    "spin by None": lambda: water(atom="O 0 0 0; H 0 0 0.97", spin=None),
    "unit": lambda: water(unit=0.5),
    "Cartesian": lambda: water(basis="6-31g*", cart=True),
    "ECP with spin-orbit terms": lambda: water(
        atom="I 0 0 0; H 0 0 1.6", basis={"I": "crenbl", "H": "sto-3g"}, ecp={"I": "crenbl"}
    ),
    "counterpoise": lambda: water(atom=DIMER),
    "ghosts by X": lambda: water(atom=DIMER.replace("ghost-", "X")),
    "ghosts with numbers": lambda: water(atom=f"{WATER}; Ghost-O1 0 0 2.9; X-H2 0 0 3.9"),
    "a ghost with its own basis": lambda: water(
        atom=f"{WATER}; ghost.O 0 0 2.9", basis={**BARE, "ghost.O": "6-31g"}
    ),
    "bare ghosts": lambda: water(
        atom=f"{WATER}; ghost 0 0 2.9; X1 0 0 3.9",
        basis={**BARE, "ghost": OXYGEN, "X1": pyscf.gto.basis.load("6-31g", "H")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("make", TAKEN.values(), ids=TAKEN)
def test_taken_with_the_energy_of_pyscf(make) -> None:
    mole = make()
    mol = dqc.Molecule.from_pyscf(mole)
    assert abs(float(dqc.energy(mol, dqc.HF())) - pyscf_energy(mole)) < 1e-9
    assert (mol.natm, mol.nao, mol.nelectron) == (mole.natm, mole.nao, mole.nelectron)
    np.testing.assert_array_equal(mol.charges, mole.atom_charges())


def test_bare_ghosts_fitted_and_by_density_functional() -> None:
    mole = TAKEN["bare ghosts"]()
    mol = dqc.Molecule.from_pyscf(mole)
    assert mol.symbols[3:] == ("GHOST-X", "GHOST-X")
    fitted = float(dqc.energy(mol, dqc.HF(density_fit=True)))
    assert abs(fitted - pyscf_energy(mole, density_fit=True)) < 1e-9
    slater = mole.RKS(xc="slater")
    slater.grids.level = 0
    reference = slater.run(conv_tol=1e-12).e_tot
    assert abs(float(dqc.energy(mol, dqc.KS("slater", grid_level=0))) - reference) < 1e-9


@pytest.mark.parametrize(
    "options",
    [
        {"basis": {"o": "def2-svp", 1: "def2-svp"}},
        {"basis": {"default": "def2-svp", "h": "sto-3g"}},
        {
            "atom": WATER.replace("H", "H1", 1),
            "basis": {"O": "6-31g", "H1": "def2-svp", "H": "6-31g"},
        },
        {"atom": f"{WATER}; ghost:o 0 0 2", "basis": {"o": "6-31g", "h": "6-31g"}},
    ],
)  # fmt: skip
def test_the_default_auxiliary_basis_goes_by_the_names_of_the_mole(options: dict) -> None:
    mole = water(**options)
    fitted = float(dqc.energy(dqc.Molecule.from_pyscf(mole), dqc.HF(density_fit=True)))
    assert abs(fitted - pyscf_energy(mole, density_fit=True)) < 1e-9


def test_ghosts_of_the_own_readers() -> None:
    expected = pyscf_energy(water(atom=f"{WATER}; ghost-O 0 0 2.9"))
    frame = "4\n\n" + WATER.replace("; ", "\n") + "\n{} 0 0 2.9\n"
    for label in ("ghost:O", "X-O", "@O", "Gh(O)"):
        mol = dqc.Molecule.from_xyz(frame.format(label), "sto-3g")
        assert abs(float(dqc.energy(mol)) - expected) < 1e-9
    for label in ("ghost", "X"):
        mol = dqc.Molecule.from_xyz(frame.format(label), {**BARE, label: OXYGEN})
        assert abs(float(dqc.energy(mol)) - expected) < 1e-9
        with pytest.raises(errors.BasisError, match="'sto-3g' has no functions for element 'X'"):
            dqc.Molecule.from_xyz(frame.format(label), "sto-3g")


def test_frequencies_with_the_masses_of_the_mole() -> None:
    mole = water()
    mole.nucprop = {2: {"mass": 2.01410177812}, "O": {"mass": 17.99915961}}
    vibrations = dqc.vibrations(dqc.Molecule.from_pyscf(mole), dqc.HF())
    mf = scf.RHF(mole).run(conv_tol=1e-13)
    expected = thermo.harmonic_analysis(mole, mf.Hessian().kernel(), imaginary_freq=False)
    np.testing.assert_allclose(vibrations.frequencies, expected["freq_wavenumber"], atol=0.05)
    np.testing.assert_allclose(vibrations.masses, [17.99915961, 2.01410177812, 1.008])
    labels = "O 0 0 0; D 0 0.757 0.587; H 0 -0.757 0.587"
    assert dqc.Molecule.from_atoms(labels, "sto-3g").isotope_masses == (None, 2.01410177812, None)
