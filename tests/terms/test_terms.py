"""Every energy term: its Fock matrix is the derivative of its energy, its differential that of the
energy at fixed density, and both are the same under jit and vmap. One loop over all terms."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import mole, molecule

import dqc_lite as dqc
from dqc_lite import terms
from dqc_lite.density import Density
from dqc_lite.terms import (
    PCM,
    CorePotential,
    Dispersion,
    ElectricField,
    ElectronRepulsion,
    ExchangeCorrelation,
    Hamiltonian,
    Kinetic,
    NonlocalCorrelation,
    NuclearAttraction,
    NuclearRepulsion,
    PointCharges,
)

FIELD = jnp.asarray([0.02, -0.03, 0.01])
CHARGES, PLACES = [0.4, -0.3], [[0.1, 0.2, -4.0], [2.5, 1.0, 2.0]]
COARSE = dqc.Grid(0, 15, 38, None)
TERMS = {
    "nuclear repulsion": ("nh3 rotated", NuclearRepulsion()),
    "kinetic": ("nh3 rotated", Kinetic()),
    "nuclear attraction": ("nh3 rotated", NuclearAttraction()),
    "core potential": ("hi", CorePotential()),
    "field": ("hf", ElectricField(FIELD)),
    "repulsion, exact": ("hf", ElectronRepulsion(1.0, False)),
    "repulsion, fitted": ("hf", ElectronRepulsion(1.0, True)),
    "repulsion, a quarter of exchange": ("hf", ElectronRepulsion(0.25, True)),
    "repulsion, long range": ("hf", ElectronRepulsion(0.2, True, 0.5, 0.3)),
    "functional": ("hf", ExchangeCorrelation(dqc.functional("pbe"), 0)),
    "nonlocal correlation": ("hf", NonlocalCorrelation((5.9, 0.0093), 1.0, COARSE)),
    "dispersion": ("nh3 rotated", Dispersion("d3bj", "pbe")),
    "point charges": ("hf", PointCharges(CHARGES, PLACES)),
    "wide charges": ("hf", PointCharges(CHARGES, PLACES, [0.8, 1.3])),
    "C-PCM": ("hf", PCM(20.0, points=50)),
    "IEF-PCM": ("hf", PCM(20.0, "IEF-PCM", points=50)),
    "sum": ("hf", Hamiltonian((Kinetic(), NuclearAttraction(), ElectronRepulsion(1.0, False)))),
}
GRIDS = {name for name, (_, t) in TERMS.items()
         if isinstance(t, ExchangeCorrelation | NonlocalCorrelation)}  # fmt: skip
"""Terms whose energy is no polynomial of the orbitals."""


def _system(name: str) -> tuple[dqc.Molecule, terms.Term]:
    system, term = TERMS[name]
    return molecule(system, "def2-svp" if system == "hi" else "6-31g"), term


def _random_density(nao: int, nspin: int) -> tuple[Density, jax.Array]:
    rng = np.random.default_rng(5)
    factor = jnp.asarray(rng.normal(size=(nspin, nao, 3))) / nao
    return Density.from_factor(factor), jnp.asarray(rng.normal(size=factor.shape)) / nao


def _energy(term, integrals, density):
    return sum(term.evaluate(integrals, density)[0].values())


def _central(f, h: float):
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


def _extrapolated(f, h: float) -> tuple[np.ndarray, float]:
    """Derivative at 0 and the estimate of its error."""
    coarse, fine = np.asarray(_central(f, 2 * h)), np.asarray(_central(f, h))
    return (16 * fine - coarse) / 15, float(np.abs(fine - coarse).max()) / 15


def test_every_term_is_here() -> None:
    classes = {c for c in vars(terms).values() if inspect.isclass(c) and issubclass(c, terms.Term)}
    concrete = {c for c in classes if not inspect.isabstract(c)}
    assert classes - concrete == {terms.Term, terms.LinearTerm}
    assert concrete == {type(term) for _, term in TERMS.values()}


@pytest.mark.parametrize("nspin", [1, 2])
@pytest.mark.parametrize("name", TERMS)
def test_fock_matrix_is_the_derivative_of_the_energy(name: str, nspin: int) -> None:
    mol, term = _system(name)
    integrals = term.prepare(mol, mol.orbitals())
    density, change = _random_density(mol.nao, nspin)

    @jax.jit
    def along(t: float) -> jax.Array:
        return _energy(term, integrals, Density.from_factor(density.factor + t * change))

    _, fock = term.evaluate(integrals, density)
    fock = jnp.broadcast_to(fock, density.matrix.shape)
    slope = float(2.0 * jnp.einsum("smn,smi,sni->", fock, density.factor, change))
    # a quartic polynomial is exact for 5 points but for rounding
    found, error = _extrapolated(along, 2e-3 if name in GRIDS else 0.1)
    assert abs(found - slope) < 1e-9 * max(1.0, abs(slope)) + error
    assert error < 1e-7
    product = jax.jit(lambda t, *args: t.on_orbitals(*args))(term, integrals, density)
    np.testing.assert_allclose(product, fock @ density.factor, atol=1e-10)


@pytest.mark.parametrize("nspin", [1, 2])
@pytest.mark.parametrize("name", TERMS)
def test_response_is_the_derivative_of_the_fock_matrix(name: str, nspin: int) -> None:
    """dF C, against differences of F along a change of the factor; in `vmap` the same."""
    mol, term = _system(name)
    integrals = term.prepare(mol, mol.orbitals())
    density, change = _random_density(mol.nao, nspin)

    @jax.jit
    def fock(t: float) -> jax.Array:
        moved = Density.from_factor(density.factor + t * change)
        return jnp.broadcast_to(term.evaluate(integrals, moved)[1], moved.matrix.shape)

    def along(change: jax.Array) -> jax.Array:
        return jax.jit(lambda t, i, d, c: t.response(i, d)(c))(term, integrals, density, change)

    def difference(h: float) -> np.ndarray:
        outer, inner = (np.asarray(fock(k * h) - fock(-k * h)) for k in (2, 1))
        return (8 * inner - outer) / (12 * h)

    steps = (1e-3, 2e-3) if name in GRIDS else (0.05, 0.1)
    fine, coarse = map(difference, steps)
    error = np.abs(fine - coarse).max()
    expected = fine @ np.asarray(density.factor)
    scale = max(1.0, np.abs(expected).max())
    found = along(change)
    assert np.abs(found - expected).max() < 1e-8 * scale + 10 * error
    assert error < 1e-5 * scale
    both = jax.vmap(along)(jnp.stack([change, -2.0 * change]))
    np.testing.assert_allclose(both[1], -2.0 * found, atol=1e-10 * scale)


def _slope(term, mol, density, r, integrals):
    """The differential's derivative along the positions at r."""

    def differential(r: jax.Array) -> jax.Array:
        moved = mol.with_positions(r)
        return term.differential(moved, moved.orbitals(), integrals, density)

    return jax.grad(differential)(r)


@pytest.mark.parametrize("name", TERMS)
def test_differential_is_the_derivative_at_fixed_density(name: str) -> None:
    mol, term = _system(name)
    integrals = term.prepare(mol, mol.orbitals())
    density, _ = _random_density(mol.nao, 2)
    direction = np.random.default_rng(6).normal(size=mol.positions.shape)

    def value(t: float) -> float:
        moved = mol.with_positions(mol.positions + t * direction)
        return float(_energy(term, term.prepare(moved, moved.orbitals()), density))

    assert float(term.differential(mol, mol.orbitals(), integrals, density)) == 0.0
    # weights of grids and switches of cavities change on a short scale
    short = name in GRIDS or isinstance(term, PCM)
    expected, error = _extrapolated(value, 0.002 if short else 0.01)
    got = jnp.vdot(_slope(term, mol, density, mol.positions, integrals), direction)
    assert abs(float(got) - expected) < 1e-8 + error
    assert error < 1e-5


@pytest.mark.parametrize("name", [n for n in TERMS if n != "nonlocal correlation"])
def test_second_derivatives_from_moving_integrals(name: str) -> None:
    mol, term = _system(name)
    integrals = term.prepare(mol, mol.orbitals())
    density, _ = _random_density(mol.nao, 1)
    direction = np.random.default_rng(7).normal(size=mol.positions.shape)

    def slope(r: jax.Array) -> jax.Array:
        moved = mol.with_positions(r)
        held = term.moving_integrals(moved, moved.orbitals(), integrals, density)
        return _slope(term, mol, density, r, held)

    def exact(t: float) -> np.ndarray:
        moved = mol.with_positions(mol.positions + t * direction)
        held = term.prepare(moved, moved.orbitals())
        return np.asarray(_slope(term, mol, density, moved.positions, held))

    _, tangent = jax.jit(lambda r: jax.jvp(slope, (r,), (direction,)))(mol.positions)
    expected, error = _extrapolated(exact, 0.002)
    np.testing.assert_allclose(tangent, expected, atol=2e-7 + 10 * error)
    assert error < 1e-6


@pytest.mark.parametrize("name", TERMS)
def test_jit_and_vmap(name: str) -> None:
    mol, term = _system(name)
    density, _ = _random_density(mol.nao, 1)
    shifts = jnp.asarray(np.random.default_rng(8).normal(size=(2, *mol.positions.shape))) / 20

    def value(shift: jax.Array) -> tuple[jax.Array, jax.Array]:
        moved = mol.with_positions(mol.positions + shift)
        energies, fock = term.evaluate(term.prepare(moved, moved.orbitals()), density)
        return sum(energies.values()), fock

    rows = [value(s) for s in shifts]
    expected = jax.tree.map(lambda *leaves: np.stack(leaves), *rows)
    for found in (jax.vmap(value)(shifts), jax.jit(jax.vmap(value))(shifts)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), found, expected)


LEAVES = [n for n, (_, t) in TERMS.items() if jax.tree.leaves(t) and n != "nonlocal correlation"]


@pytest.mark.parametrize("name", LEAVES)
def test_differential_along_the_leaves_of_the_term(name: str) -> None:
    mol, term = _system(name)
    orbitals = mol.orbitals()
    integrals = term.prepare(mol, orbitals)
    density, _ = _random_density(mol.nao, 1)
    rng = np.random.default_rng(9)
    direction = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=jnp.shape(x))) / 10, term)

    def moved(t: float) -> terms.Term:
        return jax.tree.map(lambda x, d: x + t * d, term, direction)

    slopes = jax.grad(lambda t: t.differential(mol, orbitals, integrals, density))(
        jax.tree.map(lambda x: jnp.asarray(x, float), term)
    )
    got = sum(jnp.vdot(a, b) for a, b in zip(*map(jax.tree.leaves, (slopes, direction)),
                                             strict=True))  # fmt: skip
    expected, error = _extrapolated(
        lambda t: float(_energy(moved(t), moved(t).prepare(mol, orbitals), density)), 0.01
    )
    assert abs(float(got) - expected) < 1e-8 + error
    assert error < 1e-6


def test_defaults_of_a_term() -> None:
    """A term that has nothing but what is asked for is as right as those that have more."""

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Plain(terms.Term):
        inner: terms.Term

        def prepare(self, mol, orbitals):
            return self.inner.prepare(mol, orbitals)

        def evaluate(self, integrals, density):
            return self.inner.evaluate(integrals, density)

    mol, plain = molecule("h2", "6-31g"), Plain(ElectronRepulsion(1.0, True))
    integrals = plain.prepare(mol, mol.orbitals())
    density, _ = _random_density(mol.nao, 1)
    found = _slope(plain, mol, density, mol.positions, integrals)
    expected = _slope(plain.inner, mol, density, mol.positions, integrals)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert plain.exchange_fraction == 0.0
    product = plain.on_orbitals(integrals, density)
    np.testing.assert_allclose(product, plain.inner.on_orbitals(integrals, density), atol=1e-12)


def test_energies_of_one_name_are_added_up() -> None:
    mol = molecule("hf", "6-31g")
    both = Hamiltonian((ElectricField(FIELD), ElectricField(2 * FIELD)))
    density, _ = _random_density(mol.nao, 1)
    energies, _ = both.evaluate(both.prepare(mol, mol.orbitals()), density)
    once = ElectricField(FIELD)
    expected = 3 * _energy(once, once.prepare(mol, mol.orbitals()), density)
    np.testing.assert_allclose(energies["electric_field"], expected, atol=1e-12)


def test_electric_field_derivative_is_the_dipole() -> None:
    mol = molecule("hf", "6-31g")
    density, _ = _random_density(mol.nao, 1)

    def energy(strength: jax.Array) -> jax.Array:
        term = ElectricField(strength)
        return _energy(term, term.prepare(mol, mol.orbitals()), density)

    built = mole(mol, "6-31g")
    electrons = np.einsum("xmn,mn->x", built.intor("int1e_r"), density.total)
    nuclei = built.atom_charges() @ built.atom_coords()
    np.testing.assert_allclose(jax.grad(energy)(FIELD), electrons - nuclei, atol=1e-12)
