"""Options of DIIS: other paths to the same state; excited determinants against PySCF."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.scf
import pytest
import scipy.optimize
from systems import central_difference, mole, molecule

import dqc_lite as dqc
from dqc_lite.scf import energy_diis
from dqc_lite.scf.energy_diis import EnergyHistory, lowest_on_simplex

PATHS = [dict(level_shift=0.3), dict(early="adiis"), dict(early="ediis"), dict(damping=0.4)]


@functools.cache
def _plain(name: str):
    return dqc.solve(molecule(name, "6-31g"), solver="diis", guess="core")


@pytest.mark.parametrize("options", PATHS, ids=str)
def test_another_path_to_the_same_state(options: dict) -> None:
    plain = _plain("h2o")
    other = dqc.solve(molecule("h2o", "6-31g"), solver=dqc.DIIS(**options), guess="core")
    assert np.abs(plain.history[1:6, 0] - other.history[1:6, 0]).max() > 1e-4
    assert abs(float(plain.energy - other.energy)) < 1e-9
    # a level shift is in no result
    np.testing.assert_allclose(other.mo_energy, plain.mo_energy, atol=1e-7)
    assert int(other.iterations) < 30


@pytest.mark.slow
@pytest.mark.parametrize("options", [dict(early="adiis"), dict(level_shift=0.5), dict(damping=0.5)])
def test_open_shells_too(options: dict) -> None:
    for method in (dqc.HF(), dqc.HF("rohf"), dqc.KS("pbe", grid_level=0)):
        mol = molecule("ch3", "sto-3g")
        plain, other = dqc.solve(mol, method), dqc.solve(mol, method, solver=dqc.DIIS(**options))
        assert abs(float(plain.energy - other.energy)) < 1e-8


# --- combinations of lowest energy ---------------------------------------------------------------


def _quadratic(seed: int, n: int = 5) -> tuple[EnergyHistory, np.ndarray, np.ndarray, np.ndarray]:
    """Densities on a model E = h.P + P.G.P/2: for it both models are exact."""
    rng = np.random.default_rng(seed)
    h, p = rng.normal(size=9), rng.normal(size=(n, 9))
    g = rng.normal(size=(9, 9))
    g = g @ g.T * 0.2
    focks = h + p @ g
    energies = p @ h + 0.5 * np.einsum("ni,ij,nj->n", p, g, p)
    shape = (n, 1, 3, 3)
    history = EnergyHistory(
        jnp.asarray(p.reshape(shape)), jnp.asarray(focks.reshape(shape)), jnp.asarray(energies)
    )
    return history, h, g, p


_WEIGHTS = {"ediis": jax.jit(EnergyHistory.ediis), "adiis": jax.jit(EnergyHistory.adiis)}


@pytest.mark.parametrize("kind", _WEIGHTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_give_the_lowest_energy_of_a_quadratic_model(kind: str, seed: int) -> None:
    history, h, g, p = _quadratic(seed)
    used = np.array([True, True, True, True, False])
    weights = np.asarray(_WEIGHTS[kind](history, jnp.asarray(used)))
    assert abs(weights.sum() - 1.0) < 1e-12
    assert weights.min() >= 0.0
    assert weights[4] == 0.0

    def energy(c: np.ndarray) -> float:
        mean = c @ p[:4]
        return mean @ h + 0.5 * mean @ g @ mean

    found = scipy.optimize.minimize(
        energy, np.full(4, 0.25), bounds=[(0, 1)] * 4, method="SLSQP", options={"ftol": 1e-14},
        constraints={"type": "eq", "fun": lambda c: c.sum() - 1.0},
    )  # fmt: skip
    assert energy(weights[:4]) < found.fun + 1e-6


def test_lowest_corner_of_a_concave_function() -> None:
    """Convex steps would stop between the corners."""
    b, q = jnp.asarray([0.0, -0.3, 0.1]), -jnp.eye(3)
    found = jax.jit(lowest_on_simplex)(b, q, jnp.ones(3, bool))
    np.testing.assert_allclose(found, [0, 1, 0], atol=1e-9)


def test_nearest_point_of_the_simplex() -> None:
    point = np.asarray(energy_diis._on_simplex(jnp.asarray([0.9, 0.6, -3.0]), jnp.ones(3, bool)))
    np.testing.assert_allclose(point, [0.65, 0.35, 0.0], atol=1e-15)


# --- excited determinants ------------------------------------------------------------------------

EXCITED = {
    "n -> pi*": ("ch2o", ((1,) * 8, (1,) * 7 + (0, 1))),
    "core hole": ("h2o", ((0, 1, 1, 1, 1, 1), (1,) * 5)),
}


@pytest.mark.parametrize("name", EXCITED)
def test_excited_determinants_against_pyscf(name: str) -> None:
    molecule_name, occupations = EXCITED[name]
    mol = molecule(molecule_name, "6-31g")
    built = mole(mol, "6-31g")
    ground = dqc.solve(mol, dqc.HF(False))
    method, solver = dqc.HF(False, occupations=occupations), dqc.DIIS(maximum_overlap=True)
    excited = dqc.solve(mol, method, guess=ground, solver=solver)
    peer = pyscf.scf.UHF(built)
    peer.conv_tol, peer.conv_tol_grad = 1e-11, 1e-8
    peer.kernel()
    wanted = np.zeros((2, mol.nao))
    for row, numbers in zip(wanted, occupations, strict=True):
        row[: len(numbers)] = numbers
    other = pyscf.scf.UHF(built)
    other.conv_tol, other.conv_tol_grad = 1e-11, 1e-8
    pyscf.scf.addons.mom_occ(other, peer.mo_coeff, wanted)
    energy = other.kernel(other.make_rdm1(peer.mo_coeff, wanted))
    assert abs(float(excited.energy) - energy) < 1e-8
    assert energy > float(ground.energy) + 0.05
    np.testing.assert_array_equal(excited.mo_occ, wanted)


def test_forces_of_an_excited_determinant() -> None:
    mol = molecule("ch2o", "sto-3g")
    options = dict(
        guess=dqc.solve(mol, dqc.HF(False)), solver=dqc.DIIS(maximum_overlap=True)
    )  # fmt: skip
    method = dqc.HF(False, occupations=((1,) * 8, (1,) * 7 + (0, 1)))
    forces = dqc.forces(mol, method, **options)

    def along(t: float) -> float:
        moved = mol.with_positions(mol.positions.at[0, 2].add(t))
        return float(dqc.energy(moved, method, **options))

    expected, error = central_difference(along)
    assert error < 1e-7
    assert abs(-float(forces[0, 2]) - expected) < 1e-7


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(level_shift=-0.1), "level_shift = -0.1"),
        (dict(level_shift=float("nan")), "level_shift = nan"),
        (dict(damping=float("nan")), "damping = nan"),
        (dict(gradient_tol=float("nan")), "gradient_tol = nan"),
        (dict(space=0), "space = 0"),
    ],
)
def test_settings_are_checked(options: dict, message: str) -> None:
    with pytest.raises(dqc.errors.InputError, match=message):
        dqc.DIIS(**options)


def test_level_shift_and_smearing_contradict() -> None:
    with pytest.raises(dqc.errors.MethodError, match=r"level_shift = 0\.2"):
        dqc.energy(
            molecule("h2", "6-31g"), dqc.HF(smearing=0.1), solver=dqc.DIIS(level_shift=0.2)
        )


def test_unknown_solver() -> None:
    for solver in ("newton", 3, dqc.DIIS):
        with pytest.raises(dqc.errors.InputError, match="'auto', 'diis', 'second-order'"):
            dqc.energy(molecule("h2", "6-31g"), solver=solver)
