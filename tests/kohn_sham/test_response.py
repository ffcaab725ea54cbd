"""Kohn-Sham states differentiated through their response: densities, forces, Hessians."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import central_difference, molecule

import dqc_lite as dqc
from dqc_lite.autodiff.jit import options_for

TIGHT = dqc.DIIS(gradient_tol=1e-10)
slow = pytest.mark.slow


def compiled(function: Callable) -> Callable:
    """`jax.jit` that optimizes little: these programs run for milliseconds."""
    return jax.jit(function, compiler_options=dict(options_for(0)))


class Case(NamedTuple):
    """A molecule with the parameters of a functional as arrays."""

    mol: dqc.Molecule
    method: dqc.KS
    theta: list
    treedef: Any

    @classmethod
    def of(cls, name: str, xc: str, **options) -> Case:
        method = dqc.KS(xc, grid_level=0, **{"nonlocal_grid_level": 0} | options)
        leaves, treedef = jax.tree.flatten(method.xc)
        theta = [jnp.asarray(x, float) for x in leaves]
        return cls(molecule(name, "sto-3g"), method, theta, treedef)

    def inputs(self) -> dict:
        field = jnp.array([0.003, -0.002, 0.001])
        return {"positions": self.mol.positions, "theta": self.theta, "field": field}

    def arguments(self, inputs: dict) -> tuple[dqc.Molecule, dqc.KS, dict]:
        xc = jax.tree.unflatten(self.treedef, inputs["theta"])
        method = dataclasses.replace(self.method, xc=xc)
        options = {"electric_field": inputs["field"], "solver": TIGHT}
        return self.mol.with_positions(inputs["positions"]), method, options

    def energy(self, inputs: dict) -> jax.Array:
        mol, method, options = self.arguments(inputs)
        return dqc.energy(mol, method, **options)

    def density_loss(self, inputs: dict) -> jax.Array:
        """sum_s (tr(A_s P_s) + tr((B P_s)^2)) with matrices of no symmetry."""
        mol, method, options = self.arguments(inputs)
        p = dqc.density_matrix(mol, method, **options)
        a = np.random.default_rng(5).normal(size=(3, mol.nao, mol.nao))
        weighted = a[2] @ p
        return jnp.vdot(a[: len(p)], p) + jnp.sum(weighted * weighted.swapaxes(-1, -2))

    def moves(self, kind: str) -> dict:
        """A motion of one kind of input that breaks every symmetry; relative for parameters."""
        rng = np.random.default_rng(1)
        inputs = self.inputs()
        moves = jax.tree.map(jnp.zeros_like, inputs)
        if kind == "theta":
            size = [jnp.where(x == 0, 1.0, x) for x in self.theta]
            moves[kind] = [x * rng.uniform(0.5, 1.0, x.shape) for x in size]
        else:
            move = rng.normal(size=inputs[kind].shape)
            moves[kind] = jnp.asarray(move / np.linalg.norm(move))
        return moves


STEP = {"positions": 0.005, "theta": 0.002, "field": 0.003}
STEEP = {"r2scan": {"theta": 0.0008}}
"""Steps for what varies faster than the rest."""


def dot(a: Any, b: Any) -> jax.Array:
    return sum(map(jnp.vdot, jax.tree.leaves(a), jax.tree.leaves(b)))


def along(function, inputs: dict, moves: dict, step: float) -> tuple[float, float]:
    """Derivative by finite differences, and its error."""
    return central_difference(
        lambda t: float(function(jax.tree.map(lambda x, m: x + t * m, inputs, moves))), step
    )


@pytest.mark.parametrize(
    ("name", "xc", "options"),
    [
        ("n2 rotated", "pbe", {}),
        pytest.param("h2o", "pbe", {"density_fit": True}, marks=slow),
        pytest.param("n2 rotated", "pbe", {"smearing": 0.05}, marks=slow),
        pytest.param("ch3", "b3lyp", {}, marks=slow),
        pytest.param("o2", "r2scan", {}, marks=slow),
        pytest.param("n2 rotated", "camb3lyp", {}, marks=slow),
        pytest.param("ch3", "pbe", {"restricted": "rohf"}, marks=slow),
        pytest.param("hf rotated", "wb97m_v", {"nonlocal_grid_level": 1}, marks=slow),
        pytest.param("h2 rotated", "b97m_v", {"nonlocal_grid_level": 1}, marks=slow),
    ],
)
def test_density(name: str, xc: str, options: dict, shown) -> None:
    """One reverse pass gives the derivative along positions, parameters and field."""
    case = Case.of(name, xc, **options)
    inputs = case.inputs()
    loss = compiled(case.density_loss)
    gradient = compiled(jax.grad(case.density_loss))(inputs)
    steps = STEP | STEEP.get(xc, {})
    for kind in inputs:
        moves = case.moves(kind)
        numeric, error = along(loss, inputs, moves, steps[kind])
        scale = max(abs(numeric), 1e-2 * float(jnp.sqrt(dot(gradient[kind], gradient[kind]))))
        assert error < 5e-7 * scale, kind
        difference = abs(float(dot(gradient, moves)) - numeric) / scale
        assert difference < 1e-6, kind
        wrt = "functional parameters" if kind == "theta" else kind
        shown(case.mol, case.method, name, "density matrix", wrt, 1, "reverse", difference)


@pytest.mark.parametrize(
    ("name", "xc"),
    [
        ("h2o", "pbe"),
        pytest.param("h2o", "b3lyp", marks=slow),
        pytest.param("h2o", "r2scan", marks=slow),
        pytest.param("ch3", "b3lyp", marks=slow),
        pytest.param("o2", "pbe", marks=slow),
    ],
)
def test_forces_along_parameters(name: str, xc: str, shown) -> None:
    """d2E/dR dtheta: positions first, parameters first, and differences of first derivatives."""
    case = Case.of(name, xc)
    inputs, (moved, changed) = case.inputs(), map(case.moves, ("positions", "theta"))

    def slope(inputs: dict) -> jax.Array:
        return jax.jvp(case.energy, (inputs,), (moved,))[1]

    def force_loss(inputs: dict) -> jax.Array:
        """Parameters enter a function of forces, as when they are fitted."""
        return dot(jax.grad(case.energy)(inputs)["positions"], moved["positions"])

    by_theta = float(dot(compiled(jax.grad(slope))(inputs), changed))
    numeric, error = along(compiled(slope), inputs, changed, STEP["theta"])
    assert error < 1e-7 * abs(numeric)
    difference = abs(by_theta - numeric) / abs(numeric)
    assert difference < 1e-6
    wrt = "positions and functional parameters"
    shown(case.mol, case.method, name, "energy", wrt, 2, "both", difference)

    def other(positions: jax.Array) -> jax.Array:
        at = {**inputs, "positions": positions}
        slopes = jax.grad(lambda t: case.energy({**at, "theta": t}))(case.theta)
        return dot(slopes, changed["theta"])

    by_positions = compiled(jax.grad(other))(case.mol.positions)
    assert abs(dot(by_positions, moved["positions"]) - by_theta) < 1e-9 * abs(by_theta)
    if xc == "pbe":  # enough for the default set
        return
    by_forces = compiled(lambda x: dot(jax.grad(force_loss)(x)["theta"], changed["theta"]))(inputs)
    assert abs(by_forces - by_theta) < 1e-9 * abs(by_theta)


def positions_gradient(case: Case) -> Callable:
    """dE/dR, hartree/bohr, as a function of positions."""
    inputs = case.inputs()
    return jax.grad(lambda r: case.energy({**inputs, "positions": r}))


def test_hessian(shown) -> None:
    """PBE: against differences of forces; translation; symmetry."""
    case = Case.of("h2o", "pbe")
    gradient, move = positions_gradient(case), case.moves("positions")["positions"]
    r, first = case.mol.positions, compiled(gradient)
    hessian = np.asarray(compiled(jax.jacfwd(gradient))(r))
    np.testing.assert_allclose(hessian.sum(2), 0.0, atol=1e-8)
    np.testing.assert_allclose(hessian, hessian.transpose(2, 3, 0, 1), rtol=0, atol=1e-9)

    f = [np.asarray(first(r + n * 0.01 * move)) for n in (-2, -1, 1, 2)]
    numeric = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / 0.12
    row = np.einsum("axby,by->ax", hessian, move)
    np.testing.assert_allclose(row, numeric, rtol=0, atol=1e-6)
    difference = np.abs(row - numeric).max() / np.abs(numeric).max()
    mode = "forward over reverse"
    shown(case.mol, case.method, "h2o", "energy", "positions", 2, mode, difference)


@slow
@pytest.mark.parametrize(("name", "xc"), [("h2o", "pbe"), ("o2", "pbe"), ("ch3", "b3lyp")])
def test_forward_equals_reverse(name: str, xc: str) -> None:
    case = Case.of(name, xc)
    gradient, move = positions_gradient(case), case.moves("positions")["positions"]
    r = case.mol.positions
    forward = compiled(lambda r: jax.jvp(gradient, (r,), (move,))[1])(r)
    backward = compiled(jax.grad(lambda r: dot(gradient(r), move)))(r)
    np.testing.assert_allclose(backward, forward, rtol=0, atol=1e-9)
