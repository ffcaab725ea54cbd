"""Every energy term: its Fock matrix is the derivative of its energy, its differential that of the
energy at fixed density. One loop over all terms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import mole, molecule

from dqc_lite.density import Density
from dqc_lite.terms import (
    CorePotential,
    ElectricField,
    ElectronRepulsion,
    Hamiltonian,
    Kinetic,
    NuclearAttraction,
    NuclearRepulsion,
)

FIELD = jnp.asarray([0.02, -0.03, 0.01])
TERMS = {
    "nuclear repulsion": ("nh3 rotated", NuclearRepulsion()),
    "kinetic": ("nh3 rotated", Kinetic()),
    "nuclear attraction": ("nh3 rotated", NuclearAttraction()),
    "core potential": ("hi", CorePotential()),
    "field": ("hf", ElectricField(FIELD)),
    "repulsion, exact": ("hf", ElectronRepulsion(1.0, False)),
    "repulsion, fitted": ("hf", ElectronRepulsion(1.0, True)),
    "repulsion, a quarter of exchange": ("hf", ElectronRepulsion(0.25, True)),
    "sum": ("hf", Hamiltonian((Kinetic(), NuclearAttraction(), ElectronRepulsion(1.0, False)))),
}


def _random_density(nao: int, nspin: int) -> tuple[Density, jax.Array]:
    rng = np.random.default_rng(5)
    factor = jnp.asarray(rng.normal(size=(nspin, nao, 3))) / nao
    return Density.from_factor(factor), jnp.asarray(rng.normal(size=factor.shape)) / nao


def _energy(term, integrals, density):
    return sum(term.evaluate(integrals, density)[0].values())


def _central(f, h: float) -> float:
    return float((8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h))


@pytest.mark.parametrize("nspin", [1, 2])
@pytest.mark.parametrize("name", TERMS)
def test_fock_matrix_is_the_derivative_of_the_energy(name: str, nspin: int) -> None:
    system, term = TERMS[name]
    mol = molecule(system, "def2-svp" if system == "hi" else "6-31g")
    integrals = term.prepare(mol, mol.orbitals())
    density, change = _random_density(mol.nao, nspin)

    def along(t: float) -> jax.Array:
        return _energy(term, integrals, Density.from_factor(density.factor + t * change))

    _, fock = term.evaluate(integrals, density)
    fock = jnp.broadcast_to(fock, density.matrix.shape)
    slope = 2.0 * jnp.einsum("smn,smi,sni->", fock, density.factor, change)
    # energies are quartic polynomials along the line, exact for 5 points but for rounding
    assert abs(_central(along, 0.1) - slope) < 1e-9 * max(1.0, abs(float(slope)))


@pytest.mark.parametrize("name", TERMS)
def test_differential_is_the_derivative_at_fixed_density(name: str) -> None:
    system, term = TERMS[name]
    mol = molecule(system, "def2-svp" if system == "hi" else "6-31g")
    integrals = term.prepare(mol, mol.orbitals())
    density, _ = _random_density(mol.nao, 2)
    direction = np.random.default_rng(6).normal(size=mol.positions.shape)

    def value(t: float) -> jax.Array:
        moved = mol.with_positions(mol.positions + t * direction)
        return _energy(term, term.prepare(moved, moved.orbitals()), density)

    def differential(r: jax.Array) -> jax.Array:
        moved = mol.with_positions(r)
        return term.differential(moved, moved.orbitals(), integrals, density)

    assert float(differential(mol.positions)) == 0.0
    coarse, fine = _central(value, 0.02), _central(value, 0.01)
    expected, error = (16 * fine - coarse) / 15, abs(fine - coarse) / 15
    got = float(jnp.vdot(jax.grad(differential)(mol.positions), direction))
    assert abs(got - expected) < 1e-8 + error
    assert error < 1e-5


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
