"""What is reported belongs to its point: rejected trials, batches, rows that fail, last steps."""

import dataclasses
import math

import numpy as np
import optax
import pytest
from fit_problems import TIGHT
from hypothesis import given, settings
from hypothesis import strategies as st

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.errors import DqcLiteError

METHOD = dqc.KS("lda,vwn", grid_level=0)
PARAMETERS = fit.Parameters.select("lda,vwn", ["weight.*"])
H2 = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.74", "sto-3g")
LONG = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.9", "sto-3g")
LIH = dqc.Molecule.from_atoms("Li 0 0 0; H 0 0 1.64", "sto-3g")
ENERGIES = {"h2": -1.11, "long": -1.06, "lih": -7.79}


@pytest.fixture(scope="module")
def objective() -> fit.Objective:
    mols = {"h2": H2, "long": LONG, "lih": LIH}
    rows = tuple(fit.Row(n, m, energy=ENERGIES[n]) for n, m in mols.items())
    return fit.Objective(fit.Dataset(rows), METHOD, PARAMETERS, solver=TIGHT, max_buckets=1)


def _fresh(objective: fit.Objective) -> fit.Objective:
    return objective.on(fit.Dataset(tuple(objective.rows)))


@settings(max_examples=8, deadline=None)
@given(trials=st.lists(st.tuples(st.floats(-40, 40), st.floats(-40, 40)), max_size=3))
def test_evaluations_do_not_depend_on_earlier_ones(objective, trials) -> None:
    """Bit by bit, whatever was tried in between, however far away."""
    x = PARAMETERS.point() * 1.03
    expected = _fresh(objective).evaluate(x, "gradient")
    tried = _fresh(objective)
    for trial in trials:
        try:
            tried.evaluate(np.array(trial), "value")
        except DqcLiteError:
            continue  # no row converges there
    found = tried.evaluate(x, "gradient")
    assert found.loss == expected.loss
    assert found.energies == expected.energies
    np.testing.assert_array_equal(found.gradient, expected.gradient)


@dataclasses.dataclass(frozen=True)
class Wandering:
    """Tries points far away, turns them down, and takes given ones."""

    points: tuple
    tried: tuple = ()

    def init(self, x):
        return {"step": np.zeros((), int)}

    def step(self, evaluate, x, memory):
        at = evaluate(x, "gradient")
        for trial in self.tried:
            evaluate(np.asarray(trial), "value")
        k = int(memory["step"])
        return np.asarray(self.points[k]), {"step": np.asarray(k + 1)}, at


def _path(*factors: float) -> tuple:
    return tuple(PARAMETERS.point() * f for f in factors)


def test_rejected_trials_change_nothing(objective) -> None:
    path = _path(1.02, 1.05, 1.01)
    plain = fit.train(_fresh(objective), Wandering(path), steps=3)
    tried = fit.train(_fresh(objective), Wandering(path, ((9.0, -9.0), (0.2, 3.0))), steps=3)
    assert [r["loss"] for r in tried.history] == [r["loss"] for r in plain.history]
    assert tried.loss == plain.loss
    np.testing.assert_array_equal(tried.x, plain.x)


def test_the_objective_is_left_at_the_best_point(objective) -> None:
    mine = _fresh(objective)
    result = fit.train(mine, Wandering(_path(1.02, 1.5, 2.0)), steps=3)
    assert mine.evaluate(result.x, "value").loss == pytest.approx(result.loss, rel=1e-9)


def test_another_state_at_the_best_point_is_an_error(objective, monkeypatch) -> None:
    mine, whole = _fresh(objective), fit.Objective.evaluate
    calls = []

    def evaluate(self, x, order="gradient", *rest):
        calls.append(order)
        found = whole(self, x, order, *rest)
        last = order == "value" and calls.count("value") == 2
        return dataclasses.replace(found, loss=found.loss + 1e-2) if last else found

    monkeypatch.setattr(fit.Objective, "evaluate", evaluate)
    with pytest.raises(DqcLiteError, match="found another state"):
        fit.train(mine, Wandering(_path(1.02)), steps=1)


@pytest.mark.parametrize("size", [1, 2, None])
@pytest.mark.parametrize("steps", [1, 3, 4])
def test_best_of_the_complete_set(objective, size, steps: int) -> None:
    """At the start, the ends of rounds and the end, by loss functions of their own."""
    path = _path(1.04, 0.97, 1.01, 0.99)[:steps]
    result = fit.train(_fresh(objective), Wandering(path), steps=steps, batch_size=size)
    each = {1: 3, 2: 2, None: 1}[size]
    points = [PARAMETERS.point(), *path]
    compared = [x for k, x in enumerate(points) if k % each == 0 or k == steps]
    losses = [_loss(x) for x in compared]
    assert result.loss == pytest.approx(min(losses), rel=1e-7)
    np.testing.assert_array_equal(result.x, compared[int(np.argmin(losses))])


def _loss(x: np.ndarray) -> float:
    """By the engine."""
    method = dataclasses.replace(METHOD, xc=PARAMETERS.functional(x))
    mols = {"h2": H2, "long": LONG, "lih": LIH}
    errors = [float(dqc.energy(m, method, solver=TIGHT)) - ENERGIES[n] for n, m in mols.items()]
    return float(np.mean(np.square(errors)))


def test_the_last_step_counts(objective) -> None:
    """One step to the minimum along a line."""
    x = PARAMETERS.point()
    points = [x * f for f in np.linspace(0.95, 1.05, 11)]
    best = min(points, key=_loss)
    result = fit.train(_fresh(objective), Wandering((best,)), steps=1)
    np.testing.assert_array_equal(result.x, best)


@pytest.mark.parametrize(("every", "steps"), [(5, 3), (2, 3), (1, 2), (3, 3)])
def test_the_result_is_a_validation_loss(objective, every: int, steps: int) -> None:
    rows = (dataclasses.replace(objective.rows[0], energy=-1.4),)
    validation = objective.on(fit.Dataset(rows))
    path = _path(1.02, 1.04, 1.06)[:steps]
    result = fit.train(
        _fresh(objective), Wandering(path), steps=steps, validation=validation,
        validate_every=every,
    )  # fmt: skip
    points = [PARAMETERS.point(), *path]
    compared = [x for k, x in enumerate(points) if k % every == 0 or k == steps]
    losses = [validation.evaluate(x, "value").loss for x in compared]
    assert result.loss == pytest.approx(min(losses), rel=1e-9)
    np.testing.assert_array_equal(result.x, compared[int(np.argmin(losses))])


@pytest.mark.parametrize("size", [1, None])
def test_dropped_rows_are_worse_than_any_loss(objective, monkeypatch, size) -> None:
    """The row of the largest error fails away from the start; what is left has a lower loss."""
    mine, solved, start = _fresh(objective), fit.Objective._solved, PARAMETERS.point()

    def failing(self, x, names):
        states, skipped = solved(self, x, names)
        if not np.array_equal(x, start) and "long" in states:
            del states["long"]
            skipped["long"] = "made to fail"
        return states, skipped

    def step(self, evaluate, x, memory):
        at = evaluate(x, "gradient") if size is None else mine.evaluate(x)
        return start * 1.001, memory, at

    monkeypatch.setattr(fit.Objective, "_solved", failing)
    monkeypatch.setattr(Wandering, "step", step)
    whole = mine.evaluate(start, "value").loss
    left = mine.evaluate(start * 1.001, "value")
    assert "long" in left.skipped
    assert left.loss < whole
    result = fit.train(mine, Wandering(()), steps=4, batch_size=size, loss_tol=0.99 * whole)
    np.testing.assert_array_equal(result.x, start)
    assert result.loss == pytest.approx(whole, rel=1e-9)


def test_batches_do_not_end_training_by_their_own_loss(objective) -> None:
    """A batch that is matched exactly is below any tolerance, the set is not."""
    rows = list(objective.rows)
    energy = objective.evaluate(PARAMETERS.point(), "value").energies["h2"]
    rows[0] = dataclasses.replace(rows[0], energy=energy)
    mine = objective.on(fit.Dataset(tuple(rows)))
    result = fit.train(
        mine, fit.Optax(optax.sgd(0.0)), steps=6, batch_size=1, loss_tol=1e-12, gradient_tol=1e-9
    )
    assert min(r["loss"] for r in result.history) < 1e-15
    assert (result.stopped, len(result.history)) == ("steps", 6)
    assert result.loss > 1e-6
    assert math.isfinite(result.loss)
