"""The Fock matrix on occupied orbitals: its own formulas against the Fock matrix itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import molecule

import dqc_lite as dqc
from dqc_lite.autodiff.jit import options_for
from dqc_lite.density import Density


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("h2", dqc.HF(density_fit=True)),
        pytest.param("h2", dqc.KS("pbe0", density_fit=True, grid_level=0), marks=pytest.mark.slow),
        pytest.param("h2", dqc.KS("svwn", grid_level=0), marks=pytest.mark.slow),
        pytest.param("h2", dqc.KS("r2scan", grid_level=0), marks=pytest.mark.slow),
        pytest.param("ch3", dqc.KS("svwn", grid_level=0), marks=pytest.mark.slow),
        pytest.param("ch3", dqc.KS("r2scan", grid_level=0), marks=pytest.mark.slow),
        pytest.param(
            "ch3", dqc.KS("camb3lyp", density_fit=True, grid_level=0), marks=pytest.mark.slow
        ),
    ],
)
def test_equals_the_fock_matrix(name: str, method: dqc.HF | dqc.KS) -> None:
    """Value, derivative along the orbitals, its transpose, and the derivative of that (left out
    where third derivatives of the functional take minutes to compile).
    """
    nested = isinstance(method, dqc.HF) or method.xc.name in ("svwn", "pbe0")
    mol = molecule(name, "6-31g")
    hamiltonian = method.hamiltonian(mol)
    integrals = hamiltonian.prepare(mol, mol.orbitals())
    rng = np.random.default_rng(3)
    shape = (method.reference(mol).nspin, mol.nao, method.reference(mol).nocc)
    c, change, other = (jnp.asarray(0.3 * rng.normal(size=shape)) for _ in range(3))

    def fast(c):
        return hamiltonian.on_orbitals(integrals, Density.from_factor(c))

    def plain(c):
        return hamiltonian.evaluate(integrals, Density.from_factor(c))[1] @ c

    def derivatives(function):
        def made(c, change, other):
            value, along = jax.linearize(function, c)
            first = along(change)

            def slope(c):
                return jnp.vdot(other, jax.jvp(function, (c,), (change,))[1])

            second = jax.grad(slope)(c) if nested else jnp.zeros(())
            return value, first, jax.vjp(function, c)[1](other)[0], second

        return jax.jit(made, compiler_options=dict(options_for(0)))

    expected = derivatives(plain)(c, change, other)
    for ours, theirs in zip(derivatives(fast)(c, change, other), expected, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10 * max(scale, 1.0))
