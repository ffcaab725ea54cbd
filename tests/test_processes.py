"""Several processes: forked ones get an error instead of hanging, spawned ones compute."""

import functools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dqc_lite as dqc
from dqc_lite import _process, errors, fit, linalg

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 60
"""Seconds after which a process counts as hanging."""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture(scope="module")
def mol():
    return dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.7414", "sto-3g")


def _in_fork(function):
    """What a forked child says of `function()`: the name of the error and its message."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = f"done {function()!r}"
        except errors.DqcLiteError as error:
            text = f"{type(error).__name__} {error}"
        except BaseException:
            text = traceback.format_exc()
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    os.set_blocking(reading, False)
    end = time.monotonic() + TIMEOUT
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the forked child hangs")
        time.sleep(0.01)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode()


A = np.eye(3)

COMPUTATIONS = {
    "energy": lambda mol: dqc.energy(mol),
    "forces": lambda mol: dqc.forces(mol),
    "solve": lambda mol: dqc.solve(mol),
    "hessian": lambda mol: dqc.hessian(mol),
    "dipole": lambda mol: dqc.dipole(mol, "pbe"),
    "gradient": lambda mol: jax.grad(dqc.energy)(mol),
    "molecule": lambda mol: dqc.Molecule.from_atoms("He 0 0 0", "sto-3g"),
    "eigh": lambda mol: linalg.eigh(A),
    "svd": lambda mol: linalg.svd(A),
    "sqrtm": lambda mol: linalg.sqrtm(A),
    "eigsh": lambda mol: linalg.eigsh(lambda x: x, n=3, k=1),
    "check": lambda mol: dqc.check_gradients(lambda x: x**2, 1.0),
}


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.parametrize("name", COMPUTATIONS)
def test_a_forked_child_gets_an_error(mol, name):
    dqc.energy(mol)
    text = _in_fork(lambda: COMPUTATIONS[name](mol))
    assert text.startswith("ForkError process ")
    assert "multiprocessing.get_context('spawn')" in text
    assert str(os.getpid()) in text
    assert np.isfinite(float(dqc.energy(mol)))  # the parent goes on


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork")
def test_the_error_arrives_through_a_pool(mol):
    """As users see it: with the default method of Python before 3.14 on Linux."""
    dqc.energy(mol)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        result = pool.map_async(dqc.energy, [mol])
        with pytest.raises(errors.ForkError, match="spawn"):
            result.get(TIMEOUT)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork")
def test_fits_in_a_forked_child(mol):
    method = dqc.KS("lda,vwn", grid_level=0)
    data = fit.Dataset((fit.Row("h2", mol, energy=-1.1),))
    objective = fit.Objective(data, method, fit.Parameters.select("lda,vwn", "weight.lda_x"))
    point = objective.parameters.point()
    assert _in_fork(lambda: objective.evaluate(point, "value")).startswith("ForkError")


_FORK_FIRST = """
import os
import dqc_lite as dqc
dqc.enable_x64()
for _ in range(2):
    child = os.fork()
    if child == 0:
        print(float(dqc.energy(dqc.Molecule.from_atoms("He 0 0 0", "sto-3g"))), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
print(float(dqc.energy(dqc.Molecule.from_atoms("He 0 0 0", "sto-3g"))))
"""


@needs_fork
def test_forks_before_anything_is_computed():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORK_FIRST],
        capture_output=True, text=True, env=environment, timeout=2 * TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [float(line) for line in done.stdout.split()] == [pytest.approx(-2.807783957)] * 3


def test_processes_that_are_spawned(mol):
    expected = float(dqc.energy(mol))
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, initializer=dqc.enable_x64) as pool:
        found = pool.map_async(functools.partial(dqc.energy, method="hf"), [mol]).get(4 * TIMEOUT)
        failing = functools.partial(dqc.energy, solver=dqc.DIIS(max_cycle=1))
        with pytest.raises(errors.SCFNotConvergedError, match="after 1 cycles") as caught:
            pool.map_async(failing, [mol]).get(4 * TIMEOUT)
    assert float(found[0]) == pytest.approx(expected, abs=1e-12)
    assert caught.value.density_matrix.shape == (1, 2, 2)


@pytest.mark.filterwarnings("ignore:.*fork")
def test_subprocesses_are_none_of_these(mol):
    """They execute another program; also with what is run between fork and exec."""
    dqc.energy(mol)
    for options in ({}, {"preexec_fn": os.getpid}):
        assert subprocess.run([sys.executable, "-c", "pass"], **options).returncode == 0
    assert np.isfinite(float(dqc.energy(mol)))


def test_a_molecule_that_came_in_single_precision(mol):
    """As where a process unpickles it before double precision is on."""
    sent = pickle.dumps(mol)
    with jax.enable_x64(False):
        arrived = pickle.loads(sent)
    assert arrived.positions.dtype == jnp.float32
    with pytest.raises(errors.PrecisionError, match="initializer=dqc_lite"):
        dqc.energy(arrived)
    assert float(dqc.energy(pickle.loads(sent))) == float(dqc.energy(mol))


def _subclasses(kind):
    return {kind}.union(*map(_subclasses, kind.__subclasses__()))


@pytest.mark.parametrize("kind", sorted(_subclasses(errors.DqcLiteError), key=lambda k: k.__name__))
def test_errors_survive_pickling(kind):
    """`multiprocessing.Pool` hangs at a result that cannot be read."""
    scf = kind is errors.SCFNotConvergedError
    error = kind(7, -1.0, 1e-3, 1e-2, np.eye(2)) if scf else kind("field = 1 is wrong; do that.")
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is kind
    assert str(arrived) == str(error)
    if scf:
        assert (arrived.iterations, arrived.energy, arrived.gradient) == (7, -1.0, 1e-2)
        np.testing.assert_array_equal(arrived.density_matrix, np.eye(2))


def test_the_flag_is_one_number(mol):
    dqc.energy(mol)
    assert _process._computing == os.getpid()
