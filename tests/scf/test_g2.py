"""Hartree-Fock over the G2 set: all converge, none above PySCF's energy, in no more cycles.

The default suite takes the systems that were hard (degenerate open shells, slow convergence); the
slow one all 162. `benchmarks/g2.py` writes the whole table.
"""

import jax
import numpy as np
import pyscf.scf
import pytest
from ase.collections import g2
from systems import mole

import dqc_lite as dqc

HARD = ("NO", "OH", "O", "Al", "CN", "SiH2_s3B1d", "S2", "H3CNH2")

CRITERIA = ((1e-10, 1e-8), (1e-9, 1e-9**0.5))
"""Energy change and gradient norm: the tolerances of this package, and the defaults of PySCF."""

ALLOWED = 1.1
"""Share of PySCF's cycles."""


def _count(cycles: np.ndarray, energy_tol: float, gradient_tol: float) -> int:
    """Diagonalizations up to the first (change, gradient) that meets both tolerances."""
    met = (np.abs(cycles[:, 0]) < energy_tol) & (cycles[:, 1] < gradient_tol)
    assert met.any()
    return int(np.argmax(met)) + 1


def _cycles(name: str) -> np.ndarray:
    """(program, criteria) cycles of this package and of PySCF; the energies are compared."""
    mol = dqc.Molecule.from_ase(g2[name], "sto-3g")
    solution = dqc.solve(mol)
    built = mole(mol, "sto-3g")
    mf = pyscf.scf.RHF(built) if mol.spin == 0 else pyscf.scf.UHF(built)
    mf.max_cycle = 100
    mf.conv_tol, mf.conv_tol_grad = CRITERIA[0]
    theirs: list = []
    mf.callback = lambda e: theirs.append((e["e_tot"] - e["last_hf_e"], e["norm_gorb"]))
    mf.kernel()
    assert mf.converged
    # a lower solution than PySCF's is fine
    assert float(solution.energy) - mf.e_tot < 1e-8, name
    ours = np.asarray(solution.history)[: int(solution.iterations), 1:]
    if not theirs:  # a single electron
        return np.zeros((2, 2), int)
    return np.array([[_count(np.asarray(c), *tol) for tol in CRITERIA] for c in (ours, theirs)])


def _require_few(names: tuple[str, ...]) -> None:
    total = np.zeros((2, 2), int)
    for number, name in enumerate(names, 1):
        total += _cycles(name)
        if number % 20 == 0:
            jax.clear_caches()
    assert (total[0] <= ALLOWED * total[1]).all(), total


def test_hard_systems() -> None:
    _require_few(HARD)


@pytest.mark.slow
def test_all_systems() -> None:
    """Measured: 1694 cycles and PySCF's 1832; to PySCF's tolerances 1295 and 1306."""
    _require_few(tuple(g2.names))


def test_the_norm_of_the_gradient_is_that_of_pyscf() -> None:
    """Restricted and unrestricted, at the density of the first cycle: counts compare like."""
    for name in ("H3CNH2", "OH"):
        mol = dqc.Molecule.from_ase(g2[name], "sto-3g")
        ours = dqc.solve(mol, solver=dqc.DIIS(max_cycle=1), throw=False)
        built = mole(mol, "sto-3g")
        mf = pyscf.scf.RHF(built) if mol.spin == 0 else pyscf.scf.UHF(built)
        c, n = np.asarray(ours.mo_coeff), np.asarray(ours.mo_occ)
        p = np.asarray(ours.density_matrix)
        c, n, p = (c[0], n[0], p[0]) if mol.spin == 0 else (c, n, p)
        norm = np.linalg.norm(mf.get_grad(c, n, mf.get_fock(dm=p)))
        assert abs(float(ours.certificate.orbital_gradient) - norm) < 1e-8 * norm
