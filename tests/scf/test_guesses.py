"""Starting points against PySCF's, restarts from solutions and densities, and bad ones."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.scf
import pytest
from ase.collections import g2
from systems import mole, molecule

import dqc_lite as dqc
from dqc_lite.integrals.host import free_atoms as host_guesses
from dqc_lite.scf import guess as guesses

NAMES = guesses.GUESSES


def _numpy_orbitals(mol: dqc.Molecule):
    return jax.tree.map(np.asarray, mol.orbitals())


@pytest.mark.parametrize(
    ("name", "basis"), [("h2o", "6-31g*"), ("hi", "def2-svp"), ("water-ghost", "6-31g")]
)
@pytest.mark.parametrize("cart", [False, True])
def test_free_atoms_against_pyscf(name: str, basis: str, cart: bool) -> None:
    mol = molecule(name, basis)
    built = mole(mol, basis).copy()
    built.cart = cart
    built.build()
    orbitals = _numpy_orbitals(dqc.Molecule.from_pyscf(built))
    table = host_guesses.atomic_orbitals(orbitals)
    expected = pyscf.scf.hf.init_guess_by_atom(built)
    np.testing.assert_allclose((table[2:] * table[1]) @ table[2:].T, expected, atol=1e-6)
    assert abs(table[1].sum() - built.nelectron) < 1e-12
    occupied = host_guesses.hueckel_orbitals(orbitals)[:, : built.nelectron // 2]
    expected = pyscf.scf.hf.init_guess_by_huckel(built)
    np.testing.assert_allclose(2 * occupied @ occupied.T, expected, atol=1e-6)


def test_atomic_potentials_against_pyscf() -> None:
    mol = molecule("h2o", "6-31g*")
    built = mole(mol, "6-31g*")
    fits = {s: np.column_stack(host_guesses._atomic_potential(s)) for s in ("O", "H")}
    made = host_guesses.atomic_potentials(_numpy_orbitals(mol))
    np.testing.assert_allclose(made, pyscf.scf.hf.make_sap(built, fits), atol=1e-12)


def test_atomic_potentials_leave_no_core_charge_beside_an_ecp() -> None:
    """Far away the electrons of all atoms look like one charge."""
    mol = molecule("hi", "def2-svp")
    far = [[0, [50.0, 1.0]]]
    symbols = [(s, tuple(p)) for s, p in zip(mol.symbols, np.asarray(mol.positions), strict=True)]
    basis = {"default": "def2-svp", "ghost-He": far}
    wide = dqc.Molecule.from_atoms(
        [*symbols, ("ghost-He", (0, 0, 1e4))], basis, unit="bohr", ecp="def2-svp"
    )
    potential = host_guesses.atomic_potentials(_numpy_orbitals(wide))[-1, -1]
    assert abs(potential * 1e4 - mol.nelectron) < 0.01


@pytest.mark.parametrize("guess", NAMES)
def test_same_energy_from_every_guess(guess: str) -> None:
    mol = molecule("h2o", "6-31g")
    solution = dqc.solve(mol, guess=guess)
    assert abs(float(solution.energy) - pyscf.scf.RHF(mole(mol, "6-31g")).kernel()) < 1e-7
    if guess != "core":
        assert int(solution.iterations) <= 12


SMALL = [n for n in g2.names if len(g2[n]) <= 4][:20]


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_minima_from_all_guesses_agree(name: str) -> None:
    mol = dqc.Molecule.from_ase(g2[name], "sto-3g")
    found = [dqc.solve(mol, guess=g, solver=dqc.Auto()) for g in NAMES]
    assert all(bool(s.certificate.stable) for s in found)
    assert np.ptp([float(s.energy) for s in found]) < 1e-7


def test_guesses_under_jit() -> None:
    mol = molecule("h2o", "6-31g")
    expected = float(dqc.energy(mol))

    @jax.jit
    def all_of_them(mol: dqc.Molecule) -> list:
        return [dqc.energy(mol, guess=g, throw=False) for g in ("atom", "huckel", "sap")]

    np.testing.assert_allclose(all_of_them(mol), expected, atol=1e-9)


# --- solutions and densities ---------------------------------------------------------------------


def test_a_solution_is_a_guess_for_itself_and_its_neighbours() -> None:
    mol = molecule("h2o", "6-31g")
    first = dqc.solve(mol)
    assert int(dqc.solve(mol, guess=first).iterations) <= 2
    moved = mol.with_positions(mol.positions * 1.002)
    fresh, continued = dqc.solve(moved), dqc.solve(moved, guess=first)
    assert int(continued.iterations) < int(fresh.iterations)
    assert float(continued.history[0, 2]) < 0.1 * float(fresh.history[0, 2])
    assert abs(float(continued.energy - fresh.energy)) < 1e-9


def test_projection_keeps_electrons_and_orthonormality() -> None:
    small, large = molecule("h2o", "6-31g"), molecule("h2o", "6-31g*")
    solution = dqc.solve(small)
    method = dqc.HF()
    start = guesses.read(solution, large)
    orbitals = large.orbitals()
    begun = guesses.begin(start, large, orbitals, method.reference(large))
    s = mole(large, "6-31g*").intor("int1e_ovlp")
    x = np.linalg.cholesky(np.linalg.inv(s))
    density = guesses.density_of(begun.factor, jnp.asarray(x), method.reference(large)).matrix[0]
    assert abs(np.trace(density @ s) - 10.0) < 1e-10
    np.testing.assert_allclose(density @ s @ density, 2 * density, atol=1e-10)
    # the smaller basis lies in the larger one: nothing is lost
    cross = pyscf.gto.intor_cross("int1e_ovlp", mole(large, "6-31g*"), mole(small, "6-31g"))
    exact = np.linalg.solve(s, cross) @ np.asarray(solution.density_matrix[0])
    np.testing.assert_allclose(density, exact @ np.linalg.solve(s, cross).T, atol=1e-8)


def test_solutions_of_other_kinds_and_charges() -> None:
    mol, cation = molecule("h2o", "6-31g"), molecule("h2o+", "6-31g")
    closed = dqc.solve(mol)
    opened = dqc.solve(mol, dqc.HF(False), guess=closed)
    assert int(opened.iterations) <= 2
    assert int(dqc.solve(mol, guess=opened).iterations) <= 2
    cation = cation.with_positions(mol.positions)
    ionized = dqc.solve(cation, guess=closed)
    assert abs(float(ionized.energy) - float(dqc.energy(cation))) < 1e-8
    assert abs(float(ionized.history[0, 0]) - float(ionized.energy)) < 0.2


def test_density_matrices() -> None:
    mol = molecule("h2o", "6-31g")
    first = dqc.solve(mol)
    for given in (first.density_matrix, np.asarray(first.density_matrix[0])):
        assert int(dqc.solve(mol, guess=given).iterations) <= 2
    halves = jnp.concatenate([first.density_matrix / 2] * 2)
    assert int(dqc.solve(mol, dqc.HF(False), guess=halves).iterations) <= 2
    assert int(dqc.solve(mol, guess=halves).iterations) <= 2


def test_going_on_after_failure() -> None:
    mol = molecule("h2o", "6-31g")
    with pytest.raises(dqc.errors.SCFNotConvergedError, match=r"guess=error\.density") as info:
        dqc.energy(mol, solver=dqc.DIIS(max_cycle=5))
    assert info.value.iterations == 5
    assert 0 < info.value.gradient < 0.1
    assert abs(info.value.delta_energy) > 0
    continued = dqc.solve(mol, guess=info.value.density_matrix)
    assert int(continued.iterations) < int(dqc.solve(mol).iterations) - 2


def test_a_given_density_is_an_input_under_jit_and_has_no_derivative() -> None:
    mol = molecule("h2o", "6-31g")
    given = dqc.density_matrix(mol)
    energy = jax.jit(lambda p: dqc.energy(mol, guess=p))
    assert abs(float(energy(given)) - float(dqc.energy(mol))) < 1e-9
    assert np.abs(jax.grad(lambda p: dqc.energy(mol, guess=p))(given)).max() == 0.0


def test_mixing_finds_the_broken_symmetry() -> None:
    mol = molecule("h2", "6-31g")
    stretched = mol.with_positions(3.0 * mol.positions)
    restricted = float(dqc.energy(stretched))
    mixed = float(dqc.energy(stretched, dqc.HF(False), guess=dqc.Guess("minao", mix=np.pi / 4)))
    mf = pyscf.scf.UHF(mole(stretched, "6-31g"))
    one_on_each = np.zeros((2, 4, 4))
    one_on_each[0, :2, :2] = one_on_each[1, 2:, 2:] = mf.get_init_guess()[0, :2, :2] * 2
    assert abs(mixed - mf.kernel(one_on_each)) < 1e-7
    assert mixed < restricted - 0.05


# --- bad ones ------------------------------------------------------------------------------------

WATER = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"
E = dqc.errors
BAD = [
    ("magic", E.InputError, r"'magic' is unknown; use one of minao, atom"),
    (None, E.InputError, r"NoneType"),
    ({}, E.InputError, r"dict is not understood"),
    (np.zeros((1, 3, 3)), E.InputError, r"shape \(1, 3, 3\); need \(1, 7, 7\)"),
    (np.zeros(7), E.InputError, r"shape \(7,\)"),
    (np.full((1, 7, 7), np.nan), E.NonFiniteError, r"holds nan at \(0, 0, 0\)"),
    (np.where(np.eye(7) > 0, 1.0, np.inf), E.NonFiniteError, r"holds inf at \(0, 0, 1\)"),
    (dqc.Guess("minao", mix=0.5), E.MethodError, r"mix = 0.5.*restricted=False"),
    ("none.h5", E.CheckpointError, r"'none.h5' does not exist"),
]


@pytest.mark.parametrize(("guess", "error", "message"), BAD, ids=[m for _, _, m in BAD])
def test_bad_guesses(guess, error: type, message: str) -> None:
    mol = dqc.Molecule.from_atoms(WATER, "sto-3g")
    with pytest.raises(error, match=message):
        dqc.energy(mol, guess=guess)


def test_solution_of_other_atoms() -> None:
    solution = dqc.solve(molecule("h2", "6-31g"))
    with pytest.raises(E.InputError, match="H H and the molecule has O H H"):
        dqc.energy(molecule("h2o", "6-31g"), guess=solution)
    broken = dataclasses.replace(solution, mo_coeff=solution.mo_coeff * jnp.nan)
    with pytest.raises(E.NonFiniteError, match="mo_coeff of the guess"):
        dqc.energy(molecule("h2", "6-31g"), guess=broken)


@pytest.mark.parametrize("mix", [float("nan"), float("inf")])
def test_bad_mix(mix) -> None:
    with pytest.raises(E.InputError, match="mix"):
        dqc.Guess(mix=mix)
