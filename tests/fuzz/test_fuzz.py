"""Mutilated input gives a right result or an error of the package, never anything else.

The default suite draws 200 examples of each kind of input, the slow one 2000. No SCF
runs: what reaches one has been accepted, and is judged by what was made of it.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dqc_lite as dqc
from dqc_lite import errors, singlepoint
from dqc_lite.cli import main
from dqc_lite.geometry import ELEMENTS

FEW, MANY = 200, 2000
COUNTS = [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.slow)]

ATOMS = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"
XYZ = "3\nwater\nO 0 0 0\nH 0 0.757 0.587\nH 0 -0.757 0.587\n"
PIECES = st.sampled_from(
    ["nan", "inf", "-", "1e400", "1e-400", "0x1", "1_0", "\u0663", "\x00", ";", "\n", ",", "#",
     "ghost-", "X", "H1", "@", "Gh(", ")", "Uuo", "__import__('os')", "\ufeff", "\u00b2", "%s"]
)  # fmt: skip
NUMBERS = st.one_of(st.integers(-20, 20), st.floats(), st.integers(-(10**30), 10**30))
ANYTHING = st.one_of(
    NUMBERS, st.text(max_size=6), st.none(), st.booleans(), st.binary(max_size=4),
    st.lists(st.integers(-3, 3), max_size=3), st.dictionaries(st.text(max_size=2), NUMBERS),
)  # fmt: skip


@st.composite
def mutated(draw: Callable, text: str) -> str:
    """`text` after a few cuts, copies and insertions."""
    for _ in range(draw(st.integers(1, 4))):
        i = draw(st.integers(0, len(text)))
        j = draw(st.integers(i, min(len(text), i + 8)))
        piece = draw(st.one_of(st.just(""), PIECES, st.text(max_size=3), st.just(text[i:j] * 2)))
        text = text[:i] + piece + text[j:]
    return text


def fuzzed(count: int, check: Callable, **strategies: st.SearchStrategy) -> None:
    """Run `check` on examples; only errors of the package may leave it."""

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(**strategies)
    def run(**arguments: object) -> None:
        with contextlib.suppress(errors.DqcLiteError):
            check(**arguments)

    run()


def _sound(mol: dqc.Molecule) -> None:
    assert mol.natm >= 1
    assert np.isfinite(mol.positions).all()
    assert np.abs(mol.positions).max() <= 1e5
    assert all(s.removeprefix("GHOST-") in ELEMENTS for s in mol.symbols)
    assert sum(mol.nelec) == mol.nelectron >= 0
    assert min(mol.nelec) >= 0
    gaps = np.linalg.norm(mol.positions[:, None] - mol.positions, axis=-1)
    assert (gaps + np.eye(mol.natm)).min() >= 0.1


@pytest.mark.parametrize("count", COUNTS)
def test_geometry_text(count: int) -> None:
    def check(atoms: str) -> None:
        _sound(dqc.Molecule.from_atoms(atoms, "sto-3g", spin=0))

    fuzzed(count, check, atoms=mutated(ATOMS))


@pytest.mark.parametrize("count", COUNTS)
def test_xyz_files(count: int, tmp_path) -> None:
    path = tmp_path / "m.xyz"

    def check(text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        path.write_bytes(data)
        mol = dqc.Molecule.from_xyz(path, "sto-3g")
        _sound(mol)
        assert mol.natm == int(data.decode("utf-8-sig", "replace").split()[0])

    fuzzed(count, check, text=st.one_of(mutated(XYZ), st.binary(max_size=60)))


@pytest.mark.parametrize("count", COUNTS)
def test_basis_and_ecp(count: int) -> None:
    names = st.one_of(
        mutated("6-31g*"), mutated("def2-svp"), st.text(max_size=8), ANYTHING,
        mutated("H S\n 3.4 0.15\n 0.6 0.53\nEND\n"),
    )  # fmt: skip

    def check(basis: object, ecp: object, keyed: bool) -> None:
        basis = {"H": basis} if keyed else basis
        mol = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.74", basis, ecp=ecp)
        _sound(mol)
        assert np.isfinite(mol.basis.exponents).all()
        assert (np.asarray(mol.basis.exponents) > 0).all()
        assert np.isfinite(mol.basis.coefficients).all()

    fuzzed(count, check, basis=names, ecp=st.one_of(st.none(), ANYTHING), keyed=st.booleans())


@pytest.mark.parametrize("count", COUNTS)
def test_charge_spin_and_unit(count: int) -> None:
    def check(charge: object, spin: object, unit: object) -> None:
        mol = dqc.Molecule.from_atoms(ATOMS, "sto-3g", charge=charge, spin=spin, unit=unit)
        _sound(mol)
        assert (mol.charge, mol.spin) == (charge, spin)
        assert mol.nelec[0] - mol.nelec[1] == spin

    units = st.one_of(st.sampled_from(["angstrom", "bohr", "Bohr "]), ANYTHING)
    whole = st.one_of(st.integers(-11, 11), ANYTHING)
    fuzzed(count, check, charge=whole, spin=whole, unit=units)


WORDS = st.sampled_from(["pbe", "b3lyp", "rohf", "weigend", "d3bj", "d4:pbe", "lda,vwn", ""])


@pytest.mark.parametrize("count", COUNTS)
def test_methods(count: int) -> None:
    mol = dqc.Molecule.from_atoms(ATOMS, "sto-3g")
    value = st.one_of(WORDS, mutated("pbe"), mutated("d3bj"), ANYTHING)
    names = ("restricted", "density_fit", "smearing", "occupations", "grid_level", "dispersion")

    def check(xc: object, options: dict) -> None:
        made = dqc.KS(xc, **options)
        assert made.reference(mol).nalpha == 5
        hash(jax_structure(made))

    fuzzed(
        count, check, xc=st.one_of(st.just("pbe"), value),
        options=st.dictionaries(st.sampled_from(names), value, max_size=2),
    )  # fmt: skip


def jax_structure(tree: object) -> object:
    """What compiled programs are found by."""
    import jax

    return jax.tree.structure(tree)


@pytest.mark.parametrize("count", COUNTS)
def test_solvers(count: int) -> None:
    real, whole = st.floats(), st.integers(-5, 200_000)
    kinds = {
        dqc.DIIS: {"max_cycle": whole, "space": whole, "energy_tol": real, "gradient_tol": real,
                   "damping": real, "level_shift": real},
        dqc.Auto: {"max_cycle": whole, "max_follow": whole, "max_second_order": whole,
                   "energy_tol": real},
        dqc.SecondOrder: {"max_cycle": whole, "start": whole, "radius": real,
                          "max_products": whole},
        dqc.Guess: {"mix": real},
    }  # fmt: skip
    pairs = st.sampled_from(list(kinds)).flatmap(
        lambda k: st.tuples(st.just(k), st.fixed_dictionaries({}, optional=kinds[k]))
    )

    def check(pair: tuple) -> None:
        kind, options = pair
        made = kind(**options)
        assert all(math.isfinite(getattr(made, name)) for name in options)

    fuzzed(count, check, pair=pairs)


FLAGS = [
    "--basis", "--charge", "--spin", "--ecp", "--cart", "--electric-field", "--method", "--xc",
    "--grid-level", "--dispersion", "--restricted", "--smearing", "--density-fit", "--solver",
    "--stability", "--guess", "--mix", "--max-cycle", "--energy-tol", "--gradient-tol", "--quiet",
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(["sto-3g", "pbe", "hf", "ks", "1", "-1", "0", "1e-3", "nan", "rohf", "auto",
                     "true", "atom", "none.h5", "d3bj", ""]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5),
)  # fmt: skip


@pytest.mark.parametrize("count", COUNTS)
def test_command_lines(count: int, tmp_path, monkeypatch) -> None:
    """Exit code 0 is not possible here: the SCF is one that does not converge."""

    def unconverged(*_: object, **__: object) -> None:
        raise errors.SCFNotConvergedError(3, -1.0, 0.1, 0.1)

    monkeypatch.setattr(singlepoint, "solve", unconverged)
    file = tmp_path / "water.xyz"
    file.write_text(XYZ)

    def check(words: list[str]) -> None:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(["energy", str(file), "--no-cache", "--basis", "sto-3g", *words])
            except SystemExit as leaving:  # usage, by argparse
                code = leaving.code
        lines = [s for s in err.getvalue().splitlines() if "error: " in s]
        assert code in (1, 2)
        assert lines  # one for each file
        assert "Traceback" not in err.getvalue()

    pairs = st.tuples(st.sampled_from(FLAGS), VALUES).map(list)
    words = st.lists(st.one_of(pairs, VALUES.map(lambda v: [v])), max_size=3)
    fuzzed(count, check, words=words.map(lambda groups: [w for g in groups for w in g]))
