"""Standard input and output, several files, and methods by name on the command line."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pyscf.dft
import pyscf.gto
import pytest

import dqc_lite as dqc
from dqc_lite.cli import arguments, main

ROOT = Path(__file__).resolve().parents[2]
H2 = "2\n\nH 0 0 0\nH 0.1 0.2 0.7\n"
HE = "1\n\nHe 0 0 0\n"
SMALL = ("--basis", "sto-3g", "--no-cache")


@pytest.fixture(autouse=True)
def _keep_jax_settings():
    """The command line sets up JAX for a process of its own; this one is shared."""
    before = jax.config.jax_enable_compilation_cache
    yield
    jax.config.update("jax_enable_compilation_cache", before)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("h2.xyz").write_text(H2)
    Path("he.xyz").write_text(HE)
    return tmp_path


@pytest.fixture
def run(here, capsys):
    """(exit code, stdout, stderr) of a command."""

    def run(*argv):
        code = main([*map(str, argv), *SMALL])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def _energy(file, method="hf"):
    return float(dqc.energy(dqc.Molecule.from_xyz(file, "sto-3g"), method))


# --- standard output and input -------------------------------------------------------------------


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
@pytest.mark.parametrize("command", ["energy", "forces"])
def test_json_on_standard_output(run, command, quiet):
    code, out, err = run(command, "h2.xyz", "--json", "-", *quiet)
    assert code == 0
    record = json.loads(out)  # nothing else is there
    assert record["command"] == command
    assert record["energy"] == pytest.approx(_energy("h2.xyz"), abs=1e-10)
    assert f"converged SCF energy = {record['energy']:.12f}" in err
    assert ("cycle=" in err) is not bool(quiet)
    assert not Path("-").exists()


def test_json_of_other_commands_on_standard_output(run):
    code, out, err = run("check-grad", "h2.xyz", "--max-components", 1, "--json", "-")
    assert (code, json.loads(out)["gradient_check"]["passed"]) == (0, True)
    assert "PASSED" in err
    code, out, err = run("freq", "h2.xyz", "--json", "-")
    assert (code, len(json.loads(out)["vibrations"]["frequencies"])) == (0, 1)
    assert "cm^-1" in err


def test_json_of_a_failure(run):
    stuck = ("--max-cycle", 1, "--solver", "diis")
    code, out, err = run("energy", "h2.xyz", "--json", "-", *stuck)
    assert (code, json.loads(out)["converged"]) == (1, False)
    assert "error: SCFNotConvergedError: " in err
    code, out, err = run("energy", "h2.xyz", "--json", "-", "--spin", 1)
    assert (code, out) == (2, "")
    assert err.startswith("error: SpinError: ")


def test_standard_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", _stdin(H2.encode()))
    code, out, _ = run("energy", "-", "--json", "-")
    record = json.loads(out)
    assert (code, record["file"]) == (0, "-")
    assert record["energy"] == pytest.approx(_energy("h2.xyz"), abs=1e-10)


def _stdin(given):
    return io.TextIOWrapper(io.BytesIO(given))


@pytest.mark.parametrize("given", [b"", b"hello\n", b"1\n\nHe \xff 0 0\n", None])
def test_bad_standard_input(run, monkeypatch, given):
    monkeypatch.setattr(sys, "stdin", None if given is None else _stdin(given))
    code, out, err = run("energy", "-")
    assert (code, out) == (2, "")
    assert err.startswith("error: GeometryError: ")
    assert err.count("\n") == 1


def test_a_pipe(here):
    """In a process of its own."""
    argv = [sys.executable, "-m", "dqc_lite.cli", "energy", "-", *SMALL, "--json", "-"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, input=HE.encode(), capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["energy"] == pytest.approx(_energy("he.xyz"), abs=1e-10)


# --- several files -------------------------------------------------------------------------------


def test_several_files(run):
    code, out, err = run("forces", "h2.xyz", "--json", "all.json", "he.xyz", "-v")
    assert (code, err) == (0, "")
    first, second = json.loads(Path("all.json").read_text())
    for record, file in ((first, "h2.xyz"), (second, "he.xyz")):
        assert record["file"] == file
        assert record["energy"] == pytest.approx(_energy(file), abs=1e-10)
        assert f"converged SCF energy = {record['energy']:.12f}" in out
    assert np.shape(first["forces"]) == (2, 3)
    assert out.index("h2.xyz") < out.index("he.xyz")


def test_one_of_several_files_fails(run):
    Path("bad.xyz").write_text("hello\n")
    files = ["h2.xyz", "bad.xyz", "none.xyz", "he.xyz"]
    code, out, err = run("energy", *files, "--json", "-", "--quiet")
    assert code == 1
    records = json.loads(out)
    assert [r["file"] for r in records] == files
    assert [r.get("error", {}).get("type") for r in records] == [
        None, "GeometryError", "GeometryError", None,
    ]  # fmt: skip
    assert records[3]["energy"] == pytest.approx(_energy("he.xyz"), abs=1e-10)
    assert "error: bad.xyz: GeometryError: " in err
    assert "h2.xyz:\nconverged" in err  # which of them it is


def test_one_of_several_does_not_converge(run):
    stuck = ("--max-cycle", 2, "--solver", "diis", "--guess", "core")
    code, _, err = run("energy", "he.xyz", ROOT / "examples" / "water.xyz", *stuck)
    assert code == 1
    assert "water.xyz: SCFNotConvergedError: " in err


def test_interrupted_between_files(run, monkeypatch):
    from dqc_lite import singlepoint

    original, calls = singlepoint.solve, []

    def interrupted(mol, *args, **kwargs):
        calls.append(mol)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(mol, *args, **kwargs)

    monkeypatch.setattr(singlepoint, "solve", interrupted)
    code, _, _ = run("energy", "he.xyz", "h2.xyz", "--json", "all.json")
    assert code == 130
    assert [r["file"] for r in json.loads(Path("all.json").read_text())] == ["he.xyz"]


@pytest.mark.parametrize(
    "argv",
    [
        ["energy", "-", "-"],
        ["energy", "a.xyz", "b.xyz", "--checkpoint", "c.h5"],
        ["freq", "a.xyz", "b.xyz", "--plot", "c.png"],
        ["fit", "--config", "a.toml", "b.toml"],
    ],
)
def test_files_that_do_not_go_together(argv, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(argv)
    assert leaving.value.code == 2
    assert capsys.readouterr().err.startswith(f"usage: dqc-lite {argv[0]}")


# --- methods -------------------------------------------------------------------------------------


def test_a_functional_as_the_method(run):
    code, out, _ = run("energy", "h2.xyz", "--method", "PBE", "--grid-level", 0, "--json", "-")
    record = json.loads(out)
    assert (code, record["method"], record["xc"]) == (0, "ks", "pbe")
    peer = pyscf.dft.RKS(pyscf.gto.M(atom="h2.xyz", basis="sto-3g", verbose=0))
    peer.xc, peer.grids.level, peer.conv_tol = "pbe", 0, 1e-12
    assert record["energy"] == pytest.approx(peer.kernel(), abs=1e-8)


def _method(*argv):
    from dqc_lite.cli.calculation import Calculation

    return Calculation.build(arguments.parse(["energy", "h2.xyz", *SMALL, *argv]), "h2.xyz").method


@pytest.mark.parametrize(
    ("argv", "restricted", "xc"),
    [
        (["--method", "uhf"], False, None),
        (["--method", "RHF"], True, None),
        (["--method", "rohf"], "rohf", None),
        (["--method", "uhf", "--restricted", "false"], False, None),
        (["--method", "hf", "--restricted", "false"], False, None),
        (["--method", "ks", "--xc", "b3lyp"], None, "b3lyp"),
        (["--method", "uks", "--xc", "b3lyp"], False, "b3lyp"),
        (["--method", "dft", "--xc", "b3lyp"], None, "b3lyp"),
        (["--method", "b3lyp"], None, "b3lyp"),
        (["--method", "b3lyp", "--xc", "B3LYP"], None, "b3lyp"),
        (["--method", "b3lyp", "--restricted", "rohf"], "rohf", "b3lyp"),
        (["--method", "0.2*HF + 0.8*PBE, PBE"], None, "0.2*hf + 0.8*pbe, pbe"),
    ],
)
def test_methods(here, argv, restricted, xc):
    method = _method(*argv)
    assert method.restricted == restricted
    assert (method.xc.name if xc else None) == xc


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--method", "b3lyp", "--xc", "pbe"], ["b3lyp", "pbe", "leave out"]),
        (["--method", "uhf", "--xc", "pbe"], ["--xc", "'uhf'"]),
        (["--method", "uks"], ["'uks'", "--xc"]),
        (["--method", "uhf", "--restricted", "true"], ["uhf", "true", "leave out"]),
        (["--method", "pbee"], ["'pbee'", "did you mean pbe"]),
        (["--method", "rhff"], ["'rhff'", "'rhf'"]),
        (["--grid-level", "3"], ["--grid-level", "'hf'"]),
    ],
)
def test_bad_methods(run, argv, names):
    code, out, err = run("energy", "h2.xyz", *argv)
    assert (code, out) == (2, "")
    assert err.startswith("error: MethodError: ")
    assert all(name in err for name in names)
    assert err.count("\n") == 1


# --- the electric field of ``freq`` --------------------------------------------------------------


@pytest.mark.parametrize(("argv", "shown"), [((), False), (("--electric-field", 0, 0, 0), True)])
def test_no_field_that_nobody_asked_for(run, argv, shown):
    code, out, _ = run("freq", "h2.xyz", "--json", "out.json", *argv)
    record = json.loads(Path("out.json").read_text())
    assert code == 0
    assert ("electric field" in out) is shown
    assert ("electric_field" in record["components"]) is shown
    assert (record["electric_field"] is not None) is shown
    assert sum(record["components"].values()) == pytest.approx(record["energy"], abs=1e-10)
