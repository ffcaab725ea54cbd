"""The G2 set beside PySCF: convergence, energies, cycles.

    python benchmarks/g2.py [--method hf] [--basis sto-3g] [--max-atoms 100] [--grid-level 3]
                            [--out benchmarks/g2_sto-3g.md] [--resume]

Every system of ASE's G2 collection (spin from its magnetic moments) is solved from the default
guess by this engine's default solver and by PySCF (restricted for spin 0, else unrestricted), with
100 cycles. A method is hf or the name of a functional. An energy above PySCF's converged one by
more than 1e-8 hartree (functionals: 1e-7) fails; one below it is named: a lower solution was found.
What fails is solved again by `Auto()` and then by `Auto(starts=6)`, and named: orbitally degenerate
atoms and radicals, whose hole turns against the grid at a cost of 1e-7 to 1e-6 hartree.

Cycles are diagonalizations, without the Fock matrix of the guess and PySCF's last cycle after
convergence, up to the first that meets both tolerances, of the energy change and of the norm of
the orbital gradient (the same norm in both programs): this engine's, 1e-10 hartree and 1e-8, and
PySCF's, 1e-9 and 3e-5. Both programs run to the tighter ones. Cycles of second order cost several
Fock matrices each and are named. The table is written anew after each system; `--resume` keeps the
rows that passed in an earlier one.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import numpy as np
import pyscf
import pyscf.dft
import pyscf.gto
import pyscf.scf
from ase.collections import g2

import dqc_lite as dqc

Method = dqc.HF | dqc.KS

TOLERANCE = {True: 1e-8, False: 1e-7}  # of Hartree-Fock, of functionals
CRITERIA = ((1e-10, 1e-8), (1e-9, 1e-9**0.5))  # ours, PySCF's
MAX_CYCLE = 100
HEADER = (
    "system", "2S", "E / hartree", "E - PySCF", "cycles", "PySCF's", "loose", "PySCF's", "remark",
)  # fmt: skip
FAILED, LOWER = "FAILED", "lower solution"
SOLVERS = {None: "the default", dqc.Auto(): "Auto()", dqc.Auto(starts=6): "Auto(starts=6)"}
SYSTEMS_PER_CACHE = 20  # whose compiled programs are kept: few serve another molecule


def reference(
    mol: dqc.Molecule, basis: str, method: Method
) -> tuple[float, list[tuple[float, float]]]:
    """PySCF's energy of the same molecule; energy change and gradient norm of its cycles."""
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
    mf.max_cycle = MAX_CYCLE
    mf.conv_tol, mf.conv_tol_grad = CRITERIA[0]
    cycles: list[tuple[float, float]] = []
    mf.callback = lambda e: cycles.append((e["e_tot"] - e["last_hf_e"], e["norm_gorb"]))
    mf.kernel()
    return mf.e_tot, cycles


def count(cycles: list[tuple[float, float]], energy_tol: float, gradient_tol: float) -> int | None:
    """Cycles up to the first that meets both tolerances; 0 without any, None if none does.

    PySCF solves a single electron without cycles.
    """
    met = (n for n, (d, g) in enumerate(cycles, 1) if abs(d) < energy_tol and g < gradient_tol)
    return next(met, None) if cycles else 0


def compare(name: str, basis: str, method: Method) -> tuple[bool, list[str]]:
    """Whether the system passes, and its row of the table."""
    mol = dqc.Molecule.from_ase(g2[name], basis)
    their_energy, their_cycles = reference(mol, basis, method)
    their_counts = [count(their_cycles, *c) for c in CRITERIA]
    tolerance = TOLERANCE[isinstance(method, dqc.HF)]
    for solver in SOLVERS:
        ours = dqc.solve(mol, method, solver=solver, throw=False)
        difference = float(ours.energy) - their_energy
        passed = bool(ours.converged) and (difference < tolerance or their_counts[1] is None)
        if passed:
            break
    cycles = [tuple(row[1:]) for row in np.asarray(ours.history)[: int(ours.iterations)]]
    counts = [count(cycles, *c) for c in CRITERIA]
    newton = int(ours.certificate.second_order_cycles)
    remarks = [
        remark
        for remark, holds in (
            (FAILED, not passed), (f"by {SOLVERS[solver]}", passed and solver is not None),
            (f"{newton} of second order", newton > 0), (LOWER, passed and difference < -tolerance),
            ("PySCF unconverged", their_counts[1] is None),
        )
        if holds
    ]  # fmt: skip
    pairs = zip(counts, their_counts, strict=True)
    shown = [str(MAX_CYCLE if n is None else n) for pair in pairs for n in pair]
    row = [
        name, str(mol.spin), f"{float(ours.energy):.8f}", f"{difference:+.1e}", *shown,
        ", ".join(remarks),
    ]  # fmt: skip
    return passed, row


def report(options: argparse.Namespace, rows: list[list[str]], passed: int, total: int) -> str:
    """Writes the table of the systems done so far; returns its summary."""
    cycles = np.sum([[int(n) for n in row[4:8]] for row in rows], axis=0)
    done = "" if len(rows) == total else f" ({len(rows)} of {total} systems done)"
    again = sum("by Auto(" in row[-1] for row in rows)
    done = f", {again} of them by `Auto`" * bool(again) + done
    summary = (
        f"{passed} of {len(rows)} systems pass{done}; cycles to 1e-10 hartree and 1e-8: {cycles[0]}"
        f", PySCF {pyscf.__version__} {cycles[1]}; to PySCF's defaults, 1e-9 and 3e-5: {cycles[2]}"
        f", PySCF {cycles[3]}."
    )
    if options.out:
        grid = "" if options.method == "hf" else f", grid level {options.grid_level}"
        title = f"# {options.method.upper()}/{options.basis}{grid}, G2 systems of up to "
        title += f"{options.max_atoms} atoms"
        lines = ["| " + " | ".join(row) + " |" for row in (HEADER, ["---"] * len(HEADER), *rows)]
        stamp = datetime.date.today().isoformat()
        text = "\n".join([title, "", f"{stamp}, by `benchmarks/g2.py`. {summary}", "", *lines, ""])
        with open(options.out, "w") as file:
            file.write(text)
    return summary


def kept_rows(path: str) -> dict[str, list[str]]:
    """The systems that pass in a table written before."""
    with open(path) as file:
        lines = [line for line in file if line.startswith("|")][2:]
    rows = ([cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines)
    return {row[0]: row for row in rows if len(row) == len(HEADER) and FAILED not in row[-1]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="hf")
    parser.add_argument("--grid-level", type=int, default=3)
    parser.add_argument("--basis", default="sto-3g")
    parser.add_argument("--max-atoms", type=int, default=100)
    parser.add_argument("--out")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    dqc.enable_x64()
    hf = options.method == "hf"
    method = dqc.HF() if hf else dqc.KS(options.method, grid_level=options.grid_level)
    names = [n for n in g2.names if len(g2[n]) <= options.max_atoms]
    kept = kept_rows(options.out) if options.resume else {}
    passed, rows, summary = 0, [], ""
    for number, name in enumerate(names, 1):
        ok, row = (True, kept[name]) if name in kept else compare(name, options.basis, method)
        passed += ok
        rows.append(row)
        print(*row, sep="  ", flush=True)
        summary = report(options, rows, passed, len(names))
        if number % SYSTEMS_PER_CACHE == 0:
            jax.clear_caches()
    print(summary)
    return 0 if passed == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
