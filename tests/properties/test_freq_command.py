"""``dqc-lite freq``."""

from __future__ import annotations

import importlib.util
import json
import pathlib

import numpy as np
import pytest

from dqc_lite.cli import freq, main

WATER = "3\nwater\nO 0 0 0\nH 0 0.757 0.587\nH 0 -0.757 0.587\n"


@pytest.fixture
def water(tmp_path: pathlib.Path) -> str:
    file = tmp_path / "water.xyz"
    file.write_text(WATER)
    return str(file)


def test_report_and_file(
    water: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "out.json", tmp_path / "spectrum.png"
    drawing = importlib.util.find_spec("matplotlib") is not None
    plot = ["--plot", str(picture)] if drawing else []
    assert main(["freq", water, "--basis", "sto-3g", "--json", str(out), "--no-cache", *plot]) == 0
    printed = capsys.readouterr()
    written = json.loads(out.read_text())
    frequencies = written["vibrations"]["frequencies"]
    assert len(frequencies) == 3
    for frequency in frequencies:
        assert f"{frequency:.2f}" in printed.out
    for word in ("converged SCF energy", "km/mol", "Gibbs energy", "symmetry number 2"):
        assert word in printed.out
    assert "not stationary" in printed.err
    hessian = np.array(written["hessian"])
    assert hessian.shape == (3, 3, 3, 3)
    np.testing.assert_allclose(hessian.sum(2), 0.0, atol=1e-8)
    np.testing.assert_allclose(np.sum(written["dipole_derivatives"], 0), 0.0, atol=1e-6)
    thermo = written["thermochemistry"]
    free = thermo["enthalpy"] - 298.15 * thermo["entropy"]
    assert thermo["gibbs_energy"] == pytest.approx(free, abs=1e-12)
    assert picture.exists() == drawing


def test_imaginary_modes_are_announced(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Linear water is a saddle point."""
    file = tmp_path / "linear.xyz"
    file.write_text("3\n\nO 0 0 0\nH 0 0 0.95\nH 0 0 -0.95\n")
    assert main(["freq", str(file), "--basis", "sto-3g", "--quiet", "--no-cache"]) == 0
    printed = capsys.readouterr()
    assert "imaginary" in printed.err
    table = printed.out.split("km/mol")[1].split("Thermochemistry")[0]
    frequencies = [float(line.split()[1]) for line in table.splitlines() if line.strip()]
    assert len(frequencies) == 4
    assert frequencies[0] == frequencies[1] < 0 < frequencies[2]


def test_unconverged(water: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--basis", "sto-3g", "--solver", "diis", "--max-cycle", "2", "--no-cache"]
    assert main(["freq", water, *options]) == 1
    printed = capsys.readouterr()
    assert "SCFNotConvergedError" in printed.err
    assert "km/mol" not in printed.out


def test_plot_is_checked_before_the_work(
    water: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(freq.importlib.util, "find_spec", lambda name: None)
    assert main(["freq", water, "--plot", "x.png"]) == 2
    assert "matplotlib" in capsys.readouterr().err
