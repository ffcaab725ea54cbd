"""Second derivatives of contracted integrals: host code against the general primitive."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import molecule

from dqc_lite.integrals import contracted_gradient, gradient_table, operators


def _symmetric(rng: np.random.Generator, *shape: int) -> jnp.ndarray:
    a = rng.normal(size=shape)
    return jnp.asarray(a + a.swapaxes(-1, -2))


def _arguments(name: str, spins: int = 1) -> tuple:
    """(orbitals, extra, fixed, dual) of a contraction over a small molecule."""
    rng = np.random.default_rng(5)
    system = "hi" if name == "ECP" else "h2o rotated"
    mol = molecule(system, "def2-svp" if name == "ECP" else "sto-3g")
    orbitals = mol.orbitals()
    if name == "NUCLEAR":
        return (orbitals,), (mol.charges,), (), _symmetric(rng, mol.nao, mol.nao)
    if name in ("TWO_CENTER", "THREE_CENTER"):
        other = molecule("h2o rotated", "6-31g").orbitals()
        if name == "TWO_CENTER":
            return (other,), (0.4,), (), _symmetric(rng, other.layout.nao, other.layout.nao)
        dual = rng.normal(size=(other.layout.nao, operators.npair(mol.nao)))
        return (orbitals, other), (None,), (), jnp.asarray(dual)
    if name == "FOUR_CENTER":
        return (orbitals,), (None,), (0.9, 0.4), _symmetric(rng, spins, mol.nao, mol.nao)
    return (orbitals,), (), (), _symmetric(rng, mol.nao, mol.nao)


CASES = [
    ("OVERLAP", 1),
    ("KINETIC", 1),
    ("NUCLEAR", 1),
    pytest.param("ECP", 1, marks=pytest.mark.slow),
    pytest.param("TWO_CENTER", 1, marks=pytest.mark.slow),
    pytest.param("THREE_CENTER", 1, marks=pytest.mark.slow),
    ("FOUR_CENTER", 1),
    pytest.param("FOUR_CENTER", 2, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "spins"), CASES)
def test_against_the_general_primitive(name: str, spins: int) -> None:
    """Curvature, its transposed mixed derivatives, and many of them at once."""
    kind = getattr(gradient_table, name)
    orbitals, extra, fixed, dual = _arguments(name, spins)
    rng = np.random.default_rng(6)
    motions = jnp.asarray(rng.normal(size=(3, len(orbitals), *orbitals[0].centers.shape)))
    _check_curvature(kind, (orbitals, extra, fixed, dual), motions[0])
    leaves, treedef = jax.tree.flatten((orbitals, extra, fixed, dual))
    static = {"kind": kind, "treedef": treedef}
    tensors = contracted_gradient.tensor_p.bind(*leaves, motions, **static)
    expected = contracted_gradient._reference_tensor(*leaves, motions, **static)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(_seen(tensors), _seen(expected), rtol=0, atol=1e-9 * scale)
    changes = jnp.asarray(rng.normal(size=(2, *dual.shape)))
    if dual.shape[-1] == dual.shape[-2]:
        changes = changes + changes.swapaxes(-1, -2)
    made = contracted_gradient.directional_p.bind(*leaves, changes, **static)
    products = np.einsum("bkax,tkax->bt", made, motions)
    flat = (changes.reshape(2, -1), tensors.reshape(3, -1))
    transposed = flat[0] @ flat[1].T
    np.testing.assert_allclose(products, transposed, rtol=1e-8, atol=1e-8 * np.abs(products).max())


def _check_curvature(kind: contracted_gradient.Contraction, at: tuple, motion: jnp.ndarray) -> None:
    orbitals, *rest = at
    centers = jnp.stack([o.centers for o in orbitals])

    def gradient(function: Callable, r):
        return function(contracted_gradient._at(orbitals, r), *rest)

    _, expected = jax.jvp(lambda r: gradient(kind.reference, r), (centers,), (motion,))
    _, found = jax.jvp(lambda r: gradient(kind.function, r), (centers,), (motion,))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * scale)


def _seen(tensor: np.ndarray) -> np.ndarray:
    """The part that a symmetric dual sees."""
    tensor = np.asarray(tensor)
    if tensor.shape[-1] != tensor.shape[-2]:
        return tensor
    return 0.5 * (tensor + tensor.swapaxes(-1, -2))
