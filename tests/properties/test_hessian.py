"""Nuclear Hessians against PySCF, nested derivatives of the energy, and differences of forces."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pyscf.lib
import pytest
from systems import mean_field, molecule

import dqc_lite as dqc
from dqc_lite.properties import second_order

TIGHT = dqc.DIIS(gradient_tol=1e-10)
RHF, UHF, ROHF = dqc.HF(), dqc.HF(restricted=False), dqc.HF(restricted="rohf")


def numeric(mol: dqc.Molecule, method, move: np.ndarray, step: float = 0.004) -> np.ndarray:
    """Directional derivative of the gradient by five points."""

    def gradient(n: int) -> np.ndarray:
        moved = mol.with_positions(mol.positions + n * step * move)
        return -np.asarray(dqc.forces(moved, method, solver=TIGHT))

    return (gradient(-2) - 8 * gradient(-1) + 8 * gradient(1) - gradient(2)) / (12 * step)


def direction(mol: dqc.Molecule) -> np.ndarray:
    return np.random.default_rng(2).normal(size=mol.positions.shape)


def along(hessian, move: np.ndarray) -> np.ndarray:
    return np.einsum("axby,by->ax", hessian, move)


@pytest.mark.parametrize(
    ("name", "basis", "method"),
    [
        ("h2o rotated", "6-31g", RHF),
        ("h2o+", "6-31g", UHF),
        pytest.param("ch2o", "6-31g*", RHF, marks=pytest.mark.slow),
        pytest.param("ch3", "6-31g*", UHF, marks=pytest.mark.slow),
        pytest.param("c6h6", "sto-3g", RHF, marks=pytest.mark.slow),
    ],
)
def test_against_pyscf(
    name: str, basis: str, method: dqc.HF, monkeypatch: pytest.MonkeyPatch
) -> None:
    mol = molecule(name, basis)
    hessian = np.asarray(dqc.hessian(mol, method, solver=TIGHT))
    mf = mean_field(mol, basis, method)
    # its defaults leave errors of 1e-6 in soft directions
    mf.conv_tol_cpscf = 1e-12
    monkeypatch.setattr(pyscf.lib, "krylov", functools.partial(pyscf.lib.krylov, lindep=1e-22))
    expected = mf.Hessian().kernel().transpose(0, 2, 1, 3)
    np.testing.assert_allclose(hessian, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(hessian.sum(2), 0.0, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "basis", "method"),
    [
        pytest.param("h2o", "sto-3g", dqc.KS("pbe", grid_level=0), marks=pytest.mark.slow),
        ("h2o+", "sto-3g", UHF),
        pytest.param("h2o rotated", "6-31g", dqc.KS("b3lyp"), marks=pytest.mark.slow),
        pytest.param("ch2o", "6-31g", dqc.KS("pbe"), marks=pytest.mark.slow),
        pytest.param("h2o", "6-31g", dqc.KS("pbe", density_fit=True), marks=pytest.mark.slow),
        pytest.param("ch3", "sto-3g", ROHF, marks=pytest.mark.slow),
        pytest.param("ch3", "6-31g", dqc.HF(density_fit=True), marks=pytest.mark.slow),
        pytest.param("h2o", "6-31g", dqc.HF(smearing=0.05), marks=pytest.mark.slow),
        pytest.param("hi", "def2-svp", RHF, marks=pytest.mark.slow),
        pytest.param("water-ghost", "sto-3g", RHF, marks=pytest.mark.slow),
        pytest.param("h2o", "sto-3g", dqc.KS("camb3lyp", grid_level=1), marks=pytest.mark.slow),
    ],
)
def test_against_forces(name: str, basis: str, method) -> None:
    mol = molecule(name, basis)
    move = direction(mol)
    hessian = np.asarray(dqc.hessian(mol, method, solver=TIGHT))
    expected = numeric(mol, method, move)
    np.testing.assert_allclose(along(hessian, move), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(hessian.sum(2), 0.0, atol=1e-8)


@pytest.mark.slow
def test_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directions in chunks that the budget bounds give what all at once do."""
    mol, field = molecule("h2", "sto-3g"), [0.01, 0.0, 0.02]
    whole = dqc.hessian(mol, electric_field=field)
    monkeypatch.setattr(second_order, "MEMORY_SHARE", 1e-12)
    np.testing.assert_allclose(dqc.hessian(mol, electric_field=field), whole, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_equals_the_nested_derivative() -> None:
    mol = molecule("ch3", "sto-3g")

    def energy(r):
        return dqc.energy(mol.with_positions(r), UHF, solver=TIGHT)

    nested = jax.jit(jax.hessian(energy))(mol.positions)
    compiled = jax.jit(lambda mol: dqc.hessian(mol, UHF, solver=TIGHT))(mol)
    np.testing.assert_allclose(compiled, nested, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_derivative_of_the_hessian() -> None:
    mol = molecule("h2", "6-31g")
    move = direction(mol)

    def hessian(t):
        return dqc.hessian(mol.with_positions(mol.positions + t * move), solver=TIGHT)

    slope = jax.jacfwd(hessian)(0.0)
    step = 0.004
    f = [np.asarray(hessian(n * step)) for n in (-2, -1, 1, 2)]
    expected = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step)
    np.testing.assert_allclose(slope, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_degenerate_open_shell_is_refused() -> None:
    """A p shell with one hole has singular response equations."""
    mol = dqc.Molecule.from_atoms("F 0 0 0; H 0 0 30", "sto-3g", spin=2)
    with pytest.raises(dqc.errors.ResponseError):
        dqc.hessian(mol)
