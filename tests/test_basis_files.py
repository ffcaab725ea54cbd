"""Every shipped basis file against PySCF's own library, element by element."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyscf.data.elements import ELEMENTS
from pyscf.gto import basis as pyscf_basis

from dqc_lite import basis_files

LAST_ELEMENT = {"sto-3g": 18, "6-31g": 18, "6-31g*": 18, "def2-svp": 36}
CASES = [(n, s) for n, last in LAST_ELEMENT.items() for s in ELEMENTS[1 : last + 1]]


def test_every_shipped_name_is_compared():
    assert set(basis_files.shipped()) == set(LAST_ELEMENT)


@pytest.mark.parametrize(("name", "symbol"), CASES)
def test_equals_pyscf(name, symbol):
    path = basis_files.find(name, symbol)
    assert path is not None
    ours = pyscf_basis.parse(path.read_text(), symbol)
    theirs = pyscf_basis.load(name, symbol)
    assert [shell[0] for shell in ours] == [shell[0] for shell in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.array(mine[1:]), np.array(other[1:]), rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", basis_files.shipped())
def test_elements_of_a_file(name):
    path = basis_files.find(name)
    assert basis_files.elements(path) == tuple(ELEMENTS[1 : LAST_ELEMENT[name] + 1])


@pytest.mark.parametrize(
    ("spelling", "file"),
    [
        ("STO-3G", "sto-3g.nw"),
        ("sto3g", "sto-3g.nw"),
        ("sto_3g", "sto-3g.nw"),
        ("6-31G", "6-31g.nw"),
        ("631g", "6-31g.nw"),
        ("6-31G*", "6-31gs.nw"),
        ("6-31g(d)", "6-31gs.nw"),
        ("6-31gs", "6-31gs.nw"),
        ("Def2 SVP", "def2-svp.nw"),
        ("def2_svp", "def2-svp.nw"),
    ],
)
def test_spellings(spelling, file):
    path = basis_files.find(spelling)
    assert path is not None
    assert path.name == file


@pytest.mark.parametrize("name", ["cc-pvdz", "6-31g**", "6-31+g*", "", "../pyproject", "def2-svpd"])
def test_other_names_are_not_ours(name):
    assert basis_files.find(name) is None


@pytest.mark.parametrize(
    ("name", "symbol"), [("6-31g", "K"), ("def2-svp", "Xe"), ("sto-3g", "Qq"), ("sto-3g", "")]
)
def test_missing_element(name, symbol):
    assert basis_files.find(name) is not None
    assert basis_files.find(name, symbol) is None


def test_symbol_case():
    assert basis_files.find("sto-3g", "cl") == basis_files.find("sto-3g", "CL") is not None


def test_files_have_no_words_that_change_the_parser():
    """PySCF looks for ECP and GTH anywhere in the text and would take another parser."""
    for name in basis_files.shipped():
        text = basis_files.find(name).read_text()
        assert "ECP" not in text
        assert "GTH" not in text


def _find_from(folder: Path) -> str:
    code = "from dqc_lite import basis_files; print(basis_files.find('6-31g*'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("layout", ["checkout", "wheel", "neither"])
def test_layouts(tmp_path, layout):
    """The module alone: in a checkout, in an installed wheel, and beside a stranger's `basis`."""
    package = tmp_path / "dqc_lite"
    package.mkdir()
    (package / "__init__.py").write_text("")
    shutil.copy(basis_files.__file__, package)
    folder = package / "_basis_files" if layout == "wheel" else tmp_path / "basis"
    folder.mkdir()
    (folder / "6-31gs.nw").write_text("C    S\n  1.0  1.0\n")
    if layout == "checkout":
        (tmp_path / "pyproject.toml").write_text("")
    found = _find_from(tmp_path)
    assert found == ("None" if layout == "neither" else str((folder / "6-31gs.nw").resolve()))
