"""Hartree-Fock energy and forces beside PySCF, in one run.

    python benchmarks/hartree_fock.py [--molecules water ...] [--threads 1] [--repeat 5]
                                      [--no-cold] [--out FILE.md]

For each molecule, basis and treatment of the repulsion integrals the two engines take turns:

- warm: energy and forces in a process that has done it before, geometry slightly moved each time;
- cold: a whole process from the interpreter's start, without any compilation cache;
- cached: a whole process with the compilation cache filled by an earlier one.

Medians of the turns; same number of threads for both. This engine converges to its defaults
(1e-10 hartree, gradient 1e-8), PySCF to its own (1e-9, 3e-5) and, in the column "tight", to ours.
Peak memory is that of the cold process.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import resource
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


def ours(path: str, basis: str, fit: bool):
    """A function of a scale of the geometry: energy and forces."""
    import dqc_lite as dqc

    dqc.enable_x64()
    mol, method = dqc.Molecule.from_xyz(path, basis), dqc.HF(density_fit=fit)

    def run(scale: float):
        moved = mol.with_positions(mol.positions * scale)
        energy, forces = dqc.energy_and_forces(moved, method)
        return float(energy), forces.block_until_ready()

    return run


def pyscf(path: str, basis: str, fit: bool, tight: bool = False):
    """The same by PySCF, auxiliary response included."""
    import pyscf.gto
    import pyscf.scf

    mole = pyscf.gto.M(atom=path, basis=basis, verbose=0)
    positions = mole.atom_coords()

    def run(scale: float):
        moved = mole.set_geom_(positions * scale, unit="Bohr", inplace=False)
        mf = pyscf.scf.RHF(moved)
        mf = mf.density_fit() if fit else mf
        if tight:
            mf.conv_tol, mf.conv_tol_grad = 1e-10, 1e-8
        energy = mf.kernel()
        return energy, -mf.nuc_grad_method().kernel()

    return run


def geometry(molecule: str) -> str:
    return str(ROOT / "examples" / f"{molecule}.xyz")


def warm(molecule: str, basis: str, fit: bool, repeat: int) -> dict:
    """Median seconds of each engine in this process, taking turns."""
    import numpy as np

    engines = {
        "ours": ours(geometry(molecule), basis, fit),
        "pyscf": pyscf(geometry(molecule), basis, fit),
        "tight": pyscf(geometry(molecule), basis, fit, tight=True),
    }
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


def worker(engine: str, molecule: str, basis: str, fit: bool) -> None:
    """What a cold process does."""
    cache = os.environ.get("BENCHMARK_CACHE")
    if engine == "ours" and cache:
        import jax

        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    {"ours": ours, "pyscf": pyscf}[engine](geometry(molecule), basis, fit)(1.0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak": peak / 1024}))


def process(engine: str, case: tuple, cache: str = "") -> tuple[float, float]:
    """Seconds and peak MiB of a whole process."""
    molecule, basis, fit = case
    command = [sys.executable, __file__, "--worker", engine, molecule, basis, str(int(fit))]
    start = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | {"BENCHMARK_CACHE": cache}, cwd=ROOT, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    elapsed = time.perf_counter() - start
    return elapsed, json.loads(done.stdout.splitlines()[-1])["peak"]


def cold(case: tuple, repeat: int) -> dict:
    """Median seconds and peak MiB of whole processes: no cache, filled cache, PySCF."""
    times: dict[str, list] = {"cold": [], "cached": [], "pyscf": []}
    with tempfile.TemporaryDirectory() as cache:
        process("ours", case, cache)
        for _ in range(repeat):
            times["cold"].append(process("ours", case))
            times["cached"].append(process("ours", case, cache))
            times["pyscf"].append(process("pyscf", case))
    return {k: tuple(map(statistics.median, zip(*v, strict=True))) for k, v in times.items()}


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(r) + " |" for r in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines)


def warm_table(repeat: int, molecules: tuple[str, ...]) -> str:
    rows = []
    for molecule in molecules:
        for basis in BASES:
            for fit in (False, True):
                if not fit and molecule not in EXACT:
                    continue
                r = warm(molecule, basis, fit, repeat)
                row = [
                    molecule, basis, "fitted" if fit else "exact", f"{r['ours']:.3f}",
                    f"{r['pyscf']:.3f}", f"{r['tight']:.3f}", f"{r['ours'] / r['pyscf']:.2f}",
                    f"{r['ours'] / r['tight']:.2f}", f"{r['energy difference']:.0e}",
                    f"{r['force difference']:.0e}",
                ]  # fmt: skip
                rows.append(row)
                print(*row, sep="  ", flush=True)
    header = [
        "molecule", "basis", "integrals", "ours / s", "PySCF / s", "PySCF tight / s",
        "ours / PySCF", "ours / tight", "energy difference", "force difference",
    ]  # fmt: skip
    return table(header, rows)


def cold_table(repeat: int) -> str:
    rows = []
    for case in COLD:
        r = cold(case, repeat)
        base = r["pyscf"][0]
        row = [
            case[0], case[1], "fitted" if case[2] else "exact",
            *(f"{r[k][0]:.2f}" for k in ("cold", "cached", "pyscf")),
            *(f"{r[k][0] / base:.2f}" for k in ("cold", "cached")),
            *(f"{r[k][1]:.0f}" for k in ("cold", "pyscf")),
        ]  # fmt: skip
        rows.append(row)
        print(*row, sep="  ", flush=True)
    header = [
        "molecule", "basis", "integrals", "cold / s", "cached / s", "PySCF / s", "cold / PySCF",
        "cached / PySCF", "peak MiB", "PySCF's peak MiB",
    ]  # fmt: skip
    return table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--molecules", nargs="+", default=MOLECULES, choices=MOLECULES)
    parser.add_argument("--no-cold", action="store_true", help="skip the whole processes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", help="write the tables to this file")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    eigen = "true" if options.threads > 1 else "false"
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={eigen}"
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    whole = "not run" if options.no_cold else cold_table(max(3, options.repeat // 2))
    inside = warm_table(options.repeat, tuple(options.molecules))

    import jax
    import pyscf as library

    text = "\n\n".join([
        "# Hartree-Fock energy and forces beside PySCF",
        f"{datetime.date.today().isoformat()}, `benchmarks/hartree_fock.py --threads "
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
        worker(sys.argv[2], sys.argv[3], sys.argv[4], bool(int(sys.argv[5])))
    else:
        main()
