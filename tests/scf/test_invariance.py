"""What must not change the energy: place, order, rotation, repetition, threads; and memory."""

import gc
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from systems import ROTATION, molecule

import dqc_lite as dqc

ROWS = "N 0 0 0.11; H 0 0.94 -0.27; H 0.81 -0.47 -0.27; H -0.81 -0.47 -0.27".split("; ")
BASIS = "6-31g"
METHODS = {"HF": dqc.HF(), "PBE": dqc.KS("pbe", grid_level=0)}


def _ammonia(rows: list[str] = ROWS) -> dqc.Molecule:
    return dqc.Molecule.from_atoms("; ".join(rows), BASIS)


def test_translation_and_rotation() -> None:
    mol = _ammonia()
    energy = float(dqc.energy(mol))
    moved = mol.with_positions(mol.positions + np.array([1.0, -2.0, 3.0]))
    turned = mol.with_positions(mol.positions @ ROTATION.T)
    assert abs(float(dqc.energy(moved)) - energy) < 1e-10
    assert abs(float(dqc.energy(turned)) - energy) < 1e-10


@pytest.mark.slow
def test_translation_with_a_grid() -> None:
    mol, method = _ammonia(), METHODS["PBE"]
    moved = mol.with_positions(mol.positions + np.array([1.0, -2.0, 3.0]))
    assert abs(float(dqc.energy(moved, method) - dqc.energy(mol, method))) < 1e-10


def test_order_of_the_atoms() -> None:
    order = [2, 0, 3, 1]
    energy = float(dqc.energy(_ammonia()))
    other = float(dqc.energy(_ammonia([ROWS[i] for i in order])))
    assert abs(other - energy) < 1e-12


def test_far_apart_energies_add() -> None:
    one = dqc.Molecule.from_atoms("He 0 0 0", BASIS)
    two = dqc.Molecule.from_atoms("He 0 0 0; He 0 0 50", BASIS)
    assert abs(float(dqc.energy(two) - 2 * dqc.energy(one))) < 1e-9


@pytest.mark.parametrize("name", [pytest.param("PBE", marks=pytest.mark.slow), "HF"])
def test_the_same_input_gives_the_same_bits(name: str) -> None:
    mol, method = _ammonia(), METHODS[name]
    first, second = (dqc.energy_and_forces(mol, method) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


ENERGY = """
import sys
import dqc_lite as dqc
dqc.enable_x64()
mol = dqc.Molecule.from_atoms(sys.argv[1], sys.argv[2])
method = dqc.KS("pbe", grid_level=0) if sys.argv[3] == "PBE" else dqc.HF()
print(repr(float(dqc.energy(mol, method))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_number_of_threads(name: str) -> None:
    def energy(threads: int) -> float:
        flags = "" if threads > 1 else (
            "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        )  # fmt: skip
        settings = {
            "OMP_NUM_THREADS": str(threads), "XLA_FLAGS": flags,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }  # fmt: skip
        argv = [sys.executable, "-c", ENERGY, "; ".join(ROWS), BASIS, name]
        run = subprocess.run(
            argv, env=os.environ | settings, capture_output=True, text=True, check=True
        )
        return float(run.stdout)

    assert abs(energy(1) - energy(2)) < 1e-10


def _resident() -> float:
    """MiB."""
    gc.collect()
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


CALLS = [pytest.param(20, id="few"), pytest.param(500, id="many", marks=pytest.mark.slow)]


@pytest.mark.parametrize("calls", CALLS)
def test_many_geometries_neither_grow_nor_compile(calls: int, compilations) -> None:
    mol, rng = molecule("h2o", "sto-3g"), np.random.default_rng(0)

    def call() -> None:
        moved = mol.positions + 0.05 * rng.normal(size=(3, 3))
        jax.block_until_ready(dqc.energy_and_forces(mol.with_positions(moved)))

    for _ in range(10):
        call()
    before = _resident()
    with compilations() as count:
        for _ in range(calls):
            call()
    assert count() == 0
    assert _resident() < 1.05 * before
