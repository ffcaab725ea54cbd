"""One row for each mistake: the error, the field with its value, and what to do about it.

Geometries, charges and basis sets in detail are in `test_molecule.py`, starting points in
`scf/test_guesses.py`, checkpoint files in `scf/test_checkpoint.py`.
"""

import dataclasses
import inspect
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dqc_lite as dqc
from dqc_lite import errors as e
from dqc_lite._call_errors import named_arguments
from dqc_lite.grid.atomic import Grid

WATER = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"


def water(basis: str = "sto-3g", **options) -> dqc.Molecule:
    return dqc.Molecule.from_atoms(WATER, basis, **options)


def _ascending_occupations():
    mol = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.74", "6-31g")
    method = dqc.HF(occupations=(0.4, 1.6))
    return jax.grad(lambda f: dqc.density_matrix(mol, method, electric_field=f).sum())(np.zeros(3))


def _single_precision():
    with jax.enable_x64(False):
        return water()


def _nan_exponent():
    mol = water()
    basis = dataclasses.replace(mol.basis, exponents=mol.basis.exponents.at[3].set(jnp.nan))
    return dqc.energy(dataclasses.replace(mol, basis=basis))


TABLE = {
    "odd electrons": (
        lambda: water(charge=1), e.SpinError, r"spin = 0 \(2S.*9 electrons: use spin = 1"),
    "wrong parity": (
        lambda: water(spin=1), e.SpinError, r"spin = 1 \(2S.*10 electrons: use spin = 2"),
    "more unpaired than there are": (
        lambda: water(spin=12), e.ChargeSpinError, r"spin = 12 .*exceed the 10 electrons"),
    "charge beyond the nuclei": (
        lambda: water(charge=11), e.ChargeSpinError, r"charge = 11 .*\(10\); lower it"),
    "fraction of a charge": (
        lambda: water(charge=0.5), e.ChargeSpinError, r"charge = 0\.5 must be a whole number"),
    "charge NaN": (lambda: water(charge=np.nan), e.ChargeSpinError, r"charge = nan"),
    "basis too small": (
        lambda: dqc.energy(dqc.Molecule.from_atoms("He 0 0 0", "sto-3g", charge=-1, spin=1)),
        e.BasisTooSmallError, r"2 electrons of one spin do not fit 1 basis.*larger basis"),
    "restricted open shell": (
        lambda: dqc.energy(water(spin=2), dqc.HF(restricted=True)), e.MethodError,
        r"restricted = True needs spin = 0 .*spin = 2; use restricted=False or 'rohf'"),
    "no such element": (
        lambda: dqc.Molecule.from_atoms("Qq 0 0 0"), e.UnknownElementError, r"'Qq'.*such as 'C'"),
    "no such basis": (lambda: water("6-32g"), e.BasisError, r"'6-32g' is unknown.*Did you mean"),
    "basis lacks an element": (
        lambda: dqc.Molecule.from_atoms("U 0 0 0", "sto-3g"), e.BasisError, r"'sto-3g'.*'U'"),
    "empty basis": (lambda: water(""), e.BasisError, r"basis = '' is empty; name one"),
    "code in a basis": (
        lambda: water("H S\n 3 __import__('os')\nEND\n"), e.BasisError, r"line 2: .*NWChem"),
    "ghost on an atom": (
        lambda: dqc.Molecule.from_atoms("O 0 0 0; ghost-H 0 0 0"), e.GeometryError,
        r"atoms 0 \(O\) and 1 \(GHOST-H\) are 0\.0000 bohr apart.*check the geometry"),
    "infinite coordinate": (
        lambda: dqc.Molecule.from_atoms("H 0 0 inf; H 0 0 0"), e.GeometryError,
        r"atom 0 \(H\).*not finite"),
    "too far": (
        lambda: dqc.Molecule.from_atoms("H 0 0 1e6", unit="bohr", spin=1), e.GeometryError,
        r"atom 0 \(H\).*beyond 100000; check the unit"),
    "no coordinates": (
        lambda: dqc.Molecule.from_atoms("H 0 0\nH 0 0 1"), e.GeometryError, r"line 1: 'H 0 0'"),
    "no atoms": (lambda: dqc.Molecule.from_atoms(""), e.GeometryError, r"no atoms"),
    "unit": (
        lambda: water(unit="nm"), e.InputError, r"unit = 'nm' .*use 'angstrom' or 'bohr'"),
    "unit of an xyz file": (
        lambda: dqc.Molecule.from_xyz("1\n\nHe 0 0 0\n", unit="bohr"), e.InputError,
        r"unit = 'bohr' is not asked for: .*angstrom; leave it out"),
    "keyword of a molecule": (
        lambda: water(basiss="6-31g"), e.ArgumentError,
        r"basiss = '6-31g' is no argument of Molecule\.from_atoms\(\); did you mean 'basis'\? Arg"),
    "keyword through another way in": (
        lambda: dqc.Molecule.from_xyz("1\n\nHe 0 0 0\n", chrge=1), e.ArgumentError,
        r"chrge = 1 is no argument .*did you mean 'charge'"),
    "keyword of a method": (
        lambda: dqc.KS("pbe", gridlevel=2), e.ArgumentError,
        r"gridlevel = 2 is no argument of KS\(\); did you mean 'grid_level'"),
    "keyword of a grid": (
        lambda: Grid(prune=None), e.ArgumentError, r"prune = None .*'pruning'"),
    "keyword of an energy": (
        lambda: dqc.energy(water(), gues="core"), e.ArgumentError,
        r"gues = 'core' is no argument of energy\(\); did you mean 'guess'"),
    "keyword of forces": (
        lambda: dqc.forces(water(), sover="diis"), e.ArgumentError, r"sover = 'diis' .*'solver'"),
    "keyword of a Hessian": (
        lambda: dqc.hessian(water(), gues="core"), e.ArgumentError,
        r"gues = 'core' is no argument of this function; did you mean 'guess'"),
    "keyword of a property": (
        lambda: dqc.dipole(water(), orign=0), e.ArgumentError, r"orign = 0 is no argument"),
    "an argument that is missing": (
        lambda: dqc.KS(), e.ArgumentError,
        r"missing a required argument: 'xc'; arguments of KS\(\): xc, restricted"),
    "solver": (
        lambda: dqc.energy(water(), solver="newton"), e.InputError, r"solver = 'newton'.*'auto'"),
    "guess": (lambda: dqc.energy(water(), guess="best"), e.InputError, r"guess = 'best'.*minao"),
    "field": (
        lambda: dqc.energy(water(), electric_field=1.0), e.InputError, r"electric_field.*3 comp"),
    "no such functional": (lambda: dqc.KS("pbe17"), e.FunctionalError, r"'pbe17'"),
    "no functional": (lambda: dqc.KS(""), e.FunctionalError, r"''"),
    "ambiguous functional": (
        lambda: dqc.KS("libxc:zlp"), e.FunctionalError, r"'libxc:zlp' is ambiguous"),
    "a number for a functional": (lambda: dqc.KS(3), e.FunctionalError, r"xc = 3 is no"),
    "dispersion": (lambda: dqc.KS("pbe", dispersion=3), e.InputError, r"dispersion = 3 must"),
    "grid": (lambda: dqc.KS("pbe", grid_level=11), e.InputError, r"grid_level = 11"),
    "ECP basis alone": (
        lambda: dqc.Molecule.from_atoms("I 0 0 0; H 0 0 1.6", "def2-svp"), e.ECPError,
        r"'def2-svp'.*'I'.*pass ecp='def2-svp'"),
    "density of another basis": (
        lambda: dqc.energy(water(), guess=np.eye(3)), e.InputError, r"shape \(3, 3\); need \(1, 7"),
    "density that is not finite": (
        lambda: dqc.energy(water(), guess=np.full((7, 7), np.inf)), e.NonFiniteError, r"holds inf"),
    "exponent NaN": (
        _nan_exponent, e.NonFiniteError, r"mol\.basis\.exponents holds nan at \(3,\); give finite"),
    "no response": (_ascending_occupations, e.ResponseError, r"descend"),
    "single precision": (_single_precision, e.PrecisionError, r"enable_x64\(\)"),
    "no checkpoint": (
        lambda: dqc.energy(water(), guess="old.h5"), e.CheckpointError, r"'old.h5' does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", TABLE)
def test_message(mistake: str) -> None:
    make, error, message = TABLE[mistake]
    with pytest.raises(error, match=message) as info:
        make()
    assert type(info.value) is error
    assert isinstance(info.value, dqc.errors.DqcLiteError)
    assert "\n" not in str(info.value)


def test_every_error_has_a_base_that_python_knows() -> None:
    classes = [c for c in vars(e).values() if isinstance(c, type) and issubclass(c, Exception)]
    assert len(classes) == 19
    for made in classes:
        assert issubclass(made, e.DqcLiteError)
        assert made.__doc__


def test_unknown_keywords_stay_what_python_calls_them() -> None:
    with pytest.raises(TypeError, match="is no argument"):
        dqc.HF(open_shell=True)
    with pytest.raises(ValueError, match="is no argument"):
        dqc.HF(open_shell=True)


SOLVERS = """
import dqc_lite as dqc
for kind, options in ((dqc.DIIS, dict(max_cycles=9)), (dqc.Auto, dict(stable=True)),
                      (dqc.SecondOrder, dict(trust=0.1)), (dqc.Guess, dict(start="core", mx=1))):
    try:
        kind(**options)
    except dqc.errors.ArgumentError as error:
        print(error)
"""


def test_keywords_of_solvers() -> None:
    """In a process of its own: here their arguments are bound by what checks the types."""
    path = os.pathsep.join(p for p in sys.path if p)
    run = subprocess.run(
        [sys.executable, "-c", SOLVERS], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    starts = [line.split(" Arguments of")[0] for line in run.stdout.splitlines()]
    assert starts == [
        "max_cycles = 9 is no argument of DIIS(); did you mean 'max_cycle'?",
        "stable = True is no argument of Auto(); did you mean 'stability'?",
        "trust = 0.1 is no argument of SecondOrder();",
        "mx = 1 is no argument of Guess(); did you mean 'mix'?",
    ]
    assert run.stdout.splitlines()[3].endswith(" Arguments of Guess(): start, mix.")


def test_signatures_and_documentation_stay() -> None:
    assert list(inspect.signature(dqc.Guess).parameters) == ["start", "mix"]
    assert list(inspect.signature(dqc.Molecule.from_pyscf).parameters) == ["mole"]
    assert "solver" in inspect.signature(dqc.energy).parameters
    assert dqc.energy.__doc__ is not None
    assert dqc.energy.__doc__.startswith("Total energy in hartree")
    assert jax.tree.map(lambda x: x, dqc.HF("rohf")) == dqc.HF("rohf")


def test_other_type_errors_pass() -> None:
    """Only those of the call itself are renamed."""

    @named_arguments
    def adds(number: int) -> str:
        return "1" + number

    with pytest.raises(TypeError, match="concatenate") as info:
        adds(1)
    assert not isinstance(info.value, e.DqcLiteError)
