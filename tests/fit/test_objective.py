"""Losses and their derivatives: padding, buckets, finite differences, rows that fail."""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fit_problems import TIGHT
from systems import molecule

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.errors import InputError, NonFiniteError
from dqc_lite.fit import programs
from dqc_lite.grid.atomic import Grid

METHOD = dqc.KS("pbe", grid_level=0)
PARAMETERS = fit.Parameters.select("pbe", ["gga_x_pbe.*", "gga_c_pbe.beta"])
NAMES = ("n2", "ch4", "c2h2", "h2")


def _row(name: str, *kinds: str, basis: str = "sto-3g") -> fit.Row:
    """With wrong targets of these kinds, reproducible."""
    mol = molecule(name, basis)
    rng = np.random.default_rng(len(name))
    symmetric = rng.normal(size=(mol.nao, mol.nao))
    values = {
        "energy": -40.0, "dipole": rng.normal(size=3), "forces": rng.normal(size=(mol.natm, 3)),
        "density": symmetric + symmetric.T, "orbital_energies": _levels(mol, rng),
    }  # fmt: skip
    return fit.Row(name, mol, **{k: values[k] for k in kinds})


def _levels(mol: dqc.Molecule, rng: np.random.Generator) -> np.ndarray:
    """Each second level is known, up to above the gap."""
    levels = rng.normal(size=(1 if mol.spin == 0 else 2, max(mol.nelec) + 1))
    levels[:, 1::2] = np.nan
    return levels


def _objective(rows, loss=None, reactions=(), **options) -> fit.Objective:
    options = {"solver": TIGHT, "max_buckets": 2} | options
    method, parameters = options.pop("method", METHOD), options.pop("parameters", PARAMETERS)
    return fit.Objective(fit.Dataset(tuple(rows), tuple(reactions)), method, parameters, loss,
                         **options)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _little_effort() -> Iterator[None]:
    """Programs run some ten times here, so that compiling them well takes longer than it saves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "quick_jit", functools.partial(programs.quick_jit, effort=0))
        yield


@pytest.fixture(scope="module")
def mixed() -> fit.Objective:
    """Closed and open shells of several sizes in one bucket each."""
    rows = [_row(n, "energy", "density", "orbital_energies") for n in NAMES]
    rows += [_row("hf", "dipole", "orbital_energies"), _row("ch3", "energy", "orbital_energies"),
             _row("o2", "energy", "density")]
    reaction = fit.Reaction("r", {"n2": 1.0, "ch4": -2.0, "o2": 0.5}, 0.3)
    # every evaluation starts from the same orbitals, and ends as far from the solution as it may
    tighter = dqc.DIIS(energy_tol=1e-12, gradient_tol=1e-11)
    first = _objective(rows, reactions=[reaction], solver=tighter)
    first.evaluate(PARAMETERS.point(), "value")
    near = [r if r.density is None else dataclasses.replace(r, density=_near(first, r))
            for r in first.rows]  # fmt: skip
    return first.on(fit.Dataset(tuple(near), (reaction,)))


def _near(objective: fit.Objective, row: fit.Row) -> np.ndarray:
    """Not far from the converged density, so that differences of the loss are exact."""
    bucket = objective.home[row.name]
    density = bucket.rows[row.name].reference.density(bucket.orbitals[row.name])
    return 0.97 * np.asarray(density.total)[: row.mol.nao, : row.mol.nao]


def test_energies_are_those_of_the_engine(mixed) -> None:
    found = mixed.evaluate(PARAMETERS.point(), "value").energies
    for name in ("n2", "h2", "o2"):
        expected = float(dqc.energy(molecule(name, "sto-3g"), METHOD, solver=TIGHT))
        assert found[name] == pytest.approx(expected, abs=1e-11)


def test_padding_changes_nothing(mixed) -> None:
    """Beside rows in shapes of their own: energies, densities and every derivative."""
    x = PARAMETERS.point() * 1.05
    padded = mixed.evaluate(x, "value")
    assert len(mixed.buckets) == 2
    alone = mixed.on(fit.Dataset((mixed.rows[0],)))  # n2 in the shapes of c2h2
    rows = [r for r in mixed.rows if r.name == "h2"]
    own = _objective(rows)
    assert own.buckets[0].sizes.nao < mixed.home["h2"].sizes.nao
    a, b = own.evaluate(x, "jacobian"), mixed.evaluate(x, "jacobian", only=["h2"])
    scale = np.sqrt(len([p for p in padded.parts if p.kind == "energy"]))
    np.testing.assert_allclose(a.errors[-1], b.errors[-1] * scale, rtol=1e-12)
    np.testing.assert_allclose(a.jacobian[-1], b.jacobian[-1] * scale, rtol=0, atol=1e-12)
    density = {"own": a.parts, "padded": b.parts}
    squares = {k: sum(p.errors @ p.errors for p in parts if p.kind == "density")
               for k, parts in density.items()}  # fmt: skip
    assert squares["own"] == pytest.approx(squares["padded"], rel=1e-12)
    assert alone.evaluate(x, "value").energies["n2"] == pytest.approx(
        padded.energies["n2"], abs=1e-12
    )


SHELLS = {
    "reaction": ["r"], "dipole": ["hf"], "density": ["n2"], "orbital_energies": ["ch3"],
}  # fmt: skip


@pytest.mark.parametrize("kind", SHELLS)
def test_gradient_of_each_loss(mixed, kind: str) -> None:
    """Degenerate closed shells and an open one; every parameter."""
    _confirm(mixed, kind, SHELLS[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["energy", "density", "orbital_energies"])
def test_gradient_of_each_loss_for_all(mixed, kind: str) -> None:
    _confirm(mixed, kind, [r.name for r in mixed.rows if kind in r.targets])


def _confirm(mixed: fit.Objective, kind: str, only: list[str]) -> None:
    loss = _part(mixed, kind, only)
    report = dqc.check_gradients(loss, jnp.asarray(PARAMETERS.point()), rtol=1e-6)
    assert report.passed, str(report)


def _part(objective: fit.Objective, kind: str, only: list[str]):
    """One kind of loss out of the compiled whole."""

    def squares(x, order):
        found = objective.evaluate(np.asarray(x), order, only)
        start, value, slope = 0, 0.0, np.zeros(len(x))
        for part in found.parts:
            stop = start + part.errors.size
            if part.kind == kind:
                errors = found.errors[start:stop]
                value += float(errors @ errors)
                if order == "jacobian":
                    slope += 2.0 * errors @ found.jacobian[start:stop]
            start = stop
        return value, slope

    @jax.custom_jvp
    def loss(x):
        return jnp.asarray(squares(x, "value")[0])

    @loss.defjvp
    def rule(primals, tangents):
        value, slope = squares(primals[0], "jacobian")
        return jnp.asarray(value), jnp.vdot(jnp.asarray(slope), tangents[0])

    return loss


def test_gradient_of_the_whole(mixed) -> None:
    """In reverse mode the same as from the Jacobian, and as `function` hands to JAX."""
    x = PARAMETERS.point() * 0.97
    whole = mixed.on(fit.Dataset(tuple(r for r in mixed.rows if r.name in ("c2h2", "hf", "n2"))))
    a, b = whole.evaluate(x, "gradient"), whole.evaluate(x, "jacobian")
    np.testing.assert_allclose(b.gradient, a.gradient, rtol=1e-8)
    np.testing.assert_allclose(2.0 * b.errors @ b.jacobian, a.gradient, rtol=1e-8)
    assert a.loss == pytest.approx(float(b.errors @ b.errors), rel=1e-12)
    slope = jax.grad(whole.function())(jnp.asarray(x))
    np.testing.assert_allclose(slope, a.gradient, rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["n2", "ch4", "c2h2", "ch3"])
def test_gradient_of_the_force_loss(name: str) -> None:
    # errors of forces are of first order in the gradient that is left
    tighter = dqc.DIIS(energy_tol=1e-12, gradient_tol=1e-11)
    objective = _objective([_row(name, "forces")], solver=tighter)
    report = dqc.check_gradients(objective.function(), jnp.asarray(PARAMETERS.point()), rtol=1e-6)
    assert report.passed, str(report)


@pytest.mark.slow
def test_forces_are_those_of_the_engine() -> None:
    """Water without symmetry to hide behind, density-fitted; few parameters and a gradient."""
    method = dqc.KS("pbe", grid_level=0, density_fit=True)
    objective = _objective([_row("h2o rotated", "forces")], method=method)
    found = objective.evaluate(PARAMETERS.point(), "jacobian")
    row = objective.rows[0]
    expected = np.asarray(dqc.forces(row.mol, method, solver=TIGHT))
    np.testing.assert_allclose(found.parts[0].errors + row.forces.ravel(), expected.ravel(),
                               atol=1e-9)  # fmt: skip

    def along(t: float) -> np.ndarray:
        moved = PARAMETERS.functional(PARAMETERS.point() * np.array([1.0 + t, 1.0, 1.0]))
        return np.asarray(dqc.forces(row.mol, dataclasses.replace(method, xc=moved), solver=TIGHT))

    h = 0.02
    difference = (8 * (along(h) - along(-h)) - along(2 * h) + along(-2 * h)) / (12 * h)
    scale = 1.0 / np.sqrt(row.forces.size)
    slope = found.jacobian[:, 0] * PARAMETERS.start[0] / scale
    np.testing.assert_allclose(slope, difference.ravel(), atol=1e-7)


@pytest.mark.slow
def test_density_errors_are_integrals(mixed) -> None:
    """tr(dP S dP S), and the integral over a grid, of a density made by another functional."""
    mol = molecule("h2", "sto-3g")
    other = dqc.solve(mol, dqc.HF()).density_matrix.sum(0)
    method = dqc.KS("pbe", grid_level=1)  # weights are positive
    density = dqc.density_matrix(mol, method, solver=TIGHT).sum(0)
    from dqc_lite.integrals import operators

    s = operators.overlap(mol.orbitals())
    difference = np.asarray(density - other)
    row = fit.Row("h2", mol, density=np.asarray(other))
    for metric in ("overlap", "grid"):
        objective = _objective([row], fit.Loss(density_metric=metric), method=method)
        found = objective.evaluate(PARAMETERS.point(), "value").loss
        if metric == "overlap":
            expected = np.trace(difference @ s @ difference @ s)
        else:
            import pyscf.dft
            from systems import mole

            ks = pyscf.dft.RKS(mole(mol, "sto-3g"))
            ks.grids.level = 1
            ks.grids.build(with_non0tab=False)
            phi = ks.mol.eval_gto("GTOval", ks.grids.coords)
            expected = ks.grids.weights @ np.einsum("pm,mn,pn->p", phi, difference, phi) ** 2
        assert found == pytest.approx(float(expected), rel=1e-7, abs=1e-13)


@pytest.mark.slow
def test_densities_on_points() -> None:
    mol = molecule("h2", "sto-3g")
    points = np.random.default_rng(0).normal(size=(7, 3))
    weights = np.linspace(0.1, 1.0, 7)
    values = np.linspace(0.0, 0.3, 7)
    row = fit.Row("h2", mol, density_points=points, density_weights=weights,
                  density_values=values)  # fmt: skip
    objective = _objective([row])
    found = objective.evaluate(PARAMETERS.point(), "jacobian")
    from systems import mole

    density = np.asarray(dqc.density_matrix(mol, METHOD, solver=TIGHT)[0])
    phi = mole(mol, "sto-3g").eval_gto("GTOval", points)
    rho = np.einsum("pm,mn,pn->p", phi, density, phi)
    assert found.loss == pytest.approx(float(weights @ (rho - values) ** 2), rel=1e-9)
    np.testing.assert_allclose(found.gradient, 2 * found.errors @ found.jacobian, rtol=1e-12)


@pytest.mark.slow
def test_rows_mapped_together_are_the_same(mixed) -> None:
    together = _objective(mixed.rows, reactions=mixed.reactions, chunk=3)
    x = PARAMETERS.point() * 1.02
    a, b = mixed.evaluate(x), together.evaluate(x)
    assert b.loss == pytest.approx(a.loss, rel=1e-11)
    np.testing.assert_allclose(b.gradient, a.gradient, rtol=1e-7, atol=1e-9)


def test_frozen_densities(mixed) -> None:
    """Non-self-consistent energies: those of the starting densities, exact at the start."""
    rows = [fit.Row(r.name, r.mol, energy=r.energy) for r in mixed.rows if r.name in NAMES[:2]]
    objective = _objective(rows, fit.Loss(self_consistent=False))
    x = PARAMETERS.point()
    start = objective.evaluate(x, "value").energies
    moved = objective.evaluate(1.1 * x, "value").energies
    relaxed = mixed.evaluate(1.1 * x, "value").energies
    for name in start:
        assert start[name] == pytest.approx(mixed.evaluate(x, "value").energies[name], abs=1e-10)
        # above the variational minimum, by second order in the change
        assert 0 < moved[name] - relaxed[name] < 0.05 * abs(relaxed[name] - start[name])
    report = dqc.check_gradients(objective.function(), jnp.asarray(x), rtol=1e-6)
    assert report.passed, str(report)


def test_rows_that_fail_are_left_out_and_named(mixed) -> None:
    rows = [r for r in mixed.rows if r.name in ("ch3", "h2")]
    rows = [fit.Row(r.name, r.mol, energy=-40.0) for r in rows]
    hasty = _objective(rows, solver=dqc.DIIS(max_cycle=4), reactions=[
        fit.Reaction("r", {"ch3": 1.0, "h2": 1.0}, 0.0)
    ])  # fmt: skip
    found = hasty.evaluate(PARAMETERS.point())
    assert hasty.rows[-1].name == "ch3"
    assert list(found.skipped) == ["ch3"]
    assert "not converged" in found.skipped["ch3"]
    assert [p.name for p in found.parts] == ["h2"]
    assert np.isfinite(found.gradient).all()
    with pytest.raises(NonFiniteError, match="none of the 1 molecules"):
        hasty.on(fit.Dataset((hasty.rows[-1],))).evaluate(PARAMETERS.point())


def test_what_cannot_be_fitted_is_said() -> None:
    with pytest.raises(InputError, match="nothing that the loss asks for"):
        _objective([_row("h2", "energy")], fit.Loss(energy=0.0))
    with pytest.raises(InputError, match="omega changes the integrals"):
        _objective(
            [_row("h2", "energy")], method=dqc.KS("camb3lyp"),
            parameters=fit.Parameters.select("camb3lyp", "omega"),
        )  # fmt: skip
    with pytest.raises(dqc.errors.MethodError, match=r"smearing.* differentiate dqc_lite.energy"):
        _objective([_row("h2", "energy")], method=dqc.KS("pbe", smearing=0.01))
    found = _objective([_row("h2", "energy"), dataclasses.replace(
        _row("n2", "energy"), orbital_energies=np.zeros((2, 3)))])  # fmt: skip
    assert [row.name for row in found.rows] == ["h2"]
    assert "2 sets of levels and this determinant 1" in found.problems[0].message


@pytest.mark.slow
def test_orbital_energies_are_those_of_the_engine(mixed) -> None:
    """Of closed and open shells, at parameters that the targets were not made with."""
    x = PARAMETERS.point() * 1.05
    method = dataclasses.replace(METHOD, xc=PARAMETERS.functional(x))
    parts = [p for p in mixed.evaluate(x, "value").parts if p.kind == "orbital_energies"]
    rows = {row.name: row for row in mixed.rows}
    assert {p.name for p in parts} >= {"n2", "ch3"}
    for part in parts:
        target = rows[part.name].orbital_energies
        levels = np.asarray(dqc.solve(rows[part.name].mol, method, solver=TIGHT).mo_energy)
        levels = levels.reshape(len(target), -1)[:, : target.shape[1]]
        known = np.isfinite(target)
        np.testing.assert_allclose(part.errors, (levels - target)[known], atol=1e-8)


@pytest.mark.slow
def test_nonlocal_correlation() -> None:
    """PBE with VV10: b, C and the weight are parameters like others, in padded rows too."""
    base = dataclasses.replace(
        dqc.functional("pbe"), nonlocal_correlation=(5.9, 0.0093), nonlocal_weight=0.8
    )
    few = Grid(0, radial=10, angular=26, pruning=None)
    method = dqc.KS(base, grid_level=0, nonlocal_grid_level=few)
    parameters = fit.Parameters.select(base, ["nonlocal_*", "gga_x_pbe.mu"])
    rows = [_row("h2o rotated", "energy", "dipole"), _row("hf", "energy"), _row("h2", "forces")]
    near = (-75.0, -98.5, None)
    rows = [dataclasses.replace(r, energy=e) for r, e in zip(rows, near, strict=True)]
    tighter = dqc.DIIS(energy_tol=1e-12, gradient_tol=1e-11)
    objective = _objective(
        rows, method=method, parameters=parameters, max_buckets=1, solver=tighter
    )  # fmt: skip
    assert len(objective.buckets) == 1
    x = parameters.point()
    found = objective.evaluate(x, "value")
    for row in rows[:2]:
        expected = float(dqc.energy(row.mol, method, solver=TIGHT))
        assert found.energies[row.name] == pytest.approx(expected, abs=1e-10)
    (forces,) = [p for p in found.parts if p.kind == "forces"]
    expected = np.asarray(dqc.forces(rows[2].mol, method, solver=TIGHT)) - rows[2].forces
    np.testing.assert_allclose(forces.errors, expected.ravel(), atol=1e-9)
    report = dqc.check_gradients(objective.function(), jnp.asarray(x), rtol=1e-6)
    assert report.passed, str(report)
