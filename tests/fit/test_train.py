"""Training: recovery of known parameters, resume, batches, stops, logs, the command line."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optax
import pytest
from fit_problems import EIGHT, TIGHT, made_by, shifted

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.cli import main
from dqc_lite.errors import CheckpointError, InputError

PBE = fit.Parameters.select("pbe", ["gga_x_pbe.*", "gga_c_pbe.beta"])
FEW = ("n2", "h2o", "ch4")
ROOT = Path(__file__).parents[2]


def _objective(xc: str, names: tuple[str, ...], parameters, kind="energy") -> fit.Objective:
    method = dqc.KS(xc, grid_level=0)
    return fit.Objective(made_by(xc, names, kind), method, parameters, solver=TIGHT, max_buckets=1)


@pytest.fixture(scope="module")
def pbe() -> fit.Objective:
    return _objective("pbe", FEW, shifted(PBE, 1.1, 0.9, 1.15))


def _recovered(objective: fit.Objective, true: fit.Parameters, steps: int = 25) -> None:
    result = fit.train(objective, steps=steps, loss_tol=1e-21)
    np.testing.assert_allclose(result.values, true.start, rtol=1e-5)
    assert not any(record["skipped"] for record in result.history)


def test_pbe_from_energies(pbe) -> None:
    pbe.restore({})
    _recovered(pbe, PBE)


CASES = {
    "pbe": (PBE, (1.1, 0.9, 1.15)),
    "b3lyp": (fit.three_parameters("b3lyp"), (1.3, 0.9, 1.1)),
    "r2scan": (
        fit.Parameters.select("r2scan", ["mgga_x_r2scan.k1", "mgga_x_r2scan.h0",
                                         "mgga_c_r2scan.beta"]),
        (1.1, 0.98, 1.1),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["energy", "forces"])
@pytest.mark.parametrize("xc", CASES)
def test_recovery(xc: str, kind: str) -> None:
    """Eight molecules, from energies alone and from forces alone."""
    true, factors = CASES[xc]
    _recovered(_objective(xc, EIGHT, shifted(true, *factors), kind), true)


@pytest.mark.parametrize("name", ["lm", "lbfgs", "adam"])
def test_resumed_training_gives_the_same_numbers(pbe, tmp_path, name: str) -> None:
    optimizer = {
        "lm": fit.LevenbergMarquardt(), "lbfgs": fit.LBFGS(),
        "adam": fit.Optax(optax.adam(3e-3)),
    }[name]  # fmt: skip
    batch = 2 if name == "adam" else None

    def run(steps: int, file: str):
        fresh = pbe.on(fit.Dataset(tuple(pbe.rows)))
        return fit.train(fresh, optimizer, steps=steps, batch_size=batch, seed=4,
                         checkpoint=tmp_path / file, log=tmp_path / f"{file}.jsonl")  # fmt: skip

    whole = run(4, "whole.h5")
    run(2, "cut.h5")
    resumed = run(4, "cut.h5")
    np.testing.assert_array_equal(resumed.x, whole.x)
    drop = ("seconds",)
    for a, b in zip(resumed.history, whole.history, strict=True):
        assert {k: v for k, v in a.items() if k not in drop} == {
            k: v for k, v in b.items() if k not in drop
        }
    lines = (tmp_path / "cut.h5.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
    if name == "lm":
        with pytest.raises(CheckpointError, match="another training"):
            fit.train(pbe, fit.LBFGS(), steps=1, checkpoint=tmp_path / "cut.h5")
        (tmp_path / "bad.h5").write_bytes(b"nothing")
        with pytest.raises(CheckpointError, match="damaged"):
            fit.train(pbe, steps=1, checkpoint=tmp_path / "bad.h5")


KILLED = """
[data]
source = "hdf5"
file = "data.h5"
[method]
xc = "pbe"
grid_level = 0
[parameters]
select = ["gga_x_pbe.*"]
[optimizer]
name = "adam"
settings = {{learning_rate = 0.01}}
batch_size = 2
steps = 30
[run]
folder = "{folder}"
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_as_if_nothing_had_happened(tmp_path) -> None:
    """SIGKILL of the command in mid-run, then the same command again."""
    fit.to_hdf5(made_by("b3lyp", FEW), tmp_path / "data.h5")

    def start(folder: str) -> subprocess.Popen:
        config = tmp_path / f"{folder}.toml"
        config.write_text(KILLED.format(folder=folder))
        return subprocess.Popen(
            [sys.executable, "-m", "dqc_lite.cli", "fit", "--config", config, "--quiet"],
            cwd=ROOT, stdout=subprocess.DEVNULL,
        )

    def steps() -> list[int]:
        log = tmp_path / "cut" / "log.jsonl"
        text = log.read_text() if log.exists() else ""
        return [json.loads(line)["step"] for line in text.splitlines()]

    assert start("whole").wait(timeout=280) == 0
    cut = start("cut")
    deadline = time.monotonic() + 280
    while len(steps()) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    cut.send_signal(signal.SIGKILL)
    assert cut.wait() == -signal.SIGKILL
    assert 5 <= len(steps()) < 30
    assert start("cut").wait(timeout=280) == 0
    assert steps() == list(range(1, 31))
    found = [json.loads((tmp_path / name / "report.json").read_text())["parameters"]
             for name in ("whole", "cut")]  # fmt: skip
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    assert found[0]["gga_x_pbe.mu"] != pytest.approx(PBE.start[1], rel=1e-2)


def test_batches_cover_the_set_once_in_each_round(pbe) -> None:
    from dqc_lite.fit.train import _Run

    run = _Run(pbe, None, fit.LBFGS(), 2, 7)
    first = [name for step in (0, 1) for name in run._batch(step)[0]]
    assert sorted(first) == sorted(pbe.targets)
    assert run._batch(3) == run._batch(3)
    x = pbe.parameters.point()
    halves = [pbe.evaluate(x, "value", *run._batch(step)) for step in (0, 1)]
    shares = [1.0 / run._batch(step)[1] for step in (0, 1)]
    total = sum(h.loss * s for h, s in zip(halves, shares, strict=True))
    assert total == pytest.approx(pbe.evaluate(x, "value").loss, rel=1e-10)


def test_early_stopping_keeps_the_best(pbe) -> None:
    """Adam overshoots: the loss rises and training ends."""
    result = fit.train(pbe, fit.Optax(optax.adam(0.05)), steps=60, patience=2, validation=pbe)
    assert result.stopped == "patience"
    assert len(result.history) < 60
    losses = [record["validation"] for record in result.history]
    assert result.loss == min(losses)


def test_wrong_settings(pbe) -> None:
    from dqc_lite.fit.optimizers import named

    with pytest.raises(InputError, match="unknown"):
        named("gradient-descent")
    with pytest.raises(InputError, match="steps = -1 must be a whole number, 0 or above"):
        fit.train(pbe, steps=-1)


CONFIG = """
[data]
source = "hdf5"
file = "data.h5"
train = 0.67
[method]
xc = "pbe"
grid_level = 0
[parameters]
select = ["gga_x_pbe.*"]
bounds = {"*.kappa" = [0.1, 2.0]}
[optimizer]
name = "lm"
steps = 3
[run]
folder = "out"
"""


def test_command_line(tmp_path, capsys) -> None:
    fit.to_hdf5(made_by("b3lyp", FEW), tmp_path / "data.h5")
    (tmp_path / "fit.toml").write_text(CONFIG)
    code = main(["fit", "--config", str(tmp_path / "fit.toml"), "--no-cache"])
    text = capsys.readouterr().out
    assert code == 0
    assert "gga_x_pbe.kappa" in text
    assert "test, after" in text
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    assert record["after"]["train"]["loss"] < record["before"]["train"]["loss"]
    trained = dqc.functional(str(tmp_path / "out" / "functional.h5"))
    assert float(trained.components[0].mu) == record["parameters"]["gga_x_pbe.mu"]
    xyz = tmp_path / "h2.xyz"
    xyz.write_text("2\n\nH 0 0 0\nH 0 0 0.74\n")
    path = str(tmp_path / "out" / "functional.h5")
    assert main(["energy", str(xyz), "--xc", path, "--grid-level", "0", "--basis", "sto-3g",
                 "--no-cache", "--json", str(tmp_path / "e.json")]) == 0  # fmt: skip
    energy = json.loads((tmp_path / "e.json").read_text())["energy"]
    mol = dqc.Molecule.from_xyz(xyz, "sto-3g")
    assert energy == pytest.approx(float(dqc.energy(mol, dqc.KS(trained, grid_level=0))), abs=1e-9)


def test_wrong_config(tmp_path, capsys) -> None:
    for text, message in (
        ("[data]\nsource = 'g3'\n[method]\nxc = 'pbe'", "source = 'g3'"),
        ("[data]\nsource = 'g2'\n[methods]\nxc = 'pbe'", "tables ['methods'] are unknown"),
        ("[data]\nsource = 'g2'\n[method]\nxc = 'pbe'\ngrid = 3", "unknown keys ['grid']"),
        ("[data", "no TOML file"),
    ):
        (tmp_path / "fit.toml").write_text(text)
        assert main(["fit", "--config", str(tmp_path / "fit.toml"), "--no-cache"]) == 2
        assert message in capsys.readouterr().err
