"""Second and third derivatives of the energy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import central_difference, mean_field, molecule

import dqc_lite as dqc

TIGHT = dqc.DIIS(gradient_tol=1e-10)
RHF, UHF, ROHF = dqc.HF(), dqc.HF(restricted=False), dqc.HF(restricted="rohf")


@pytest.mark.parametrize(
    ("name", "basis", "method"),
    [
        ("h2o", "sto-3g", RHF),
        pytest.param("ch3", "sto-3g", UHF, marks=pytest.mark.slow),
        pytest.param("nh3 rotated", "6-31g", RHF, marks=pytest.mark.slow),
    ],
)
def test_hessian_against_pyscf(name: str, basis: str, method: dqc.HF, shown) -> None:
    mol = molecule(name, basis)

    def energy(r):
        return dqc.energy(mol.with_positions(r), method, solver=TIGHT)

    hessian = np.asarray(jax.jit(jax.hessian(energy))(mol.positions))
    expected = mean_field(mol, basis, method).Hessian().kernel().transpose(0, 2, 1, 3)
    np.testing.assert_allclose(hessian, expected, rtol=0, atol=1e-6)
    difference = np.abs(hessian - expected).max() / np.abs(expected).max()
    shown(mol, method, name, "energy", "positions", 2, "forward over reverse", difference)
    np.testing.assert_allclose(hessian, hessian.transpose(2, 3, 0, 1), rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("method", [ROHF, dqc.HF(restricted=False, density_fit=True)])
def test_hessian_against_forces(method: dqc.HF, shown) -> None:
    """jacfwd(forces), and reverse over reverse, against differences of forces."""
    mol = molecule("ch3", "sto-3g")
    move = np.random.default_rng(2).normal(size=mol.positions.shape)

    def forces(r):
        return dqc.forces(mol.with_positions(r), method, solver=TIGHT)

    hessian = jax.jit(jax.jacfwd(forces))(mol.positions)
    backward = jax.jit(jax.jacrev(forces))(mol.positions)
    np.testing.assert_allclose(hessian, backward, rtol=0, atol=1e-9)
    f = [np.asarray(forces(mol.positions + n * 0.005 * move)) for n in (-2, -1, 1, 2)]
    numeric = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / 0.06
    along = np.einsum("axby,by->ax", hessian, move)
    np.testing.assert_allclose(along, numeric, rtol=0, atol=1e-6)
    for mode, found in (("forward over reverse", hessian), ("reverse over reverse", backward)):
        row = np.einsum("axby,by->ax", found, move)
        difference = np.abs(row - numeric).max() / np.abs(numeric).max()
        shown(mol, method, "ch3", "energy", "positions", 2, mode, difference)


@pytest.mark.parametrize(
    ("name", "method"),
    [("h2o", RHF), pytest.param("h2o+", UHF, marks=pytest.mark.slow)],
)
def test_hyperpolarizability(name: str, method: dqc.HF, shown) -> None:
    """Three nested derivatives against finite differences of two, which those of one confirm."""
    mol = molecule(name, "sto-3g")
    direction = jnp.array([0.3, 0.5, 0.8])

    def energy(t):
        return dqc.energy(mol, method, electric_field=t * direction, solver=TIGHT)

    first, second = jax.grad(energy), jax.grad(jax.grad(energy))
    third = jax.jit(jax.jacfwd(second))(0.0)
    dipole, polarizability = jax.jit(first), jax.jit(second)

    def difference(function, h: float):
        f = [float(function(n * h)) for n in (-2.0, -1.0, 1.0, 2.0)]
        return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)

    alpha = float(polarizability(0.0))
    assert abs(alpha - difference(dipole, 0.004)) < 1e-6 * abs(alpha)
    assert abs(third) > 1e-2
    error = abs(third - difference(polarizability, 0.004)) / abs(third)
    assert error < 1e-5
    shown(mol, method, name, "energy", "field", 3, "forward over reverse over reverse", error)


@pytest.mark.slow
def test_third_derivative_along_positions(shown) -> None:
    mol = molecule("h2o", "sto-3g")
    move = jnp.asarray(np.random.default_rng(3).normal(size=(3, 3)))

    def energy(t):
        return dqc.energy(mol.with_positions(mol.positions + t * move), solver=TIGHT)

    second = jax.jit(jax.grad(jax.grad(energy)))
    third = jax.jit(jax.grad(jax.grad(jax.grad(energy))))(0.0)
    forward = jax.jit(jax.jacfwd(jax.jacfwd(jax.grad(energy))))(0.0)
    numeric, error = central_difference(lambda t: float(second(t)), 0.005)
    assert error < 1e-5 * abs(numeric)
    assert abs(third - numeric) < 1e-6 * abs(numeric)
    assert abs(third - forward) < 1e-9 * abs(numeric)
    modes = {"reverse three times": third, "forward twice over reverse": forward}
    for mode, found in modes.items():
        difference = abs(found - numeric) / abs(numeric)
        shown(mol, RHF, "h2o", "energy", "positions", 3, mode, difference)
