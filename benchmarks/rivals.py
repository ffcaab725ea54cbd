"""Energy and forces beside other differentiable engines, in one run.

    python benchmarks/rivals.py --dftax PYTHON --pyscfad PYTHON [--molecules water benzene]
                                [--basis def2-svp] [--limit 600] [--out FILE.md]

PYTHON is the interpreter of an environment in which that engine is installed; one left out is not
compared. PBE, every engine's default grid, forces from automatic differentiation. For each molecule
every engine has a process of its own, one after the other on the same core: `first` is the first
energy and forces, compilation included and imports not; `second` the same geometry again, `moved`
one slightly displaced. An engine that takes longer than the limit (seconds) is stopped.

dftax fits the density by default (def2-universal-jkfit), and so does ours in the row "fitted", with
PySCF's auxiliary basis; pyscfad and the row "exact" have four-centre integrals.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).parents[1]


def geometry(molecule: str) -> list[tuple[str, list[float]]]:
    """Symbols and positions in angstrom."""
    lines = (ROOT / "examples" / f"{molecule}.xyz").read_text().splitlines()[2:]
    return [(w[0], [float(x) for x in w[1:4]]) for w in map(str.split, lines) if w]


def moved(molecule: str, scale: float) -> str:
    """An atom string in angstrom."""
    return "; ".join(
        f"{s} " + " ".join(f"{scale * x:.10f}" for x in r) for s, r in geometry(molecule)
    )


def ours(molecule: str, basis: str, fit: bool) -> Callable:
    sys.path.insert(0, str(ROOT))
    import dqc_lite as dqc

    dqc.enable_x64()

    def run(scale: float):
        mol = dqc.Molecule.from_atoms(moved(molecule, scale), basis)
        return dqc.energy_and_forces(mol, dqc.KS("pbe", density_fit=fit))

    return run


def dftax(molecule: str, basis: str) -> Callable:
    import jax

    jax.config.update("jax_enable_x64", True)
    from dftax import KS, Molecule, forces, scf
    from dftax.energy.xc import PBE

    def run(scale: float):
        mol = Molecule.from_xyz(moved(molecule, scale), basis, spherical=True)
        result = scf(KS(mol, PBE()))
        return result.e_tot, forces(mol, PBE(), result)

    return run


def pyscfad(molecule: str, basis: str) -> Callable:
    import jax

    jax.config.update("jax_enable_x64", True)
    from pyscfad import dft, gto

    def run(scale: float):
        mol = gto.Mole()
        mol.atom, mol.basis, mol.verbose = moved(molecule, scale), basis, 0
        mol.build(trace_exp=False, trace_ctr_coeff=False)
        energy = lambda mol: dft.RKS(mol, xc="pbe").kernel()  # noqa: E731
        value, gradient = jax.value_and_grad(energy)(mol)
        return value, -gradient.coords

    return run


ENGINES = {
    "dqc_lite, exact": lambda *case: ours(*case, False),
    "dqc_lite, fitted": lambda *case: ours(*case, True),
    "pyscfad": pyscfad,
    "dftax": dftax,
}


def worker(engine: str, molecule: str, basis: str) -> None:
    """Print one line of JSON: versions, times, energy, forces."""
    import jax
    import numpy as np

    run, found = ENGINES[engine](molecule, basis), {"jax": jax.__version__}
    for name, scale in {"first": 1.0, "second": 1.0, "moved": 1.001}.items():
        start = time.perf_counter()
        energy, force = run(scale)
        force = np.asarray(force)
        found[name] = time.perf_counter() - start
        if name == "first":
            found |= {"energy": float(energy), "forces": force.tolist()}
        print(json.dumps(found), flush=True)


def measured(python: str, case: tuple[str, str, str], limit: float) -> dict:
    """What the worker found before the limit."""
    command = [python, __file__, "--worker", *case]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        lines = done.stdout.splitlines()
        failed = [f"exit code {done.returncode}", *done.stderr.strip().splitlines()[-1:]]
    except subprocess.TimeoutExpired as late:
        lines, failed = (late.stdout or b"").decode().splitlines(), [f"stopped after {limit:.0f} s"]
    return json.loads(lines[-1]) if lines else {"failed": " ".join(failed)}


def row(molecule: str, engine: str, found: dict, reference: dict) -> list[str]:
    if "failed" in found:
        return [molecule, engine, found["failed"], *[""] * 5]
    times = [f"{found[k]:.2f}" if k in found else "" for k in ("first", "second", "moved")]
    pairs = zip(found["forces"], reference["forces"], strict=True)
    differences = [abs(a - b) for pair in pairs for a, b in zip(*pair, strict=True)]
    return [
        molecule, engine, *times, f"{found['energy'] - reference['energy']:.1e}",
        f"{max(differences):.1e}", found["jax"],
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dftax", metavar="PYTHON")
    parser.add_argument("--pyscfad", metavar="PYTHON")
    parser.add_argument("--molecules", nargs="+", default=["water", "benzene"])
    parser.add_argument("--basis", default="def2-svp")
    parser.add_argument("--limit", type=float, default=600.0)
    parser.add_argument("--out", help="write the table to this file")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    pythons = {"dqc_lite, exact": sys.executable, "dqc_lite, fitted": sys.executable}
    pythons |= {e: p for e in ("pyscfad", "dftax") if (p := getattr(options, e))}
    header = [
        "molecule", "engine", "first / s", "second / s", "moved / s", "energy - exact",
        "largest difference of forces", "JAX",
    ]  # fmt: skip
    rows = [header, ["---"] * len(header)]
    for molecule in options.molecules:
        reference: dict = {}
        for engine, python in pythons.items():
            found = measured(python, (engine, molecule, options.basis), options.limit)
            reference = reference or found
            rows.append(row(molecule, engine, found, reference))
            print(*rows[-1], sep="  ", flush=True)
    table = "\n".join("| " + " | ".join(r) + " |" for r in rows)
    text = (
        f"# Other differentiable engines\n\n{datetime.date.today().isoformat()}, "
        f"`benchmarks/rivals.py --basis {options.basis} --limit {options.limit:.0f}`, PBE, one "
        f"core; load {os.getloadavg()[0]:.1f} at the end. Energies and forces are compared with "
        f"those of the first row of each molecule (hartree, hartree/bohr).\n\n{table}\n"
    )
    print(text)
    if options.out:
        pathlib.Path(options.out).write_text(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:5])
    else:
        main()
