"""Contracted derivative integrals as functions of the density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import molecule

from dqc_lite.integrals import differentials


@pytest.mark.parametrize("spins", [1, 2])
def test_repulsion_gradient_along_the_density(spins: int) -> None:
    """Quadratic in P: its derivative is a difference exactly; forward is reverse."""
    mol = molecule("h2", "6-31g")
    rng = np.random.default_rng(4)

    def symmetric():
        a = rng.normal(size=(spins, mol.nao, mol.nao))
        return jnp.asarray(a + a.swapaxes(-1, -2))

    p, q, motion = symmetric(), symmetric(), rng.normal(size=mol.positions.shape)

    def gradient(p):
        def differential(r):
            return differentials.four_center(mol.with_positions(r).orbitals(), p, 0.7, 0.4)

        return jax.grad(differential)(mol.positions)

    value, along = jax.jvp(gradient, (p,), (q,))
    expected = 0.5 * (gradient(p + q) - gradient(p - q))
    np.testing.assert_allclose(along, expected, rtol=0, atol=1e-11)
    (transposed,) = jax.vjp(gradient, p)[1](jnp.asarray(motion))
    assert np.vdot(transposed, q) == pytest.approx(np.vdot(motion, along), rel=1e-11)
    assert np.vdot(transposed, p) == pytest.approx(2.0 * np.vdot(motion, value), rel=1e-11)
