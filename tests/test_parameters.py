"""dE/d(exponents), dE/d(coefficients), dE/d(charges) against finite differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import molecule

import dqc_lite as dqc

CASES = [
    ("nh3 rotated", dqc.HF()),
    ("n2", dqc.HF(density_fit=True)),
    ("ch3", dqc.HF(restricted=False)),
    ("o2", dqc.HF(restricted="rohf")),
]


def _replace(mol: dqc.Molecule, leaf: str, value: jax.Array) -> dqc.Molecule:
    if leaf == "charges":
        return dataclasses.replace(mol, charges=value)
    return dataclasses.replace(mol, basis=dataclasses.replace(mol.basis, **{leaf: value}))


def _ridders(f, h: float) -> tuple[float, float]:
    """Derivative of f at 0 by repeated extrapolation of central differences, and its error."""
    table = [(f(h) - f(-h)) / (2 * h)]
    best, error = table[0], np.inf
    for _ in range(4):
        h /= 2.0
        row = [(f(h) - f(-h)) / (2 * h)]
        for k, old in enumerate(table):
            row.append(row[k] + (row[k] - old) / (4 ** (k + 1) - 1))
        change = abs(row[-1] - table[-1])
        if change < error:
            best, error = row[-1], change
        table = row
    return best, error


@pytest.mark.parametrize(("name", "method"), CASES, ids=[n for n, _ in CASES])
def test_parameter_derivatives(name: str, method: dqc.HF) -> None:
    mol = molecule(name, "6-31g")
    gradient = jax.grad(dqc.energy)(mol, method)
    rng = np.random.default_rng(2)
    for leaf, step in (("charges", 0.05), ("exponents", 0.1), ("coefficients", 0.1)):
        owner = mol if leaf == "charges" else mol.basis
        derivative = getattr(gradient if leaf == "charges" else gradient.basis, leaf)
        at = getattr(owner, leaf)
        # relative steps: exponents span five decades
        direction = jnp.asarray(rng.normal(size=at.shape)) * at
        direction /= jnp.linalg.norm(direction / jnp.abs(at))

        def energy(t, leaf=leaf, at=at, direction=direction):
            return float(dqc.energy(_replace(mol, leaf, at + t * direction), method))

        expected, error = _ridders(energy, step)
        got = float(jnp.vdot(derivative, direction))
        # relative to the gradient, of which a random direction sees a small part
        scale = float(jnp.linalg.norm(derivative * at))
        assert error < 1e-7 * scale
        assert abs(got - expected) < 1e-7 * scale
        assert abs(got) > 1e-6 * scale


def test_normalization_makes_an_overall_factor_of_a_contraction_irrelevant() -> None:
    mol = molecule("h2o", "6-31g")
    gradient = jax.grad(dqc.energy)(mol).basis.coefficients
    table = mol.layout.contraction_table
    radial = np.bincount(table.contraction, weights=np.asarray(gradient * mol.basis.coefficients))
    assert np.abs(radial).max() < 1e-9
    assert np.abs(gradient).max() > 1e-4
