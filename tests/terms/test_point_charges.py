"""Point charges around a molecule against PySCF's QM/MM and finite differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.dft
import pyscf.qmmm
import pyscf.scf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import mole, molecule

import dqc_lite as dqc
from dqc_lite.errors import GeometryError, InputError, NonFiniteError
from dqc_lite.terms import PointCharges

TIGHT = dqc.DIIS(energy_tol=1e-12, gradient_tol=1e-10)
CHARGES, PLACES = [0.4, -0.3], [[0.1, 0.2, -5.0], [3.5, 1.0, 2.0]]
WIDTHS = {"points": None, "wide": [0.8, 1.3]}


def _energy(mol: dqc.Molecule, positions: jax.Array, term: PointCharges) -> jax.Array:
    return dqc.energy(mol.with_positions(positions), dqc.HF(extra_terms=(term,)), solver=TIGHT)


def _qmmm(mf, term: PointCharges) -> float:
    widths = None if term.widths is None else np.asarray(term.widths)
    embedded = pyscf.qmmm.mm_charge(
        mf, np.asarray(term.places), np.asarray(term.charges), radii=widths, unit="Bohr"
    )
    embedded.conv_tol = 1e-13
    return embedded.kernel()


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("name", ["h2o", "h2o+", "water-ghost"])
def test_energies_of_pyscf(name: str, widths: str) -> None:
    mol, term = molecule(name, "sto-3g"), PointCharges(CHARGES, PLACES, WIDTHS[widths])
    expected = _qmmm(pyscf.scf.HF(mole(mol, "sto-3g")), term)
    assert abs(float(_energy(mol, mol.positions, term)) - expected) < 1e-10


def test_kohn_sham_energy_of_pyscf() -> None:
    mol, term = molecule("hf", "sto-3g"), PointCharges(CHARGES, PLACES)
    mf = pyscf.dft.RKS(mole(mol, "sto-3g"), xc="svwn")
    mf.grids.level = 1
    method = dqc.KS("svwn", grid_level=1, extra_terms=(term,))
    assert abs(float(dqc.energy(mol, method, solver=TIGHT)) - _qmmm(mf, term)) < 1e-8


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(0, 4), st.booleans())
def test_one_electron_part_against_pyscf(seed: int, count: int, wide: bool) -> None:
    rng = np.random.default_rng(seed)
    mol = molecule("hf", "6-31g")
    charges, places = rng.normal(size=count), rng.normal(size=(count, 3)) * 4.0
    widths = rng.uniform(0.3, 2.0, count) if wide else None
    term = PointCharges(charges, places, widths)
    constant, h = term.prepare(mol, mol.orbitals())
    bare = pyscf.scf.RHF(mole(mol, "6-31g"))
    nuclei, core = bare.energy_nuc(), bare.get_hcore()
    if count:
        bare = pyscf.qmmm.mm_charge(bare, places, charges, radii=widths, unit="Bohr")
    np.testing.assert_allclose(h, bare.get_hcore() - core, atol=1e-10)
    assert abs(float(constant) - (bare.energy_nuc() - nuclei)) < 1e-10


def _differences(function, h: float) -> tuple[np.ndarray, float]:
    """Derivative at 0 and the estimate of its error."""

    def central(h: float) -> np.ndarray:
        near, far = (np.asarray(function(t) - function(-t)) for t in (h, 2 * h))
        return (8 * near - far) / (12 * h)

    fine, coarse = central(h), central(2 * h)
    return (16 * fine - coarse) / 15, float(np.abs(fine - coarse).max()) / 15


@pytest.mark.parametrize("widths", WIDTHS)
def test_derivatives(widths: str) -> None:
    mol, term = molecule("h2o", "sto-3g"), PointCharges(CHARGES, PLACES, WIDTHS[widths])
    compiled = jax.jit(lambda r, term: _energy(mol, r, term))
    at = (mol.positions, term)
    slopes = jax.tree.leaves(jax.grad(lambda *x: _energy(mol, *x), (0, 1))(*at))
    leaves, treedef = jax.tree.flatten(at)
    rng = np.random.default_rng(1)
    for i, slope in enumerate(slopes):
        direction = rng.normal(size=slope.shape)

        def along(t: float, i: int = i, direction: np.ndarray = direction) -> jax.Array:
            moved = [x + t * direction if j == i else x for j, x in enumerate(leaves)]
            return compiled(*jax.tree.unflatten(treedef, moved))

        expected, error = _differences(along, 2e-3)
        assert error < 1e-8
        assert abs(float(jnp.vdot(slope, direction)) - expected) < 1e-8 + error


@pytest.mark.parametrize("widths", ["points", pytest.param("wide", marks=pytest.mark.slow)])
def test_hessian(widths: str) -> None:
    mol, term = molecule("h2", "6-31g"), PointCharges(CHARGES, PLACES, WIDTHS[widths])
    method = dqc.HF(extra_terms=(term,))
    found = dqc.hessian(mol, method, solver=TIGHT)
    nested = jax.jit(jax.hessian(lambda r: _energy(mol, r, term)))(mol.positions)
    np.testing.assert_allclose(found, nested, atol=1e-9)
    direction = np.random.default_rng(2).normal(size=(2, 3))
    slope = jax.jit(jax.grad(lambda r: _energy(mol, r, term)))
    expected, error = _differences(lambda t: slope(mol.positions + t * direction), 4e-3)
    np.testing.assert_allclose(
        np.einsum("axby,by->ax", found, direction), expected, atol=1e-6 + error
    )
    # outer charges hold the molecule: its translations have curvature
    assert np.abs(np.asarray(found).sum(2)).max() > 1e-4


def test_the_whole_system_is_invariant() -> None:
    """Translated and rotated together with its charges."""
    mol, term = molecule("h2o", "sto-3g"), PointCharges(CHARGES, PLACES)
    slopes = jax.grad(lambda *x: _energy(mol, *x), (0, 1))(mol.positions, term)
    forces = jnp.concatenate([slopes[0], slopes[1].places])
    where = jnp.concatenate([mol.positions, term.places])
    np.testing.assert_allclose(forces.sum(0), 0.0, atol=1e-8)
    np.testing.assert_allclose(jnp.cross(where, forces).sum(0), 0.0, atol=1e-8)


def test_vmap_over_charges_and_places() -> None:
    mol, term = molecule("h2", "6-31g"), PointCharges(CHARGES, PLACES)
    rows = PointCharges(
        jnp.stack([term.charges, -term.charges]), jnp.stack([term.places, 1.5 * term.places])
    )

    def slopes(term: PointCharges) -> PointCharges:
        return jax.grad(lambda t: _energy(mol, mol.positions, t))(term)

    found = jax.vmap(slopes)(rows)
    for i in range(2):
        one = slopes(jax.tree.map(lambda x, i=i: x[i], rows))
        np.testing.assert_allclose(found.charges[i], one.charges, atol=1e-9)
        np.testing.assert_allclose(found.places[i], one.places, atol=1e-9)


def test_a_far_charge_is_a_field() -> None:
    mol, far = molecule("hf", "sto-3g"), 300.0
    term = PointCharges([4.0, -4.0], [[0, 0, -far], [0, 0, far]])
    field = [0.0, 0.0, 2 * 4.0 / far**2]
    energies = [
        dqc.energy(mol, dqc.HF(extra_terms=(term,)), solver=TIGHT),
        dqc.energy(mol, electric_field=field, solver=TIGHT),
    ]
    assert abs(float(energies[0] - energies[1])) < 1e-8


@pytest.mark.parametrize(
    ("term", "error", "text"),
    [
        (PointCharges([1.0], [[0.0, 0.0, 0.0]]), GeometryError, r"point charge 0 lies on atom 0"),
        (PointCharges([1.0], [0.0, 0.0, 0.0]), InputError, r"charges.*\(1,\).*places.*\(3,\)"),
        (PointCharges([1.0], [[0.0, 0.0], [4.0]]), InputError, r"places = .*no array of numbers"),
        (PointCharges(["a"], [[0.0, 0.0, 4.0]]), InputError, r"charges\[0\] = 'a' is no number"),
        (PointCharges([1.0, 2.0], [[0.0, 0.0, 4.0]]), InputError, r"charges have shape \(2,\)"),
        (PointCharges([1.0], [[0, 0, 4]], [1.0, 2.0]), InputError, r"widths have shape \(2,\)"),
        (PointCharges([1.0], [[0, 0, 4]], [-1.0]), InputError, r"widths.*positive"),
        (PointCharges([np.nan], [[0, 0, 4]]), NonFiniteError, r"extra_terms\[0\]\.charges"),
    ],
)
def test_errors(term: PointCharges, error: type, text: str) -> None:
    mol = molecule("he", "sto-3g")
    with pytest.raises(error, match=text):
        dqc.energy(mol, dqc.HF(extra_terms=(term,)))


def test_a_wide_charge_may_sit_on_a_nucleus() -> None:
    mol = molecule("he", "sto-3g")
    slope = jax.grad(lambda t: _energy(mol, mol.positions, t))(
        PointCharges([0.5], [[0.0, 0.0, 0.0]], [1.0])
    )
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(slope))
    np.testing.assert_allclose(slope.places, 0.0, atol=1e-10)


def test_trees_of_other_things_keep_their_structure() -> None:
    term = PointCharges(CHARGES, PLACES)
    pairs = jax.tree.map(lambda x: (x, 2 * x), term)
    assert isinstance(pairs.charges, tuple)
    for other in (True, "frozen"):  # masks and labels of optimizers
        tree = jax.tree.map(lambda x, other=other: other, term)
        assert jax.tree.leaves(tree) == [other] * 2


def test_numbers_of_every_kind_are_taken() -> None:
    mol = molecule("he", "sto-3g")
    made = [
        PointCharges((1,), ((0, 0, 5),)), PointCharges(np.array([1]), np.array([[0, 0, 5]])),
        PointCharges(jnp.ones(1), jnp.array([[0.0, 0.0, 5.0]])),
    ]  # fmt: skip
    energies = [float(_energy(mol, mol.positions, term)) for term in made]
    assert energies[0] == energies[1] == energies[2]
    assert dataclasses.replace(made[0], charges=[2.0]).charges.shape == (1,)
