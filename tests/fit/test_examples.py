"""The committed results of the examples hold."""

import json
from pathlib import Path

import numpy as np
import pytest

import dqc_lite as dqc
from dqc_lite import fit

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_the_neural_functional_beats_pbe_on_held_out_geometries() -> None:
    """Total energies against CCSD(T) in the same basis, by the public interface."""
    data = fit.from_hdf5(EXAMPLES / "fit_neural" / "data.h5")
    held_out = [row for row in data if row.name.endswith("test")]
    assert len(held_out) >= 6
    errors = {}
    for xc in ("pbe", str(EXAMPLES / "fit_neural" / "functional.h5")):
        method = dqc.KS(xc, grid_level=1)
        errors[xc] = [float(dqc.energy(row.mol, method)) - row.energy for row in held_out]
    pbe, trained = (np.abs(e).mean() for e in errors.values())
    assert trained < 0.5 * pbe


def test_recorded_errors_of_the_g2_fit() -> None:
    """Training and test halves are disjoint and both improved."""
    record = json.loads((EXAMPLES / "fit_g2_b3lyp" / "results.json").read_text())
    names = [set(record[f"{part} after"]["errors"]) for part in ("training", "test")]
    assert not names[0] & names[1]
    for part in ("training", "test"):
        before, after = record[f"{part} before"], record[f"{part} after"]
        assert after["rmse"] < before["rmse"]
        recomputed = np.abs([*after["errors"].values()]).mean() * 627.509474063
        assert recomputed == pytest.approx(after["mae"], rel=1e-9)
