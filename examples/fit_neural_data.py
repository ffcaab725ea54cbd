"""CCSD(T)/6-31G total energies and densities of small closed shells, by PySCF, as training data.

    python examples/fit_neural_data.py [--out examples/fit_neural/data.h5]

Densities are those of the CCSD(T) Lagrangian without orbital relaxation. All electrons are
correlated. A row's name ends with "test" where the geometry is held out.
"""

from __future__ import annotations

import argparse

import numpy as np
import pyscf.cc
import pyscf.gto
import pyscf.scf
from pyscf.cc import ccsd_t_lambda_slow, ccsd_t_rdm_slow

import dqc_lite as dqc
from dqc_lite import fit

BASIS = "6-31g"


def _diatomic(a: str, b: str, *lengths: float) -> dict[str, str]:
    return {f"{a}{b} {r:.2f}": f"{a} 0 0 0; {b} 0 0 {r}" for r in lengths}


def _water(length: float, angle: float) -> str:
    half = np.radians(angle) / 2
    y, z = length * np.sin(half), length * np.cos(half)
    return f"O 0 0 0; H 0 {y} {z}; H 0 {-y} {z}"


def _ammonia(length: float, height: float) -> str:
    r = np.sqrt(length**2 - height**2)
    turns = np.radians([0, 120, 240])
    return "; ".join(["N 0 0 0", *(f"H {r * np.cos(t)} {r * np.sin(t)} {-height}" for t in turns)])


def _methane(length: float) -> str:
    d = length / np.sqrt(3)
    signs = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
    return "; ".join(["C 0 0 0", *(f"H {a * d} {b * d} {c * d}" for a, b, c in signs)])


TRAINING = {
    **_diatomic("H", "H", 0.60, 0.74, 1.00, 1.40),
    **_diatomic("N", "N", 1.00, 1.10, 1.30),
    **_diatomic("Li", "H", 1.60), **_diatomic("H", "F", 0.92), **_diatomic("C", "O", 1.13),
    "water": _water(0.96, 104.5), "ammonia": _ammonia(1.01, 0.38), "methane": _methane(1.09),
    "HCN": "H 0 0 -1.065; C 0 0 0; N 0 0 1.153",
    "acetylene": "H 0 0 -1.06; C 0 0 0; C 0 0 1.20; H 0 0 2.26",
}  # fmt: skip
HELD_OUT = {
    **_diatomic("H", "H", 0.85, 1.20), **_diatomic("N", "N", 1.05, 1.20),
    **_diatomic("H", "F", 1.05), **_diatomic("C", "O", 1.20),
    "water wide": _water(1.02, 112.0), "ammonia flat": _ammonia(1.04, 0.25),
}  # fmt: skip


def reference(name: str, atoms: str) -> fit.Row:
    """Energy and density matrix."""
    mole = pyscf.gto.M(atom=atoms, basis=BASIS, verbose=0)
    mf = pyscf.scf.RHF(mole).run(conv_tol=1e-12)
    cc = pyscf.cc.CCSD(mf)
    cc.conv_tol, cc.conv_tol_normt, cc.max_cycle = 1e-10, 1e-7, 200
    eris = cc.ao2mo()
    cc.kernel(eris=eris)
    triples = cc.ccsd_t(eris=eris)
    converged, l1, l2 = ccsd_t_lambda_slow.kernel(
        cc, eris, cc.t1, cc.t2, max_cycle=200, tol=1e-8, verbose=0
    )
    if not (cc.converged and converged):
        raise RuntimeError(f"{name}: coupled cluster did not converge")
    gamma = ccsd_t_rdm_slow.make_rdm1(cc, cc.t1, cc.t2, l1, l2, eris=eris)
    density = mf.mo_coeff @ gamma @ mf.mo_coeff.T
    mol = dqc.Molecule.from_atoms(atoms, BASIS)
    electrons = np.einsum("mn,nm", density, mole.intor("int1e_ovlp"))
    assert abs(electrons - mol.nelectron) < 1e-6
    return fit.Row(name, mol, energy=cc.e_tot + triples, density=density,
                   source="CCSD(T)/6-31G, PySCF")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="examples/fit_neural/data.h5")
    out = parser.parse_args().out
    dqc.enable_x64()
    named = TRAINING | {f"{n} test": a for n, a in HELD_OUT.items()}
    fit.to_hdf5(fit.Dataset(tuple(reference(n, a) for n, a in named.items())), out)


if __name__ == "__main__":
    main()
