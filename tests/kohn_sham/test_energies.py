"""Kohn-Sham energies on the same grid as PySCF's, and published and peer-tested values."""

import pytest
from systems import mean_field, molecule

import dqc_lite as dqc

CASES = [
    ("he", "6-31g", dqc.KS("pbe", grid_level=1)),
    ("h", "6-31g", dqc.KS("pbe", grid_level=1)),
    ("n2", "6-31g*", dqc.KS("lda,vwn")),
    ("nh3 rotated", "6-31g", dqc.KS("b3lyp", grid_level=1)),
    ("ch4", "6-31g", dqc.KS("r2scan", grid_level=1)),
    ("h2o", "def2-svp", dqc.KS("pbe", density_fit=True, grid_level=1)),
    ("h2o", "6-31g", dqc.KS("camb3lyp", grid_level=1)),
    ("h2o", "6-31g", dqc.KS("hse06", grid_level=1, density_fit=True)),
    ("hf", "6-31g", dqc.KS("wb97m_v", grid_level=1, nonlocal_grid_level=0)),
    ("o2", "6-31g", dqc.KS("pbe", grid_level=1)),
    ("o2", "6-31g", dqc.KS("b3lyp", restricted="rohf", grid_level=1)),
    ("ch3", "6-31g", dqc.KS("m06l", grid_level=1)),
    ("hi", "def2-svp", dqc.KS("pbe0", grid_level=1)),
    ("water-ghost", "6-31g", dqc.KS("pbe", grid_level=1)),
]


@pytest.mark.usefixtures("compiled_once")
@pytest.mark.parametrize(("name", "basis", "method"), CASES, ids=lambda x: getattr(x, "xc", x))
def test_against_pyscf(name: str, basis: str, method: dqc.KS) -> None:
    mol = molecule(name, basis)
    energy = float(dqc.energy(mol, method))
    assert abs(energy - mean_field(mol, basis, method).e_tot) < 1e-7
