"""Kohn-Sham forces: against finite differences of our own energy on any grid, PySCF's gradient with
the response of the grid, and translation."""

import itertools

import jax
import numpy as np
import pytest
from systems import central_difference, mean_field, molecule

import dqc_lite as dqc

FUNCTIONALS = ("lda,vwn", "pbe", "b3lyp", "r2scan", "m06l", "camb3lyp", "wb97m_v")
MOLECULES = (
    "h2o", "n2", "n2 rotated", "nh3", "nh3 rotated", "ch4", "ch4 rotated", "c6h6", "c6h6 rotated",
    "ch2o", "co2 rotated", "o2", "ch3",
)  # fmt: skip
QUICK = [
    ("n2 rotated", "lda,vwn", 3, "6-31g"),
    ("nh3", "pbe", 1, "6-31g"),
    ("ch4 rotated", "b3lyp", 0, "6-31g"),
    ("o2", "r2scan", 0, "6-31g"),
    ("ch3", "m06l", 0, "6-31g"),
    ("h2o", "camb3lyp", 0, "6-31g"),
    ("n2", "wb97m_v", 0, "sto-3g"),
]
ALL = [
    (name, xc, level, "sto-3g" if xc == "wb97m_v" else "6-31g")
    for name, xc, level in itertools.product(MOLECULES, FUNCTIONALS, (1, 3))
    if (name, xc, level) not in [case[:3] for case in QUICK]
]


def _check(name: str, xc: str, level: int, basis: str, **options) -> None:
    mol = molecule(name, basis)
    method = dqc.KS(xc, grid_level=level, nonlocal_grid_level=0, **options)
    forces = np.asarray(dqc.forces(mol, method))
    assert np.abs(forces.sum(0)).max() < 1e-10
    direction = np.random.default_rng(3).normal(size=forces.shape)
    direction /= np.linalg.norm(direction)

    def along(t: float) -> float:
        return float(dqc.energy(mol.with_positions(mol.positions + t * direction), method))

    expected, error = central_difference(along)
    assert error < 1e-7
    assert abs(-np.vdot(forces, direction) - expected) < 1e-7


@pytest.mark.parametrize(("name", "xc", "level", "basis"), QUICK)
def test_finite_differences(name: str, xc: str, level: int, basis: str) -> None:
    _check(name, xc, level, basis)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "xc", "level", "basis"), ALL)
def test_finite_differences_of_all(name: str, xc: str, level: int, basis: str) -> None:
    _check(name, xc, level, basis)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "xc", "options"),
    [
        ("n2 rotated", "pbe", {"smearing": 0.05}),  # of the free energy
        ("ch3", "b3lyp", {"smearing": 0.02}),
        ("h2o", "wb97x_v", {}),
    ],
)
def test_finite_differences_of_other_methods(name: str, xc: str, options: dict) -> None:
    _check(name, xc, 1, "sto-3g", **options)


@pytest.mark.usefixtures("compiled_once")
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("nh3 rotated", dqc.KS("lda,vwn", grid_level=1)),
        ("h2o", dqc.KS("pbe", grid_level=1, density_fit=True)),
        ("o2", dqc.KS("b3lyp", grid_level=1)),
        ("ch3", dqc.KS("pbe", grid_level=1, restricted="rohf")),
    ],
    ids=["lda", "pbe fitted", "b3lyp unrestricted", "pbe restricted open-shell"],
)
def test_pyscf_with_grid_response(name: str, method: dqc.KS) -> None:
    mol = molecule(name, "6-31g")
    gradient = mean_field(mol, "6-31g", method).nuc_grad_method()
    gradient.grid_response = True
    np.testing.assert_allclose(
        dqc.forces(mol, method), -np.asarray(gradient.kernel()), rtol=0, atol=1e-7
    )


def test_dispersion_adds_its_gradient() -> None:
    mol = molecule("ch4 rotated", "sto-3g")
    for model in ("d3bj", "d4"):
        plain, method = (dqc.KS("pbe", grid_level=0, dispersion=d) for d in (None, model))
        added = dqc.forces(mol, method) - dqc.forces(mol, plain)
        assert 1e-6 < np.abs(added).max() < 1e-2

        def correction(t: float, method: dqc.KS = method) -> float:
            moved = mol.with_positions(mol.positions.at[1].add(t))
            return float(dqc.solve(moved, method).energies["dispersion"])

        expected, error = central_difference(correction)
        assert abs(-added[1].sum() - expected) < 1e-9 + error


def test_second_call_compiles_nothing(compilations) -> None:
    mol, method = molecule("h2o", "6-31g"), dqc.KS("pbe", grid_level=1)
    moved = mol.with_positions(mol.positions * 1.01)
    dqc.energy_and_forces(mol, method)
    with compilations() as count:
        dqc.energy_and_forces(moved, method)
    assert count() == 0


def test_compiled_and_batched_gradients_agree() -> None:
    mol, method = molecule("h2o", "sto-3g"), dqc.KS("pbe", grid_level=0)

    def energy(r: jax.Array) -> jax.Array:
        return dqc.energy(mol.with_positions(r), method)

    expected = jax.grad(energy)(mol.positions)
    compiled = jax.jit(jax.grad(energy))(mol.positions)
    np.testing.assert_allclose(compiled, expected, rtol=0, atol=1e-10)
    forward = jax.jacfwd(energy)(mol.positions)
    np.testing.assert_allclose(forward, expected, rtol=0, atol=1e-10)
    batch = jax.numpy.stack([mol.positions, mol.positions * 1.02])
    batched = jax.vmap(jax.grad(energy))(batch)
    np.testing.assert_allclose(batched[0], expected, rtol=0, atol=1e-10)
