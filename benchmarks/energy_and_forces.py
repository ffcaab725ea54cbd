"""Energy and forces beside PySCF, in one run.

    python benchmarks/energy_and_forces.py [--methods hf pbe ...] [--molecules water ...]
                                           [--bases def2-svp ...] [--threads 1] [--repeat 5]
                                           [--no-cold] [--out FILE.md]

A method is hf or the name of a functional (grid level 3 for both engines). For each molecule,
basis and treatment of the repulsion integrals the two engines take turns:

- warm: energy and forces in a process that has done it before, geometry slightly moved each time;
- cold: a whole process from the interpreter's start to its end, without any compilation cache:
  `dqc-lite forces --no-cache` here, the shortest script there;
- first: the same while it fills a compilation cache, for which programs are optimized more;
- cached: the same with the compilation cache filled by an earlier one.

Medians of the turns; same number of threads for both. CPU times are user and system time, which
other work on the machine disturbs less. This engine converges to its defaults
(1e-10 hartree, gradient 1e-8), PySCF to its own (1e-9, 3e-5) and, in the column "tight", to ours.
PySCF's forces leave out the response of the grid, ours include it: that is their difference for
functionals. Peak memory is that of the cold process.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
MOLECULES = ("water", "benzene", "caffeine", "alanine_tetrapeptide")
BASES = ("6-31g*", "def2-svp")
# (molecule, exact): the four-centre integrals of the larger ones exceed the memory of a laptop
EXACT = ("water", "benzene")
COLD = [("water", "def2-svp", False), ("water", "def2-svp", True), ("benzene", "def2-svp", True)]
Case = tuple[str, str, str, bool]
"""Method, molecule, basis, density fitting."""


def ours(method: str, molecule: str, basis: str, fit: bool):
    """A function of a scale of the geometry: energy and forces."""
    import dqc_lite as dqc

    dqc.enable_x64()
    mol = dqc.Molecule.from_xyz(geometry(molecule), basis)
    model = dqc.HF(density_fit=fit) if method == "hf" else dqc.KS(method, density_fit=fit)

    def run(scale: float):
        moved = mol.with_positions(mol.positions * scale)
        energy, forces = dqc.energy_and_forces(moved, model)
        return float(energy), forces.block_until_ready()

    return run


def pyscf(method: str, molecule: str, basis: str, fit: bool, tight: bool = False):
    """The same by PySCF, auxiliary response included."""
    import pyscf.dft
    import pyscf.gto
    import pyscf.scf

    mole = pyscf.gto.M(atom=geometry(molecule), basis=basis, verbose=0)
    positions = mole.atom_coords()

    def run(scale: float):
        moved = mole.set_geom_(positions * scale, unit="Bohr", inplace=False)
        mf = pyscf.scf.RHF(moved) if method == "hf" else pyscf.dft.RKS(moved, xc=method)
        mf = mf.density_fit() if fit else mf
        if tight:
            mf.conv_tol, mf.conv_tol_grad = 1e-10, 1e-8
        energy = mf.kernel()
        return energy, -mf.nuc_grad_method().kernel()

    return run


def geometry(molecule: str) -> str:
    return str(ROOT / "examples" / f"{molecule}.xyz")


def warm(case: Case, repeat: int) -> dict:
    """Median seconds of each engine in this process, taking turns."""
    import numpy as np

    engines = {"ours": ours(*case), "pyscf": pyscf(*case), "tight": pyscf(*case, tight=True)}
    results = {name: run(1.0) for name, run in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(repeat):
        for name, run in engines.items():
            start = time.perf_counter()
            run(1.0 + 1e-4 * (turn + 1))
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(t) for name, t in times.items()}
    medians["energy difference"] = results["ours"][0] - results["tight"][0]
    difference = np.abs(np.asarray(results["ours"][1]) - results["tight"][1]).max()
    return medians | {"force difference": float(difference)}


def worker(case: Case) -> None:
    """What PySCF's process does."""
    pyscf(*case)(1.0)


def command(case: Case, cache: str | None) -> list[str]:
    """`dqc-lite forces`."""
    method, molecule, basis, fit = case
    return [
        sys.executable, "-m", "dqc_lite.cli", "forces", geometry(molecule), "--basis", basis,
        *([] if method == "hf" else ["--xc", method]), *(["--density-fit"] if fit else []),
        *([] if cache else ["--no-cache"]),
    ]  # fmt: skip


def process(arguments: list[str], cache: str | None = None) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak MiB of a whole process."""
    environment = os.environ | {"DQC_LITE_CACHE_DIR": cache or "", "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    child = subprocess.Popen(arguments, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    elapsed = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{arguments} failed")
    return elapsed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def cold(case: Case, repeat: int) -> dict:
    """Medians of `process`: no cache, empty cache, filled cache, PySCF."""
    other = [sys.executable, __file__, "--worker", *case[:-1], str(int(case[-1]))]
    times: dict[str, list] = {"cold": [], "first": [], "cached": [], "pyscf": []}
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as cache:
            times["cold"].append(process(command(case, None)))
            times["first"].append(process(command(case, cache), cache))
            times["cached"].append(process(command(case, cache), cache))
            times["pyscf"].append(process(other))
    return {k: tuple(map(statistics.median, zip(*v, strict=True))) for k, v in times.items()}


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(r) + " |" for r in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines)


def integrals(fit: bool) -> str:
    return "fitted" if fit else "exact"


def cases(options: argparse.Namespace) -> list[Case]:
    """Everything to time warm."""
    return [
        (method, molecule, basis, fit)
        for method, molecule, basis, fit in itertools.product(
            options.methods, options.molecules, options.bases, (False, True)
        )
        if fit or (molecule in EXACT and not options.fitted_only)
    ]


def warm_table(options: argparse.Namespace) -> str:
    rows = []
    for case in cases(options):
        r = warm(case, options.repeat)
        row = [
            *case[:3], integrals(case[3]), f"{r['ours']:.3f}", f"{r['pyscf']:.3f}",
            f"{r['tight']:.3f}", f"{r['ours'] / r['pyscf']:.2f}", f"{r['ours'] / r['tight']:.2f}",
            f"{r['energy difference']:.0e}", f"{r['force difference']:.0e}",
        ]  # fmt: skip
        rows.append(row)
        print(*row, sep="  ", flush=True)
    header = [
        "method", "molecule", "basis", "integrals", "ours / s", "PySCF / s", "PySCF tight / s",
        "ours / PySCF", "ours / tight", "energy difference", "force difference",
    ]  # fmt: skip
    return table(header, rows)


def cold_table(options: argparse.Namespace) -> str:
    rows = []
    chosen = [c for c in COLD if c[0] in options.molecules and c[1] in options.bases]
    for case in [(method, *rest) for method in options.methods for rest in chosen]:
        r = cold(case, max(3, options.repeat // 2))
        row = [
            *case[:3], integrals(case[3]),
            *(f"{r[k][0]:.2f}" for k in ("cold", "first", "cached", "pyscf")),
            *(f"{r[k][0] / r['pyscf'][0]:.2f}" for k in ("cold", "first", "cached")),
            *(f"{r[k][1] / r['pyscf'][1]:.2f}" for k in ("cold", "first", "cached")),
            *(f"{r[k][2]:.0f}" for k in ("cold", "pyscf")),
        ]  # fmt: skip
        rows.append(row)
        print(*row, sep="  ", flush=True)
    header = [
        "method", "molecule", "basis", "integrals", "cold / s", "first / s", "cached / s",
        "PySCF / s", "cold / PySCF", "first / PySCF", "cached / PySCF", "cold, CPU ratio",
        "first, CPU ratio", "cached, CPU ratio", "peak MiB", "PySCF's peak MiB",
    ]  # fmt: skip
    return table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["hf"])
    parser.add_argument("--bases", nargs="+", default=BASES)
    parser.add_argument("--fitted-only", action="store_true", help="no exact integrals")
    parser.add_argument("--molecules", nargs="+", default=MOLECULES, choices=MOLECULES)
    parser.add_argument("--no-cold", action="store_true", help="skip the whole processes")
    parser.add_argument("--no-warm", action="store_true", help="only the whole processes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", help="write the tables to this file")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    eigen = "true" if options.threads > 1 else "false"
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={eigen}"
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    whole = "not run" if options.no_cold else cold_table(options)
    inside = "not run" if options.no_warm else warm_table(options)

    import jax
    import pyscf as library

    text = "\n\n".join([
        "# Energy and forces beside PySCF",
        f"{datetime.date.today().isoformat()}, `benchmarks/energy_and_forces.py --threads "
        f"{options.threads} --repeat {options.repeat}`, JAX {jax.__version__}, PySCF "
        f"{library.__version__}, CPU pinned to {options.threads} core(s); medians, load "
        f"{os.getloadavg()[0]:.1f} at the end.",
        "## Whole processes", whole, "## Warm, in one process", inside,
    ])  # fmt: skip
    print(text)
    if options.out:
        pathlib.Path(options.out).write_text(text + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        worker((*sys.argv[2:5], bool(int(sys.argv[5]))))
    else:
        main()
