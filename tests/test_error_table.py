"""One row for each mistake: the error, the field with its value, and what to do about it.

Geometries, charges and basis sets in detail are in `test_molecule.py`, starting points in
`scf/test_guesses.py`, checkpoint files in `scf/test_checkpoint.py`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dqc_lite as dqc
from dqc_lite import errors as e

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
    "solver": (
        lambda: dqc.energy(water(), solver="newton"), e.InputError, r"solver = 'newton'.*'auto'"),
    "guess": (lambda: dqc.energy(water(), guess="best"), e.InputError, r"guess = 'best'.*minao"),
    "field": (
        lambda: dqc.energy(water(), electric_field=1.0), e.InputError, r"electric_field.*3 comp"),
    "no such functional": (lambda: dqc.KS("pbe17"), e.FunctionalError, r"'pbe17'"),
    "no functional": (lambda: dqc.KS(""), e.FunctionalError, r"''"),
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
    assert len(classes) == 17
    for made in classes:
        assert issubclass(made, e.DqcLiteError)
        assert made.__doc__
