"""Derivatives of the energy with respect to every parameter of the functional."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import central_difference, molecule

import dqc_lite as dqc

CASES = [
    ("h2o", "sto-3g", "pbe"),
    ("heh", "6-31g", "b3lyp"),  # a doublet
    ("h2o", "sto-3g", "r2scan"),
    ("h2o", "sto-3g", "camb3lyp"),
]
SLOW = [("ch3", "sto-3g", "b3lyp"), ("h2o", "sto-3g", "wb97m_v"), ("h2o", "sto-3g", "hse06")]


@pytest.mark.parametrize(
    ("name", "basis", "xc"), CASES + [pytest.param(*c, marks=pytest.mark.slow) for c in SLOW]
)
def test_every_parameter(name: str, basis: str, xc: str) -> None:
    """The gradient in all leaves at once, along random directions in each of them."""
    mol = molecule(name, basis)
    method = dqc.KS(xc, grid_level=0, nonlocal_grid_level=0)
    leaves, treedef = jax.tree.flatten(method.xc)
    assert leaves

    def energy(values: list) -> jax.Array:
        changed = dataclasses.replace(method, xc=jax.tree.unflatten(treedef, values))
        return dqc.energy(mol, changed)

    gradient = jax.grad(energy)([jnp.asarray(x, float) for x in leaves])
    rng = np.random.default_rng(2)
    for i, (leaf, slope) in enumerate(zip(leaves, gradient, strict=True)):
        direction = np.asarray(leaf, float) * rng.uniform(0.5, 1.0, np.shape(leaf))
        if not np.any(direction):
            direction = rng.uniform(0.5, 1.0, np.shape(leaf))

        def along(t: float, i: int = i, direction=direction) -> float:
            moved = [jnp.asarray(x, float) for x in leaves]
            moved[i] = moved[i] + t * direction
            return float(energy(moved))

        expected, error = central_difference(along, 1e-3)
        scale = max(1.0, abs(expected))
        assert abs(np.vdot(slope, direction) - expected) < 1e-7 * scale + error, (i, leaf)
