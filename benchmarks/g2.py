"""The G2 set beside PySCF: convergence, energies, cycles.

    python benchmarks/g2.py [--method hf] [--basis sto-3g] [--max-atoms 100] [--grid-level 3]
                            [--out benchmarks/g2_sto-3g.md]

Every system of ASE's G2 collection (spin from its magnetic moments) is solved from the default
guess by this engine and by PySCF (restricted for spin 0, else unrestricted), both with their
default settings but PySCF with twice its cycles. A method is hf or the name of a functional. An
energy above PySCF's converged one by more than 1e-8 hartree (functionals: 1e-7) fails; one below
it is named: a lower solution was found.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyscf
import pyscf.dft
import pyscf.gto
import pyscf.scf
from ase.collections import g2

import dqc_lite as dqc

Method = dqc.HF | dqc.KS

TOLERANCE = {True: 1e-8, False: 1e-7}  # of Hartree-Fock, of functionals


def reference(mol: dqc.Molecule, basis: str, method: Method) -> pyscf.scf.hf.SCF:
    """PySCF's converged mean field of the same molecule."""
    positions = np.asarray(mol.positions)
    built = pyscf.gto.M(
        atom=[(s, tuple(p)) for s, p in zip(mol.symbols, positions, strict=True)],
        unit="Bohr", basis=basis, spin=mol.spin, verbose=0,
    )  # fmt: skip
    if isinstance(method, dqc.KS):
        mf = (pyscf.dft.RKS if mol.spin == 0 else pyscf.dft.UKS)(built, xc=method.xc.name)
        mf.grids.level = method.grid_level
    else:
        mf = pyscf.scf.RHF(built) if mol.spin == 0 else pyscf.scf.UHF(built)
    mf.max_cycle = 100
    mf.kernel()
    return mf


def compare(name: str, basis: str, method: Method) -> tuple[bool, list[str]]:
    """Whether the system passes, and its row of the table."""
    mol = dqc.Molecule.from_ase(g2[name], basis)
    ours, theirs = dqc.solve(mol, method, throw=False), reference(mol, basis, method)
    difference = float(ours.energy) - theirs.e_tot
    tolerance = TOLERANCE[isinstance(method, dqc.HF)]
    passed = bool(ours.converged) and (difference < tolerance or not theirs.converged)
    remark = "" if passed else "FAILED"
    if passed and difference < -tolerance:
        remark = "lower solution"
    if not theirs.converged:
        remark += " (PySCF unconverged)"
    row = [
        name, str(mol.spin), f"{float(ours.energy):.8f}", f"{difference:+.1e}",
        str(int(ours.iterations)), str(theirs.cycles), remark,
    ]  # fmt: skip
    return passed, row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="hf")
    parser.add_argument("--grid-level", type=int, default=3)
    parser.add_argument("--basis", default="sto-3g")
    parser.add_argument("--max-atoms", type=int, default=100)
    parser.add_argument("--out")
    options = parser.parse_args()
    dqc.enable_x64()
    hf = options.method == "hf"
    method = dqc.HF() if hf else dqc.KS(options.method, grid_level=options.grid_level)
    names = [n for n in g2.names if len(g2[n]) <= options.max_atoms]
    header = ["system", "2S", "E / hartree", "E - PySCF", "cycles", "PySCF's", "remark"]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    passed, cycles = 0, np.zeros(2, int)
    for name in names:
        ok, row = compare(name, options.basis, method)
        passed += ok
        cycles += [int(row[4]), int(row[5])]
        lines.append("| " + " | ".join(row) + " |")
        print(*row, sep="  ", flush=True)
    summary = (
        f"{passed} of {len(names)} systems pass; cycles {cycles[0]} (tolerances 1e-10 hartree, "
        f"1e-8), PySCF {pyscf.__version__} {cycles[1]} (1e-9, 3e-5)."
    )
    print(summary)
    if options.out:
        title = f"# {options.method.upper()}/{options.basis}, G2 systems of up to "
        title += f"{options.max_atoms} atoms"
        stamp = datetime.date.today().isoformat()
        text = "\n".join([title, "", f"{stamp}, by `benchmarks/g2.py`. {summary}", "", *lines, ""])
        with open(options.out, "w") as file:
            file.write(text)
    return 0 if passed == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
