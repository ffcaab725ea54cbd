"""Fractions of electrons: smeared by temperature, or given."""

import json
import pathlib

import jax
import numpy as np
import pyscf.dft
import pyscf.gto
import pyscf.scf
import pytest
from systems import central_difference, mole, molecule

import dqc_lite as dqc

DATA = pathlib.Path(__file__).parents[1] / "data" / "reference_values.json"
ROWS = {r["name"]: r for r in json.loads(DATA.read_text())}
P = 2.0 / 3.0
FRACTIONAL = {
    "N2 2+ RHF frac_occ/cc-pVDZ": dqc.HF(occupations=(2, 2, 2, 2, 2, 1, 1)),
    "N2+ UHF frac_occ/cc-pVDZ": dqc.HF(occupations=((1,) * 7, (1, 1, 1, 1, 1, 0.5, 0.5))),
    "F atom UHF fractional 5/3 beta in 2p/STO-6G": dqc.HF(occupations=((1,) * 5, (1, 1, P, P, P))),
}


def _molecule(row: dict, basis=None) -> dqc.Molecule:
    return dqc.Molecule.from_atoms(
        row["atoms"], basis or row["basis"], charge=row["charge"], spin=row["spin"]
    )


@pytest.mark.parametrize("name", FRACTIONAL)
def test_given_occupations(name: str) -> None:
    row = ROWS[name]
    energy = float(dqc.energy(_molecule(row), FRACTIONAL[name]))
    assert abs(energy - row["value"]) < row["tolerance"]


@pytest.mark.parametrize(
    "method",
    [
        dqc.HF(occupations=(2, 2, 2, 1, 2, 1)),
        dqc.HF(occupations=(2, 2, 2, 2, 1.5, 0.5)),
        dqc.HF(restricted=False, occupations=((1,) * 5, (1, 1, 0.5, 1, 1, 0.5))),
        dqc.HF(smearing=0.1),
    ],
)
def test_orbitals_and_occupations_make_the_density(method: dqc.HF) -> None:
    solution = dqc.solve(molecule("h2o", "sto-3g"), method, throw=False)
    c, n = solution.mo_coeff, solution.mo_occ
    density = np.einsum("smi,si,sni->smn", c, n, c)
    # electrons of smeared orbitals follow the last orbital energies, those of the density the ones
    # before
    tolerance = 1e-6 if method.smearing else 1e-10
    np.testing.assert_allclose(solution.density_matrix, density, rtol=0, atol=tolerance)


def test_smeared_energy() -> None:
    row = ROWS["N2- RHF Fermi smearing 0.1/STO-3G"]
    solution = dqc.solve(_molecule(row), dqc.HF(restricted=True, smearing=0.1))
    # the row is the energy without the entropy
    assert abs(float(solution.energy - solution.energies["smearing"]) - row["value"]) < 1e-6
    assert abs(float(solution.mo_occ.sum()) - 15.0) < 1e-12


SMEARED = [
    ("n2 rotated", "6-31g", dqc.HF(smearing=0.05)),
    ("ch3", "6-31g", dqc.HF(smearing=0.03)),
    ("o2", "sto-3g", dqc.KS("pbe", smearing=0.02, grid_level=0)),
    ("c6h6", "sto-3g", dqc.HF(smearing=0.05, density_fit=True)),
]


@pytest.mark.parametrize(("name", "basis", "method"), SMEARED)
def test_smeared_states(name: str, basis: str, method) -> None:
    """PySCF's free energy at fixed spin, and forces that are its derivative."""
    mol = molecule(name, basis)
    energy, forces = dqc.energy_and_forces(mol, method)
    built = mole(mol, basis)
    kind = "R" if mol.spin == 0 else "U"
    if isinstance(method, dqc.KS):
        mf = getattr(pyscf.dft, f"{kind}KS")(built, xc="pbe")
        mf.grids.level = method.grid_level
    else:
        mf = getattr(pyscf.scf, f"{kind}HF")(built)
    mf = mf.density_fit() if method.density_fit else mf
    mf = pyscf.scf.addons.smearing_(mf, sigma=method.smearing, method="fermi", fix_spin=True)
    mf.conv_tol, mf.conv_tol_grad = 1e-12, 1e-9
    mf.kernel()
    assert abs(float(energy) - mf.e_free) < 1e-8
    assert np.abs(np.asarray(forces).sum(0)).max() < 1e-10
    direction = np.random.default_rng(3).normal(size=forces.shape)
    direction /= np.linalg.norm(direction)

    def along(t: float) -> float:
        return float(dqc.energy(mol.with_positions(mol.positions + t * direction), method))

    expected, error = central_difference(along)
    assert error < 1e-7
    assert abs(-np.vdot(forces, direction) - expected) < 1e-8 + error


def test_forces_with_given_occupations() -> None:
    mol, method = molecule("h2", "6-31g"), dqc.HF(occupations=(1.6, 0.4))
    forces = dqc.forces(mol, method)

    def along(t: float) -> float:
        return float(dqc.energy(mol.with_positions(mol.positions.at[0, 2].add(t)), method))

    expected, error = central_difference(along)
    assert abs(-float(forces[0, 2]) - expected) < 1e-8 + error


def test_response_with_given_occupations() -> None:
    """d(density)/d(field) against finite differences; no answer where there is no rule."""

    def loss(t: float, mol: dqc.Molecule, occupations: tuple) -> jax.Array:
        field = t * jax.numpy.array([0.3, -0.2, 0.5])
        p = dqc.density_matrix(
            mol, dqc.HF(occupations=occupations), electric_field=field,
            solver=dqc.DIIS(gradient_tol=1e-10),
        )  # fmt: skip
        return (np.random.default_rng(1).normal(size=p[0].shape) * p[0]).sum()

    descending = (molecule("h2o", "sto-3g"), (2, 2, 2, 2, 1.5, 0.5))
    expected, error = central_difference(lambda t: float(loss(t, *descending)), 0.002)
    assert error < 1e-7
    for derivative in (jax.grad, jax.jacfwd):
        got = float(derivative(lambda t: loss(t, *descending))(0.0))
        assert abs(got - expected) < 1e-6 * max(1.0, abs(expected))
    hydrogen = dqc.Molecule.from_atoms("H 0 0 0; H 0 0 0.74", basis="6-31g")
    with pytest.raises(dqc.errors.ResponseError, match="descend"):
        jax.grad(lambda t: loss(t, hydrogen, (0.4, 1.6)))(0.0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"smearing": -0.1}, dqc.errors.InputError, "smearing = -0.1 must be a positive"),
        ({"smearing": "warm"}, dqc.errors.InputError, "smearing = 'warm'"),
        ({"smearing": 0.1, "restricted": "rohf"}, dqc.errors.MethodError, "rohf"),
        ({"smearing": 0.1, "occupations": (2,)}, dqc.errors.MethodError, "occupations"),
        ({"occupations": "all"}, dqc.errors.InputError, "occupations = 'all'"),
        ({"occupations": (2, 2, 2, 2, 3, -1)}, dqc.errors.InputError, "between 0 and 2"),
        ({"occupations": ((1,) * 5, (1,) * 5)}, dqc.errors.InputError, "hold"),
    ],
)
def test_impossible_occupations(options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        dqc.energy(molecule("h2o", "sto-3g"), dqc.HF(**options))


def test_what_smearing_cannot_do() -> None:
    mol, method = molecule("h2", "6-31g"), dqc.HF(smearing=0.1)
    with pytest.raises(dqc.errors.MethodError, match="DIIS"):
        dqc.energy(mol, method, solver=dqc.SecondOrder())


NIST = {
    # electrons of each orbital from the lowest up; even-tempered (l, n, smallest, ratio)
    "He": ((2,), [(0, 22, 0.05, 1.9)]),
    "Be": ((2, 2), [(0, 30, 0.01, 1.85)]),
    "C": ((2, 2, P, P, P), [(0, 26, 0.02, 1.9), (1, 18, 0.03, 1.9)]),
    "Ne": ((2, 2, 2, 2, 2), [(0, 30, 0.04, 1.85), (1, 20, 0.04, 1.9)]),
    "Na": ((2, 2, 2, 2, 2, 1), [(0, 30, 0.008, 1.9), (1, 20, 0.03, 1.9)]),
    "Ar": ((2,) * 9, [(0, 34, 0.03, 1.8), (1, 24, 0.03, 1.9)]),
}


def _nist(symbol: str, spin: bool) -> dict:
    kind = "LSD" if spin else "LDA"
    return next(r for n, r in ROWS.items() if n.startswith(f"{symbol} atom NIST {kind}"))


QUICK = ("He", "C")


@pytest.mark.parametrize(
    "symbol", [s if s in QUICK else pytest.param(s, marks=pytest.mark.slow) for s in NIST]
)
@pytest.mark.filterwarnings("ignore:the basis is nearly linearly dependent")
def test_spherical_atoms_of_nist(symbol: str) -> None:
    """Published LDA energies of spherical atoms, Kotochigova et al., PRA 55, 191 (1997)."""
    row, (numbers, shells) = _nist(symbol, False), NIST[symbol]
    nelectron = round(sum(numbers))
    basis = {symbol: pyscf.gto.etbs([(l, n, a, ratio) for l, n, a, ratio in shells])}
    mol = dqc.Molecule.from_atoms(f"{symbol} 0 0 0", basis, spin=nelectron % 2)
    method = dqc.KS("slater,vwn5", restricted=True, occupations=numbers, grid_level=9)
    # the largest exponents leave 1e-7 of rounding in the gradient
    energy = float(dqc.energy(mol, method, solver=dqc.DIIS(gradient_tol=1e-6)))
    assert abs(energy - row["value"]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("symbol", "numbers", "shells"),
    [
        ("Li", ((1, 1), (1,)), [(0, 30, 0.006, 1.85)]),
        ("C", ((1, 1, P, P, P), (1, 1)), [(0, 26, 0.02, 1.9), (1, 18, 0.03, 1.9)]),
        ("O", ((1,) * 5, (1, 1, P / 2, P / 2, P / 2)), [(0, 28, 0.03, 1.9), (1, 20, 0.03, 1.9)]),
    ],
)
@pytest.mark.filterwarnings("ignore:the basis is nearly linearly dependent")
def test_spherical_polarized_atoms_of_nist(symbol: str, numbers: tuple, shells: list) -> None:
    row = _nist(symbol, True)
    basis = {symbol: pyscf.gto.etbs(shells)}
    mol = dqc.Molecule.from_atoms(f"{symbol} 0 0 0", basis, spin=row["spin"])
    method = dqc.KS("slater,vwn5", restricted=False, occupations=numbers, grid_level=9)
    assert abs(float(dqc.energy(mol, method)) - row["value"]) < 1e-5
