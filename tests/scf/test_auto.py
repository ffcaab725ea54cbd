"""The default solver and `Auto`: when DIIS is given up, and several minima."""

import jax
import numpy as np
import pyscf.scf
import pytest
from ase.collections import g2
from systems import mole, molecule

import dqc_lite as dqc
from dqc_lite.errors import InputError, SCFNotConvergedError


def _no() -> dqc.Molecule:
    """NO: DIIS stays at a saddle point for many cycles before it breaks the symmetry."""
    return dqc.Molecule.from_ase(g2["NO"], "sto-3g")


def test_diis_ends_where_it_stalls() -> None:
    whole = dqc.solve(_no(), solver=dqc.DIIS())
    short = dqc.solve(_no(), solver=dqc.DIIS(patience=6), throw=False)
    assert not bool(short.converged)
    cycles = int(short.iterations)
    assert cycles < int(whole.iterations)
    gradients = np.asarray(short.history[:cycles, 2])
    np.testing.assert_allclose(gradients, whole.history[:cycles, 2], rtol=1e-6)
    assert gradients[-6:].min() > 0.5 * gradients[:-6].min()
    with pytest.raises(SCFNotConvergedError, match=f"after {cycles} cycles"):
        dqc.energy(_no(), solver=dqc.DIIS(patience=6))


def test_second_order_takes_over_where_diis_stalls() -> None:
    whole = dqc.solve(_no(), solver=dqc.DIIS())
    solution = dqc.solve(_no(), solver=dqc.Auto(patience=6, stability=False))
    newton = int(solution.certificate.second_order_cycles)
    assert newton > 0
    assert int(solution.iterations) < int(whole.iterations)
    assert int(solution.iterations) - newton < 15
    assert float(solution.energy) < float(whole.energy) + 1e-9


def test_nobody_to_take_over_nobody_gives_up() -> None:
    """Under `jit` the default holds DIIS only; smeared electrons have no second order."""
    inside = jax.jit(lambda m: dqc.solve(m))(_no())
    assert bool(inside.converged)
    assert int(inside.certificate.second_order_cycles) == 0


PAIR = "{0} 0 0 0; {1} 0 0 {2}"


@pytest.mark.parametrize(
    ("atoms", "spin", "method"),
    [
        (PAIR.format("O", "O", 1.25), 2, dqc.HF()),
        (PAIR.format("O", "O", 1.25), 2, dqc.HF("rohf")),
        (PAIR.format("C", "C", 1.25), 0, dqc.HF()),
        (PAIR.format("H", "H", 2.5), 0, dqc.HF(False)),  # alpha and beta alike until mixed
    ],
    ids=["o2", "o2 rohf", "c2", "h2 unrestricted"],
)
def test_default_leaves_saddle_points(atoms: str, spin: int, method: dqc.HF) -> None:
    mol = dqc.Molecule.from_atoms(atoms, "6-31g", spin=spin)
    first = dqc.solve(mol, method, solver="diis")
    solution = dqc.solve(mol, method)
    assert float(solution.energy) < float(first.energy) - 1e-4
    assert bool(solution.certificate.stable)
    assert int(solution.certificate.saddle_points_left) > 0
    assert first.certificate.stable is None


@pytest.mark.parametrize(
    ("name", "method"),
    [("h2o", dqc.HF()), ("nh3", dqc.KS("pbe", grid_level=0)), ("ch3", dqc.KS("pbe", grid_level=0))],
    ids=["closed shell", "closed shell pbe", "open shell pbe"],
)
def test_default_trusts_large_gaps(name: str, method: dqc.HF | dqc.KS) -> None:
    """Where it looks no further it is just DIIS; a look would have found a minimum."""
    mol = molecule(name, "6-31g")
    solution = dqc.solve(mol, method)
    assert solution.certificate.stable is None
    looked = dqc.solve(mol, method, solver=dqc.Auto()).certificate
    assert bool(looked.stable)
    assert int(looked.fock_builds) > int(solution.certificate.fock_builds)


def test_several_minima() -> None:
    """N2 pulled apart: the orbitals of three bonds break their symmetry in several ways."""
    mol = dqc.Molecule.from_atoms("N 0 0 0; N 0 0 2", "sto-3g")
    solver = dqc.Auto(starts=6)
    solution = dqc.solve(mol, dqc.HF(False), solver=solver, guess="core")
    ends = np.asarray(solution.certificate.start_energies)
    assert ends.shape == (6,)
    assert np.isfinite(ends).all()
    assert float(solution.energy) == ends.min()
    assert np.ptp(ends) > 1e-3
    assert bool(solution.certificate.stable)
    # each start is in the counts
    one = dqc.solve(mol, dqc.HF(False), solver=dqc.Auto(), guess="core")
    assert one.certificate.start_energies is None
    assert float(one.energy) == ends[0]
    assert int(solution.certificate.fock_builds) > 3 * int(one.certificate.fock_builds)
    # the state that was taken is one of PySCF
    built = mole(mol, "sto-3g")
    mf = pyscf.scf.UHF(built)
    mf.kernel(np.asarray(solution.density_matrix))
    assert abs(mf.e_tot - float(solution.energy)) < 1e-8
    again = dqc.solve(mol, dqc.HF(False), solver=solver, guess="core")
    np.testing.assert_array_equal(again.certificate.start_energies, ends)


@pytest.mark.slow
def test_several_minima_inside_of_jit() -> None:
    mol = dqc.Molecule.from_atoms("N 0 0 0; N 0 0 2", "sto-3g")
    method, solver = dqc.HF(False), dqc.Auto(starts=2)
    outside = dqc.solve(mol, method, solver=solver).certificate.start_energies
    inside = jax.jit(lambda m: dqc.solve(m, method, solver=solver))(mol).certificate.start_energies
    np.testing.assert_allclose(inside[0], outside[0], atol=1e-9)
    assert np.isfinite(inside).all()


def test_minima_are_compared_where_they_are_looked_for() -> None:
    with pytest.raises(InputError, match=r"starts = 3 compares minima: it needs stability=True"):
        dqc.Auto(starts=3, stability=False)
    with pytest.raises(InputError, match="starts = 2 compares minima"):
        dqc.Auto(starts=2, stability="doubtful")
    with pytest.raises(InputError, match="stability = 'often' must be True, False or 'doubtful'"):
        dqc.Auto(stability="often")
    with pytest.raises(InputError, match="starts = 0"):
        dqc.Auto(starts=0)
