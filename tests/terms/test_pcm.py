"""The polarizable continuum against PySCF's, finite differences and a closed form."""

import dataclasses
import functools
import math

import ase.build
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pyscf.scf
import pyscf.solvent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import mole, molecule

import dqc_lite as dqc
from dqc_lite.errors import InputError, MemoryBudgetError
from dqc_lite.terms import PCM, _gaussian_charges

TIGHT = dqc.DIIS(energy_tol=1e-12, gradient_tol=1e-10)
METHODS = ("C-PCM", "IEF-PCM")
ORDERS = {50: 11, 110: 17, 302: 29}
"""PySCF's names for numbers of points."""


@functools.cache
def _system(name: str) -> dqc.Molecule:
    if name == "ch3oh":
        return dqc.Molecule.from_ase(ase.build.molecule("CH3OH"), "sto-3g")
    if name == "no3-":
        text = "N 0 0 0; O 1.24 0 0; O -0.62 1.0739 0; O -0.62 -1.0739 0.05"
        return dqc.Molecule.from_atoms(text, "sto-3g", charge=-1)
    if name == "nh4+":
        text = "N 0 0 0; H .6 .6 .6; H -.6 -.6 .6; H -.6 .6 -.6; H .6 -.6 -.61"
        return dqc.Molecule.from_atoms(text, "sto-3g", charge=1)
    return molecule(name, "sto-3g")


def _energy(mol: dqc.Molecule, positions: jax.Array, term: PCM) -> jax.Array:
    return dqc.energy(mol.with_positions(positions), dqc.HF(extra_terms=(term,)), solver=TIGHT)


def _reference(mol: dqc.Molecule, term: PCM):
    """A converged mean field of PySCF with the same continuum."""
    mf = pyscf.scf.HF(mole(mol, "sto-3g")).PCM()
    mf.with_solvent.method, mf.with_solvent.eps = term.method, float(term.eps)
    mf.with_solvent.lebedev_order = ORDERS[term.points]
    mf.conv_tol = 1e-12
    mf.kernel()
    return mf


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["h2o", "ch3oh", "no3-", "nh4+", "h2o+"])
def test_energies_of_pyscf(name: str, method: str) -> None:
    mol, term = _system(name), PCM(30.0, method, points=50)
    reference = _reference(mol, term)
    found = dqc.solve(mol, dqc.HF(extra_terms=(term,)), solver=TIGHT)
    assert abs(float(found.energy) - reference.e_tot) < 1e-8
    assert abs(float(found.energies["pcm"]) - reference.with_solvent.e) < 1e-7
    assert float(found.energies["pcm"]) < -1e-3


def test_default_cavity_of_pyscf() -> None:
    mol, term = _system("h2o"), PCM(78.3553)
    assert abs(float(_energy(mol, mol.positions, term)) - _reference(mol, term).e_tot) < 1e-8


def _differences(function, h: float) -> tuple[np.ndarray, float]:
    """Derivative at 0 and the estimate of its error."""

    def central(h: float) -> np.ndarray:
        near, far = (np.asarray(function(t) - function(-t)) for t in (h, 2 * h))
        return (8 * near - far) / (12 * h)

    fine, coarse = central(h), central(2 * h)
    return (16 * fine - coarse) / 15, float(np.abs(fine - coarse).max()) / 15


@pytest.mark.parametrize(
    ("name", "method"),
    [("h2o", "C-PCM"), ("nh4+", "IEF-PCM"),
     *(pytest.param(n, m, marks=pytest.mark.slow)
       for n, m in (("ch3oh", "IEF-PCM"), ("no3-", "C-PCM"), ("no3-", "IEF-PCM")))],
)  # fmt: skip
def test_first_derivatives(name: str, method: str) -> None:
    mol, term = _system(name), PCM(20.0, method, points=50)
    slopes = jax.grad(lambda *x: _energy(mol, *x), (0, 1))(mol.positions, term)
    direction = np.random.default_rng(1).normal(size=mol.positions.shape)
    compiled = jax.jit(lambda r, term: _energy(mol, r, term))
    expected, error = _differences(lambda t: compiled(mol.positions + t * direction, term), 1e-3)
    assert error < 1e-7
    assert abs(float(jnp.vdot(slopes[0], direction)) - expected) < 1e-7 + error
    gradient = _reference(mol, term).nuc_grad_method().kernel()
    np.testing.assert_allclose(slopes[0], gradient, atol=1e-6)
    expected, error = _differences(
        lambda t: compiled(mol.positions, dataclasses.replace(term, eps=term.eps + t)), 0.2
    )
    assert error < 1e-9
    assert abs(float(slopes[1].eps) - expected) < 1e-9 + error


def _hessian(mol: dqc.Molecule, term: PCM) -> jax.Array:
    return dqc.hessian(mol, dqc.HF(extra_terms=(term,)), solver=TIGHT)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_hessian_of_nested_derivatives(method: str) -> None:
    mol, term = molecule("hf", "sto-3g"), PCM(20.0, method, points=50)
    nested = jax.jit(jax.hessian(lambda r: _energy(mol, r, term)))(mol.positions)
    np.testing.assert_allclose(_hessian(mol, term), nested, atol=1e-9)


@pytest.mark.parametrize("method", ["IEF-PCM", pytest.param("C-PCM", marks=pytest.mark.slow)])
def test_hessian(method: str) -> None:
    mol, term = molecule("hf", "sto-3g"), PCM(20.0, method, points=50)
    found = _hessian(mol, term)
    np.testing.assert_allclose(np.asarray(found).sum(2), 0.0, atol=1e-8)
    direction = np.random.default_rng(2).normal(size=(2, 3))
    slope = jax.jit(jax.grad(lambda r: _energy(mol, r, term)))
    expected, error = _differences(lambda t: slope(mol.positions + t * direction), 2e-3)
    assert error < 1e-6
    np.testing.assert_allclose(
        np.einsum("axby,by->ax", found, direction), expected, atol=1e-6 + error
    )


@pytest.mark.parametrize("method", ["IEF-PCM", pytest.param("C-PCM", marks=pytest.mark.slow)])
def test_response_to_a_field(method: str) -> None:
    """The polarizability, from the continuum's part in the response equations."""
    mol = molecule("hf", "sto-3g")
    options = {"method": dqc.HF(extra_terms=(PCM(20.0, method, points=50),)), "solver": TIGHT}
    found = dqc.polarizability(mol, **options)
    along = jnp.asarray([0.3, 0.0, 1.0])
    expected, error = _differences(
        lambda t: dqc.dipole(mol, electric_field=t * along, **options), 2e-3
    )
    np.testing.assert_allclose(found @ along, expected, atol=1e-7 + error)
    assert float(found[2, 2]) > float(dqc.polarizability(mol, dqc.HF())[2, 2]) + 0.01


def test_jit_and_vmap() -> None:
    mol, term = molecule("h2", "sto-3g"), PCM(20.0, "IEF-PCM", points=50)
    moved = jnp.stack([mol.positions, 1.1 * mol.positions])
    constants = jnp.asarray([20.0, 4.0])

    def slopes(r: jax.Array, eps: jax.Array) -> tuple[jax.Array, PCM]:
        at = dataclasses.replace(term, eps=eps)
        return jax.grad(lambda *x: _energy(mol, *x), (0, 1))(r, at)

    found = jax.jit(jax.vmap(slopes))(moved, constants)
    for i in range(2):
        one = slopes(moved[i], constants[i])
        np.testing.assert_allclose(found[0][i], one[0], atol=1e-9)
        np.testing.assert_allclose(found[1].eps[i], one[1].eps, atol=1e-12)


def test_an_ion_in_a_sphere() -> None:
    """Born: E = -f Q^2/(2 R), also of all points of a sphere that holds all of the density."""
    mol = dqc.Molecule.from_atoms("Li 0 0 0", "sto-3g", charge=1)
    radius = 4.0
    term = PCM(10.0, radii={"Li": radius}, scale=1.0, points=302)
    found = dqc.solve(mol, dqc.HF(extra_terms=(term,)), solver=TIGHT)
    bohr = radius / dqc.units.BOHR_IN_ANGSTROM
    np.testing.assert_allclose(found.energies["pcm"], -0.9 / (2 * bohr), rtol=1e-4)


def test_nothing_happens_in_vacuum() -> None:
    mol = molecule("h2", "sto-3g")
    bare = dqc.energy(mol, solver=TIGHT)
    assert abs(float(_energy(mol, mol.positions, PCM(1.0, points=50)) - bare)) < 1e-12


def test_ghost_atoms_have_no_sphere() -> None:
    mol = molecule("water-ghost", "sto-3g")
    orbitals = mol.orbitals()
    surface = PCM(points=50).prepare(mol, orbitals)
    assert surface.nuclei.shape == (150,)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-6, 40.0), st.floats(0.05, 20.0))
def test_potentials_of_gaussian_charges(squared: float, exponent: float) -> None:
    """And their derivatives, also where the charges are in one place."""
    with mpmath.workdps(30):
        root = mpmath.sqrt(exponent)
        exact = [
            mpmath.diff(lambda s: mpmath.erf(root * mpmath.sqrt(s)) / mpmath.sqrt(s), squared, n)
            for n in range(3)
        ]
    at = jnp.asarray(squared)

    def potential(s: jax.Array) -> jax.Array:
        return _gaussian_charges.potential(jnp.asarray(exponent), s)

    slope = jax.grad(potential)
    scale = [exponent ** (n + 0.5) for n in range(3)]
    for function, value, size in zip((potential, slope, jax.grad(slope)), exact, scale,
                                     strict=True):  # fmt: skip
        assert abs(float(function(at)) - float(value)) < 1e-12 * size
    field = _gaussian_charges.field(jnp.asarray(exponent), at)
    assert abs(float(field) + 2.0 * float(exact[1])) < 1e-12 * scale[1]
    assert math.isclose(float(potential(jnp.zeros(()))), 2 * math.sqrt(exponent / math.pi))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: PCM(method="COSMO"), r"method = 'COSMO'.*C-PCM"),
        (lambda: PCM(points=300), r"points = 300.*302"),
        (lambda: PCM(points=True), r"points = True"),
        (lambda: PCM(radii={"Qq": 1.0}), r"radii.*Qq.*angstrom"),
        (lambda: PCM(radii={"O": -1.0}), r"radii.*angstrom"),
        (lambda: PCM(radii=3.0), r"radii = 3.0.*angstrom"),
        (lambda: PCM(scale=0), r"scale = 0"),
    ],
)
def test_errors_when_made(make, text: str) -> None:
    with pytest.raises(InputError, match=text):
        make()


def test_errors_when_used(monkeypatch) -> None:
    mol = molecule("he", "sto-3g")
    with pytest.raises(InputError, match=r"eps = 0.5"):
        dqc.energy(mol, dqc.HF(extra_terms=(PCM(0.5),)))
    for eps in (None, "water", True, [20.0]):
        with pytest.raises(InputError, match="eps"):
            dqc.energy(mol, dqc.HF(extra_terms=(PCM(eps),)))
    iron = dqc.Molecule.from_atoms("Fe 0 0 0", "sto-3g")
    with pytest.raises(InputError, match=r"radius of Fe.*radii"):
        PCM().prepare(iron, iron.orbitals())
    monkeypatch.setenv("DQC_LITE_MEMORY_GB", "0.001")
    with pytest.raises(MemoryBudgetError, match=r"302 surface points.*points"):
        PCM().prepare(mol, mol.orbitals())
