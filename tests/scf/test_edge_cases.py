"""Systems at the edge: no virtual orbitals, no beta electrons, no electrons, no atoms' charge."""

import jax
import numpy as np
import pytest
from systems import mean_field, mole, molecule

import dqc_lite as dqc


def test_no_virtual_orbitals() -> None:
    solution = dqc.solve(molecule("he", "sto-3g"))
    assert solution.converged
    assert np.isinf(solution.certificate.gap)


def test_no_electrons() -> None:
    mol = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.9", "sto-3g", charge=2)
    solution = dqc.solve(mol)
    assert abs(float(solution.energy) - 1 / float(mol.positions[1, 2])) < 1e-12
    assert np.abs(solution.density_matrix).max() == 0
    np.testing.assert_allclose(dqc.forces(mol)[1], [0, 0, 1 / mol.positions[1, 2] ** 2], atol=1e-12)


def test_bare_nucleus_and_ghosts_only() -> None:
    proton = dqc.Molecule.from_atoms("H 0 0 0", "sto-3g", charge=1)
    assert float(dqc.energy(proton)) == 0.0
    ghosts = dqc.Molecule.from_atoms("ghost-H 0 0 0; ghost-O 0 0 1", "sto-3g")
    assert float(dqc.energy(ghosts)) == 0.0


def test_one_electron_is_exact() -> None:
    """Without a second electron Coulomb and exchange cancel: the lowest eigenvalue of h."""
    mol = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 1.06", "6-31g", charge=1, spin=1)
    solution = dqc.solve(mol)
    built = mole(mol, "6-31g")
    core = built.intor("int1e_kin") + built.intor("int1e_nuc")
    import scipy.linalg

    lowest = scipy.linalg.eigh(core, built.intor("int1e_ovlp"), eigvals_only=True)[0]
    repulsion = float(solution.energies["nuclear_repulsion"])
    assert abs(float(solution.energy) - lowest - repulsion) < 1e-10


def test_ghost_atom_against_pyscf() -> None:
    mol = molecule("water-ghost", "6-31g")
    assert abs(float(dqc.energy(mol)) - mean_field(mol, "6-31g", dqc.HF()).e_tot) < 1e-9


def test_core_guess_reaches_the_same_energy() -> None:
    for name, method in (("nh3", dqc.HF()), ("ch3", dqc.HF()), ("ch3", dqc.HF("rohf"))):
        mol = molecule(name, "6-31g")
        assert abs(float(dqc.energy(mol, method, guess="core") - dqc.energy(mol, method))) < 1e-9


def test_orbitals_of_the_solution() -> None:
    for name, method in (("nh3", dqc.HF()), ("o2", dqc.HF()), ("o2", dqc.HF("rohf"))):
        mol = molecule(name, "6-31g")
        mf = mean_field(mol, "6-31g", method)
        solution = dqc.solve(mol, method, solver="diis")  # O2: at a saddle point, as PySCF's
        s = mole(mol, "6-31g").intor("int1e_ovlp")
        c = np.asarray(solution.mo_coeff)
        eye = np.eye(mol.nao)
        np.testing.assert_allclose(c.swapaxes(1, 2) @ s @ c, [eye] * len(c), atol=1e-10)
        density = np.einsum("sni,si,smi->nm", c, solution.mo_occ, c)
        np.testing.assert_allclose(solution.density_matrix.sum(0), density, atol=1e-10)
        energies = np.reshape(mf.mo_energy, (len(c), -1))
        np.testing.assert_allclose(np.sort(solution.mo_energy), np.sort(energies), atol=2e-7)
        occupied = np.asarray(solution.mo_occ) > 0
        gap = (np.where(occupied, np.inf, solution.mo_energy).min(1)
               - np.where(occupied, solution.mo_energy, -np.inf).max(1))  # fmt: skip
        assert abs(float(solution.certificate.gap) - gap.min()) < 1e-12


def test_energy_components_sum_to_the_energy() -> None:
    solution = dqc.solve(molecule("hi", "def2-svp"), electric_field=[0, 0, 0.01])
    assert set(solution.energies) == {
        "nuclear_repulsion", "kinetic", "nuclear_attraction", "core_potential", "electric_field",
        "coulomb", "exchange",
    }  # fmt: skip
    assert abs(sum(solution.energies.values()) - solution.energy) < 1e-10


def test_finite_field_dipole_against_pyscf() -> None:
    mol = molecule("hf", "6-31g*")
    gradient = jax.grad(lambda f: dqc.energy(mol, electric_field=f))(np.zeros(3))
    mf = mean_field(mol, "6-31g*", dqc.HF())
    np.testing.assert_allclose(-gradient, mf.dip_moment(unit="AU", verbose=0), atol=1e-6)


def test_near_singular_overlap_keeps_its_shape_and_warns() -> None:
    mol = _doubled_basis()
    with pytest.warns(UserWarning, match="1 of 7 combinations removed"):
        solution = dqc.solve(mol)
    assert solution.mo_coeff.shape == (1, 7, 7)
    assert int(solution.certificate.kept_orbitals) == 6
    assert np.abs(solution.mo_coeff[0, :, -1]).max() == 0


def test_fewer_independent_functions_than_electrons() -> None:
    pair = [[0, [1.0, 1.0]], [0, [1.0 + 1e-7, 1.0]]]
    mol = dqc.Molecule.from_atoms("He 0 0 0", {"He": pair}, spin=2)
    with pytest.raises(dqc.errors.BasisTooSmallError, match="1 independent combinations of 2"):
        dqc.energy(mol)


def test_damping_changes_the_path_and_not_the_end() -> None:
    mol = molecule("h2o", "6-31g")
    plain = dqc.solve(mol, solver=dqc.DIIS(space=1, max_cycle=200))
    damped = dqc.solve(mol, solver=dqc.DIIS(space=1, max_cycle=200, damping=0.5))
    assert np.abs(plain.history[1, 0] - damped.history[1, 0]) > 1e-4
    assert abs(float(plain.energy - damped.energy)) < 1e-9


def _doubled_basis() -> dqc.Molecule:
    """Two s functions of almost one exponent on an atom."""
    pair = [[0, [0.3, 1.0]], [0, [0.3 * (1 + 1e-5), 1.0]]]
    base = [[0, [3.4, 0.15], [0.62, 0.53], [0.17, 0.44]]]
    helium = [[0, [6.4, 0.15], [1.2, 0.53], [0.31, 0.44]], [1, [0.8, 1.0]]]
    basis = {"H": base + pair, "He": helium}
    return dqc.Molecule.from_atoms("H 0 0 0; He 0 0 0.8", basis, charge=1)
