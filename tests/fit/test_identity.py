"""A checkpoint goes on with its own problem only: any change is refused and named."""

import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
from fit_problems import TIGHT
from hypothesis import given, settings
from hypothesis import strategies as st

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.errors import CheckpointError
from dqc_lite.fit import identity
from dqc_lite.fit.train import _Run
from dqc_lite.xc import neural, stored

H2 = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.74", "sto-3g")
ROWS = (
    fit.Row("h2", H2, energy=-1.1, dipole=np.zeros(3)),
    fit.Row("he", dqc.Molecule.from_atoms("He 0 0 0", "sto-3g"), energy=-2.8),
)
REACTIONS = (fit.Reaction("r", {"h2": 1.0, "he": -1.0}, 1.7),)
BASE = {
    "rows": ROWS, "reactions": REACTIONS, "method": dqc.KS("lda,vwn", grid_level=0),
    "parameters": fit.Parameters.select("lda,vwn", "weight.*", {"weight.lda_x": (0.5, 1.5)}),
    "loss": fit.Loss(), "solver": TIGHT, "optimizer": fit.LevenbergMarquardt(), "batch_size": None,
    "seed": 0, "validate_every": 1,
}  # fmt: skip


def _identity(**changes) -> dict[str, str]:
    s = BASE | changes
    objective = fit.Objective(
        fit.Dataset(s["rows"], s["reactions"]), s["method"], s["parameters"], s["loss"],
        solver=s["solver"],
    )  # fmt: skip
    return _Run(
        objective, None, s["optimizer"], s["batch_size"], s["seed"], s["validate_every"]
    )._identity()


def _row(**changes) -> dict:
    return {"rows": (dataclasses.replace(ROWS[0], **changes), ROWS[1])}


def _reaction(**changes) -> dict:
    return {"reactions": (dataclasses.replace(REACTIONS[0], **changes),)}


def _mol(atoms="H 0 0 0; H 0 0 0.74", basis="sto-3g", **changes) -> dict:
    return _row(mol=dqc.Molecule.from_atoms(atoms, basis, **changes), dipole=np.zeros(3))


def _selected(xc="lda,vwn", what="weight.*", low=0.5, high=1.5) -> dict:
    return {"parameters": fit.Parameters.select(xc, what, {"weight.lda_x": (low, high)})}


def _tied(base: str) -> dict:
    """The same names, starting values and bounds over other functionals."""
    xc = dqc.functional(base)
    return {"parameters": fit.Parameters.of(lambda w: w * xc, {"w": 1.0})}


def _penalized(factor: float) -> fit.Loss:
    return fit.Loss(penalty=lambda f: factor * f.weights[0])


numbers = st.floats(0.01, 3.0).filter(lambda x: x not in (0.5, 1.0, 1.5))
CHANGES = st.one_of(
    numbers.map(lambda x: (lambda: _row(energy=x), "row 'h2'")),
    numbers.map(lambda x: (lambda: _row(weight=x), "row 'h2'")),
    numbers.map(lambda x: (lambda: _row(dipole=np.array([0.0, 0.0, x])), "row 'h2'")),
    numbers.map(lambda x: (lambda: _mol(f"H 0 0 0; H 0 0 {0.9 + x}"), "row 'h2'")),
    st.sampled_from([{"basis": "6-31g"}, {"charge": -2}, {"spin": 2}, {"charge": 1, "spin": 1}])
    .map(lambda c: (lambda: _mol(**c), "row 'h2'")),
    numbers.map(lambda x: (lambda: _reaction(energy=x), "reaction 'r'")),
    numbers.map(lambda x: (lambda: _reaction(weight=x), "reaction 'r'")),
    numbers.map(lambda x: (lambda: _reaction(stoichiometry={"h2": x, "he": -1.0}), "reaction 'r'")),
    numbers.map(lambda x: (lambda: _selected(low=min(x, 0.9)), "bounds")),
    numbers.map(lambda x: (lambda: _selected(high=1.0 + x), "bounds")),
    st.sampled_from(["lda,pw", "lda,vwn_rpa"])
    .map(lambda xc: (lambda: _selected(xc), "functional")),
    st.tuples(st.sampled_from(["energy", "reaction", "dipole", "ridge"]), numbers)
    .map(lambda c: (lambda: {"loss": fit.Loss(**dict([c]))}, f"loss.{c[0]}")),
    numbers.map(lambda x: (lambda: {"loss": _penalized(x)}, "loss.penalty")),
    st.sampled_from([{"max_cycle": 7}, {"energy_tol": 1e-7}, {"gradient_tol": 1e-7}, {"space": 5}])
    .map(lambda c: (lambda: {"solver": dataclasses.replace(TIGHT, **c)}, "solver")),
    st.sampled_from([{"grid_level": 1}, {"density_fit": True}, {"restricted": False},
                     {"nonlocal_grid_level": 1}, {"dispersion": "d3bj:pbe"}])
    .map(lambda c: (lambda: {"method": dataclasses.replace(BASE["method"], **c)},
                    f"method.{next(iter(c))}")),
    numbers.map(lambda x: (lambda: {"optimizer": fit.LevenbergMarquardt(damping=x)}, "optimizer")),
    numbers.map(lambda x: (lambda: {"optimizer": fit.Optax(optax.adam(x))}, "optimizer")),
    st.integers(1, 9).map(lambda n: (lambda: {"seed": n}, "seed")),
    st.integers(1, 2).map(lambda n: (lambda: {"batch_size": n}, "batch_size")),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(change=CHANGES)
def test_any_change_is_named(change) -> None:
    make, name = change
    assert name in identity.differing(_identity(), _identity(**make()))


def test_the_same_is_the_same() -> None:
    """Made anew, also with functions and networks."""

    def made(width: float = 0.1) -> dict[str, str]:
        xc = dqc.functional("pbe") + neural.correction(jax.random.key(0), "gga", 4, 1)
        return _identity(
            parameters=fit.Parameters.select(xc, "neural.*"),
            loss=fit.Loss(penalty=lambda f: width * f.weights[0]),
            optimizer=fit.Optax(optax.adam(optax.cosine_decay_schedule(1e-3, 100))),
        )

    assert identity.differing(_identity(), _identity()) == []
    assert identity.differing(made(), made()) == []
    assert identity.differing(made(), made(0.2)) == ["loss.penalty"]


PROGRAM = """
import json, sys, jax, optax, dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.fit import identity
from dqc_lite.xc import neural
dqc.enable_x64()
xc = dqc.functional("pbe") + neural.correction(jax.random.key(0), "gga", 4, 1)
parts = (fit.Parameters.select(xc, "neural.*").build, optax.adam(1e-3), fit.LBFGS())
print(json.dumps([identity.of_functional(xc), *map(identity.digest, parts)]))
"""


def test_the_same_in_every_process() -> None:
    found = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True)
        for _ in range(2)
    ]  # fmt: skip
    assert json.loads(found[0].stdout) == json.loads(found[1].stdout)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (optax.adam(1e-3), optax.adam(1e-2)), (optax.adam(1e-3), optax.adam(1e-3, b1=0.8)),
        (optax.adam(1e-3), optax.sgd(1e-3)),
        (optax.sgd(optax.piecewise_constant_schedule(0.1, {50: 0.1})),
         optax.sgd(optax.piecewise_constant_schedule(0.1, {60: 0.1}))),
        (optax.chain(optax.clip(1.0), optax.sgd(0.1)),
         optax.chain(optax.clip(2.0), optax.sgd(0.1))),
    ],
)  # fmt: skip
def test_settings_of_transformations(one, other) -> None:
    assert identity.digest(one) != identity.digest(other)


def test_tied_parameters_of_other_functionals() -> None:
    found = [_identity(**_tied(name)) for name in ("lda,vwn", "lda,pw", "pbe")]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert "functional" in identity.differing(found[i], found[j])


def test_refused_with_the_names_and_started_anew(tmp_path) -> None:
    path, method, parameters = tmp_path / "fit.h5", BASE["method"], BASE["parameters"]

    def run(energy: float = -1.1, name: str = "h2", **options) -> fit.Result:
        rows = (fit.Row(name, H2, energy=energy),)
        objective = fit.Objective(fit.Dataset(rows), method, parameters, solver=TIGHT)
        return fit.train(objective, checkpoint=path, **options)

    run(steps=1)
    assert len(run(steps=2).history) == 2
    with pytest.raises(CheckpointError, match=r"another training: row 'h2' differ.*--fresh"):
        run(-1.2, steps=2)
    with pytest.raises(CheckpointError, match="row 'a/b', row 'h2' differ"):
        run(name="a/b", steps=2)
    assert len(run(-1.2, steps=1, fresh=True).history) == 1
    assert len(run(-1.2, steps=2).history) == 2  # the new one goes on


def test_a_result_has_a_name_of_its_own(tmp_path) -> None:
    rows = (fit.Row("h2", H2, energy=-1.12),)
    names = []
    for steps in (0, 1):
        objective = fit.Objective(
            fit.Dataset(rows), BASE["method"], BASE["parameters"], solver=TIGHT
        )
        result = fit.train(objective, steps=steps)
        digest = identity.of_functional(result.functional)
        assert result.functional.name == f"lda,vwn trained {digest[:12]}"
        names.append(result.functional.name)
        stored.save(result.functional, tmp_path / "xc.h5")
        read = dqc.functional(str(tmp_path / "xc.h5"))
        assert read.name == result.functional.name
        assert identity.of_functional(read) == digest
    assert names[0] != names[1]
