"""Charge, spin, periodicity and frames: every door takes the same from the same file."""

import io
import json

import ase
import ase.io
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dqc_lite as dqc
from dqc_lite import errors, fit
from dqc_lite.cli.application import main
from dqc_lite.cli.arguments import parse
from dqc_lite.cli.calculation import Calculation

ATOMS = "O 0 0 0\nH 0 0.757 0.587\nH 0 -0.757 0.587\n"


def frame(comment: str) -> str:
    return f"3\n{comment}\n{ATOMS}"


def by_command_line(path, *words: str) -> dqc.Molecule:
    return Calculation.build(
        parse(["energy", str(path), "--basis", "sto-3g", *words]), str(path)
    ).mol


def by_fit(path) -> dqc.Molecule:
    data = fit.from_extxyz(path, "sto-3g")
    if data.problems:
        raise errors.InputError(data.problems[0].message)
    return data.rows[0].mol


TAKEN = [
    ("charge=1 multiplicity=2", 1, 1), ("charge=1 spin=1", 1, 1), ("Charge = +1, Mult = 2", 1, 1),
    ("charge: 1 multiplicity: 2", 1, 1), ("water, charge 1 multiplicity 2", 1, 1), ("1 2", 1, 1),
    ("0 1", 0, 0), ("0 3", 0, 2), ("-1 2", -1, 1), ("charge=\N{MINUS SIGN}2", -2, 0),
    ("it's charge='2'", 2, 0), ('total_charge="2"', 2, 0), ("charge=[2]", 2, 0),
    ('note="a \\"b charge=1" charge=2', 2, 0), ('note="a charge=2', 2, 0),
    ("note= charge=2", 2, 0), ("note = a=b charge = 2", 2, 0), ("uhf=2", 0, 2),
    ("cation, doublet (spin 1); charge 1", 1, 1),
    ("spin=2 multiplicity=3", 0, 2), ("charge=1.0 spin=1.0", 1, 1), ("total charge = 2", 2, 0),
    ("energy=-76.0 charge=2 config_type=a", 2, 0), ("name='charge=2 spin=7'", 0, 0),
    ("RESP charge 0.3", 0, 0), ('pbc="F F F"', 0, 0), ("pbc=[false, false, false]", 0, 0),
    ('Lattice="9 0 0 0 9 0 0 0 9" pbc="F F F" charge=2', 2, 0), ('electric_field="0 0 0"', 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(("comment", "charge", "spin"), TAKEN, ids=[t[0] for t in TAKEN])
def test_every_reader_takes_what_the_file_states(tmp_path, comment, charge, spin) -> None:
    path = tmp_path / "m.xyz"
    path.write_text(frame(comment), encoding="utf-8")
    for mol in (
        dqc.Molecule.from_xyz(path, "sto-3g"), dqc.Molecule.from_xyz(frame(comment), "sto-3g"),
        dqc.Molecule.from_xyz(path, "sto-3g", charge=charge, spin=spin),
        by_command_line(path), by_command_line(path, "--charge", str(charge)), by_fit(path),
    ):  # fmt: skip
        assert (mol.charge, mol.spin, mol.nelectron) == (charge, spin, 10 - charge)


E = errors
REFUSED = [
    ("charge=0.5", E.ChargeSpinError, r"charge = 0\.5.*whole"),
    ("charge=", E.ChargeSpinError, r"charge = .*whole"),
    ("charge=+", E.ChargeSpinError, r"charge = \+.*whole"),
    ("charge=1 charge=2", E.InputError, r"charge = 1 and charge = 2"),
    ("charge=2 total_charge=0", E.ChargeSpinError, r"charge = 2.*total_charge = 0.*agree"),
    ("spin=1 multiplicity=1", E.ChargeSpinError, r"spin = 1.*multiplicity = 1.*agree"),
    ("multiplicity=0", E.SpinError, r"multiplicity = 0.*at least 1"),
    ("multiplicity=1.5", E.SpinError, r"multiplicity = 1\.5"),
    ("spin=-2", E.SpinError, r"spin = -2"),
    ("spin=1", E.SpinError, r"10 electrons.*says spin = 1"),
    ("multiplicity=2", E.SpinError, r"10 electrons.*says multiplicity = 2"),
    ("spin 2", E.SpinError, r"'spin 2', which may be S or 2S"),
    ("spin 1", E.SpinError, r"10 electrons.*says spin = 1"),
    ("total_spin=1", E.SpinError, r"total_spin = 1.*unambiguous"),
    ("charge=11", E.ChargeSpinError, r"charge = 11"),
    ('Lattice="9 0 0 0 9 0 0 0 9"', E.GeometryError, r"Lattice.*periodic"),
    ('pbc="T F F"', E.GeometryError, r"pbc = 'T F F'.*periodic"),
    ('Lattice="9 0 0 0 9 0 0 0 9" pbc="F F T"', E.GeometryError, r"pbc = 'F F T'"),
    ("# CELL(abcABC): 10 10 10 90 90 90 Step: 0", E.GeometryError, r"CELL.*periodic"),
    ('electric_field="0 0 0.1"', E.InputError, r"electric_field = 0 0 0\.1"),
]  # fmt: skip


@pytest.mark.parametrize(("comment", "error", "message"), REFUSED, ids=[r[0] for r in REFUSED])
def test_every_reader_refuses_the_same(tmp_path, comment, error, message) -> None:
    path = tmp_path / "m.xyz"
    path.write_text(frame(comment))
    for read in (lambda: dqc.Molecule.from_xyz(path, "sto-3g"), lambda: by_command_line(path)):
        with pytest.raises(error, match=message):
            read()
    with pytest.raises(errors.InputError, match=message):
        by_fit(path)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([None, -2, 0, 1, 2]), st.sampled_from([None, 0, 1, 2]),
    st.sampled_from([None, -2, 0, 1, 2]), st.sampled_from([None, 0, 1, 2]), st.booleans(),
)  # fmt: skip
def test_arguments_and_statements(charge, spin, stated_charge, stated_spin, multiplicity) -> None:
    said = [] if stated_charge is None else [f"charge={stated_charge}"]
    if stated_spin is not None:
        said.append(f"multiplicity={stated_spin + 1}" if multiplicity else f"spin={stated_spin}")
    pairs = ((charge, stated_charge), (spin, stated_spin))
    differ = any(None not in pair and pair[0] != pair[1] for pair in pairs)
    expected = [next((v for v in pair if v is not None), 0) for pair in pairs]

    def read() -> dqc.Molecule:
        return dqc.Molecule.from_xyz(frame(" ".join(said)), "sto-3g", charge=charge, spin=spin)

    if differ:
        with pytest.raises(errors.ChargeSpinError, match="the argument is"):
            read()
    elif sum(expected) % 2:
        with pytest.raises(errors.SpinError, match="electrons"):
            read()
    else:
        mol = read()
        assert [mol.charge, mol.spin] == expected


def test_the_command_line_computes_the_ion(tmp_path, capsys) -> None:
    path = tmp_path / "ion.xyz"
    path.write_text("1\ncharge=1 multiplicity=2\nHe 0 0 0\n")
    report = tmp_path / "ion.json"
    words = [str(path), "--basis", "sto-3g", "--json", str(report)]
    assert main(["energy", *words, "--quiet"]) == 0
    results = json.loads(report.read_text())
    assert (results["charge"], results["spin"], results["nelectron"]) == (1, 1, 1)
    capsys.readouterr()
    assert main(["energy", *words, "--charge", "0"]) == 2
    assert "the argument is charge = 0, but the comment line says charge = 1" in (
        capsys.readouterr().err
    )


def test_frames(tmp_path) -> None:
    path = tmp_path / "two.xyz"
    path.write_text(frame("charge=2") + "\n" + frame("charge=-2 name=second"))
    assert dqc.Molecule.from_xyz(path, "sto-3g", frame=0).charge == 2
    assert dqc.Molecule.from_xyz(path, "sto-3g", frame=-1).charge == -2
    assert by_command_line(path, "--frame", "1").charge == -2
    assert [row.mol.charge for row in fit.from_extxyz(path, "sto-3g")] == [2, -2]
    for read in (lambda: dqc.Molecule.from_xyz(path), lambda: by_command_line(path)):
        with pytest.raises(errors.InputError, match=r"two\.xyz' has 2 frames.*frame="):
            read()
    for bad in (2, -3, 0.5, "first"):
        with pytest.raises(errors.InputError, match=f"frame = {bad!r}"):
            dqc.Molecule.from_xyz(path, frame=bad)


def test_columns_of_initial_charges_and_moments() -> None:
    head = "2\nProperties=species:S:1:pos:R:3:{}\nHe 0 0 0 {}\nHe 0 0 1.5 {}\n"

    def read(*row: str, **options: int) -> tuple[int, int]:
        mol = dqc.Molecule.from_xyz(head.format(*row), "sto-3g", **options)
        return mol.charge, mol.spin

    both = "initial_charges:R:1:initial_magmoms:R:1"
    assert read(both, "0.5 1", "0.5 0") == (1, 1)
    assert read("charges:R:1", "-0.5", "-0.5") == (0, 0)  # results, not input
    with pytest.raises(errors.ChargeSpinError, match=r"charge = 0, but the frame.*sum 1"):
        read(both, "0.5 1", "0.5 0", charge=0)
    with pytest.raises(errors.ChargeSpinError, match=r"sum 0\.7.*no whole number.*charge="):
        read("initial_charges:R:1", "0.5", "0.2")
    with pytest.raises(errors.ChargeSpinError, match=r"both signs.*spin="):
        read("initial_magmoms:R:1", "1", "-1")
    assert read("initial_magmoms:R:1", "1", "-1", spin=0) == (0, 0)
    masses = dqc.Molecule.from_xyz(head.format("masses:R:1", "3.016", "4.0026"), "sto-3g")
    assert masses.isotope_masses == (3.016, 4.0026)


def water(**options) -> ase.Atoms:
    return ase.Atoms("OHH", [(0, 0, 0), (0, 0.757, 0.587), (0, -0.757, 0.587)], **options)


def changed(atoms: ase.Atoms, **info) -> ase.Atoms:
    atoms.info.update(info)
    return atoms


ASE_TAKEN = [
    (lambda: water(charges=[2.0, 0, 0]), {}, (2, 0)),
    (lambda: water(charges=[2.0, 0, 0]), {"charge": 2}, (2, 0)),
    (lambda: water(charges=[-0.8, 0.4, 0.4]), {}, (0, 0)),
    (lambda: changed(water(), charge=-1, multiplicity=2), {}, (-1, 1)),
    (lambda: changed(water(), charge=np.int64(1), spin=1.0), {}, (1, 1)),
    (lambda: changed(water(magmoms=[1, 0, 0]), charge=1), {}, (1, 1)),
    (lambda: water(magmoms=[1, 0.5, 0.5]), {}, (0, 2)),
    (lambda: water(magmoms=[2, 0, 0]), {"spin": 0}, (0, 0)),
    (lambda: water(magmoms=[1, -1, 0]), {"spin": 0}, (0, 0)),
    (lambda: water(cell=[9, 9, 9], pbc=False), {}, (0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "options", "expected"), ASE_TAKEN)
def test_what_ase_atoms_state_is_taken(make, options, expected, tmp_path) -> None:
    mol = dqc.Molecule.from_ase(make(), "sto-3g", **options)
    assert (mol.charge, mol.spin) == expected
    ase.io.write(tmp_path / "a.xyz", make(), format="extxyz")
    read = dqc.Molecule.from_xyz(tmp_path / "a.xyz", "sto-3g", **options)
    assert (read.charge, read.spin) == expected


ASE_REFUSED = [
    (lambda: water(pbc=True), {}, E.GeometryError, r"pbc = \[True, True, True\].*periodic"),
    (lambda: water(cell=[9, 9, 9], pbc=[0, 0, 1]), {}, E.GeometryError, r"periodic"),
    (lambda: water(charges=[2.0, 0, 0]), {"charge": 0}, E.ChargeSpinError, r"charge = 0, but.*2"),
    (lambda: changed(water(), charge=1), {"charge": -1}, E.ChargeSpinError, r"-1, but.*charge = 1"),
    (lambda: changed(water(), charge=1), {}, E.SpinError, r"atoms.info says charge = 1"),
    (lambda: changed(water(), charge=0.5), {}, E.ChargeSpinError, r"0\.5.*whole"),
    (lambda: changed(water(), spin="x"), {}, E.SpinError, r"spin = x"),
    (lambda: changed(water(magmoms=[2, 0, 0]), spin=0), {}, E.ChargeSpinError, r"do not agree"),
    (lambda: changed(water(charges=[1, 1, 0]), charge=0), {}, E.ChargeSpinError, r"do not agree"),
    (lambda: water(charges=[0.3, 0, 0]), {}, E.ChargeSpinError, r"sum 0\.3"),
    (lambda: water(magmoms=[0.5, 0, 0]), {}, E.ChargeSpinError, r"sum 0\.5"),
    (lambda: water(magmoms=[1, -1, 0]), {}, E.ChargeSpinError, r"both signs"),
    (lambda: [water()], {}, E.InputError, r"atoms is a list"),
]


@pytest.mark.parametrize(("make", "options", "error", "message"), ASE_REFUSED)
def test_what_ase_atoms_state_is_refused(make, options, error, message) -> None:
    with pytest.raises(error, match=message):
        dqc.Molecule.from_ase(make(), "sto-3g", **options)


# ASE does not escape backslashes
PRINTABLE = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\\"), max_size=12
)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.sampled_from(["a", "name", "note", "z9"]), PRINTABLE), st.booleans())
def test_what_ase_writes_around_the_charge(info: dict, first: bool) -> None:
    said = {"charge": 2}
    atoms = changed(water(), **(said | info if first else info | said))
    text = io.StringIO()
    ase.io.write(text, atoms, format="extxyz")
    mol = dqc.Molecule.from_xyz(text.getvalue(), "sto-3g")
    assert (mol.charge, mol.spin) == (2, 0)


def test_masses_of_ase_atoms(tmp_path) -> None:
    atoms = water()
    assert dqc.Molecule.from_ase(atoms, "sto-3g").isotope_masses == ()
    atoms.set_masses([15.995, 2.014, 1.008])
    assert dqc.Molecule.from_ase(atoms, "sto-3g").isotope_masses == (15.995, 2.014, 1.008)
    atoms.arrays["masses"][0] = -1.0
    with pytest.raises(errors.InputError, match="mass -1 for atom 0"):
        dqc.Molecule.from_ase(atoms, "sto-3g")


def test_masses_survive_files(tmp_path) -> None:
    heavy = dqc.Molecule.from_xyz(frame("").replace("H 0 0.7", "D 0 0.7"), "sto-3g")
    fit.to_hdf5(fit.Dataset((fit.Row("hdo", heavy),)), tmp_path / "d.h5")
    (row,) = fit.from_hdf5(tmp_path / "d.h5")
    assert row.mol.isotope_masses == heavy.isotope_masses == (None, 2.01410177812, None)
    dqc.solve(heavy, dqc.HF(), checkpoint=str(tmp_path / "c.h5"))
    restored = dqc.load_checkpoint(tmp_path / "c.h5").mol
    assert restored.isotope_masses == heavy.isotope_masses


def test_a_bad_frame_of_a_data_set_is_listed(tmp_path) -> None:
    path = tmp_path / "set.xyz"
    frames = ["energy=-1.0 name=good E=1 E=2", "spin 2", "charge=1 spin=1 energy=-2.0"]
    frames += ["energy=x", "energy=", 'weight="1 2"', "dipole=3"]
    path.write_text("".join(map(frame, frames)))
    data = fit.from_extxyz(path, "sto-3g", energy_unit="hartree")
    assert [(row.name, row.energy, row.mol.charge) for row in data] == [
        ("good", -1.0, 0), ("set-2", -2.0, 1),
    ]  # fmt: skip
    assert [problem.name for problem in data.problems] == [
        "set-1",
        *(f"set-{i}" for i in range(3, 7)),
    ]
    path.write_text("2\n\n" + ATOMS)
    with pytest.raises(errors.GeometryError, match="follows the announced atoms"):
        fit.from_extxyz(path, "sto-3g")
