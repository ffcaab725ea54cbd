"""The fast contracted derivatives against those of the general primitive."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import mole, molecule

from dqc_lite.basis import Basis, orbitals
from dqc_lite.integrals import by_primitive, differentials, operators
from dqc_lite.integrals.host import layouts

KEY = np.random.default_rng(0)


def _symmetric(n: int) -> jax.Array:
    a = KEY.normal(size=(n, n))
    return jnp.asarray(a + a.T)


def _moved(mol, positions):
    return mol.with_positions(positions).orbitals()


ONE_ELECTRON = {
    "overlap": (differentials.overlap, by_primitive.overlap),
    "kinetic": (differentials.kinetic, by_primitive.kinetic),
    "ecp": (differentials.ecp, by_primitive.ecp),
}


@pytest.mark.parametrize("kind", ONE_ELECTRON)
def test_one_electron(kind: str) -> None:
    fast, reference = ONE_ELECTRON[kind]
    mol = molecule("hi", "def2-svp") if kind == "ecp" else molecule("nh3 rotated", "6-31g*")
    dual = _symmetric(mol.nao)
    quick = jax.grad(lambda r: fast(_moved(mol, r), dual))(mol.positions)
    slow = jax.grad(lambda r: jnp.vdot(reference(_moved(mol, r)), dual))(mol.positions)
    np.testing.assert_allclose(quick, slow, rtol=0, atol=1e-10 * np.abs(slow).max())


def test_nuclear_attraction_in_positions_and_charges() -> None:
    mol = molecule("nh3 rotated", "6-31g*")
    dual = _symmetric(mol.nao)

    def quick(r, z):
        return differentials.nuclear(_moved(mol, r), z, dual)

    def slow(r, z):
        return jnp.vdot(by_primitive.nuclear(_moved(mol, r), z), dual)

    at = (mol.positions, mol.charges)
    for a, b in zip(jax.grad(quick, (0, 1))(*at), jax.grad(slow, (0, 1))(*at), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * np.abs(b).max())


@pytest.mark.parametrize("omega", [None, 0.4])
def test_density_fitting_integrals(omega: float | None) -> None:
    mol = molecule("h2o", "6-31g")
    layout, exponents, coefficients = layouts.auxiliary(mol.layout, None)
    basis = Basis(jnp.asarray(exponents), jnp.asarray(coefficients), layout)
    two = _symmetric(layout.nao)
    three = jnp.asarray(KEY.normal(size=(layout.nao, operators.npair(mol.nao))))

    def quick(r):
        aux = orbitals(r, basis)
        return differentials.two_center(aux, two, omega) + differentials.three_center(
            _moved(mol, r), aux, three, omega
        )

    def slow(r):
        aux = orbitals(r, basis)
        return jnp.vdot(by_primitive.two_center(aux, omega), two) + jnp.vdot(
            by_primitive.three_center(_moved(mol, r), aux, omega), three
        )

    expected = jax.grad(slow)(mol.positions)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(jax.grad(quick)(mol.positions), expected, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("omega", [None, 0.4])
@pytest.mark.parametrize("nspin", [1, 2])
def test_four_center(nspin: int, omega: float | None) -> None:
    mol = molecule("hf", "6-31g")
    density = jnp.stack([_symmetric(mol.nao) for _ in range(nspin)])

    def quick(r):
        return differentials.four_center(_moved(mol, r), density, 0.7, 0.3, omega)

    def slow(r):
        eri = by_primitive.four_center(_moved(mol, r), omega, square=True)
        full = operators.unpack(jnp.moveaxis(eri, 0, -1), mol.nao)
        total = density.sum(0)
        coulomb = jnp.einsum("lsmn,mn,ls->", full, total, total)
        exchange = jnp.einsum("lsmn,xln,xsm->", full, density, density) / (3 - nspin)
        return 0.5 * 0.7 * coulomb - 0.5 * 0.3 * exchange

    expected = jax.grad(slow)(mol.positions)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(jax.grad(quick)(mol.positions), expected, rtol=0, atol=1e-9 * scale)


def test_second_derivative_of_a_differential() -> None:
    """The derivative of the fast gradient is that of the general primitive, in both modes."""
    mol = molecule("hf", "6-31g")
    dual = _symmetric(mol.nao)
    quick = jax.grad(lambda r: differentials.overlap(_moved(mol, r), dual))

    def slow(r):
        return jnp.vdot(by_primitive.overlap(_moved(mol, r)), dual)

    expected = jax.hessian(slow)(mol.positions)
    scale = np.abs(expected).max()
    for mode in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(mode(quick)(mol.positions), expected, atol=1e-11 * scale)


VALUES = {
    "overlap": lambda o, z: (operators.overlap(o), by_primitive.overlap(o)),
    "kinetic": lambda o, z: (operators.kinetic(o), by_primitive.kinetic(o)),
    "nuclear": lambda o, z: (operators.nuclear(o, z), by_primitive.nuclear(o, z)),
    "two-centre": lambda o, z: (operators.two_center(o), by_primitive.two_center(o, None)),
    "three-centre": lambda o, z: (
        operators.three_center(o, o), by_primitive.three_center(o, o, None),
    ),
    "four-centre": lambda o, z: (
        operators.four_center(o), by_primitive.four_center(o, None, False),
    ),
    "four-centre, square": lambda o, z: (
        operators.four_center(o, square=True), by_primitive.four_center(o, None, True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_values_equal_the_general_primitive(kind: str) -> None:
    mol = molecule("hf", "6-31g")
    value, reference = VALUES[kind](mol.orbitals(), mol.charges)
    np.testing.assert_allclose(value, reference, rtol=0, atol=1e-11 * np.abs(reference).max())


def test_multipoles_about_an_origin() -> None:
    mol = molecule("h2o", "6-31g")
    built = mole(mol, "6-31g")
    orbs, origin = mol.orbitals(), np.array([0.3, -0.2, 0.9])
    with built.with_common_origin(origin):
        dipole, quadrupole = built.intor("int1e_r"), built.intor("int1e_rr")
    np.testing.assert_allclose(operators.dipole(orbs, origin), dipole, atol=1e-12)
    n = mol.nao
    np.testing.assert_allclose(
        operators.quadrupole(orbs, origin), quadrupole.reshape(3, 3, n, n), atol=1e-12
    )
    np.testing.assert_allclose(
        operators.octupole(orbs), built.intor("int1e_rrr").reshape(3, 3, 3, n, n), atol=1e-12
    )
    slope = jax.jacfwd(lambda c: operators.dipole(orbs, c))(jnp.asarray(origin))
    np.testing.assert_allclose(slope[0, :, :, 0], -operators.overlap(orbs), atol=1e-14)
