"""Orbital-Hessian eigenvalues against PySCF's Hessian as a matrix and published values."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.scf
import pytest
import scipy.optimize
from pyscf.soscf import newton_ah
from scf_problems import Prepared, from_row
from systems import mole, molecule

import dqc_lite as dqc
from dqc_lite.errors import InputError, MethodError
from dqc_lite.linalg.krylov import subspace
from dqc_lite.scf import curvature, stability
from dqc_lite.scf.rotations import Surface, turned
from dqc_lite.scf.solvers import Auto

DATA = pathlib.Path(__file__).parents[1] / "data" / "reference_values.json"
BASIS = "6-31g"
CASES = {
    "restricted": ("h2o", None), "unrestricted": ("o2", None), "rohf": ("o2", "rohf"),
}  # fmt: skip


@functools.cache
def _converged(kind: str):
    name, restricted = CASES[kind]
    p = Prepared.of(molecule(name, BASIS), dqc.HF(restricted))
    return p, p.solve(dqc.DIIS())


def _mean_field(kind: str):
    built = mole(molecule(CASES[kind][0], BASIS), BASIS)
    kinds = {"restricted": pyscf.scf.RHF, "unrestricted": pyscf.scf.UHF, "rohf": pyscf.scf.ROHF}
    return kinds[kind](built)


def _internal(kind: str) -> tuple[curvature.Rotation, Surface]:
    p, state = _converged(kind)
    surface = Surface.of(p.problem, state.mo_coeff, state.fock)
    return _softest(surface), surface


def _softest(surface: Surface) -> curvature.Rotation:
    return jax.jit(lambda: curvature.ask(surface, surface.hessian(), mode=True))()


def _external(p: Prepared, state) -> curvature.Rotation:
    return jax.jit(lambda: stability.external(p.problem, state.mo_coeff, state.fock))()


def _pyscf_hessian(mf, generate, mo_coeff: np.ndarray, mo_occ: np.ndarray) -> np.ndarray:
    """PySCF's orbital Hessian as a matrix; A + B of spin orbitals, twice it for closed shells."""
    gradient, product, _ = generate(mf, mo_coeff, mo_occ)
    matrix = np.array([product(v) for v in np.eye(gradient.size)])
    return 0.5 * (matrix + matrix.T)


@pytest.mark.parametrize("kind", ["restricted", "unrestricted"])
def test_internal_eigenvalue_against_pyscf(kind: str) -> None:
    found, surface = _internal(kind)
    c, n = np.asarray(surface.mo_coeff), surface.layout.reference.occupations(surface.layout.nmo)
    if kind == "restricted":
        matrix = 0.5 * _pyscf_hessian(_mean_field(kind), newton_ah.gen_g_hop_rhf, c[0], n[0])
    else:
        matrix = _pyscf_hessian(_mean_field(kind), newton_ah.gen_g_hop_uhf, c, n)
    assert abs(float(found.value) - np.linalg.eigvalsh(matrix)[0]) < 2e-5
    assert bool(found.stable())
    assert float(found.residual) < curvature.TOLERANCE


def test_open_shell_mode_against_pyscf_energies() -> None:
    """PySCF's ROHF Hessian leaves out a term at second order, its energies do not."""
    found, surface = _internal("rohf")
    mf, layout = _mean_field("rohf"), surface.layout
    h1e = mf.get_hcore()

    def energy(t: float) -> float:
        c = turned(surface.mo_coeff, layout.generator(t * found.x))
        dm = np.asarray(layout.reference.density(c).matrix)
        return mf.energy_elec(dm, h1e, mf.get_veff(dm=dm))[0]

    curvature = (energy(0.01) + energy(-0.01) - 2.0 * energy(0.0)) / (2 * 0.01**2)
    assert not bool(found.stable())
    assert abs(curvature - float(found.value)) < 1e-4
    matrix = jax.jit(jax.vmap(lambda x: surface.hessian()(x.reshape(layout.shape)).ravel()))(
        jnp.eye(found.x.size)
    )
    allowed = np.asarray(surface.allowed()).ravel()
    lowest = np.linalg.eigvalsh(np.asarray(matrix)[np.ix_(allowed, allowed)])[0]
    assert abs(lowest - float(found.value)) < 2e-5


def test_external_eigenvalue_against_pyscf() -> None:
    """The unrestricted Hessian of a closed shell has both: the lowest is the triplet one here."""
    p, state = _converged("restricted")
    found = _external(p, state)
    built = mole(molecule("h2o", BASIS), BASIS)
    c = np.asarray(state.mo_coeff)[[0, 0]]
    n = np.tile(p.problem.reference.occupations(c.shape[-1]) / 2.0, (2, 1))
    lowest = np.linalg.eigvalsh(
        _pyscf_hessian(pyscf.scf.UHF(built), newton_ah.gen_g_hop_uhf, c, n)
    )[0]
    assert abs(float(found.value) - lowest) < 2e-5
    assert lowest < float(_internal("restricted")[0].value) - 0.01


def test_published_eigenvalue() -> None:
    """Psi4's test of UHF stability, BH+."""
    row = next(r for r in json.loads(DATA.read_text()) if r["name"].startswith("BH+ doublet UHF"))
    p = Prepared.of(*from_row(row))
    state = p.solve(Auto())
    assert abs(float(state.stability) - row["value"][0]) < row["tolerance"]
    assert bool(state.stable)


def test_a_saddle_point_of_full_symmetry_is_left() -> None:
    """Stretched H2, alike orbitals for alpha and beta: the gradient is zero by symmetry."""
    mol = molecule("h2", BASIS)
    p = Prepared.of(mol.with_positions(3.0 * mol.positions), dqc.HF(False))
    plain, followed = p.solve(Auto(stability=False)), p.solve(Auto())
    assert plain.stable is None
    there = _softest(Surface.of(p.problem, plain.mo_coeff, plain.fock))
    assert float(plain.gradient) < 1e-8
    assert float(there.value) < -0.05
    assert not bool(there.stable())
    assert bool(followed.stable)
    assert float(followed.stability) > 0
    assert float(followed.energy) < float(plain.energy) - 0.05
    unfollowed = p.solve(Auto(max_follow=0))
    assert not bool(unfollowed.stable)
    assert float(unfollowed.energy) == float(plain.energy)


def _question(diagonal: np.ndarray, lowest: bool, **changes) -> subspace.Question:
    """Of a matrix with that diagonal; the step has no bound unless one is given."""
    n = len(diagonal)
    standard = {
        "lowest": jnp.asarray(lowest), "gradient": jnp.zeros(n), "radius": jnp.asarray(1e6),
        "diagonal": jnp.asarray(diagonal), "allowed": jnp.ones(n, bool),
        "tolerance": jnp.asarray(1e-6), "most": jnp.asarray(200),
    }  # fmt: skip
    return subspace.Question(**(standard | changes))


def _answer(a: np.ndarray, question: subspace.Question) -> subspace.Answer:
    return jax.jit(lambda m, q: subspace.answer(lambda x: m @ x, q))(jnp.asarray(a), question)


@pytest.mark.parametrize("n", [1, 2, 5, 60, 200])
def test_lowest_eigenpair_of_a_matrix(n: int) -> None:
    """A block matrix whose lowest diagonal elements are not in the block of the lowest pair."""
    rng = np.random.default_rng(n)
    a = np.diag(np.sort(rng.uniform(0.5, 5.0, n))) + 0.05 * rng.normal(size=(n, n))
    half = n // 2
    a[:half, half:] = a[half:, :half] = 0.0
    a[half:, half:] -= 0.9 * np.eye(n - half) + 0.3 * np.ones((n - half, n - half))
    a = 0.5 * (a + a.T)
    found = _answer(a, _question(np.diagonal(a), lowest=True))
    assert abs(float(found.value) - np.linalg.eigvalsh(a)[0]) < 1e-9
    assert np.linalg.norm(a @ found.vector - found.value * found.vector) < 1e-6
    assert np.linalg.norm(found.vector) == pytest.approx(1.0)


@pytest.mark.parametrize("radius", [1e6, 0.3, 1e-3])
@pytest.mark.parametrize("least", [0.2, -0.4], ids=["convex", "indefinite"])
@pytest.mark.parametrize("n", [1, 2, 60])
def test_step_within_a_radius(n: int, least: float, radius: float) -> None:
    """The lowest point of 2 g.x + x.a x, by the eigenvectors of the whole matrix."""
    if least < 0 and radius > 1.0:
        return  # without a bound there is no lowest point
    rng = np.random.default_rng(n)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    w = np.concatenate([[least], rng.uniform(0.3, 2.0, n - 1)])
    a, g = (q * w) @ q.T, rng.normal(size=n)
    found = _answer(a, _question(
        np.diagonal(a), False, gradient=jnp.asarray(g), radius=jnp.asarray(radius),
        tolerance=jnp.asarray(1e-9),
    ))  # fmt: skip
    projected = q.T @ g
    shift = 0.0
    if least <= 0 or np.linalg.norm(projected / w) > radius:
        shift = scipy.optimize.brentq(
            lambda s: np.linalg.norm(projected / (w + s)) - radius,
            max(0.0, -least) + 1e-12, 1e6, xtol=1e-14, rtol=1e-14,
        )  # fmt: skip
    exact = -q @ (projected / (w + shift))
    np.testing.assert_allclose(found.vector, exact, rtol=0, atol=1e-7 * np.linalg.norm(exact))
    assert float(found.value) == pytest.approx(2 * g @ exact + exact @ a @ exact, rel=1e-8)


def test_no_allowed_coordinate_and_no_gradient() -> None:
    a = np.diag([1.0, 2.0, 3.0, 4.0])
    none = _answer(0 * a, _question(np.ones(4), True, allowed=jnp.zeros(4, bool)))
    assert float(none.value) == 0.0
    still = _answer(a, _question(np.diagonal(a), lowest=False))
    assert float(still.value) == 0.0
    assert int(still.products) == 0


# --- states that converge and are no minimum -----------------------------------------------------

PAIR = "{0} 0 0 0; {1} 0 0 {2}"
KNOWN = {  # molecule, charge, spin; stable: internally, against unrestricted ones
    "F2": (PAIR.format("F", "F", 1.4113), 0, 0, (True, False)),
    "N2 pulled apart": (PAIR.format("N", "N", 2.5), 0, 0, (False, False)),
    "C2": (PAIR.format("C", "C", 1.25), 0, 0, (False, False)),
    "H2O pulled apart": ("O 0 0 0; H 0 1.5 1.2; H 0 -1.5 1.2", 0, 0, (True, False)),
    "B2": (PAIR.format("B", "B", 1.6), 0, 2, (False, None)),
    # PySCF's DIIS does not converge for CN; here it ends in a minimum
    "CN": (PAIR.format("C", "N", 1.17), 0, 1, (True, None)),
    "BH+": (PAIR.format("B", "H", 1.2), 1, 1, (True, None)),
}


@pytest.mark.parametrize(
    "name", [n if n in ("F2", "B2") else pytest.param(n, marks=pytest.mark.slow) for n in KNOWN]
)
def test_known_instabilities_are_flagged(name: str) -> None:
    """PySCF looks at the same orbitals and says the same."""
    atoms, charge, spin, expected = KNOWN[name]
    mol = dqc.Molecule.from_atoms(atoms, BASIS, charge=charge, spin=spin)
    found = dqc.solve(mol, solver=Auto(max_follow=0, external=spin == 0))
    certificate = found.certificate
    flags = [certificate.stable, certificate.externally_stable]
    assert tuple(None if f is None else bool(f) for f in flags) == expected
    built = mole(mol, BASIS)
    mf = pyscf.scf.RHF(built) if spin == 0 else pyscf.scf.UHF(built)
    fields = (np.asarray(x) for x in (found.mo_coeff, found.mo_occ, found.mo_energy))
    mf.mo_coeff, mf.mo_occ, mf.mo_energy = (x[0] if spin == 0 else x for x in fields)
    status = mf.stability(external=spin == 0, return_status=True)[2:]
    assert status[: 1 + (spin == 0)] == tuple(f for f in expected if f is not None)


def test_external_stability_through_the_solver() -> None:
    with pytest.raises(MethodError, match="unrestricted"):
        dqc.solve(molecule("o2", BASIS), solver=Auto(external=True))
    with pytest.raises(InputError, match=r"external = True .*stability=True"):
        Auto(external=True, stability=False)
