"""What CONTRIBUTING says of the package is true: order of the rooms, PySCF, axis names."""

import ast
import functools
import pathlib
import re

import pytest

from dqc_lite._types import AXES

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "dqc_lite"
FILES = sorted(PACKAGE.rglob("*.py"))
BESIDE = {"gradcheck": {"errors", "_process"}}
"""Rooms that stand beside the layers, and what they may import."""

TOP = {"__init__", "__main__"}
"""The package itself, which imports everything when it is asked for."""


@functools.cache
def _layers() -> tuple[str, ...]:
    """The rooms in the order of CONTRIBUTING."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"## Layers.*?```\n(.*?)```", text, re.S)
    assert block is not None
    lines = (re.split(r"\s{2,}", line)[0] for line in block.group(1).splitlines())
    return tuple(name for line in lines for name in line.split())


def _room(file: pathlib.Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(file: pathlib.Path) -> list[tuple[int, str]]:
    """Lines and full names of what a file imports, also inside of functions; not for types only."""
    found = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.ImportFrom) and node.module:
            found.extend((node.lineno, f"{node.module}.{a.name}") for a in node.names)
        elif isinstance(node, ast.Import):
            found.extend((node.lineno, a.name) for a in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(file.read_text()))
    return found


def test_every_room_has_its_place() -> None:
    rooms = {_room(f) for f in FILES} - TOP
    assert rooms == set(_layers()) | set(BESIDE)
    assert len(set(_layers())) == len(_layers())


@pytest.mark.parametrize("room", sorted({_room(f) for f in FILES} - TOP))
def test_imports_go_one_way(room: str) -> None:
    allowed = BESIDE.get(room)
    if allowed is None:
        allowed = set(_layers()[: _layers().index(room)]) | set(BESIDE)
    wrong = []
    for file in FILES:
        if _room(file) != room:
            continue
        for line, name in _imports(file):
            parts = name.split(".")
            if parts[0] != "dqc_lite" or len(parts) < 2:
                continue
            other = parts[1]
            # names of the package itself, such as its version
            known = (PACKAGE / other).is_dir() or (PACKAGE / f"{other}.py").exists()
            if known and other != room and other not in allowed:
                wrong.append(f"{file.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong


def test_pyscf_stays_in_its_room() -> None:
    outside = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in FILES
        if _room(file) != "integrals"
        for line, name in _imports(file)
        if name.split(".")[0] == "pyscf"
    ]
    assert not outside


def test_axes_have_known_names() -> None:
    pattern = re.compile(r"\b(?:Float|Int|Bool|Complex|Inexact|Num|Shaped)\[[\w.]+, *\"([^\"]*)\"")
    unknown = {
        f"{axis} ({file.relative_to(ROOT)})"
        for file in FILES
        for axes in pattern.findall(file.read_text())
        for axis in axes.replace("*", " ").split()
        if axis != "..." and not axis.isdigit() and axis not in AXES
    }
    assert not unknown
