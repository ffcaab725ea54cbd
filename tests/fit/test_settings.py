"""Configurations and data that make no sense: an error names the field and its value."""

import dataclasses

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.cli import main
from dqc_lite.errors import DqcLiteError, InputError
from dqc_lite.fit import config
from dqc_lite.fit.optimizers import named

H2 = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.74", "sto-3g")
FRAME = "2\nenergy=-30.0 name={0}\nH 0 0 0\nH 0 0 0.74\n"
NAN = float("nan")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings")
    (path / "six.xyz").write_text("".join(FRAME.format(i) for i in range(6)))
    return path


def _read(folder, table: str, changes: dict) -> config.Training:
    base = {
        "data": {"source": "extxyz", "file": "six.xyz", "basis": "sto-3g"},
        "method": {"xc": "lda,vwn", "grid_level": 0}, "parameters": {"select": ["weight.*"]},
        "optimizer": {"name": "lm", "steps": 1},
    }  # fmt: skip
    if table == "network":
        base["method"].pop("xc")
        base["parameters"] = {"select": ["neural.*"]}
    base[table] = base.get(table, {}) | changes
    return config.from_dict(base, folder)


WRONG = [
    *(("data", "train", v) for v in (0.95, 0.05, 1.5, 0, -0.5, "half", True, NAN, [0.5])),
    *(("data", "seed", v) for v in (-1, 1.5, "a", True)),
    *(("data", key, 3) for key in ("file", "energy_unit", "names", "source")),
    ("data", "source", ["g2"]),
    *(("parameters", "select", v) for v in ([], 3, [3], {}, "nothing")),
    *(("parameters", "bounds", {"weight.*": v}) for v in
      ([0.1], ["low", 1.0], 3, [2.0, 1.0], [1, 2, 3], [NAN, 2.0], [True, 2.0])),
    ("parameters", "bounds", 3),
    *(("optimizer", "name", v) for v in (3, "", "chain", "apply_updates", "__name__")),
    *(("optimizer", "settings", v) for v in
      ("lr=1", 3, {"damping": -1}, {"damping": "a"}, {"trials": 0}, {"name": "lm"}, {"rate": 1})),
    *(("run", "folder", v) for v in (3, "")), ("run", "cache", 3),
    *(("run", "max_buckets", v) for v in (0, "a", 1.5)),
    *(("network", "width", v) for v in (0, -1, "a", 1.5)),
    *(("network", "depth", v) for v in (-1, "a")), *(("network", "seed", v) for v in (-1, "x")),
    ("network", "correlation", 3),
    *(("loss", "energy", v) for v in ("a", -1, True, NAN)), ("loss", "self_consistent", "no"),
    *(("scf", "damping", v) for v in (-1, 0.3)), ("scf", "max_cycle", 0),
]  # fmt: skip


@pytest.mark.parametrize(("table", "key", "value"), WRONG)
def test_wrong_values_are_named(folder, table: str, key: str, value) -> None:
    with pytest.raises(InputError) as caught:
        _read(folder, table, {key: value})
    told = next(iter(value)) if isinstance(value, dict) and value else key
    words = (told, key, {"select": "parameters", "name": "optimizer"}.get(key, key))
    assert any(word in str(caught.value) for word in words)


@pytest.mark.parametrize("rate", [-1, 0, "a", NAN, float("inf"), True])
@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_learning_rates(name: str, rate) -> None:
    with pytest.raises(InputError, match="learning_rate"):
        named(name, learning_rate=rate)


COUNTS = ("steps", "batch_size", "seed", "patience", "validate_every", "checkpoint_every")


@pytest.fixture(scope="module")
def objective() -> fit.Objective:
    data = fit.Dataset((fit.Row("h2", H2, energy=-1.1),))
    parameters = fit.Parameters.select("lda,vwn", "weight.*")
    return fit.Objective(data, dqc.KS("lda,vwn", grid_level=0), parameters)


@settings(max_examples=60, deadline=None)
@given(
    key=st.sampled_from(COUNTS),
    value=st.one_of(
        st.integers(max_value=-1),
        st.floats(),
        st.booleans(),
        st.text(),
        st.just("12"),
        st.lists(st.integers(), max_size=2),
    ),
)
def test_counts_of_training(objective, key: str, value) -> None:
    with pytest.raises(InputError, match=f"{key} = "):
        fit.train(objective, **{key: value})


@pytest.mark.parametrize("value", [-1.0, NAN, "x", True, float("inf")])
@pytest.mark.parametrize("key", ["loss_tol", "gradient_tol"])
def test_tolerances_of_training(objective, key: str, value) -> None:
    with pytest.raises(InputError, match=f"{key} = "):
        fit.train(objective, **{key: value})


@pytest.mark.parametrize(
    "change", [{"damping": 0.3}, {"level_shift": 0.1}, {"early": "adiis"}, {"patience": 3}]
)
def test_settings_of_the_solver_without_effect(objective, change: dict) -> None:
    solver = dataclasses.replace(dqc.DIIS(), **change)
    data = fit.Dataset(tuple(objective.rows))
    with pytest.raises(InputError, match=next(iter(change))):
        fit.Objective(data, objective.method, objective.parameters, solver=solver)


@pytest.mark.parametrize(
    "said", ["charge=plus", "charge=0.7", 'Lattice="5 0 0 0 5 0 0 0 5"', 'pbc="T T T"']
)
def test_frames_that_cannot_be_used_are_listed(tmp_path, said: str) -> None:
    (tmp_path / "a.xyz").write_text(FRAME.format("a") + FRAME.format(f"b {said}"))
    data = fit.from_extxyz(tmp_path / "a.xyz", "sto-3g")
    assert [row.name for row in data] == ["a"]
    assert [p.name for p in data.problems] == ["b"]
    assert said.partition("=")[0] in data.problems[0].message


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_truncated_hdf5_files(tmp_path, kept: float) -> None:
    path = tmp_path / "a.h5"
    fit.to_hdf5(fit.Dataset((fit.Row("h2", H2, energy=-1.1),)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DqcLiteError, match=r"a\.h5"):
        fit.from_hdf5(path)


@pytest.mark.parametrize("lines", [1, 2, 3, 5, 6, 7])
def test_truncated_xyz_files(tmp_path, lines: int) -> None:
    path = tmp_path / "a.xyz"
    whole = (FRAME.format("a") + FRAME.format("b")).splitlines()
    path.write_text("\n".join(whole[:lines]) + "\n")
    with pytest.raises(DqcLiteError, match=r"a\.xyz"):
        fit.from_extxyz(path)


@pytest.mark.parametrize(
    ("key", "value"), [("charge", 0.7), ("charge", "plus"), ("spin", 0.5), ("weight", "x")]
)
def test_attributes_of_rows(tmp_path, key: str, value) -> None:
    path = tmp_path / "a.h5"
    fit.to_hdf5(fit.Dataset((fit.Row("h2", H2, energy=-1.1),)), path)
    with h5py.File(path, "a") as file:
        file["rows/h2"].attrs[key] = value
    data = fit.from_hdf5(path)
    assert len(data) == 0
    assert key in data.problems[0].message


def test_names_of_targets_are_unique() -> None:
    rows = (fit.Row("h2", H2, energy=-1.1),)
    once = fit.Reaction("r", {"h2": 1.0}, 0.1)
    with pytest.raises(InputError, match=r"reactions \['r'\] appear more than once"):
        fit.Dataset(rows, (once, dataclasses.replace(once, energy=0.2)))
    with pytest.raises(InputError, match=r"\['h2'\] name rows with targets and reactions"):
        fit.Dataset(rows, (dataclasses.replace(once, name="h2"),))


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1
).filter(str.strip)


@settings(max_examples=30, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=4, unique=True))
def test_any_name_comes_back(tmp_path_factory, names: list[str]) -> None:
    _round_trip(tmp_path_factory.mktemp("names") / "a.h5", names)


def test_slashes_in_names(tmp_path) -> None:
    _round_trip(tmp_path / "a.h5", ["a", "a/b", "a/b/c", "/a", "a%2Fb", ".", "..", "./a", "a b"])


def _round_trip(path, names: list[str]) -> None:
    rows = tuple(fit.Row(n, H2, energy=-1.0 - i) for i, n in enumerate(names))
    reactions = tuple(fit.Reaction(f"r/{n}", {n: 1.0}, float(i)) for i, n in enumerate(names))
    fit.to_hdf5(fit.Dataset(rows, reactions), path)
    read = fit.from_hdf5(path)
    assert not read.problems
    assert {r.name: r.energy for r in read} == {r.name: r.energy for r in rows}
    found = {r.name: (dict(r.stoichiometry), r.energy) for r in read.reactions}
    assert found == {r.name: (dict(r.stoichiometry), r.energy) for r in reactions}


def test_training_goes_on_with_slashes_in_names(tmp_path) -> None:
    longer = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.9", "sto-3g")
    names = ("a", "a/b", "a/b/c", ".", "/")
    rows = tuple(
        fit.Row(n, H2 if i % 2 else longer, energy=-1.1) for i, n in enumerate(names)
    )  # fmt: skip

    def run(steps: int, file: str) -> fit.Result:
        parameters = fit.Parameters.select("lda,vwn", "weight.*")
        objective = fit.Objective(
            fit.Dataset(rows), dqc.KS("lda,vwn", grid_level=0), parameters, max_buckets=1
        )
        return fit.train(objective, fit.LBFGS(), steps=steps, checkpoint=tmp_path / file)

    whole = run(3, "whole.h5")
    run(1, "cut.h5")
    resumed = run(3, "cut.h5")
    np.testing.assert_array_equal(resumed.x, whole.x)
    assert resumed.loss == whole.loss


def test_the_command_names_what_is_wrong(tmp_path, capsys) -> None:
    (tmp_path / "six.xyz").write_text("".join(FRAME.format(i) for i in range(6)))
    text = (
        "[data]\nsource = 'extxyz'\nfile = 'six.xyz'\nbasis = 'sto-3g'\ntrain = 0.95\n"
        "[method]\nxc = 'lda,vwn'\n"
    )
    (tmp_path / "fit.toml").write_text(text)
    assert main(["fit", "--config", str(tmp_path / "fit.toml"), "--no-cache"]) == 2
    assert "of 6 targets leave a part without any" in capsys.readouterr().err
