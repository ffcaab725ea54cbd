"""The response equations: their solver, what it reports, and what is computed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import molecule, primitives

import dqc_lite as dqc
from dqc_lite.integrals.host import values as host_values
from dqc_lite.linalg.krylov import minres

TIGHT = dqc.DIIS(gradient_tol=1e-9)


@pytest.mark.parametrize("lowest", [0.5, -0.5], ids=["definite", "indefinite"])
def test_minres(lowest: float) -> None:
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    eigenvalues = np.concatenate([[lowest], np.linspace(1.0, 30.0, 39)])
    a = q @ np.diag(eigenvalues) @ q.T
    b = rng.normal(size=40)
    m = jnp.asarray(np.abs(np.diagonal(a)))
    found = jax.jit(lambda b: minres.solve(lambda x: jnp.asarray(a) @ x, b, m, 1e-12))(b)
    np.testing.assert_allclose(found.x, np.linalg.solve(a, b), rtol=0, atol=1e-10)
    assert found.residual < 1e-12
    scaled = a / np.sqrt(np.outer(m, m))
    smallest = np.abs(np.linalg.eigvalsh(scaled)).min()
    assert found.smallest == pytest.approx(smallest, rel=1e-3)


def test_minres_of_a_singular_system() -> None:
    """A zero eigenvalue is found, or does no harm where the right-hand side lacks it."""
    rng = np.random.default_rng(1)
    q = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    a = q @ np.diag(np.concatenate([[0.0], np.linspace(1.0, 3.0, 19)])) @ q.T
    one = jnp.ones(20)
    bad = minres.solve(lambda x: jnp.asarray(a) @ x, jnp.asarray(q[:, 0] + q[:, 3]), one, 1e-11)
    assert bad.residual > 1e-3 or bad.smallest < 1e-6
    good = minres.solve(lambda x: jnp.asarray(a) @ x, jnp.asarray(q[:, 3]), one, 1e-11)
    np.testing.assert_allclose(good.x, np.linalg.pinv(a) @ q[:, 3], rtol=0, atol=1e-9)
    none = minres.solve(lambda x: jnp.asarray(a) @ x, jnp.zeros(20), one, 1e-11)
    assert not none.x.any()
    assert none.residual == 0


def _loss(mol: dqc.Molecule, method: dqc.HF, **options):
    a = jnp.asarray(np.random.default_rng(0).normal(size=(mol.nao, mol.nao)))

    def loss(field):
        p = dqc.density_matrix(mol, method, electric_field=field, solver=TIGHT, **options)
        return jnp.vdot(a, p.sum(0))

    return loss


@pytest.mark.parametrize(
    ("atoms", "restricted"),
    [
        ("O 0 0 0; H 0.3 0.2 0.9", "rohf"),
        pytest.param("O 0 0 0; H 0 0 0.97", False, marks=pytest.mark.slow),
        pytest.param("B 0 0 0", False, marks=pytest.mark.slow),
    ],
)
def test_orbitally_degenerate_open_shells_are_reported(atoms: str, restricted) -> None:
    """The direction of a hole in a pi or p shell is arbitrary: the density has no derivative."""
    mol = dqc.Molecule.from_atoms(atoms, basis="sto-3g", spin=1)
    method = dqc.HF(restricted=restricted)
    field = jnp.zeros(3)
    with pytest.raises(dqc.errors.ResponseError, match="degenerate"):
        jax.grad(_loss(mol, method))(field)
    assert np.isnan(jax.grad(_loss(mol, method, throw=False))(field)).all()
    if restricted is False:
        assert np.isnan(jax.jit(jax.grad(_loss(mol, method)))(field)).all()


@pytest.mark.parametrize("smearing", [None, pytest.param(0.1, marks=pytest.mark.slow)])
def test_certificate(smearing: float | None) -> None:
    """Residual and products of a derivative, also inside of `jit`; a singular one is refused."""
    mol, method = molecule("n2 rotated", "sto-3g"), dqc.HF(smearing=smearing)
    a = jnp.asarray(np.random.default_rng(0).normal(size=(mol.nao, mol.nao)))

    def loss(p):
        return jnp.vdot(a, p.sum(0))

    found = dqc.response_certificate(loss, mol, method, solver=TIGHT)
    assert found.accepted
    assert 0 < found.residual < 1e-10
    assert 0.1 < found.smallest_eigenvalue < 2.0
    assert 3 < found.products < 40
    if smearing is not None:
        return

    def certificate(positions):
        moved = mol.with_positions(positions)
        return dqc.response_certificate(loss, moved, method, solver=TIGHT)

    inside = jax.jit(certificate)(mol.positions)
    assert inside.products == found.products
    radical = dqc.Molecule.from_atoms("O 0 0 0; H 0.3 0.2 0.9", basis="sto-3g", spin=1)
    b = jnp.asarray(np.random.default_rng(0).normal(size=(radical.nao, radical.nao)))
    refused = dqc.response_certificate(
        lambda p: jnp.vdot(b, p.sum(0)), radical, dqc.HF(restricted="rohf"), solver=TIGHT
    )
    assert not refused.accepted


def test_unconverged() -> None:
    mol = molecule("h2o", "sto-3g")

    def loss(r, throw=True):
        options = {"solver": dqc.DIIS(max_cycle=2), "throw": throw}
        return dqc.density_matrix(mol.with_positions(r), **options).sum()

    with pytest.raises(dqc.errors.SCFNotConvergedError):
        jax.grad(loss)(mol.positions)
    value, gradient = jax.value_and_grad(lambda r: loss(r, throw=False))(mol.positions)
    assert np.isnan(value)
    assert np.isnan(gradient).all()


def test_costs(monkeypatch, compilations) -> None:
    """A density loss in reverse mode: one SCF, one solve, one pass of derivative integrals."""
    mol = molecule("h2o", "sto-3g")

    def loss(r):
        return (dqc.density_matrix(mol.with_positions(r), solver="diis") ** 2).sum()

    value = primitives(jax.make_jaxpr(loss)(mol.positions).jaxpr)
    assert value.count("while") == 1
    assert "custom_linear_solve" not in value
    slope = primitives(jax.make_jaxpr(jax.grad(loss))(mol.positions).jaxpr)
    assert slope.count("custom_linear_solve") == 1

    moved, passes = 1.01 * mol.positions, []
    gradient = host_values._repulsion_gradient
    monkeypatch.setattr(
        host_values, "_repulsion_gradient", lambda *a: passes.append(len(a[1])) or gradient(*a)
    )
    jax.grad(loss)(mol.positions)
    assert passes == [2]  # the density and its change, together
    with compilations() as count:
        jax.grad(loss)(moved)
    assert count() == 0
