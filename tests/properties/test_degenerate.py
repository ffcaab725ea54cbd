"""Response properties of orbitally degenerate states: one rule for all of them.

A derivative is returned if it is the same wherever the hole of the pi or p shell lies.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from systems import central_difference, five_point, in_field, mean_field, molecule

import dqc_lite as dqc
from dqc_lite.convergence import converge_or_raise
from dqc_lite.errors import ResponseError
from dqc_lite.implicit import degenerate
from dqc_lite.problem import problem_of

TIGHT = dqc.DIIS(gradient_tol=1e-10)
BASIS = "sto-3g"
UNIT = np.array([0.3, 0.2, 0.9]) / np.linalg.norm([0.3, 0.2, 0.9])
slow = pytest.mark.slow


def radical(text: str, charge: int = 0, spin: int = 1) -> dqc.Molecule:
    return dqc.Molecule.from_atoms(text, BASIS, charge=charge, spin=spin)


OH = radical("O 0 0 0; H 0.3 0.2 0.9")
DEGENERATE = {
    "OH": OH,
    "NO": radical("N 0 0 0; O 0.1 0.2 1.12"),
    "B": radical("B 0 0 0.1"),
    "C+": radical("C 0 0 0", charge=1),
    "C": radical("C 0 0 0", spin=2),
    "F": radical("F 0 0 0"),
    "C singlet": radical("C 0 0 0", spin=0),
}


def free_axes(mol: dqc.Molecule, method=None, **options) -> np.ndarray:
    problem = problem_of(mol, method, **options)
    return np.asarray(degenerate.free_axes(problem, converge_or_raise(problem)[0]))


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("OH", dqc.HF()),
        pytest.param("B", dqc.HF(), marks=slow),
        pytest.param("NO", dqc.HF(), marks=slow),
        pytest.param("C+", dqc.HF(), marks=slow),
        pytest.param("C", dqc.HF(), marks=slow),
        pytest.param("F", dqc.HF(), marks=slow),
        pytest.param("C singlet", dqc.HF(restricted=True), marks=slow),
        pytest.param("OH", dqc.HF(restricted="rohf"), marks=slow),
        pytest.param("OH", dqc.HF(density_fit=True), marks=slow),
        pytest.param("OH", dqc.KS("pbe"), marks=slow),
        pytest.param("B", dqc.KS("b3lyp"), marks=slow),
    ],
)
def test_polarizability_is_refused(name: str, method) -> None:
    """It depends on where the hole lies."""
    with pytest.raises(ResponseError, match="degenerate"):
        dqc.polarizability(DEGENERATE[name], method)


@pytest.mark.parametrize("name", ["OH", pytest.param("B", marks=slow)])
def test_hyperpolarizability_is_refused(name: str) -> None:
    with pytest.raises(ResponseError, match="degenerate"):
        dqc.hyperpolarizability(DEGENERATE[name])


def test_without_exceptions() -> None:
    assert np.isnan(dqc.polarizability(OH, throw=False)).all()


@slow
def test_hydrogen_iodide_cation() -> None:
    """With an effective core potential."""
    mol = dqc.Molecule.from_atoms(
        "H 0 0 0; I 0.2 0.3 1.57", "def2-svp", ecp="def2-svp", charge=1, spin=1
    )
    for refused in (dqc.polarizability, dqc.hyperpolarizability):
        with pytest.raises(ResponseError, match="degenerate"):
            refused(mol)
    assert len(dqc.vibrations(mol).frequencies) == 1


@slow
def test_refused_under_jit() -> None:
    assert np.isnan(jax.jit(dqc.polarizability)(OH)).all()
    assert np.isfinite(jax.jit(dqc.polarizability)(molecule("h2o", BASIS))).all()


def test_hessian_that_does_not_depend_on_the_hole() -> None:
    """The force constants of OH against PySCF, which takes no derivative of a field here."""
    found = dqc.vibrations(OH, solver=TIGHT)
    expected = mean_field(OH, BASIS, dqc.HF()).Hessian().kernel().transpose(0, 2, 1, 3)
    np.testing.assert_allclose(dqc.hessian(OH, solver=TIGHT), expected, rtol=0, atol=1e-5)
    assert found.frequencies.shape == (1,)


def test_dipole_derivatives_that_do_not_depend_on_the_hole() -> None:
    def along(t: float) -> float:
        moved = OH.with_positions(OH.positions.at[1].add(t * UNIT))
        return float(dqc.dipole(moved, solver=TIGHT) @ UNIT)

    numeric, error = central_difference(along, 0.01)
    assert error < 1e-6
    tensors = np.asarray(dqc.dipole_derivatives(OH, solver=TIGHT))
    assert UNIT @ tensors[1] @ UNIT == pytest.approx(numeric, abs=1e-5)
    np.testing.assert_allclose(tensors.sum(0), 0.0, atol=1e-7)


@slow
def test_alchemical_derivatives_do_not_depend_on_the_hole() -> None:
    _, second = dqc.alchemical_derivatives(OH, solver=TIGHT)
    move = np.array([1.0, -0.5])

    def slope(t: float) -> float:
        changed = dataclasses.replace(OH, charges=OH.charges + t * move)
        return float(jax.grad(lambda m: dqc.energy(m, solver=TIGHT))(changed).charges @ move)

    numeric, error = central_difference(slope, 0.01)
    assert error < 1e-6
    assert move @ second @ move == pytest.approx(numeric, abs=1e-5)


@slow
def test_bending_that_splits_the_level() -> None:
    """Renner and Teller: along and across the hole CO2+ bends differently."""
    mol = radical("C 0 0 0; O 0 0 1.18; O 0 0 -1.18", charge=1)
    for refused in (dqc.hessian, dqc.vibrations):
        with pytest.raises(ResponseError, match="degenerate"):
            refused(mol)


def test_free_axes() -> None:
    """The axis of OH, two of an atom; none where every level is full, or a field selects."""
    np.testing.assert_allclose(free_axes(OH), np.outer(UNIT, UNIT), atol=1e-5)
    assert np.trace(free_axes(DEGENERATE["B"])) == pytest.approx(2.0)
    for mol in (
        radical("N 0 0 0", spin=3),
        radical("C 0 0 0; N 0 0 1.17"),
        molecule("h2o+", BASIS),
        molecule("h2o", BASIS),
    ):
        np.testing.assert_array_equal(free_axes(mol), 0.0)
    across = np.cross(UNIT, [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(free_axes(OH, electric_field=0.3 * across), 0.0)


@pytest.mark.parametrize("element", ["N", pytest.param("P", marks=slow)])
def test_half_filled_shells_are_round(element: str) -> None:
    """Their polarizability is that of PySCF's dipole moments."""
    mol = radical(f"{element} 0 0 0", spin=3)
    expected = five_point(lambda field: in_field(mol, BASIS, field), 0.002)
    alpha = dqc.polarizability(mol, solver=TIGHT)
    np.testing.assert_allclose(alpha, expected, rtol=0, atol=1e-6)
