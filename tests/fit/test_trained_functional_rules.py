"""A method and parameters of different functionals: everything follows the trained one."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from fit_problems import TIGHT

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.errors import DqcLiteError, InputError, MethodError

NAMES = (
    "hf,", "lda,vwn", "lda,pw", "pbe", "blyp", "b3lyp", "pbe0", "hse06", "cam-b3lyp", "wb97x",
    "r2scan", "b97m-v",
)  # fmt: skip
HF = dqc.Molecule.from_atoms("H 0 0 0; F 0 0 0.92", "sto-3g")
H2 = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.74", "sto-3g")


def _objective(mol, method, parameters, **options) -> fit.Objective:
    data = fit.Dataset((fit.Row("m", mol, energy=-1.0),))
    return fit.Objective(data, method, parameters, solver=TIGHT, **options)


@pytest.mark.parametrize("trained", NAMES)
def test_integrals_are_those_of_the_trained_functional(trained: str) -> None:
    """What is built under each method is what is built under the functional's own."""
    parameters = fit.Parameters.select(trained)
    if "omega" in parameters.names:
        parameters = fit.Parameters.select(trained, ["exact_exchange", "weight.*"])
    own = _objective(H2, dqc.KS(trained, grid_level=0), parameters)
    (expected,) = own.buckets[0].rows.values()
    for name in NAMES[:: 1 if trained in ("cam-b3lyp", "b97m-v") else 4]:
        other = _objective(H2, dqc.KS(name, grid_level=0), parameters)
        assert other.method.xc.name == own.method.xc.name
        (found,) = other.buckets[0].rows.values()
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(a, b)


PAIRS = [
    ("pbe", "cam-b3lyp"), ("cam-b3lyp", "wb97x"), ("lda,pw", "pbe"), ("hf,", "pbe0"),
    ("cam-b3lyp", "pbe0"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "trained"), PAIRS)
def test_energies_are_those_of_the_trained_functional(given: str, trained: str) -> None:
    patterns = ["weight.*"]
    parameters = fit.Parameters.select(trained, patterns)
    objective = _objective(HF, dqc.KS(given, grid_level=0), parameters)
    found = objective.evaluate(parameters.point(), "value").energies["m"]
    expected = float(dqc.energy(HF, dqc.KS(trained, grid_level=0), solver=TIGHT))
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_every_pair() -> None:
    """Right to 1e-9."""
    few = dqc.KS("b97m-v", grid_level=0, nonlocal_grid_level=0)
    energies = {
        name: float(dqc.energy(H2, dataclasses.replace(few, xc=dqc.functional(name)), solver=TIGHT))
        for name in NAMES
    }
    for given, trained in itertools.product(NAMES, NAMES):
        method = dataclasses.replace(few, xc=dqc.functional(given))
        parameters = fit.Parameters.select(trained, ["weight.*"] if trained != "hf," else "*")
        objective = _objective(H2, method, parameters)
        found = objective.evaluate(parameters.point(), "value").energies["m"]
        assert found == pytest.approx(energies[trained], abs=1e-9), (given, trained)


@pytest.mark.parametrize("spec", ["d3bj", "d4", "d3bj:b3lyp"])
def test_dispersion_of_another_functional_is_refused(spec: str) -> None:
    method = dqc.KS("pbe", grid_level=0, dispersion=spec)
    with pytest.raises(InputError, match=r"'pbe' with dispersion = .*'b3lyp'"):
        _objective(H2, method, fit.Parameters.select("b3lyp", "weight.*"))
    own = _objective(H2, method, fit.Parameters.select("pbe", "weight.*"))
    found = own.evaluate(own.parameters.point(), "value").energies["m"]
    assert found == pytest.approx(float(dqc.energy(H2, method, solver=TIGHT)), abs=1e-9)


def test_dispersion_is_not_counted_twice() -> None:
    with pytest.raises((InputError, MethodError), match="dispersion"):
        _objective(
            H2, dqc.KS("pbe-d3bj", grid_level=0), fit.Parameters.select("b97m-v", "nonlocal*")
        )


@pytest.mark.parametrize("given", ["pbe", "cam-b3lyp"])
@pytest.mark.parametrize("kind", ["select", "of"])
def test_trained_range_separation_is_refused(given: str, kind: str) -> None:
    base = dqc.functional("cam-b3lyp")
    if kind == "select":
        parameters = fit.Parameters.select(base, "omega")
    else:
        parameters = fit.Parameters.of(
            lambda w: dataclasses.replace(base, omega=2.0 * w), {"w": 0.165}
        )
    with pytest.raises(DqcLiteError, match="omega changes the integrals"):
        _objective(H2, dqc.KS(given, grid_level=0), parameters)
