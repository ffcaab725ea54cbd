"""Moments, responses to a field, charges and alchemical derivatives, against PySCF."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.scf
import pytest
from systems import (
    ROTATION,
    central_difference,
    five_point,
    in_field,
    mean_field,
    mole,
    molecule,
)

import dqc_lite as dqc

TIGHT = dqc.DIIS(gradient_tol=1e-10)
BASIS = "6-31g"


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("h2o rotated", dqc.HF()),
        pytest.param("h2o+", dqc.HF(), marks=pytest.mark.slow),
        pytest.param("ch2o", dqc.KS("pbe"), marks=pytest.mark.slow),
    ],
)
def test_moments(name: str, method) -> None:
    mol = molecule(name, BASIS)
    mf = mean_field(mol, BASIS, method)
    atol = 1e-6 if isinstance(method, dqc.HF) else 1e-5  # grids differ a little
    dipole = dqc.dipole(mol, method)
    np.testing.assert_allclose(dipole, mf.dip_moment(unit="AU", verbose=0), rtol=0, atol=atol)
    density = mf.make_rdm1() if mol.spin == 0 else mf.make_rdm1().sum(0)
    second = mf.mol.intor("int1e_rr").reshape(3, 3, mol.nao, mol.nao)
    nuclear = np.einsum("a,ax,ay->xy", mf.mol.atom_charges(), *[mf.mol.atom_coords()] * 2)
    expected = nuclear - np.einsum("xymn,mn->xy", second, density)
    np.testing.assert_allclose(dqc.quadrupole(mol, method), expected, rtol=0, atol=10 * atol)


def test_origin() -> None:
    """Shifts by the charge times the shift; Buckingham's quadrupole has no trace."""
    mol = molecule("h2o+", "sto-3g")
    shift = jnp.array([0.1, -0.4, 2.0])
    p = dqc.density_matrix(mol)
    options = {"guess": p}
    moved = dqc.dipole(mol, origin=shift, **options)
    np.testing.assert_allclose(moved, dqc.dipole(mol, **options) - shift, atol=1e-7)
    turned = mol.with_positions(mol.positions + shift)
    centered = dqc.quadrupole(turned, origin=shift)
    np.testing.assert_allclose(centered, dqc.quadrupole(mol), rtol=0, atol=1e-6)
    traceless = dqc.quadrupole(mol, traceless=True)
    assert abs(jnp.trace(traceless)) < 1e-12


def test_polarizability() -> None:
    mol = molecule("h2o rotated", "sto-3g")
    expected = five_point(lambda field: in_field(mol, "sto-3g", field), 0.002)
    alpha = dqc.polarizability(mol, solver=TIGHT)
    np.testing.assert_allclose(alpha, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "basis"), [("ch3", "6-31g"), ("hf", "6-31g*")])
def test_polarizability_of_others(name: str, basis: str) -> None:
    mol = molecule(name, basis)
    expected = five_point(lambda field: in_field(mol, basis, field), 0.001)
    alpha = dqc.polarizability(mol, solver=TIGHT)
    np.testing.assert_allclose(alpha, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_hyperpolarizability() -> None:
    """Second differences of PySCF's dipole moments, three nested derivatives here."""
    mol = molecule("h2o rotated", "sto-3g")
    beta = dqc.hyperpolarizability(mol, solver=TIGHT)
    direction, step = ROTATION[1], 0.004
    f = [in_field(mol, "sto-3g", n * step * direction) for n in (-2, -1, 0, 1, 2)]
    expected = (-f[0] + 16 * f[1] - 30 * f[2] + 16 * f[3] - f[4]) / (12 * step**2)
    along = np.einsum("xyz,y,z->x", beta, direction, direction)
    np.testing.assert_allclose(along, expected, rtol=0, atol=1e-4 * np.abs(beta).max())
    for order in ((1, 0, 2), (0, 2, 1)):
        np.testing.assert_allclose(beta, jnp.transpose(beta, order), rtol=0, atol=1e-6)


def test_dipole_derivatives() -> None:
    """Against differences, and their sum rule: the charge."""
    mol = molecule("h2o+", "sto-3g")
    tensors = np.asarray(dqc.dipole_derivatives(mol, solver=TIGHT))
    np.testing.assert_allclose(tensors.sum(0), np.eye(3), atol=1e-7)
    move = np.random.default_rng(1).normal(size=(3, 3))

    def component(t: float) -> float:
        moved = mol.with_positions(mol.positions + t * move)
        return float(dqc.dipole(moved, solver=TIGHT) @ np.array([0.2, 0.5, 0.7]))

    numeric, error = central_difference(component, 0.004)
    assert error < 1e-7
    along = np.einsum("axy,ax,y->", tensors, move, [0.2, 0.5, 0.7])
    assert along == pytest.approx(numeric, abs=1e-6)


def test_charges() -> None:
    mol = molecule("ch3", BASIS)
    mf = mean_field(mol, BASIS, dqc.HF())
    expected = mf.mulliken_pop(verbose=0)[1]
    mulliken = dqc.mulliken_charges(mol, solver=TIGHT)
    np.testing.assert_allclose(mulliken, expected, rtol=0, atol=1e-7)
    loewdin = dqc.loewdin_charges(mol, solver=TIGHT)
    s = mf.get_ovlp()
    values, vectors = np.linalg.eigh(s)
    root = vectors * np.sqrt(values) @ vectors.T
    populations = np.diagonal(root @ mf.make_rdm1().sum(0) @ root)
    expected = mf.mol.atom_charges() - [
        populations[start:stop].sum() for *_, start, stop in mf.mol.aoslice_by_atom()
    ]
    np.testing.assert_allclose(loewdin, expected, rtol=0, atol=1e-7)
    assert abs(loewdin.sum()) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("charges", [dqc.mulliken_charges, dqc.loewdin_charges])
def test_charges_are_differentiable(charges: Callable) -> None:
    """Along positions, at the equal eigenvalues of a symmetric molecule's overlap."""
    mol = molecule("ch4 rotated", "sto-3g")
    move = np.random.default_rng(1).normal(size=mol.positions.shape)

    def of(r):
        return charges(mol.with_positions(r), solver=TIGHT)[1]

    numeric, error = central_difference(lambda t: float(of(mol.positions + t * move)), 0.004)
    slope = jax.grad(of)(mol.positions)
    assert error < 1e-7
    assert np.vdot(slope, move) == pytest.approx(numeric, abs=1e-6)


@pytest.mark.slow
def test_derivatives_of_a_dipole_by_the_functional() -> None:
    import dataclasses

    mol, method = molecule("hf", "sto-3g"), dqc.KS("b3lyp", grid_level=0)
    leaves, treedef = jax.tree.flatten(method.xc)

    def component(t):
        xc = jax.tree.unflatten(treedef, [leaves[0] * (1.0 + t), *leaves[1:]])
        return dqc.dipole(mol, dataclasses.replace(method, xc=xc), solver=TIGHT)[2]

    numeric, error = central_difference(lambda t: float(component(t)), 0.02)
    assert error < 1e-7
    assert jax.grad(component)(0.0) == pytest.approx(numeric, abs=1e-6)


def test_alchemical_derivatives() -> None:
    mol = molecule("hf", "sto-3g")
    first, second = dqc.alchemical_derivatives(mol, solver=TIGHT)
    direction = np.array([1.0, -0.6])

    def energy(t: float) -> float:
        built = mole(mol, "sto-3g")
        charges = built.atom_charges() + t * direction
        mf = pyscf.scf.RHF(built)
        potential = mf.get_hcore().copy()
        for a, z in enumerate(t * direction):
            with built.with_rinv_at_nucleus(a):
                potential -= z * built.intor("int1e_rinv")
        apart = np.linalg.norm(np.subtract(*built.atom_coords()))
        mf.get_hcore = lambda *_: potential
        mf.energy_nuc = lambda *_: charges[0] * charges[1] / apart
        mf.conv_tol, mf.conv_tol_grad = 1e-13, 1e-10
        return mf.kernel()

    numeric, error = central_difference(energy, 0.05)
    assert error < 1e-6
    assert first @ direction == pytest.approx(numeric, abs=1e-6)
    h = 0.05
    e = [energy(n * h) for n in (-2, -1, 0, 1, 2)]
    curvature = (-e[0] + 16 * e[1] - 30 * e[2] + 16 * e[3] - e[4]) / (12 * h**2)
    assert direction @ second @ direction == pytest.approx(curvature, abs=1e-5)


def test_alchemical_derivatives_are_of_one_state() -> None:
    """Of the state that the default solver goes on to from a saddle point, both of them."""
    mol = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 2.5", "sto-3g")
    method = dqc.HF(False)
    start = dqc.solve(mol, method, guess=dqc.Guess("minao", mix=0.7))
    first, second = dqc.alchemical_derivatives(mol, method)
    expected = dqc.alchemical_derivatives(mol, method, guess=start)
    # which atom has the alpha electron is not determined
    np.testing.assert_allclose(first, expected[0], atol=1e-6)
    np.testing.assert_allclose(second, expected[1], atol=1e-5)
    assert np.abs(np.asarray(second)).max() < 0.5  # at the saddle point it is 1.9


def test_derivative_of_a_hessian_is_of_one_state() -> None:
    mol = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 2.5", "sto-3g")

    def hessian(t: float) -> jax.Array:
        moved = mol.with_positions(mol.positions.at[1, 2].add(t))
        return dqc.hessian(moved, dqc.HF(False))[1, 2, 1, 2]

    numeric, error = central_difference(lambda t: float(hessian(t)), 0.02)
    _, derivative = jax.jvp(hessian, (0.0,), (1.0,))
    assert error < 1e-5 * abs(numeric)
    assert float(derivative) == pytest.approx(numeric, rel=1e-5)


@pytest.mark.slow
def test_nested_derivative_of_a_function_of_the_hessian() -> None:
    """Not linear in it, so that value and derivative both have to be differentiated."""
    mol = molecule("h2", "sto-3g")

    def square(t: float) -> jax.Array:
        moved = mol.with_positions(mol.positions.at[1, 2].add(t))
        return dqc.hessian(moved)[1, 2, 1, 2] ** 2

    slope = jax.jit(lambda t: jax.jvp(square, (t,), (1.0,))[1])
    numeric, error = central_difference(lambda t: float(slope(t)), 0.01)
    _, derivative = jax.jit(lambda t: jax.jvp(slope, (t,), (1.0,)))(0.0)
    assert error < 1e-6 * abs(numeric)
    assert float(derivative) == pytest.approx(numeric, rel=1e-6)
