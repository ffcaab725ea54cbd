"""Derivatives of the density matrix against finite differences, with degenerate orbitals."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import central_difference, molecule

import dqc_lite as dqc

RHF, UHF, ROHF = dqc.HF(), dqc.HF(restricted=False), dqc.HF(restricted="rohf")
FITTED = dqc.HF(density_fit=True)
TIGHT = dqc.DIIS(gradient_tol=1e-10)
KINDS = ("positions", "charges", "exponents", "coefficients", "field")
STEP = {"positions": 0.006, "field": 0.004}
SOFT = {"lithium chain": {"field": 0.0004}}
"""Steps for what responds a hundred times more than the rest."""

slow = pytest.mark.slow
CASES = [
    ("n2 rotated", "sto-3g", RHF),
    ("o2", "sto-3g", ROHF),
    ("n2 rotated", "sto-3g", dqc.HF(smearing=0.1)),
    pytest.param("n2 rotated", "6-31g", dqc.HF(smearing=0.02), marks=slow),
    pytest.param("o2", "sto-3g", dqc.HF(smearing=0.05, density_fit=True), marks=slow),
    pytest.param("lithium chain", "sto-3g", dqc.HF(smearing=0.01), marks=slow),
    pytest.param("h2o+", "sto-3g", FITTED, marks=slow),
    pytest.param("n2", "6-31g", RHF, marks=slow),
    pytest.param("nh3 rotated", "6-31g", RHF, marks=slow),
    pytest.param("ch4", "6-31g", RHF, marks=slow),
    pytest.param("ch2o", "sto-3g", RHF, marks=slow),
    pytest.param("h2o", "6-31g", FITTED, marks=slow),
    pytest.param("o2", "6-31g", UHF, marks=slow),
    pytest.param("ch3", "6-31g", UHF, marks=slow),
    pytest.param("ch3", "6-31g", ROHF, marks=slow),
    pytest.param("h2o+", "6-31g", UHF, marks=slow),
]  # fmt: skip


def _inputs(mol: dqc.Molecule) -> dict[str, jax.Array]:
    return {
        "positions": mol.positions,
        "charges": mol.charges,
        "exponents": mol.basis.exponents,
        "coefficients": mol.basis.coefficients,
        "field": jnp.array([0.003, -0.002, 0.001]),
    }


def _loss(mol: dqc.Molecule, method: dqc.HF, inputs: dict[str, jax.Array]) -> jax.Array:
    """sum_s (tr(A_s P_s) + tr((B P_s)^2)) with matrices of no symmetry."""
    moved = mol.with_positions(inputs["positions"])
    basis = dataclasses.replace(
        mol.basis, exponents=inputs["exponents"], coefficients=inputs["coefficients"]
    )
    moved = dataclasses.replace(moved, charges=inputs["charges"], basis=basis)
    p = dqc.density_matrix(moved, method, electric_field=inputs["field"], solver=TIGHT)
    a = np.random.default_rng(5).normal(size=(3, mol.nao, mol.nao))
    weighted = a[2] @ p
    return jnp.vdot(a[: len(p)], p) + jnp.sum(weighted * weighted.swapaxes(-1, -2))


def _difference(function, inputs: dict, moves: dict, step: float) -> tuple[float, float]:
    """Derivative along `moves`, and its error estimate."""
    return central_difference(
        lambda t: float(function({k: x + t * moves[k] for k, x in inputs.items()})), step / 2
    )


def _moves(inputs: dict, kind: str) -> dict:
    """A motion of one kind of input that breaks every symmetry; relative for the basis."""
    rng = np.random.default_rng(11)
    moves = {k: jnp.zeros_like(x) for k, x in inputs.items()}
    move = rng.normal(size=inputs[kind].shape)
    scale = inputs[kind] if kind in ("exponents", "coefficients") else 1.0
    moves[kind] = jnp.asarray(move / np.linalg.norm(move)) * scale
    return moves


@pytest.mark.parametrize(("name", "basis", "method"), CASES)
def test_gradient_against_finite_differences(name: str, basis: str, method: dqc.HF, shown) -> None:
    mol = molecule(name, basis)
    inputs = _inputs(mol)
    function = jax.jit(lambda inputs: _loss(mol, method, inputs))
    gradient = jax.jit(jax.grad(lambda inputs: _loss(mol, method, inputs)))(inputs)
    steps = STEP | SOFT.get(name, {})
    for kind in KINDS:
        moves = _moves(inputs, kind)
        analytic = float(np.vdot(gradient[kind], moves[kind]))
        numeric, error = _difference(function, inputs, moves, steps.get(kind, 0.02))
        scale = max(abs(numeric), 1e-2 * float(np.linalg.norm(gradient[kind])))
        assert error < 5e-7 * scale, kind
        assert abs(analytic - numeric) < 1e-6 * scale, kind
        difference = abs(analytic - numeric) / scale
        shown(mol, method, name, "density matrix", kind, 1, "reverse", difference)


def test_forward_equals_reverse_and_batched(shown) -> None:
    mol = molecule("n2 rotated", "sto-3g")
    inputs = _inputs(mol)

    def loss(positions):
        return _loss(mol, RHF, inputs | {"positions": positions})

    r = mol.positions
    gradient = jax.grad(loss)(r)
    move = _moves(inputs, "positions")["positions"]
    along = jax.jvp(loss, (r,), (move,))[1]
    difference = abs(along - np.vdot(gradient, move)) / abs(along)
    assert difference < 1e-9
    mode = "forward against reverse"
    shown(mol, RHF, "n2 rotated", "density matrix", "positions", 1, mode, difference)
    both = jax.jit(jax.vmap(jax.grad(loss)))(jnp.stack([r, 1.02 * r]))
    np.testing.assert_allclose(both[0], gradient, rtol=0, atol=1e-9)
    np.testing.assert_allclose(both[1], jax.grad(loss)(1.02 * r), rtol=0, atol=1e-9)


def test_reference_row() -> None:
    """d tr(P^2)/dR of CH2O RHF/STO-3G: 5-point differences of PySCF 2.14 energies-and-densities
    converged to 1e-14; the case of fishjojo/pyscfad issue 98 (`reference_values.json`).
    """
    mol = dqc.Molecule.from_atoms(
        "C 0 0 -0.5265; O 0 0 0.6644; H 0 0.9369 -1.1129; H 0 -0.9369 -1.1129", basis="sto-3g"
    )

    def loss(r):
        p = dqc.density_matrix(mol.with_positions(r), solver=TIGHT)[0]
        return jnp.trace(p @ p)

    value, gradient = jax.value_and_grad(loss)(mol.positions)
    assert abs(value - 27.1009305660) < 1e-8
    expected = [
        [0, 0, -0.09817833],
        [0, 0, 0.6669676],
        [0, 0.33564062, -0.28439467],
        [0, -0.33564062, -0.28439467],
    ]
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "basis", "method"),
    [
        ("n2 rotated", "sto-3g", RHF),
        pytest.param("n2 rotated", "sto-3g", dqc.HF(smearing=0.1), marks=slow),
        pytest.param("ch4", "sto-3g", RHF, marks=slow),
        pytest.param("nh3 rotated", "sto-3g", FITTED, marks=slow),
        pytest.param("ch3", "sto-3g", ROHF, marks=slow),
    ],
)
def test_second_derivative_at_degeneracy(name: str, basis: str, method: dqc.HF, shown) -> None:
    mol = molecule(name, basis)
    inputs = _inputs(mol)
    move = _moves(inputs, "positions")["positions"]

    def loss(r):
        return _loss(mol, method, inputs | {"positions": r})

    first = jax.jit(jax.grad(loss))
    reverse = jax.jit(jax.grad(lambda r: jnp.vdot(jax.grad(loss)(r), move)))(mol.positions)
    values = [np.asarray(first(mol.positions + n * 0.01 * move)) for n in (-2, -1, 1, 2)]
    numeric = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 0.12
    scale = np.abs(numeric).max()
    np.testing.assert_allclose(reverse, numeric, rtol=0, atol=1e-5 * scale)
    difference = np.abs(reverse - numeric).max() / scale
    shown(mol, method, name, "density matrix", "positions", 2, "reverse", difference)
    if method != RHF or name != "n2 rotated":  # the slow cases
        forward = jax.jit(lambda r: jax.jvp(jax.grad(loss), (r,), (move,))[1])(mol.positions)
        np.testing.assert_allclose(reverse, forward, rtol=0, atol=1e-9 * scale)
        difference = np.abs(forward - numeric).max() / scale
        shown(mol, method, name, "density matrix", "positions", 2, "forward", difference)


def test_of_a_solution() -> None:
    """Energy and density are differentiable; what is not gives NaN, not zero."""
    mol = molecule("h2o", "sto-3g")

    def solution(field):
        return dqc.solve(mol, electric_field=field, solver=TIGHT)

    field = jnp.array([0.0, 0.0, 0.01])
    by_energy = jax.grad(lambda f: solution(f).energy)(field)
    expected = jax.grad(lambda f: dqc.energy(mol, electric_field=f, solver=TIGHT))(field)
    np.testing.assert_allclose(by_energy, expected, rtol=0, atol=1e-12)
    both = jax.jit(jax.grad(lambda f: solution(f).energy))(field)
    np.testing.assert_allclose(both, expected, rtol=0, atol=1e-10)
    assert np.isnan(jax.grad(lambda f: solution(f).mo_coeff[0, 0, 0])(field)).all()


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("o2", dqc.HF(restricted="rohf")),
        pytest.param("n2 rotated", dqc.HF(), marks=slow),
        pytest.param("h2o+", dqc.HF(restricted=False), marks=slow),  # no degenerate level: its gap
        pytest.param("o2", dqc.HF(smearing=0.05, density_fit=True), marks=slow),
    ],
)
def test_orbital_energies(name: str, method: dqc.HF, shown) -> None:
    """Symmetric functions of degenerate levels, the gap, smeared occupations, Fermi levels."""
    mol = molecule(name, "sto-3g")
    move = np.random.default_rng(0).normal(size=mol.positions.shape)

    def spectrum(t):
        moved = mol.with_positions(mol.positions + t * move)
        field = t * jnp.array([0.1, 0.2, -0.1])
        solution = dqc.solve(moved, method, solver=TIGHT, electric_field=field)
        occupied = solution.mo_occ > 0.5
        values = [
            (solution.mo_energy**2).sum(),
            jnp.where(occupied, solution.mo_energy, 0.0).sum(),
            solution.certificate.gap,
        ]
        if method.smearing is not None:
            values += [solution.fermi_level.sum(), (solution.mo_occ**2).sum()]
        return jnp.stack(values)

    reverse = jax.jit(jax.jacrev(spectrum))(0.0)
    forward = jax.jit(jax.jacfwd(spectrum))(0.0)
    np.testing.assert_allclose(reverse, forward, rtol=0, atol=1e-9)
    plain = jax.jit(spectrum)
    for i, analytic in enumerate(reverse):
        numeric, error = central_difference(lambda t, i=i: float(plain(t)[i]), 0.004)
        assert error < 1e-6 * abs(numeric)
        difference = abs(analytic - numeric) / abs(numeric)
        assert difference < 1e-6
        quantity = "orbital energies" if i < 3 else "Fermi level, occupations"
        shown(mol, method, name, quantity, "positions, field", 1, "both", difference)
