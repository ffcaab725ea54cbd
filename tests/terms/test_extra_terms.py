"""Extra terms of a method on every path: what takes a method takes its terms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import molecule

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.errors import InputError, MethodError
from dqc_lite.fit import cache
from dqc_lite.scf.checkpoint import fingerprint
from dqc_lite.terms import PCM, ElectricField, LinearTerm, PointCharges, Term

TIGHT = dqc.DIIS(energy_tol=1e-12, gradient_tol=1e-10)
FIELD = (0.01, -0.02, 0.03)
OUTSIDE = PointCharges([0.4, -0.3], [[0.1, 0.2, -4.0], [2.5, 1.0, 2.0]])
LIQUID = PCM(20.0, points=50)


def _hf(*terms: Term) -> dqc.HF:
    return dqc.HF(extra_terms=terms)


def test_a_field_is_a_term() -> None:
    mol = molecule("hf", "sto-3g")
    term = ElectricField(FIELD)
    argument, given = {"electric_field": FIELD}, {"method": _hf(term)}
    for function in (dqc.energy, dqc.forces, dqc.dipole):
        np.testing.assert_allclose(
            function(mol, solver=TIGHT, **argument), function(mol, solver=TIGHT, **given),
            atol=1e-12,
        )  # fmt: skip
    both = dqc.energy(mol, _hf(term), electric_field=FIELD, solver=TIGHT)
    twice = dqc.energy(mol, electric_field=2 * np.array(FIELD), solver=TIGHT)
    assert abs(float(both - twice)) < 1e-10
    slope = jax.grad(dqc.energy, 1)(mol, _hf(term)).extra_terms[0].strength
    np.testing.assert_allclose(slope, -dqc.dipole(mol, _hf(term)), atol=1e-7)


def test_methods_without_terms_have_none() -> None:
    assert dqc.HF().extra_terms == ()
    assert dqc.KS("pbe").extra_terms == ()
    assert jax.tree.leaves(dqc.HF()) == []
    assert _hf(LIQUID, OUTSIDE).extra_terms == (LIQUID, OUTSIDE)
    assert dqc.HF(extra_terms=[LIQUID]).extra_terms == (LIQUID,)


class Unregistered(LinearTerm):
    name = "unregistered"

    def prepare(self, mol, orbitals):
        return jnp.zeros(()), jnp.zeros((1, 1))


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (LIQUID, r"is one term.*extra_terms=\(term,\)"),
        (3.0, r"extra_terms = 3.0 is no tuple"),
        ("pcm", r"extra_terms = 'pcm' is no tuple"),
        (None, r"extra_terms = None"),
        ((OUTSIDE, "pcm"), r"extra_terms\[1\] = 'pcm' is no energy term.*dqc_lite.terms.Term"),
        ((PCM,), r"extra_terms\[0\] is the class PCM; give an instance"),
        ((lambda mol: 0.0,), r"extra_terms\[0\].*no energy term"),
        ((Unregistered(),), r"Unregistered.*no pytree.*register_dataclass"),
    ],
)
@pytest.mark.parametrize("method", ["hf", "ks"])
def test_what_is_no_term(method: str, terms, text: str) -> None:
    with pytest.raises(InputError, match=text):
        dqc.HF(extra_terms=terms) if method == "hf" else dqc.KS("pbe", extra_terms=terms)


@pytest.mark.parametrize("solver", ["diis", "second-order", "auto"])
def test_every_solver(solver: str) -> None:
    """In an open shell."""
    mol = molecule("ch3", "sto-3g")
    found = dqc.solve(mol, _hf(OUTSIDE, LIQUID), solver=solver)
    expected = dqc.solve(mol, _hf(OUTSIDE, LIQUID), solver=TIGHT)
    assert abs(float(found.energy - expected.energy)) < 1e-8
    assert {"point_charges", "pcm"} < set(found.energies)
    assert abs(float(sum(found.energies.values()) - found.energy)) < 1e-10


@pytest.mark.parametrize("method", ["hf", pytest.param("ks", marks=pytest.mark.slow)])
def test_check_gradients(method: str) -> None:
    mol = molecule("h2", "sto-3g")
    terms = (OUTSIDE, LIQUID)
    made = _hf(*terms) if method == "hf" else dqc.KS("svwn", grid_level=0, extra_terms=terms)
    others = dataclasses.replace(made, extra_terms=())

    def energy(terms: tuple) -> jax.Array:
        return dqc.energy(mol, dataclasses.replace(others, extra_terms=terms), solver=TIGHT)

    assert dqc.check_gradients(energy, terms, jit=True).passed


def test_second_derivatives_along_the_terms() -> None:
    """Their mixed ones with positions, forward over reverse, against differences of forces."""
    mol, method = molecule("h2", "sto-3g"), _hf(OUTSIDE, LIQUID)
    direction = jax.tree.map(lambda x: 0.3 * jnp.ones(jnp.shape(x)), method)

    def forces(method: dqc.HF) -> jax.Array:
        return dqc.forces(mol, method, solver=TIGHT)

    start = jax.tree.map(lambda x: jnp.asarray(x, float), method)
    _, tangent = jax.jit(lambda m, d: jax.jvp(forces, (m,), (d,)))(start, direction)
    at = jax.jit(lambda t: forces(jax.tree.map(lambda x, d: x + t * d, start, direction)))
    h = 2e-3
    expected = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    np.testing.assert_allclose(tangent, expected, atol=1e-8)


@pytest.mark.slow
def test_third_derivatives_with_a_continuum() -> None:
    mol = molecule("hf", "sto-3g")
    options = {"method": _hf(LIQUID), "solver": TIGHT}
    found = dqc.hyperpolarizability(mol, **options)
    h = 2e-3

    def alpha(t: float) -> jax.Array:
        return dqc.polarizability(mol, electric_field=[0.0, 0.0, t], **options)

    expected = (8 * (alpha(h) - alpha(-h)) - (alpha(2 * h) - alpha(-2 * h))) / (12 * h)
    np.testing.assert_allclose(found[..., 2], expected, atol=1e-5)


@pytest.mark.slow
def test_vibrations() -> None:
    """Their Hessian is that of the terms; the infrared intensities follow the dipole moment."""
    mol, method = molecule("h2", "sto-3g"), _hf(LIQUID)
    free, solvated = dqc.vibrations(mol), dqc.vibrations(mol, method)
    assert abs(float(free.frequencies[0] - solvated.frequencies[0])) > 0.1
    from dqc_lite.properties.hessian import harmonic

    made = harmonic(mol, method)
    np.testing.assert_allclose(made.hessian, dqc.hessian(mol, method), atol=1e-8)
    np.testing.assert_allclose(made.polarizability, dqc.polarizability(mol, method), atol=1e-7)
    np.testing.assert_allclose(
        made.dipole_derivatives, dqc.dipole_derivatives(mol, method), atol=1e-7
    )


def test_checkpoints_belong_to_their_terms(tmp_path) -> None:
    mol, file = molecule("hf", "sto-3g"), tmp_path / "run.h5"
    method, other = _hf(OUTSIDE), _hf(dataclasses.replace(OUTSIDE, charges=2 * OUTSIDE.charges))
    expected = dqc.solve(mol, method, solver=TIGHT, checkpoint=file)
    again = dqc.solve(mol, method, solver=TIGHT, guess=file)
    assert int(again.iterations) == int(expected.iterations)
    elsewhere = dqc.energy(mol, other, solver=TIGHT, guess=file)
    assert abs(float(elsewhere - dqc.energy(mol, other, solver=TIGHT))) < 1e-10
    prints = {fingerprint(mol, m, kind="") for m in (method, other, _hf(), _hf(LIQUID),
                                                     _hf(PCM(20.0, points=110)))}  # fmt: skip
    assert len(prints) == 5


METHOD = dqc.KS("pbe", grid_level=0, extra_terms=(OUTSIDE, ElectricField(FIELD)))


def test_fitting_with_linear_terms() -> None:
    """Energies and forces of rows are those of the method."""
    mol = molecule("h2", "sto-3g")
    energy, forces = dqc.energy(mol, METHOD, solver=TIGHT), dqc.forces(mol, METHOD, solver=TIGHT)
    rows = (fit.Row("h2", mol, energy=float(energy), forces=np.asarray(forces)),)
    parameters = fit.Parameters.select("pbe", ["gga_c_pbe.beta"])
    objective = fit.Objective(fit.Dataset(rows), METHOD, parameters, solver=TIGHT)
    assert objective.evaluate(parameters.start, "value").loss < 1e-12
    bare = dataclasses.replace(METHOD, extra_terms=())
    objective = fit.Objective(fit.Dataset(rows), bare, parameters, solver=TIGHT)
    assert objective.evaluate(parameters.start, "value").loss > 1e-6


def test_fitting_refuses_other_terms_by_name() -> None:
    method = dqc.KS("pbe", extra_terms=(OUTSIDE, LIQUID))
    parameters = fit.Parameters.select("pbe", ["gga_c_pbe.beta"])
    rows = (fit.Row("h2", molecule("h2", "sto-3g"), energy=-1.0),)
    with pytest.raises(MethodError, match=r"extra_terms\[1\], PCM.*LinearTerm"):
        fit.Objective(fit.Dataset(rows), method, parameters)


def test_cached_integrals_of_a_fit_belong_to_their_terms() -> None:
    mol = molecule("h2", "sto-3g")
    moved = dataclasses.replace(OUTSIDE, charges=2 * OUTSIDE.charges)
    methods = [dqc.KS("pbe", extra_terms=t) for t in ((), (OUTSIDE,), (moved,))]
    assert len({cache.key(mol, m) for m in methods}) == 3
