"""Orbital rotations and the trust-region Newton solver.

Gradient and Hessian against finite differences of the energy along a random rotation; energies
against PySCF; the rest is behaviour: few cycles, no stalling, every kind of determinant.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scf_problems import Prepared
from systems import mean_field, molecule

import dqc_lite as dqc
from dqc_lite.errors import InputError
from dqc_lite.scf.rotations import Surface, turned
from dqc_lite.scf.self_consistency import total
from dqc_lite.scf.solvers import DIIS, Auto, SecondOrder
from dqc_lite.scf.state import SCFState

KINDS = {
    "restricted": ("h2o", dqc.HF()), "unrestricted": ("o2", dqc.HF()),
    "rohf": ("o2", dqc.HF("rohf")), "fitted": ("ch3", dqc.HF(density_fit=True)),
}  # fmt: skip
BASIS = "6-31g"
NEWTON = SecondOrder(start=2)


@functools.cache
def _prepared(kind: str) -> Prepared:
    name, method = KINDS[kind]
    return Prepared.of(molecule(name, BASIS), method)


@functools.cache
def _state(kind: str, solver) -> SCFState:
    return _prepared(kind).solve(solver)


def _surface(p: Prepared, state: SCFState) -> Surface:
    return Surface.of(p.problem, state.mo_coeff, state.fock)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_and_hessian_are_those_of_the_energy(kind: str) -> None:
    p, state = _prepared(kind), _state(kind, DIIS(2))
    surface = _surface(p, state)
    assert float(state.gradient) > 1e-3  # not stationary: terms in the gradient count
    noise = np.random.default_rng(0).normal(size=surface.layout.shape)
    x = jnp.asarray(noise) * surface.allowed()

    @jax.jit
    def energy(t: jax.Array) -> jax.Array:
        c = turned(state.mo_coeff, surface.layout.generator(t * x))
        return total(p.problem.evaluate(p.problem.reference.density(c)).energies)

    first, second = zip(*(_differences(energy, h) for h in (1e-3, 2e-3)), strict=True)
    slope = 2.0 * float(jnp.vdot(surface.gradient(), x))
    curvature = 2.0 * float(jnp.vdot(x, jax.jit(surface.hessian())(x)))
    # fourth-order formulas: halving h leaves 1/16 of the error
    assert abs(first[0] - slope) < abs(first[0] - first[1]) + 1e-8
    assert abs(second[0] - curvature) < abs(second[0] - second[1]) + 1e-6 * abs(curvature)


def _differences(f, h: float) -> tuple[float, float]:
    e = [float(f(k * h)) for k in (-2, -1, 0, 1, 2)]
    first = (e[0] - 8 * e[1] + 8 * e[3] - e[4]) / (12 * h)
    second = (-e[0] + 16 * e[1] - 30 * e[2] + 16 * e[3] - e[4]) / (12 * h**2)
    return first, second


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_pyscf_in_few_cycles(kind: str) -> None:
    name, method = KINDS[kind]
    state = _state(kind, NEWTON)
    reference = mean_field(molecule(name, BASIS), BASIS, method)
    assert bool(state.converged)
    assert float(state.gradient) < 1e-8
    assert abs(float(state.energy) - reference.e_tot) < 1e-9
    assert int(state.iterations) < 12
    assert int(state.fock_builds) < 30


def test_rotations_keep_orbitals_orthonormal() -> None:
    p, state = _prepared("unrestricted"), _state("unrestricted", NEWTON)
    c = np.asarray(state.mo_coeff)
    s = np.asarray(p.problem.overlap)
    np.testing.assert_allclose(c.swapaxes(1, 2) @ s @ c, [np.eye(len(s))] * 2, atol=1e-11)


def test_the_history_tells_what_happened() -> None:
    state = _state("restricted", NEWTON)
    rows = np.asarray(state.history)
    n = int(state.iterations)
    assert np.isfinite(rows[:n, [0, 2]]).all()
    assert np.isnan(rows[n:]).all()
    np.testing.assert_allclose(rows[n - 1, 0], state.energy, rtol=1e-14)
    np.testing.assert_allclose(rows[n - 1, 2], state.gradient, rtol=1e-6)


def test_every_size_of_rotation_space() -> None:
    """None, one, and no electrons of a spin."""
    for name, energy in (("he", -2.8077839575), ("h", -0.4665818504)):
        solved = dqc.solve(molecule(name, "sto-3g"), solver=Auto())
        assert abs(float(solved.energy) - energy) < 1e-8
    proton = dqc.Molecule.from_atoms("H 0 0 0", "sto-3g", charge=1)
    assert float(dqc.energy(proton, solver=SecondOrder())) == 0.0


def test_one_program_under_jit_gives_the_same() -> None:
    """Traced, the stages are branches of one program."""
    mol = molecule("h2", "sto-3g")
    p = Prepared.of(mol.with_positions(3.0 * mol.positions), dqc.HF(False))
    solver = Auto(max_cycle=3)

    def traced(integrals: tuple) -> SCFState:
        problem = dataclasses.replace(p.problem, integrals=integrals)
        return p._replace(problem=problem).solve(solver)

    quick = {"xla_backend_optimization_level": 0}
    together = jax.jit(traced, compiler_options=quick)(p.problem.integrals)
    apart = p.solve(solver)
    assert bool(together.converged)
    assert bool(together.stable)
    assert abs(float(together.energy) - float(apart.energy)) < 1e-9
    assert int(together.iterations) == int(apart.iterations)
    assert int(together.fock_builds) == int(apart.fock_builds)
    np.testing.assert_allclose(together.history[:, 0], apart.history[:, 0], rtol=1e-8)


@pytest.mark.parametrize(
    ("solver", "settings"),
    [
        (SecondOrder, {"max_cycle": 0}), (SecondOrder, {"radius": -1.0}),
        (SecondOrder, {"start": 0}), (SecondOrder, {"gradient_tol": 0.0}),
        (Auto, {"max_cycle": 0}), (Auto, {"energy_tol": 0.0}), (Auto, {"max_follow": -1}),
    ],
)  # fmt: skip
def test_settings_are_checked(solver, settings: dict) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        solver(**settings)
