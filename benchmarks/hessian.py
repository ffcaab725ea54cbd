"""Nuclear Hessians beside PySCF's analytic ones, in one run.

    python benchmarks/hessian.py [--molecules water benzene] [--basis '6-31g*'] [--xc pbe]
                                 [--repeat 1] [--threads 1] [--out FILE.md]

For exact and density-fitted repulsion the two engines take turns in one process, each from its own
converged SCF, geometry slightly moved each time: warm times of SCF and Hessian together and of the
Hessian alone (for this engine the difference of two calls). Wall-clock and processor seconds; the
latter are what counts on a machine that is shared. PySCF's fitted Hessian is the complete one
(``auxbasis_response = 2``), as ours is.
"""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import time

ROOT = pathlib.Path(__file__).parents[1]


def timed(function, *args):
    """Result, wall-clock seconds, processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function(*args)
    return result, time.perf_counter() - wall, time.process_time() - cpu


def ours(molecule: str, basis: str, xc: str | None, fit: bool):
    import numpy as np

    import dqc_lite as dqc

    dqc.enable_x64()
    mol = dqc.Molecule.from_xyz(ROOT / "examples" / f"{molecule}.xyz", basis=basis)
    method = dqc.KS(xc, density_fit=fit) if xc else dqc.HF(density_fit=fit)

    def run(scale: float):
        moved = mol.with_positions(mol.positions * scale)
        _, *scf = timed(lambda: dqc.energy(moved, method).block_until_ready())
        hessian, *total = timed(lambda: np.asarray(dqc.hessian(moved, method)))
        return hessian, total, [t - s for t, s in zip(total, scf, strict=True)]

    return run


def pyscf(molecule: str, basis: str, xc: str | None, fit: bool):
    import pyscf.dft
    import pyscf.gto
    import pyscf.scf

    mole = pyscf.gto.M(
        atom=str(ROOT / "examples" / f"{molecule}.xyz"), basis=basis, verbose=0
    )
    positions = mole.atom_coords()

    def run(scale: float):
        moved = mole.set_geom_(positions * scale, unit="Bohr", inplace=False)
        mf = pyscf.dft.RKS(moved, xc=xc) if xc else pyscf.scf.RHF(moved)
        mf = mf.density_fit() if fit else mf
        mf.conv_tol, mf.conv_tol_grad = 1e-10, 1e-8
        _, *scf = timed(mf.kernel)
        engine = mf.Hessian()
        engine.auxbasis_response = 2
        hessian, *alone = timed(engine.kernel)
        total = [s + a for s, a in zip(scf, alone, strict=True)]
        return hessian.transpose(0, 2, 1, 3), total, alone

    return run


def rows(options: argparse.Namespace):
    import numpy as np

    for molecule in options.molecules:
        for fit in options.fits:
            arguments = molecule, options.basis, options.xc, fit
            engines = {"ours": ours(*arguments), "pyscf": pyscf(*arguments)}
            engines["ours"](1.0)  # compiles
            times: dict[str, list] = {name: [] for name in engines}
            hessians = {}
            for turn in range(options.repeat):
                for name, run in engines.items():
                    hessians[name], *spent = run(1.0 + 1e-4 * turn)
                    times[name].append(spent)
            best = {name: np.median(t, axis=0) for name, t in times.items()}
            difference = np.abs(hessians["ours"] - hessians["pyscf"]).max()
            ratio = best["ours"] / best["pyscf"]
            yield [
                molecule, "fitted" if fit else "exact",
                *(f"{best[n][1][k]:.1f}" for k in (0, 1) for n in ("ours", "pyscf")),
                f"{ratio[1][0]:.2f}", f"{ratio[1][1]:.2f}", f"{ratio[0][1]:.2f}",
                f"{difference:.0e}",
            ]  # fmt: skip


HEADER = [
    "molecule", "integrals", "ours, wall / s", "PySCF, wall / s", "ours, CPU / s",
    "PySCF, CPU / s", "ratio, wall", "ratio, CPU", "ratio with SCF, CPU", "largest difference",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--molecules", nargs="+", default=["water", "benzene"])
    parser.add_argument("--basis", default="6-31g*")
    parser.add_argument("--xc", help="a functional instead of Hartree-Fock")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--integrals", choices=("exact", "fitted", "both"), default="both")
    parser.add_argument("--out", help="write the table to this file")
    options = parser.parse_args()
    options.fits = {"exact": (False,), "fitted": (True,), "both": (False, True)}[options.integrals]
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    eigen = "true" if options.threads > 1 else "false"
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={eigen}"
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    table = [HEADER, ["---"] * len(HEADER)]
    for row in rows(options):
        table.append(row)
        print(*row, sep="  ", flush=True)

    import jax
    import pyscf as library

    text = "\n\n".join([
        "# Hessians beside PySCF",
        f"{datetime.date.today().isoformat()}, `benchmarks/hessian.py --basis '{options.basis}' "
        f"--repeat {options.repeat} --threads {options.threads}`"
        f"{f' --xc {options.xc}' if options.xc else ''}, JAX {jax.__version__}, PySCF "
        f"{library.__version__}, CPU pinned to {options.threads} core(s); medians of the Hessian "
        f"alone, load {os.getloadavg()[0]:.1f} at the end.",
        "\n".join("| " + " | ".join(row) + " |" for row in table),
    ])  # fmt: skip
    print(text)
    if options.out:
        pathlib.Path(options.out).write_text(text + "\n")


if __name__ == "__main__":
    main()
