"""Checkpoints: what was killed goes on as if it had not been, others start from the orbitals."""

import os
import signal
import subprocess
import sys
import time

import h5py
import jax
import numpy as np
import pytest
from systems import molecule

import dqc_lite as dqc
from dqc_lite.errors import CheckpointError, InputError, SCFNotConvergedError
from dqc_lite.scf.checkpoint import Recorder


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """CH3 after five cycles: the file, and the solution without interruption."""
    file = tmp_path_factory.mktemp("checkpoint") / "run.h5"
    mol = molecule("ch3", "6-31g")
    with pytest.raises(SCFNotConvergedError):
        dqc.solve(mol, solver=dqc.DIIS(max_cycle=5), checkpoint=file)
    return file, dqc.solve(mol)


def test_what_a_file_holds(interrupted) -> None:
    file, _ = interrupted
    mol = molecule("ch3", "6-31g")
    held = dqc.load_checkpoint(file)
    assert (held.iterations, held.stage, held.converged) == (5, "diis", False)
    assert held.mol.layout == mol.layout
    np.testing.assert_array_equal(held.mol.positions, mol.positions)
    assert (held.mol.charge, held.mol.spin) == (0, 1)
    assert held.mo_coeff.shape == (2, 15, 15)


def test_it_goes_on_as_if_never_stopped(interrupted, tmp_path) -> None:
    file, whole = interrupted
    mol = molecule("ch3", "6-31g")
    again = tmp_path / "again.h5"
    continued = dqc.solve(mol, guess=str(file), checkpoint=again)
    assert int(continued.iterations) == int(whole.iterations)
    assert abs(float(continued.energy - whole.energy)) < 1e-10
    rows = int(whole.iterations)
    np.testing.assert_allclose(continued.history[:rows, 0], whole.history[:rows, 0], atol=1e-10)
    assert dqc.load_checkpoint(again).converged
    finished = dqc.solve(mol, guess=dqc.load_checkpoint(again))
    assert int(finished.iterations) == int(whole.iterations)
    assert float(finished.energy) == float(continued.energy)


def test_another_basis_geometry_and_method(interrupted) -> None:
    file, _ = interrupted
    guess = str(file)
    mol, larger = molecule("ch3", "6-31g"), molecule("ch3", "6-31g*")
    moved = mol.with_positions(1.01 * mol.positions)
    for m, method in ((larger, dqc.HF()), (moved, dqc.HF()), (mol, dqc.HF("rohf"))):
        fresh, continued = dqc.solve(m, method), dqc.solve(m, method, guess=guess)
        assert abs(float(fresh.energy - continued.energy)) < 1e-9
        assert float(continued.history[0, 2]) < float(fresh.history[0, 2])


def test_energy_and_forces_with_checkpoints(interrupted, tmp_path) -> None:
    file, whole = interrupted
    mol, written = molecule("ch3", "6-31g"), tmp_path / "run.h5"
    energy, forces = dqc.energy_and_forces(mol, guess=str(file), checkpoint=written)
    assert abs(float(energy - whole.energy)) < 1e-10
    np.testing.assert_allclose(forces, dqc.forces(mol), atol=1e-8)
    assert dqc.load_checkpoint(written).converged


def test_second_order_goes_on(tmp_path) -> None:
    mol, file = molecule("ch3", "6-31g"), tmp_path / "run.h5"
    solver = dqc.Auto(max_cycle=3, stability=False)
    whole = dqc.solve(mol, solver=solver, checkpoint=file)
    assert int(whole.certificate.second_order_cycles) > 0
    short = dqc.Auto(max_cycle=3, stability=False, max_second_order=1)
    with pytest.raises(SCFNotConvergedError):
        dqc.solve(mol, solver=short, checkpoint=file)
    held = dqc.load_checkpoint(file)
    assert (held.stage, held.converged) == ("second-order", False)
    continued = dqc.solve(mol, solver=solver, guess=str(file))
    assert int(continued.iterations) == int(whole.iterations)
    assert abs(float(continued.energy - whole.energy)) < 1e-10


@pytest.fixture(scope="module")
def files_of_a_search(tmp_path_factory):
    """Stretched H2, unrestricted: the file of every step, and the solution without interruption."""
    folder = tmp_path_factory.mktemp("search")
    mol, kept = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 2.0", "sto-3g"), []
    write = Recorder.write

    def copied(self, *args) -> None:
        write(self, *args)
        kept.append(folder / f"{len(kept)}.h5")
        kept[-1].write_bytes((folder / "run.h5").read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "write", copied)
        whole = dqc.solve(mol, dqc.HF(False), solver=dqc.Auto(), checkpoint=folder / "run.h5")
    return mol, kept, whole


def test_every_step_of_a_search_goes_on(files_of_a_search) -> None:
    """Also the looks and scans between its stages; what is over stays over."""
    mol, kept, whole = files_of_a_search
    assert int(whole.certificate.saddle_points_left) == 1
    assert [dqc.load_checkpoint(f).converged for f in kept] == [False] * (len(kept) - 1) + [True]
    for file in (*kept[:: max(1, len(kept) // 6)], kept[-1]):
        continued = dqc.solve(mol, dqc.HF(False), solver=dqc.Auto(), guess=str(file))
        assert abs(float(continued.energy - whole.energy)) < 1e-10
        assert str(continued.certificate.solver) == str(whole.certificate.solver)
        assert int(continued.certificate.fock_builds) == int(whole.certificate.fock_builds)


def test_a_search_goes_on_by_another_plan(files_of_a_search) -> None:
    """Without looks at the stability it ends at the next stationary point."""
    mol, kept, whole = files_of_a_search
    plain = dqc.solve(mol, dqc.HF(False), solver="diis")
    for file in kept:
        found = dqc.solve(mol, dqc.HF(False), solver=dqc.SecondOrder(), guess=str(file))
        ends = [float(x.energy) for x in (plain, whole)]
        assert min(abs(float(found.energy) - e) for e in ends) < 1e-9


def test_checkpoints_cost_nothing_where_none_is_asked_for(compilations) -> None:
    mol = molecule("ch3", "6-31g")
    dqc.energy(mol)
    with compilations() as count:
        dqc.energy(mol.with_positions(1.001 * mol.positions))
    assert count() == 0


def test_not_inside_of_jit(interrupted, tmp_path) -> None:
    file, whole = interrupted
    mol = molecule("ch3", "6-31g")
    with pytest.raises(InputError, match=r"inside of jax\.jit"):
        jax.jit(lambda m: dqc.energy(m, checkpoint=tmp_path / "run.h5"))(mol)
    # reading is fine: then it is a guess
    energy = jax.jit(lambda m: dqc.energy(m, guess=str(file)))(mol)
    assert abs(float(energy - whole.energy)) < 1e-9


# --- files that do not fit -----------------------------------------------------------------------


def test_other_atoms(interrupted) -> None:
    with pytest.raises(CheckpointError, match="of the atoms C H H H and the molecule has O H H"):
        dqc.energy(molecule("h2o", "6-31g"), guess=str(interrupted[0]))


def test_truncated_at_any_length(interrupted, tmp_path) -> None:
    whole = interrupted[0].read_bytes()
    for length in [0, 1, 100, *np.linspace(500, len(whole) - 1, 12).astype(int)]:
        file = tmp_path / f"{length}.h5"
        file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=rf"{length}\.h5' is truncated or no HDF5"):
            dqc.load_checkpoint(file)


def _drop(name: str):
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def _orbitals_of_another_size(file: h5py.File) -> None:
    del file["mo_coeff"]
    file["mo_coeff"] = np.zeros((2, 3, 3))


def _foreign(file: h5py.File) -> None:
    file.attrs["format"] = "other/1"


DAMAGES = [
    (_foreign, r"format 'other/1' and not 'dqc_lite.checkpoint/1'"),
    (_drop("mo_coeff"), "lacks an entry"),
    (_drop("molecule"), "lacks an entry"),
    (_drop("molecule/exponents"), "lacks an entry"),
    (_orbitals_of_another_size, r"shape \(2, 3, 3\).*15 basis functions"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[m for _, m in DAMAGES])
def test_damaged(interrupted, tmp_path, damage, message: str) -> None:
    file = tmp_path / "run.h5"
    file.write_bytes(interrupted[0].read_bytes())
    with h5py.File(file, "r+") as opened:
        damage(opened)
    with pytest.raises(CheckpointError, match=message):
        dqc.load_checkpoint(file)


def test_missing_and_unwritable(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        dqc.load_checkpoint(tmp_path / "none.h5")
    with pytest.raises(CheckpointError, match="cannot be written"):
        dqc.energy(molecule("h2", "6-31g"), checkpoint=tmp_path / "no" / "run.h5")


# --- a process that is killed --------------------------------------------------------------------

SLOW_RUN = """
import sys, time
import dqc_lite as dqc
from dqc_lite.scf import checkpoint
dqc.enable_x64()
original = checkpoint.Recorder.write
def slow(self, stage, mo_coeff, mo_occ, energy, iterations, *rest):
    original(self, stage, mo_coeff, mo_occ, energy, iterations, *rest)
    if int(iterations) == 5:
        print("five", flush=True)
        time.sleep(600)
checkpoint.Recorder.write = slow
dqc.solve(dqc.Molecule.from_xyz(sys.argv[1], "6-31g"), checkpoint=sys.argv[2])
"""


@pytest.mark.slow
def test_killed_in_cycle_five(tmp_path) -> None:
    xyz, file = tmp_path / "h2o.xyz", tmp_path / "run.h5"
    xyz.write_text("3\n\nO 0 0 0\nH 0 0.757 0.587\nH 0 -0.757 0.587\n")
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_RUN, str(xyz), str(file)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "five\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.1)
    mol = dqc.Molecule.from_xyz(xyz, "6-31g")
    whole, continued = dqc.solve(mol), dqc.solve(mol, guess=str(file))
    assert int(continued.iterations) == int(whole.iterations)
    assert abs(float(continued.energy - whole.energy)) < 1e-10
