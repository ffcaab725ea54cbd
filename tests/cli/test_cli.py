"""The command line: numbers, JSON, exit codes, speed of ``--help``, cache of compiled programs."""

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pyscf.gto
import pyscf.scf
import pytest

import dqc_lite as dqc
from dqc_lite import gradcheck, singlepoint
from dqc_lite.cli import arguments, main
from dqc_lite.scf import driver
from dqc_lite.scf.solvers import DEFAULT

ROOT = Path(__file__).resolve().parents[2]
WATER, CH3 = ROOT / "examples" / "water.xyz", ROOT / "examples" / "ch3.xyz"
H2 = "2\n\nH 0 0 0\nH 0.1 0.2 0.7\n"


@pytest.fixture(autouse=True)
def _keep_jax_settings():
    """The command line sets up JAX for a process of its own; this one is shared."""
    names = ("jax_enable_compilation_cache", "jax_compilation_cache_dir")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def h2(tmp_path):
    path = tmp_path / "h2.extxyz"
    path.write_text(H2)
    return path


def run(*argv):
    """(exit code, stdout, stderr) of the command in this process, without a cache on disk."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(a) for a in argv] + ["--no-cache"])
        except SystemExit as leaving:
            code = leaving.code
    return code, out.getvalue(), err.getvalue()


def run_process(*argv, python=("-m", "dqc_lite.cli"), **environment):
    """The command in a process of its own."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *python, *map(str, argv)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths} | environment,
    )  # fmt: skip


def load_strict(path):
    """JSON that refuses NaN and Infinity."""

    def refuse(name):
        raise ValueError(name)

    return json.loads(path.read_text(), parse_constant=refuse)


def table_after(text, title):
    """The last three columns of the atom table under `title`."""
    lines = text.splitlines()
    start = lines.index(title) + 2
    rows = [line.split()[2:] for line in lines[start:]]
    return np.array([[float(x) for x in r] for r in rows[: _atoms(lines[start:])]])


def _atoms(lines):
    return next(i for i, line in enumerate(lines) if not line.split() or not line[5].isdigit())


def pyscf_of(path, basis, spin=0):
    mole = pyscf.gto.M(atom=str(path), basis=basis, spin=spin, verbose=0)
    solver = pyscf.scf.UHF(mole) if spin else pyscf.scf.RHF(mole)
    solver.conv_tol, solver.conv_tol_grad = 1e-12, 1e-8
    solver.kernel()
    return solver, -solver.nuc_grad_method().kernel()


# --- numbers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def water(tmp_path_factory):
    """`forces` on water: (stdout, stderr, record, number of SCF runs)."""
    out = tmp_path_factory.mktemp("water") / "out.json"
    original, calls = driver.run, []

    def counted(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    enabled = jax.config.jax_enable_compilation_cache
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "run", counted)
        code, text, err = run("forces", WATER, "--basis", "6-31g", "--json", out, "-v")
    jax.config.update("jax_enable_compilation_cache", enabled)
    assert code == 0, err
    return text, err, load_strict(out), len(calls)


def test_forces_takes_one_scf(water):
    assert water[3] == 1


def test_water_against_the_library(water):
    _, _, record, _ = water
    mol = dqc.Molecule.from_xyz(WATER, basis="6-31g")
    solution = dqc.solve(mol)
    assert record["energy"] == pytest.approx(float(solution.energy), abs=1e-12)
    assert record["iterations"] == int(solution.iterations)
    np.testing.assert_allclose(record["mo_energy"], solution.mo_energy, atol=1e-10)
    np.testing.assert_array_equal(record["mo_occ"], solution.mo_occ)
    np.testing.assert_allclose(record["forces"], dqc.forces(mol), atol=1e-12)
    assert record["certificate"]["gap"] == pytest.approx(float(solution.certificate.gap))
    assert record["certificate"]["kept_orbitals"] == mol.nao == record["nao"]


def test_water_against_pyscf(water):
    text, _, record, _ = water
    peer, forces = pyscf_of(WATER, "6-31g")
    assert record["energy"] == pytest.approx(peer.e_tot, abs=1e-9)
    np.testing.assert_allclose(record["forces"], forces, atol=1e-7)
    np.testing.assert_allclose(table_after(text, "Forces (hartree/bohr)"), forces, atol=1e-7)
    assert record["components"]["nuclear_repulsion"] == pytest.approx(peer.mol.energy_nuc())


def test_record(water):
    _, _, record, _ = water
    assert record["schema"] == "dqc_lite.result/1"
    assert record["command"] == "forces"
    assert record["file"] == str(WATER)
    assert (record["charge"], record["spin"], record["nelectron"]) == (0, 0, 10)
    assert (record["method"], record["reference"], record["density_fit"]) == (
        "hf", "restricted", False,
    )  # fmt: skip
    assert record["basis"] == "6-31g"
    assert record["ecp"] is record["electric_field"] is None
    assert record["units"]["force"] == "hartree/bohr"
    assert record["versions"] == {
        "dqc_lite": dqc.__version__, "jax": jax.__version__, "pyscf": pyscf.__version__,
    }  # fmt: skip
    assert [atom["symbol"] for atom in record["atoms"]] == ["O", "H", "H"]
    positions = dqc.Molecule.from_xyz(WATER, basis="6-31g").positions
    np.testing.assert_allclose([atom["position"] for atom in record["atoms"]], positions)
    assert sum(record["components"].values()) == pytest.approx(record["energy"], abs=1e-10)
    assert record["converged"] is True
    assert len(record["history"]) == record["iterations"]
    assert record["history"][-1]["energy"] == record["energy"]
    assert record["history"][-1]["gradient_norm"] < record["solver"]["gradient_tol"]
    assert set(record["timings"]) == {"start (imports)", "molecule", "SCF and forces"}


def test_report(water):
    text, err, record, _ = water
    lines = text.splitlines()
    assert err == ""
    assert max(map(len, lines)) <= 100
    cycles = [line for line in lines if line.startswith("cycle=")]
    assert len(cycles) == record["iterations"]
    last = record["history"][-1]
    assert cycles[-1].split("E= ")[1].split()[0] == f"{last['energy']:.12f}"
    assert f"|g|= {last['gradient_norm']:.2e}" in cycles[-1]
    assert f"converged SCF energy = {record['energy']:.12f}" in lines
    highest, lowest = record["mo_energy"][0][4:6]
    assert any("HOMO" in line and f"{highest:.8f}" in line for line in lines)
    assert any("gap" in line and f"{lowest - highest:.8f}" in line for line in lines)
    for expected in ("nao = 13", "H2O", "restricted", "exact integrals", "net force", "total"):
        assert expected in text
    geometry = table_after(text, "Geometry (angstrom)")
    read = [line.split()[1:4] for line in WATER.read_text().splitlines()[2:5]]
    np.testing.assert_allclose(geometry, np.array(read, float), atol=1e-9)


def test_open_shell_against_pyscf(tmp_path):
    out = tmp_path / "ch3.json"
    code, text, _ = run("forces", CH3, "--basis", "sto-3g", "--spin", 1, "--json", out)
    assert code == 0
    record = load_strict(out)
    peer, forces = pyscf_of(CH3, "sto-3g", spin=1)
    assert record["reference"] == "unrestricted"
    assert record["energy"] == pytest.approx(peer.e_tot, abs=1e-9)
    np.testing.assert_allclose(record["forces"], forces, atol=1e-7)
    np.testing.assert_allclose(record["mo_energy"], peer.mo_energy, atol=1e-6)
    np.testing.assert_array_equal(record["mo_occ"], peer.mo_occ)
    assert "alpha HOMO" in text
    assert "beta  LUMO" in text


def test_options_reach_the_calculation(h2, tmp_path):
    out = tmp_path / "h2.json"
    code, text, _ = run(
        "energy", "--density-fit", h2, "--basis", "sto-3g", "--charge", "-1", "--spin", 1,
        "--restricted", "rohf", "--guess", "core", "--max-cycle", 50, "--energy-tol", "1e-9",
        "--gradient-tol", "1e-7", "--cart", "--electric-field", "0", "-1e-3", ".01", "--json", out,
    )  # fmt: skip
    assert code == 0
    record = load_strict(out)
    assert record["reference"] == "restricted open-shell"
    assert (record["charge"], record["spin"], record["nelectron"]) == (-1, 1, 3)
    assert record["density_fit"] is True
    assert record["cartesian"] is True
    assert record["electric_field"] == [0.0, -1e-3, 0.01]
    assert record["solver"] == {
        "name": "auto", "guess": "core", "max_cycle": 50, "energy_tol": 1e-9,
        "gradient_tol": 1e-7,
    }  # fmt: skip
    assert "forces" not in record
    assert "default auxiliary basis" in text
    assert "0 -0.001 0.01 a.u." in text
    expected = dqc.energy(
        dqc.Molecule.from_xyz(h2, basis="sto-3g", charge=-1, spin=1, cart=True),
        dqc.HF("rohf", density_fit=True),
        solver=dqc.DIIS(max_cycle=50, energy_tol=1e-9, gradient_tol=1e-7),
        guess="core",
        electric_field=(0.0, -1e-3, 0.01),
    )
    assert record["energy"] == pytest.approx(float(expected), abs=1e-12)


def test_quiet_and_no_virtual_orbitals(tmp_path):
    helium, out = tmp_path / "he.xyz", tmp_path / "he.json"
    helium.write_text("1\n\nHe 0 0 0\n")
    code, text, _ = run("forces", helium, "--basis", "sto-3g", "--quiet", "--json", out)
    assert code == 0
    assert text.startswith("converged SCF energy = -2.807783957")
    assert "cycle=" not in text
    assert "Wall-clock" not in text
    assert np.all(table_after(text, "Forces (hartree/bohr)") == 0.0)
    assert load_strict(out)["certificate"]["gap"] is None  # infinite


# --- gradient check ------------------------------------------------------------------------------


def test_check_grad(h2, tmp_path):
    out, wrt = tmp_path / "check.json", "coefficients"
    code, text, _ = run(
        "check-grad", h2, "--basis", "sto-3g", "--wrt", wrt, "--max-components", 1, "--json", out,
    )  # fmt: skip
    assert code == 0
    record = load_strict(out)
    check = record["gradient_check"]
    assert check["passed"]
    assert record["wrt"] == wrt
    assert any(c["name"].startswith(f"{wrt}[") for c in check["components"])
    assert "worst component" in text
    assert "PASSED" in text
    assert "finite difference" in text


def test_check_grad_not_confirmed(h2):
    """A tolerance that no finite difference can meet leaves the check undecided."""
    code, text, _ = run(
        "check-grad", h2, "--basis", "sto-3g", "--max-components", 1, "--rtol", "1e-15",
        "--atol", "1e-15", "--quiet",
    )  # fmt: skip
    assert code == 1
    assert "NOT PASSED" in text


@pytest.mark.parametrize("wrt", [wrt for wrt in arguments.WRT if wrt != "xc"])
def test_check_grad_differentiates_what_was_asked(h2, wrt):
    from dqc_lite.cli.calculation import Calculation
    from dqc_lite.cli.check_grad import energy_of

    options = arguments.parse(["check-grad", str(h2), "--basis", "sto-3g", "--wrt", wrt])
    function, point = energy_of(Calculation.build(options, str(h2)), wrt)
    mol = dqc.Molecule.from_xyz(h2, basis="sto-3g")
    gradient = jax.grad(dqc.energy)(mol, dqc.HF())
    owner = gradient if wrt in ("positions", "charges") else gradient.basis
    np.testing.assert_allclose(jax.grad(function)(point), getattr(owner, wrt), atol=1e-9)


# --- errors --------------------------------------------------------------------------------------

_BAD_FILES = {
    "garbage.xyz": b"hello\nworld\n",
    "empty.xyz": b"",
    "binary.xyz": bytes(range(256)),
    "utf16.xyz": "1\n\nHe 0 0 0\n".encode("utf-16"),
    "short.xyz": b"3\n\nH 0 0 0\n",
    "none.xyz": b"0\n\n",
    "nan.xyz": b"1\n\nHe nan 0 0\n",
    "close.xyz": b"2\n\nH 0 0 0\nH 0 0 0.01\n",
    "digit.xyz": "²\n\nHe 0 0 0\n".encode(),
}


@pytest.mark.parametrize("name", [*_BAD_FILES, "missing.xyz", ""])
def test_bad_geometry_files(tmp_path, name):
    path = tmp_path / name  # "": the folder
    if name in _BAD_FILES:
        path.write_bytes(_BAD_FILES[name])
    code, out, err = run("forces", path)
    assert (code, out) == (2, "")
    assert err.startswith("error: GeometryError: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "error", "names"),
    [
        (["--basis", "nope"], "BasisError", "'nope'"),
        (["--basis", ""], "BasisError", "basis"),
        (["--density-fit", "nope"], "BasisError", "'nope'"),
        (["--density-fit="], "BasisError", "density_fit"),
        (["--ecp", "nope"], "ECPError", "'nope'"),
        (["--spin", "1"], "SpinError", "spin = 1"),
        (["--charge", "1"], "SpinError", "spin"),
        (["--charge", "30"], "ChargeSpinError", "charge = 30"),
        (["--spin", "2", "--restricted", "true"], "MethodError", "restricted"),
        (["--method", "ks"], "MethodError", "'ks'"),
        (["--method", "mp2"], "MethodError", "'mp2'"),
        (["--xc", "pbee"], "FunctionalError", "'pbee'"),
        (["--xc", "pbe", "--grid-level", "10"], "InputError", "grid_level = 10"),
        (["--xc", "pbe", "--dispersion", "d5"], "InputError", "'d5'"),
        (["--xc", "lda,vwn", "--dispersion", "d4"], "FunctionalError", "d4:pbe"),
        (["--grid-level", "2"], "MethodError", "--grid-level"),
        (["--smearing", "-1"], "InputError", "smearing = -1"),
        (["--guess", "nope"], "InputError", "'nope'"),
        (["--guess", "nope.h5"], "CheckpointError", "'nope.h5' does not exist"),
        (["--mix", "0.8"], "MethodError", "mix = 0.8"),
        (["--checkpoint", "no/such/folder/run.h5"], "InputError", "checkpoint"),
        (["--stability", "--solver", "diis"], "InputError", "--stability"),
        (["--max-cycle", "0"], "InputError", "max_cycle"),
        (["--max-cycle", "999999999999"], "InputError", "max_cycle"),
        (["--energy-tol", "-1"], "InputError", "energy_tol"),
        (["--json", "no/such/folder/out.json"], "InputError", "json"),
    ],
)
def test_bad_input(options, error, names):
    code, out, err = run("energy", WATER, *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {error}: ")
    assert names in err
    assert err.count("\n") == 1


def test_density_functional(tmp_path):
    out = tmp_path / "out.json"
    code, text, err = run(
        "forces", WATER, "--xc", "pbe", "--basis", "sto-3g", "--grid-level", 0,
        "--dispersion", "d3bj", "--stability", "--json", out,
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "gga_x_pbe" in text
    record = load_strict(out)
    assert (record["method"], record["xc"], record["grid_level"]) == ("ks", "pbe", 0)
    assert record["solver"]["name"] == "auto"
    assert record["certificate"]["stable"] is True
    assert record["certificate"]["lowest_hessian_eigenvalue"] > 0
    assert {"exchange_correlation", "dispersion"} < record["components"].keys()
    assert abs(sum(record["components"].values()) - record["energy"]) < 1e-9
    mol = dqc.Molecule.from_xyz(WATER, "sto-3g")
    method = dqc.KS("pbe", grid_level=0, dispersion="d3bj")
    np.testing.assert_allclose(record["forces"], dqc.forces(mol, method), atol=1e-8)


def test_parameters_of_a_functional(tmp_path):
    out = tmp_path / "out.json"
    options = ("--xc", "b3lyp", "--basis", "sto-3g", "--grid-level", 0, "--max-components", 2)
    code, _, err = run("check-grad", WATER, *options, "--wrt", "xc", "--json", out)
    assert (code, err) == (0, "")
    assert load_strict(out)["wrt"] == "xc"
    code, _, err = run("check-grad", WATER, "--basis", "sto-3g", "--wrt", "xc")
    assert code == 2
    assert "--xc" in err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["energy"],
        ["energy", WATER, "--restricted", "maybe"],
        ["energy", WATER, "--electric-field", "0", "0", "nan"],
        ["energy", WATER, "--spin", "a half"],
        ["energy", WATER, "--wrt", "charges"],
        ["energy", WATER, "--quiet", "--verbose"],
    ],
)
def test_wrong_usage(argv):
    code, _, err = run(*argv)
    assert code == 2
    assert err.startswith("usage: dqc-lite")


def test_not_converged(tmp_path):
    out = tmp_path / "out.json"
    limits = ("--max-cycle", 2, "--solver", "diis")
    code, text, err = run("forces", WATER, "--basis", "6-31g", *limits, "--json", out)
    assert code == 1
    assert err.startswith("error: SCFNotConvergedError: ")
    assert "--max-cycle" in err
    assert "SCF not converged" in text
    assert "Forces" not in text
    record = load_strict(out)
    assert record["converged"] is False
    assert record["iterations"] == len(record["history"]) == 2
    assert record["energy"] == pytest.approx(-75.98, abs=0.05)
    assert record["forces"] is None


def test_check_grad_not_converged(h2):
    code, _, err = run(
        "check-grad", h2, "--basis", "sto-3g", "--max-cycle", 1, "--solver", "diis"
    )
    assert code == 1
    assert err.startswith("error: SCFNotConvergedError: ")


def test_interrupt(h2, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(singlepoint, "solve", interrupted)
    assert run("energy", h2, "--basis", "sto-3g")[0] == 130


def test_warnings_are_one_line(h2, monkeypatch):
    original = singlepoint.solve

    def warning(*args, **kwargs):
        import warnings

        warnings.warn("mind this", stacklevel=1)
        return original(*args, **kwargs)

    monkeypatch.setattr(singlepoint, "solve", warning)
    code, _, err = run("energy", h2, "--basis", "sto-3g")
    assert (code, err) == (0, "warning: mind this\n")


def test_checkpoint_and_restart(h2, tmp_path):
    file, out = tmp_path / "run.h5", tmp_path / "out.json"
    common = ("energy", h2, "--basis", "sto-3g")
    code, _, _ = run(*common, "--max-cycle", 1, "--solver", "diis", "--checkpoint", file)
    assert (code, file.is_file()) == (1, True)
    code, text, _ = run(*common, "--guess", file, "--checkpoint", file, "--json", out)
    assert code == 0
    assert load_strict(out)["solver"]["guess"] == str(file)
    # the energy is known since the first cycle, and convergence is a difference of two
    assert text.count("cycle=") == load_strict(out)["iterations"] <= 3


def test_second_order_is_announced(h2):
    code, text, _ = run("energy", h2, "--basis", "sto-3g", "--solver", "second-order")
    assert code == 0
    assert "second order: the last" in text or text.count("cycle=") <= 5


# --- arguments -----------------------------------------------------------------------------------


def test_defaults_are_those_of_the_library():
    solver = DEFAULT
    own = (arguments.MAX_CYCLE, arguments.ENERGY_TOL, arguments.GRADIENT_TOL)
    assert own == (solver.max_cycle, solver.energy_tol, solver.gradient_tol)
    library = gradcheck.check_gradients.__kwdefaults__
    assert (arguments.RTOL, arguments.ATOL) == (library["rtol"], library["atol"])


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["a.xyz"], False),
        (["a.xyz", "--density-fit"], True),
        (["--density-fit", "a.xyz"], True),
        (["--density-fit", "--quiet", "a.xyz"], True),
        (["a.xyz", "--density-fit", "def2-universal-jkfit"], "def2-universal-jkfit"),
        (["--density-fit=weigend", "a.xyz"], "weigend"),
    ],
)
def test_density_fit_argument(argv, expected):
    options = arguments.parse(["energy", *argv])
    assert (options.files, options.density_fit) == (["a.xyz"], expected)


# --- a process of its own ------------------------------------------------------------------------


def test_help_is_fast_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom dqc_lite.cli import main\ntry:\n    main(sys.argv[1:])\n"
        "except SystemExit as e:\n    assert e.code == 0\n"
        "heavy = {'jax', 'jaxlib', 'pyscf', 'numpy', 'scipy', 'jaxtyping'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for argv in (["--help"], ["forces", "--help"], ["check-grad", "--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *argv], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "dqc-lite" in done.stdout
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert run_process("--help").returncode == 0
        times.append(time.perf_counter() - start)
    # 0.3 s is the aim; a loaded machine may take longer for starting Python alone
    bare = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append(time.perf_counter() - start)
    assert statistics.median(times) < max(0.3, 10 * statistics.median(bare))


_COUNT_CACHE_EVENTS = """
import collections, sys
import jax
from dqc_lite.cli import main
events = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: events.update([event.split("/")[-1]]))
code = main(sys.argv[1:])
print(events["cache_hits"], events["cache_misses"], file=sys.stderr)
sys.exit(code)
"""


def test_cache_is_hit_by_the_next_process(h2, tmp_path):
    cache = tmp_path / "cache"
    stored, counts, results = [], [], []
    for _ in range(2):
        done = run_process(
            "energy", h2, "--basis", "sto-3g", python=("-c", _COUNT_CACHE_EVENTS),
            DQC_LITE_CACHE_DIR=str(cache),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        stored.append({p.name for p in (cache / f"jax-{jax.__version__}").glob("*-cache")})
        counts.append([int(word) for word in done.stderr.split()])
        results.append(done.stdout.split("Wall-clock")[0])
    assert any(name.startswith("jit__first-") for name in stored[0])  # the large program
    assert stored[1] == stored[0]
    assert counts[0][1] == len(stored[0])
    assert counts[1] == [sum(counts[0]), 0]
    assert results[1] == results[0]


def test_cache_folder(monkeypatch, tmp_path):
    from dqc_lite.cli import runtime

    for name in ("DQC_LITE_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    version = f"jax-{jax.__version__}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert runtime.cache_folder() == tmp_path / "dqc_lite" / version
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert runtime.cache_folder() == tmp_path / ".cache" / "dqc_lite" / version
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "jax"))
    assert runtime.cache_folder() == tmp_path / "jax"
    monkeypatch.setenv("DQC_LITE_CACHE_DIR", str(tmp_path / "own"))
    assert runtime.cache_folder() == tmp_path / "own" / version


def test_no_cache_folder_is_a_warning(monkeypatch, tmp_path, capsys):
    from dqc_lite.cli import runtime

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DQC_LITE_CACHE_DIR", str(tmp_path / "file"))
    assert runtime.set_up(use_cache=True) is None
    assert capsys.readouterr().err.startswith("warning: no cache of compiled programs: ")


@pytest.mark.parametrize("module", ["dqc_lite", "dqc_lite.cli"])
def test_both_modules_run_the_command(module: str) -> None:
    done = run_process("--version", python=("-m", module))
    assert done.returncode == 0
    assert done.stdout == f"dqc-lite {dqc.__version__}\n"
