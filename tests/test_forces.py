"""Forces: against PySCF's analytic gradient, finite differences of our own energy, and symmetry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import central_difference, mean_field, molecule, primitives

import dqc_lite as dqc

RHF, UHF, ROHF = dqc.HF(), dqc.HF(restricted=False), dqc.HF(restricted="rohf")
FITTED = dqc.HF(density_fit=True)

CASES = [
    ("he", "6-31g", RHF),
    ("h", "6-31g", UHF),
    ("h2o", "6-31g", RHF),
    ("h2o", "cc-pvdz", FITTED),
    ("hf", "6-31g*", RHF),
    ("n2", "6-31g*", RHF),
    ("n2 rotated", "6-31g*", RHF),
    ("co2", "6-31g", RHF),
    ("co2 rotated", "6-31g", FITTED),
    ("c2h2", "6-31g", RHF),
    ("nh3", "6-31g*", RHF),
    ("nh3 rotated", "6-31g*", FITTED),
    ("ch4", "6-31g", RHF),
    ("ch4 rotated", "6-31g", RHF),
    ("c6h6", "sto-3g", RHF),
    ("c6h6 rotated", "6-31g", FITTED),
    ("sf6", "sto-3g", RHF),
    ("ch2o", "6-31g", RHF),
    ("o2", "6-31g", UHF),
    ("o2", "6-31g", ROHF),
    ("o2 rotated", "6-31g", dqc.HF(restricted="rohf", density_fit=True)),
    ("ch3", "6-31g", UHF),
    ("ch3", "6-31g", ROHF),
    ("ch3 rotated", "6-31g", dqc.HF(restricted=False, density_fit=True)),
    ("h2o+", "6-31g", UHF),
    ("h2-triplet", "6-31g", UHF),
    ("hi", "def2-svp", RHF),
    ("water-ghost", "6-31g", RHF),
]
IDS = [f"{n}-{b}-{m.restricted}-{'df' if m.density_fit else 'exact'}" for n, b, m in CASES]


@pytest.mark.parametrize(("name", "basis", "method"), CASES, ids=IDS)
def test_forces(name: str, basis: str, method: dqc.HF) -> None:
    mol = molecule(name, basis)
    # as PySCF: at a saddle point for O2, restricted open-shell
    energy, forces = dqc.energy_and_forces(mol, method, solver="diis")
    reference = mean_field(mol, basis, method)
    assert abs(energy - reference.e_tot) < 1e-8
    np.testing.assert_allclose(forces, -reference.nuc_grad_method().kernel(), rtol=0, atol=1e-7)
    assert np.abs(np.asarray(forces).sum(0)).max() < 1e-10

    # breaks every symmetry, of unit length
    direction = np.random.default_rng(3).normal(size=forces.shape)
    direction /= np.linalg.norm(direction)

    def along(t: float) -> float:
        moved = mol.with_positions(mol.positions + t * direction)
        return float(dqc.energy(moved, method, solver="diis"))

    expected, error = central_difference(along)
    assert error < 1e-8
    assert abs(-np.vdot(forces, direction) - expected) < 1e-8 + error


@pytest.mark.parametrize("method", [RHF, FITTED], ids=["exact", "df"])
def test_forward_equals_reverse(method: dqc.HF) -> None:
    mol = molecule("nh3", "6-31g*")

    def energy(r):
        return dqc.energy(mol.with_positions(r), method)

    reverse = jax.grad(energy)(mol.positions)
    forward = jax.jacfwd(energy)(mol.positions)
    np.testing.assert_allclose(forward, reverse, rtol=0, atol=1e-10)
    np.testing.assert_allclose(jax.jacrev(energy)(mol.positions), reverse, rtol=0, atol=1e-10)
    compiled = jax.jit(jax.grad(energy))(mol.positions)
    np.testing.assert_allclose(compiled, reverse, rtol=0, atol=1e-10)
    batch = jnp.stack([mol.positions, mol.positions * 1.02])
    batched = jax.vmap(jax.grad(energy))(batch)
    np.testing.assert_allclose(batched[0], reverse, rtol=0, atol=1e-10)
    np.testing.assert_allclose(batched[1], jax.grad(energy)(batch[1]), rtol=0, atol=1e-10)


def test_forces_make_no_response_solve() -> None:
    """The loops of the SCF, one of DIIS, and no linear solver, in energy and in its gradient."""
    mol = molecule("h2o", "6-31g")
    loops = {}
    for solver in ("diis", "auto"):
        for function in (dqc.energy, jax.grad(dqc.energy)):
            made = jax.make_jaxpr(lambda m, f=function, s=solver: f(m, FITTED, solver=s))(mol)
            names = primitives(made.jaxpr)
            loops.setdefault(solver, []).append(names.count("while"))
            assert not {"custom_linear_solve", "lu", "custom_root"} & set(names)
    assert loops["diis"] == [1, 1]
    assert loops["auto"][0] == loops["auto"][1]


def test_second_call_compiles_nothing(compilations) -> None:
    with compilations() as count:  # the counter counts
        jax.jit(lambda x: 2.5 * x + 0.123)(1.0)
    assert count() >= 1
    mol = molecule("h2o", "6-31g")
    moved = mol.with_positions(mol.positions * 1.01)
    for method in (RHF, FITTED):
        dqc.energy_and_forces(mol, method)
        jax.grad(dqc.energy)(mol, method)
        with compilations() as count:
            dqc.energy_and_forces(moved, method)
            jax.grad(dqc.energy)(moved, method)
        assert count() == 0


def test_unconverged_gradient_is_nan_under_jit_and_raises_outside() -> None:
    mol = molecule("h2o", "6-31g")
    short = dqc.DIIS(max_cycle=2)
    with pytest.raises(dqc.errors.SCFNotConvergedError, match="2 cycles"):
        dqc.forces(mol, solver=short)
    value, gradient = jax.jit(jax.value_and_grad(lambda m: dqc.energy(m, solver=short)))(mol)
    assert np.isnan(value)
    assert np.isnan(gradient.positions).all()
