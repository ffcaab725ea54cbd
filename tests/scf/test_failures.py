"""What goes wrong in the SCF: numbers that are not finite, cycles that end, memory, dependence."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import mean_field, mole, molecule

import dqc_lite as dqc
from dqc_lite import errors, problem


def _changed(field: str, value: float) -> dqc.Molecule:
    mol = molecule("h2o", "sto-3g")
    at = (1,) * getattr(mol.basis if field in ("exponents", "coefficients") else mol, field).ndim
    if field in ("exponents", "coefficients"):
        changed = getattr(mol.basis, field).at[at].set(value)
        return dataclasses.replace(mol, basis=dataclasses.replace(mol.basis, **{field: changed}))
    return dataclasses.replace(mol, **{field: getattr(mol, field).at[at].set(value)})


FIELDS = {
    "positions": "mol.positions", "charges": "mol.charges",
    "exponents": "mol.basis.exponents", "coefficients": "mol.basis.coefficients",
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inputs_that_are_not_finite(field: str, value: float) -> None:
    with pytest.raises(errors.NonFiniteError, match=rf"{FIELDS[field]} holds {value} at \(1,"):
        dqc.energy(_changed(field, value))


def test_field_and_functional_that_are_not_finite() -> None:
    mol = molecule("h2", "sto-3g")
    with pytest.raises(errors.NonFiniteError, match=r"electric_field holds nan at \(2,\)"):
        dqc.energy(mol, electric_field=[0.0, 0.0, np.nan])
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, dqc.KS("pbe", grid_level=0))
    with pytest.raises(errors.NonFiniteError, match=r"method\.xc.* holds nan"):
        dqc.energy(mol, broken)


@pytest.mark.parametrize("solver", ["auto", "second-order"])
def test_numbers_that_run_away_stop_at_once(monkeypatch, solver: str) -> None:
    """Beyond the checks of the input: in the middle of the loop."""
    monkeypatch.setattr(problem, "require_finite", lambda inputs: None)
    mol = molecule("h2", "sto-3g")
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, dqc.KS("pbe", grid_level=0))
    with pytest.raises(errors.NonFiniteError, match=r"non-finite number in cycle [0-2] .*check"):
        dqc.energy(mol, broken, solver=solver)
    assert int(dqc.solve(mol, broken, solver=solver, throw=False).iterations) <= 2


def test_under_jit_the_result_is_nan() -> None:
    """Also where the integrals would not notice: libcint leaves out such a primitive."""
    energy = jax.jit(dqc.energy)
    assert np.isfinite(energy(molecule("h2o", "sto-3g")))
    assert np.isnan(energy(_changed("exponents", np.nan)))


def test_value_and_derivatives_are_nan_where_nothing_can_be_raised() -> None:
    mol = molecule("h2o", "sto-3g")
    broken = jnp.asarray(mol.positions).at[0, 0].set(jnp.nan)
    energy = jax.jit(jax.value_and_grad(lambda r: dqc.energy(mol.with_positions(r))))
    value, slope = energy(broken)
    assert np.isnan(value)
    assert np.isnan(slope).all()


def test_last_state_of_an_unconverged_solution() -> None:
    mol = molecule("h2o", "sto-3g")
    last = dqc.solve(mol, solver=dqc.DIIS(max_cycle=3), throw=False)
    assert not bool(last.converged)
    assert abs(float(last.history[2, 0]) - float(last.certificate.orbital_gradient)) > 0
    with pytest.raises(errors.SCFNotConvergedError, match="3 cycles") as info:
        dqc.solve(mol, solver=dqc.DIIS(max_cycle=3))
    np.testing.assert_array_equal(info.value.density_matrix, last.density_matrix)
    assert info.value.gradient == float(last.certificate.orbital_gradient)
    assert info.value.delta_energy == float(last.certificate.energy_change)


def test_default_solver_says_when_second_order_took_over(monkeypatch) -> None:
    from dqc_lite.scf import solvers

    mol = molecule("h2o", "sto-3g")
    plain = dqc.solve(mol)
    assert int(plain.certificate.second_order_cycles) == 0
    short = dataclasses.replace(solvers.DEFAULT, max_cycle=3)
    monkeypatch.setattr(solvers, "DEFAULT", short)
    rescued = dqc.solve(mol)
    assert bool(rescued.converged)
    assert int(rescued.certificate.second_order_cycles) == int(rescued.iterations) - 3
    assert abs(float(rescued.energy - plain.energy)) < 1e-9
    assert np.isfinite(rescued.history[: int(rescued.iterations)]).all()


def test_default_costs_what_diis_costs(compilations) -> None:
    """At a large gap as many programs and Fock builds as DIIS alone."""
    mol = molecule("nh3", "sto-3g")
    counts, builds = [], []
    for solver in (dqc.DIIS(max_cycle=60, patience=20), None):
        jax.clear_caches()
        with compilations() as count:
            builds.append(int(dqc.solve(mol, solver=solver).certificate.fock_builds))
        counts.append(count())
    assert counts[0] == counts[1]
    assert builds[0] == builds[1]


def test_memory_is_refused_before_it_is_taken(monkeypatch) -> None:
    monkeypatch.setenv("DQC_LITE_MEMORY_GB", "1e-5")
    with pytest.raises(errors.MemoryBudgetError, match=r"GiB.*DQC_LITE_MEMORY_GB"):
        dqc.energy(molecule("nh3", "6-31g*"))
    monkeypatch.setenv("DQC_LITE_MEMORY_GB", "plenty")
    with pytest.raises(errors.InputError, match="'plenty' is no number"):
        dqc.energy(molecule("nh3", "6-31g*"))


def _chain(apart: float) -> dqc.Molecule:
    """Four hydrogen atoms so close that their diffuse functions nearly coincide."""
    rows = "; ".join(f"H 0 0 {apart * i}" for i in range(4))
    return dqc.Molecule.from_atoms(rows, "aug-cc-pvdz", unit="bohr")


@pytest.mark.parametrize("solver", ["auto", "second-order"])
def test_nearly_dependent_functions(solver: str) -> None:
    """Converged to what rounding allows, and said so; PySCF, which leaves out more, ends above."""
    mol = _chain(0.5)
    with pytest.warns(UserWarning, match=r"eigenvalue of the overlap 6\.4e-08.*which is rounding"):
        solution = dqc.solve(mol, solver=solver)
    assert bool(solution.converged)
    assert 1e-8 < float(solution.certificate.orbital_gradient) < 1e-6
    overlap = mole(mol, "aug-cc-pvdz").intor("int1e_ovlp")
    smallest = float(solution.certificate.smallest_overlap_eigenvalue)
    assert smallest == pytest.approx(np.linalg.eigvalsh(overlap)[0], rel=1e-6)
    reference = mean_field(mol, "aug-cc-pvdz", dqc.HF())
    assert float(solution.energy) < reference.e_tot + 1e-8
    there = reference.energy_tot(np.asarray(solution.density_matrix[0]))
    assert abs(float(solution.energy) - there) < 1e-8
    inside = jax.jit(lambda m: dqc.solve(m, solver=solver))(mol)
    assert abs(float(inside.energy - solution.energy)) < 1e-8


def test_tolerances_beyond_rounding_are_an_error_in_an_ordinary_basis() -> None:
    with pytest.raises(errors.SCFNotConvergedError):
        dqc.energy(molecule("h2o", "sto-3g"), solver=dqc.DIIS(gradient_tol=1e-18))


def test_threshold_of_dependence() -> None:
    """With fewer functions left out nothing keeps it from converging; the energy is higher."""
    mol, method = _chain(0.5), dqc.HF(linear_dependence=1e-5)
    with pytest.warns(UserWarning, match=r"\d of 36 combinations removed"):
        solution = dqc.solve(mol, method)
    assert float(solution.certificate.orbital_gradient) < 1e-8
    assert float(solution.certificate.smallest_overlap_eigenvalue) > 1e-5
    with pytest.warns(UserWarning, match="rounding"):
        assert float(solution.energy) > float(dqc.energy(mol)) - 1e-8
    with pytest.raises(errors.SCFNotConvergedError, match=r"overlap 6\.4e-08: linear_dependence="):
        dqc.energy(mol, solver=dqc.DIIS(max_cycle=5))
    for wrong in (0.0, 1, True, -1e-8, "1e-8"):
        with pytest.raises(errors.InputError, match="linear_dependence"):
            dqc.HF(linear_dependence=wrong)


def test_shape_stays_where_functions_are_dependent() -> None:
    """The count is known when it runs, the shape before."""
    pair = [[0, [1.0, 1.0]], [0, [1.0 + 1e-6, 1.0]], [0, [0.3, 1.0]]]
    mol = dqc.Molecule.from_atoms("He 0 0 0", {"He": pair})
    with pytest.warns(UserWarning, match="1 of 3 combinations removed"):
        outside = dqc.solve(mol)
    inside = jax.jit(lambda m: dqc.solve(m))(mol)
    assert inside.mo_coeff.shape == outside.mo_coeff.shape == (1, 3, 3)
    assert int(inside.certificate.kept_orbitals) == 2
