"""The default solver and `Auto`: when DIIS is given up, and several minima."""

import jax
import numpy as np
import pyscf.scf
import pytest
from ase.collections import g2
from scf_problems import Prepared
from systems import mean_field, mole, molecule

import dqc_lite as dqc
from dqc_lite.errors import InputError, SCFNotConvergedError
from dqc_lite.scf import stability


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
    """Smeared electrons have no second order: the default iterates as long as `DIIS` does."""
    found = dqc.solve(_no(), dqc.HF(smearing=0.02))
    assert bool(found.converged)
    assert int(found.certificate.second_order_cycles) == 0


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


def test_kinds_of_gaps() -> None:
    """Of restricted open shells also from closed to open orbitals: PySCF's Fock matrices."""
    mol = molecule("o2", "6-31g")
    for restricted in (False, "rohf"):
        mf = mean_field(mol, "6-31g", dqc.HF(restricted))
        p = Prepared.of(mol, dqc.HF(restricted))
        state = p.solve(dqc.DIIS())
        c, (na, nb) = np.asarray(mf.mo_coeff), mol.nelec
        fock = mf.get_hcore() + mf.get_veff()
        alpha, beta = (
            np.diagonal((c[s] if c.ndim == 3 else c).T @ fock[s] @ (c[s] if c.ndim == 3 else c))
            for s in (0, 1)
        )
        gaps = [alpha[na:].min() - alpha[:na].max(), beta[nb:].min() - beta[:nb].max()]
        if restricted == "rohf":
            closed, opened = alpha[nb:na], beta[nb:na]
            both = alpha + beta
            gaps = [
                alpha[na:].min() - closed.max(), opened.min() - beta[:nb].max(),
                0.5 * (both[na:].min() - both[:nb].max()),
            ]  # fmt: skip
        found = float(stability.softest(p.problem, state.mo_coeff, state.fock))
        assert abs(found - min(gaps)) < 1e-6


def test_restricted_open_shell_of_small_gap_is_examined() -> None:
    """The quartet of O2+: Roothaan's matrix has a large gap, and DIIS ends at a saddle point."""
    mol = dqc.Molecule.from_atoms(PAIR.format("O", "O", 1.15), "sto-3g", charge=1, spin=3)
    method = dqc.KS("b3lyp", "rohf", grid_level=0)
    first, solution = (dqc.solve(mol, method, solver=solver) for solver in ("diis", None))
    a, b = stability.SMALL_GAP["open"]
    assert float(first.certificate.gap) > a + 0.2 * b
    assert bool(solution.certificate.stable)
    assert int(solution.certificate.saddle_points_left) == 1
    assert float(solution.energy) < float(first.energy) - 1e-2


def test_a_saddle_point_that_cannot_be_left_is_named() -> None:
    """Newton's method with a cycle only gets nowhere: the converged state stays, and is flagged."""
    mol = dqc.Molecule.from_atoms(PAIR.format("H", "H", 2.5), "6-31g")
    solver = dqc.Auto(stability="doubtful", max_second_order=1)
    with pytest.warns(UserWarning, match="at a saddle point, lowest curvature") as warned:
        solution = dqc.solve(mol, dqc.HF(False), solver=solver)
    assert warned[0].filename == __file__
    assert bool(solution.converged)
    assert not bool(solution.certificate.stable)
    assert int(solution.certificate.saddle_points_left) == 0
    assert int(solution.certificate.second_order_cycles) == 1
    first = dqc.solve(mol, dqc.HF(False), solver="diis")
    assert float(solution.energy) == pytest.approx(float(first.energy), abs=1e-10)


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
    solver = dqc.Auto(starts=12)
    solution = dqc.solve(mol, dqc.HF(False), solver=solver, guess="core")
    ends = np.asarray(solution.certificate.start_energies)
    assert ends.shape == (12,)
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
