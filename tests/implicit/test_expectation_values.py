"""Densities and expectation values of degenerate molecules, differentiated along every input."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from systems import central_difference, molecule

import dqc_lite as dqc
from dqc_lite.autodiff.jit import options_for
from dqc_lite.integrals import operators

TIGHT = dqc.DIIS(gradient_tol=1e-11)
STEP = {"positions": 0.003, "field": 0.002, "theta": 0.002}
NAMES = ("density matrix", "second moments")
MOLECULES = ("co2", "co2 rotated", "c6h6", "sf6")


def _methods(name: str) -> list[dqc.HF | dqc.KS]:
    fitted = name in ("c6h6", "sf6")
    kohn_sham = [
        dqc.KS(xc, density_fit=fitted, grid_level=level)
        for xc in ("pbe", "b3lyp")
        for level in (1, 3)
    ]
    return [dqc.HF(density_fit=fitted), *kohn_sham]


def _label(method: dqc.HF | dqc.KS) -> str:
    return f"{method.xc.name}-{method.grid_level}" if isinstance(method, dqc.KS) else "hf"


CASES = [
    pytest.param(name, method, id=f"{name}-{_label(method)}")
    for name in MOLECULES
    for method in _methods(name)
]


def _parameters(method: dqc.KS) -> tuple[jax.Array, Callable]:
    """Those of the functional as a vector, and the way back."""
    return ravel_pytree(jax.tree.map(lambda x: jnp.asarray(x, float), method.xc))


def _inputs(mol: dqc.Molecule, method: dqc.HF | dqc.KS) -> dict:
    inputs = {
        "positions": mol.positions,
        "charges": mol.charges,
        "exponents": mol.basis.exponents,
        "coefficients": mol.basis.coefficients,
        "field": jnp.array([0.003, -0.002, 0.001]),
    }
    if isinstance(method, dqc.KS):
        inputs["theta"] = _parameters(method)[0]
    return inputs


def _values(mol: dqc.Molecule, method: dqc.HF | dqc.KS, inputs: dict) -> jax.Array:
    """sum_s (tr(A_s P_s) + tr((B P_s)^2)), and combined second moments of the electrons, bohr^2."""
    basis = dataclasses.replace(
        mol.basis, exponents=inputs["exponents"], coefficients=inputs["coefficients"]
    )
    mol = dataclasses.replace(
        mol, positions=inputs["positions"], charges=inputs["charges"], basis=basis
    )
    if "theta" in inputs:
        method = dataclasses.replace(method, xc=_parameters(method)[1](inputs["theta"]))
    p = dqc.density_matrix(mol, method, electric_field=inputs["field"], solver=TIGHT)
    a = np.random.default_rng(5).normal(size=(3, mol.nao, mol.nao))
    weighted = a[2] @ p
    loss = jnp.vdot(a[: len(p)], p) + jnp.sum(weighted * weighted.swapaxes(-1, -2))
    share = np.random.default_rng(6).normal(size=(3, 3))
    moments = jnp.einsum("xymn,mn->xy", operators.quadrupole(mol.orbitals()), p.sum(0))
    return jnp.stack([loss, jnp.vdot(share, moments)])


def _move(inputs: dict, kind: str) -> jax.Array:
    """A motion that breaks every symmetry; relative for the basis and parameters."""
    rng = np.random.default_rng(11)
    x = inputs[kind]
    if kind == "theta":
        return jnp.where(x == 0, 1.0, x) * rng.uniform(0.5, 1.0, x.shape)
    move = rng.normal(size=x.shape)
    return jnp.asarray(move / np.linalg.norm(move)) * (x if kind[:2] in ("ex", "co") else 1.0)


def _compiled(function: Callable) -> Callable:
    """`jax.jit` that optimizes little: these programs run for seconds at most."""
    return jax.jit(function, compiler_options=dict(options_for(0)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), CASES)
def test_against_finite_differences(name: str, method: dqc.HF | dqc.KS, shown) -> None:
    """One reverse pass for all inputs, relative error up to 1e-6."""
    mol = molecule(name, "sto-3g")
    inputs = _inputs(mol, method)
    values = _compiled(lambda inputs: _values(mol, method, inputs))
    gradients = _compiled(jax.jacrev(lambda inputs: _values(mol, method, inputs)))(inputs)
    for kind in inputs:
        move = _move(inputs, kind)

        @functools.cache
        def at(t: float, kind: str = kind, move: jax.Array = move) -> np.ndarray:
            return np.asarray(values({**inputs, kind: inputs[kind] + t * move}))

        for i, quantity in enumerate(NAMES):
            gradient = gradients[kind][i]
            numeric, error = central_difference(
                lambda t, at=at, i=i: float(at(t)[i]), STEP.get(kind, 0.01)
            )
            scale = max(abs(numeric), 1e-2 * float(jnp.linalg.norm(gradient)))
            assert error < 5e-7 * scale, (kind, quantity)
            difference = abs(float(jnp.vdot(gradient, move)) - numeric) / scale
            assert difference < 1e-6, (kind, quantity)
            wrt = "functional parameters" if kind == "theta" else kind
            shown(mol, method, name, quantity, wrt, 1, "reverse", difference)
