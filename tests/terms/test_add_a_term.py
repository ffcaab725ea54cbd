"""The page on terms: its code runs, and its terms have the right derivatives."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dqc_lite as dqc

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "add_a_term.md"


@pytest.fixture(scope="module")
def page() -> dict:
    """What the code of the page leaves behind."""
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)```$", PAGE.read_text("utf-8"), re.M | re.S):
        exec(block, names)
    return names


def test_slopes_of_point_charges(page) -> None:
    slopes, outside = page["slopes"], page["outside"]
    step = 1e-3

    def energy(by: float) -> float:
        term = dqc.terms.PointCharges(outside.charges + by, outside.places)
        return float(dqc.energy(page["mol"], dqc.HF(extra_terms=(term,))))

    expected = (energy(step) - energy(-step)) / (2 * step)
    np.testing.assert_allclose(slopes.charges.sum(), expected, atol=1e-6)
    assert slopes.places.shape == (2, 3)


def test_restraint_pulls_the_dipole(page) -> None:
    mol, held, restraint = page["mol"], page["held"], page["restraint"]
    free, pulled = dqc.dipole(mol), dqc.dipole(mol, held)
    assert jnp.linalg.norm(pulled - restraint.target) < jnp.linalg.norm(free - restraint.target)
    # dE/dk = |mu - mu_0|^2 / 2 and dE/dmu_0 = -k (mu - mu_0): the energy is stationary
    slopes = jax.grad(dqc.energy, argnums=1)(mol, held).extra_terms[0]
    away = pulled - restraint.target
    np.testing.assert_allclose(slopes.stiffness, 0.5 * away @ away, atol=1e-8)
    np.testing.assert_allclose(slopes.target, -restraint.stiffness * away, atol=1e-8)


def test_derivatives_of_the_restrained_molecule(page) -> None:
    mol, held = page["mol"], page["held"]
    direction = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)))
    forces = jax.jit(lambda r: dqc.forces(mol.with_positions(r), held))
    energy = jax.jit(lambda r: dqc.energy(mol.with_positions(r), held))

    def central(function, h: float) -> np.ndarray:
        def at(t: float) -> np.ndarray:
            return np.asarray(function(mol.positions + t * h * direction))

        return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)

    slope = -jnp.vdot(forces(mol.positions), direction)
    np.testing.assert_allclose(slope, central(energy, 2e-3), atol=1e-8)
    product = -jnp.einsum("axby,by->ax", dqc.hessian(mol, held), direction)
    np.testing.assert_allclose(product, central(forces, 2e-3), atol=1e-6)


def test_field_gradient_is_conjugate_to_the_quadrupole(page) -> None:
    np.testing.assert_allclose(page["gradient"], -0.5 * page["moments"], atol=1e-8)
