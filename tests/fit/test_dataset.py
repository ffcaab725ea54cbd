"""Data sets: sources, units, splits, errors of single rows."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.errors import InputError
from dqc_lite.fit import target_units

KCAL = 627.509474063


def _h2(name: str, length: float = 0.74, **targets) -> fit.Row:
    mol = dqc.Molecule.from_atoms(f"H 0 0 0; H 0 0 {length}", "sto-3g")
    return fit.Row(name, mol, **targets)


def test_g2_atomization_energies_without_zero_point() -> None:
    """LiH: 58.0 and CH4: 419.9 kcal/mol (Curtiss et al. 1997, with ZPE of the G2 procedure)."""
    data = fit.g2("sto-3g", names=["LiH", "CH4"])
    energies = {r.name: r.energy * KCAL for r in data.reactions}
    assert energies["LiH atomization"] == pytest.approx(57.8, abs=0.6)
    assert energies["CH4 atomization"] == pytest.approx(419.9, abs=0.8)
    (methane,) = [r for r in data.reactions if r.name.startswith("CH4")]
    assert methane.stoichiometry == {"CH4": -1.0, "C": 1.0, "H": 4.0}
    assert data["C"].mol.spin == 2


def test_s22_parts_add_up() -> None:
    data = fit.s22("sto-3g", names=["Water_dimer"])
    assert [row.mol.natm for row in data] == [6, 3, 3]
    (reaction,) = data.reactions
    assert reaction.energy * KCAL == pytest.approx(-5.02, abs=0.02)
    assert sum(data[n].mol.nelectron * c for n, c in reaction.stoichiometry.items()) == 0


def test_extxyz_units_and_bad_frames(tmp_path) -> None:
    good = Atoms("OH", positions=[[0, 0, 0], [0, 0, 1.0]], info={"spin": 1, "name": "oh"})
    good.calc = SinglePointCalculator(good, energy=-27.211386245988, forces=np.ones((2, 3)))
    bad = Atoms("OH", positions=[[0, 0, 0], [0, 0, 1.0]], info={"spin": 0, "name": "odd"})
    ase.io.write(tmp_path / "a.xyz", [good, bad], format="extxyz")
    data = fit.from_extxyz(tmp_path / "a.xyz", "sto-3g")
    assert [row.name for row in data] == ["oh"]
    assert data["oh"].energy == pytest.approx(-1.0, abs=1e-12)
    assert data["oh"].forces == pytest.approx(0.529177210903 / 27.211386245988, rel=1e-9)
    assert [p.name for p in data.problems] == ["odd"]
    assert "spin" in data.problems[0].message


def test_hdf5_keeps_everything(tmp_path) -> None:
    rows = (
        _h2("a", energy=-1.1, forces=np.arange(6.0).reshape(2, 3), source="test"),
        _h2("b", 0.9, density=np.eye(2), dipole=[0, 0, 1], weight=2.0,
            orbital_energies=[-0.5, np.nan]),
    )
    data = fit.Dataset(rows, (fit.Reaction("r", {"a": 1.0, "b": -1.0}, 0.25),))
    fit.to_hdf5(data, tmp_path / "d.h5")
    back = fit.from_hdf5(tmp_path / "d.h5")
    assert back.reactions == data.reactions
    for row in rows:
        other = back[row.name]
        assert (other.energy, other.weight, other.source) == (row.energy, row.weight, row.source)
        np.testing.assert_allclose(other.mol.positions, row.mol.positions, atol=1e-14)
        for name in ("forces", "dipole", "density", "orbital_energies"):
            np.testing.assert_array_equal(getattr(other, name), getattr(row, name))


def test_split_is_disjoint_reproducible_and_keeps_what_reactions_need() -> None:
    data = fit.g2("sto-3g", max_heavy=1)
    first, second = data.split(0.5, seed=3)
    again, _ = data.split(0.5, seed=3)
    names = [{r.name for r in part.reactions} for part in (first, second, again)]
    assert not names[0] & names[1]
    assert names[0] | names[1] == {r.name for r in data.reactions}
    assert names[0] == names[2]
    for part in (first, second):
        present = {row.name for row in part}
        assert all(present.issuperset(r.stoichiometry) for r in part.reactions)
    assert {"H", "C"} <= {row.name for row in first} & {row.name for row in second}


def test_errors_name_the_row() -> None:
    with pytest.raises(InputError, match=r"row 'a': forces has shape \(2,\)"):
        _h2("a", forces=[0.0, 1.0])
    with pytest.raises(InputError, match="not finite"):
        _h2("a", energy=np.nan)
    with pytest.raises(InputError, match="no finite number"):
        _h2("a", orbital_energies=[np.nan])
    with pytest.raises(InputError, match="2 levels at most"):
        _h2("a", orbital_energies=[-0.5, 0.1, 0.2])
    with pytest.raises(InputError, match="go together"):
        _h2("a", density_values=[1.0])
    with pytest.raises(InputError, match="more than once"):
        fit.Dataset((_h2("a"), _h2("a")))
    data = fit.Dataset((_h2("a"),), (fit.Reaction("r", {"a": 1.0, "x": 1.0}, 0.0),))
    assert not data.reactions
    assert "no row x" in data.summary()
    with pytest.raises(InputError, match="unit of energy"):
        target_units.factor("energy", "rydberg")
