"""The wheel's contents, the README's commands and code, and what source files must not contain."""

import configparser
import email
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from dqc_lite import basis_files

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


# --- the wheel -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree, built with the installed hatchling if there is one."""
    if importlib.util.find_spec("build") is None:
        assert not os.environ.get("CI"), "`build` is missing: install the test extra"
        pytest.skip("needs `build`, part of the test extra")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)]
    if importlib.util.find_spec("hatchling") is not None:
        command.append("--no-isolation")
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def _metadata_file(wheel, name):
    (found,) = [n for n in wheel.namelist() if n.endswith(f".dist-info/{name}")]
    return wheel.read(found).decode()


def test_wheel_has_the_basis_files(wheel):
    for name in basis_files.shipped():
        path = basis_files.find(name)
        assert wheel.read(f"dqc_lite/_basis_files/{path.name}") == path.read_bytes()
    assert "dqc_lite/_basis_files/README.md" in wheel.namelist()


def test_wheel_has_every_module(wheel):
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "dqc_lite").rglob("*.py")}
    assert modules <= set(wheel.namelist())


def test_wheel_says_that_it_is_typed(wheel):
    assert "dqc_lite/py.typed" in wheel.namelist()


def test_wheel_has_nothing_else(wheel):
    tops = {name.split("/", 1)[0] for name in wheel.namelist()}
    assert tops == {"dqc_lite", f"dqc_lite-{PROJECT['version']}.dist-info"}
    foreign = re.compile(r"(^|/)(tests?|conftest\.py|__pycache__|.*\.pyc)(/|$)")
    assert not [name for name in wheel.namelist() if foreign.search(name)]


def test_wheel_metadata(wheel):
    metadata = email.message_from_string(_metadata_file(wheel, "METADATA"))
    assert metadata["Name"].replace("-", "_") == "dqc_lite"
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_payload().startswith("# dqc_lite")
    assert (ROOT / "LICENSE").read_text() == _metadata_file(wheel, "licenses/LICENSE")


def test_wheel_has_the_command(wheel):
    entry_points = configparser.ConfigParser()
    entry_points.read_string(_metadata_file(wheel, "entry_points.txt"))
    assert dict(entry_points["console_scripts"]) == {"dqc-lite": "dqc_lite.cli:main"}


# --- the README and CI ---------------------------------------------------------------------------


def _command(marker):
    (block,) = re.findall(rf"^<!-- {marker} -->\n```sh\n(.*?)```$", README, re.M | re.S)
    return block.strip()


def test_readme_commands():
    run = "python -m pip install . && dqc-lite forces examples/water.xyz "
    assert _command("run-command") == run + "--method hf --basis def2-svp"
    assert _command("test-command") == "python -m pip install '.[test]' && python -m pytest -n 2"
    assert _command("slow-test-command") == "python -m pytest -m slow -n 2"


def test_ci_runs_the_readme_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "pytest -n" not in script.read_text()  # it must come from the README
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    done = subprocess.run(
        ["bash", str(script), "--print-command"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == _command("test-command")


def test_files_the_readme_names_exist():
    named = set(re.findall(r"\b(examples/\w+\.\w+|[A-Z]+\.md)\b", README)) | {"LICENSE"}
    assert "examples/water.xyz" in named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_readme_python_runs(monkeypatch):
    """The Python blocks, in order, as one program."""
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"^```python\n(.*?)```$", README, re.M | re.S)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, "<python block of README.md>", "exec"), names)
    assert names["forces"].shape == (3, 3)
    assert names["report"].passed


# --- source files --------------------------------------------------------------------------------

_TEXT = {".py", ".md", ".toml", ".cfg", ".ini", ".txt", ".yml", ".yaml", ".json", ".sh", ".xyz"}
_TEXT |= {".extxyz", ".nw", ".rst", ".ipynb", ".csv"}
_SKIP = {".git", "__pycache__", "build", "dist", "node_modules", "_build"}
# an absolute path into somebody's machine; a path inside an address or a relative path is none
_MACHINE_PATH = re.compile(
    r"(?<![\w.~}/])/(?:home|root|Users|work|mnt|scratch)/\w|\b[A-Z]:\\{1,2}Users"
)


def _source_files():
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            d
            for d in folders
            if d not in _SKIP and (not d.startswith(".") or d == ".ci") and "venv" not in d
        ]
        for file in files:
            path = Path(folder, file)
            if path.suffix in _TEXT or path.parent.name == ".ci" or file == "LICENSE":
                yield path


def test_source_files_name_no_machine_paths():
    found = []
    for path in _source_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if _MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = '" + "/" + "home/someone/data'", True),
        ("open(" + '"' + "/" + "root/x.json" + '")', True),
        ("C:" + "\\" + "Users", True),
        ("https://example.org/home/page", False),
        ("a/work/b and examples/water.xyz", False),
        ("E:" + "\\" + "n", False),
    ],
)
def test_the_pattern_for_machine_paths(line, expected):
    assert bool(_MACHINE_PATH.search(line)) is expected
