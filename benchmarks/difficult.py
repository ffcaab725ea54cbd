"""Self-consistent fields that break ordinary solvers, by the default guess and the default solver.

    python benchmarks/difficult.py [--only WORDS] [--limit 600] [--out FILE.md]

Every case of tests/data/difficult_cases.json in a process of its own, stopped after `--limit`
seconds. The eigenvalue is missing where the default solver saw no reason to look at the stability.
Where the minimum is soft, with a lowest orbital-Hessian eigenvalue between 1e-3 hartree (below:
zero modes of degenerate shells) and 0.01, others are near, and the case goes on with
`Auto(starts=4)`: "with starts" tells where that ended, "minima" counts those that differ by 1e-6
hartree. Outcomes: "lowest known" (within 1e-6 hartree, 2e-5 with functionals, of the lowest stable
energy known), "lower" (below it by more), "other stable" (a minimum above it), "unstable, said so"
(converged at a saddle point, `certificate.stable` is False), "unnoticed" (above it and not
examined), "no reference", "raised" (an error of the package), "stopped". Rows are kept beside the
table (`.jsonl`) until all are done, and not run again.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = pathlib.Path(__file__).parent
CASES = HERE.parent / "tests" / "data" / "difficult_cases.json"
TOLERANCE = {True: 1e-6, False: 2e-5}  # hartree, of Hartree-Fock, of functionals: grids differ
SAME = 1e-6  # hartree: two minima are one
SOFT = (1e-3, 0.01)
STARTS = 4
RESTRICTED = {"R": True, "U": False, "RO": "rohf"}


def lowest_known(row: dict) -> float | None:
    """Hartree: the lowest stable energy found with PySCF, else its converged or a published one."""
    if row.get("lowest_stable_energy_found"):
        return row["lowest_stable_energy_found"]["energy"]
    default = row.get("pyscf_2_14_default") or {}
    return default["energy"] if default.get("converged") else row["published_energy"]


def grid_level(row: dict) -> int:
    """That of PySCF's energies: 3 for the lowest known, else as the row says ("level 2")."""
    if row.get("lowest_stable_energy_found"):
        return 3
    named = (row.get("pyscf_2_14_default") or {}).get("grid")
    return int(named.split()[-1]) if named else 3


def solve(row: dict) -> dict:
    """Run one case."""
    import dqc_lite as dqc

    dqc.enable_x64()
    start = time.perf_counter()
    mol = dqc.Molecule.from_atoms(
        row["atoms"], row["basis"], ecp=row["ecp"], unit=row["unit"], charge=row["charge"],
        spin=row["spin"], cart=row["cart"],
    )  # fmt: skip
    restricted = RESTRICTED[row["method"][:-2]]
    level = grid_level(row)
    method = dqc.KS(row["xc"], restricted, grid_level=level) if row["xc"] else dqc.HF(restricted)
    try:
        solution = dqc.solve(mol, method)
        seconds = time.perf_counter() - start
        c = solution.certificate
        looked = c.stable is not None
        soft = looked and SOFT[0] < float(c.lowest_hessian_eigenvalue) < SOFT[1]
        again = (
            dqc.solve(mol, method, solver=dqc.Auto(starts=STARTS), guess=solution) if soft else None
        )
    except dqc.errors.DqcLiteError as error:
        return {"outcome": "raised", "error": f"{type(error).__name__}: {error}"[:200]}
    return {
        "energy": float(solution.energy), "stable": bool(c.stable) if looked else None,
        "cycles": int(solution.iterations), "second_order": int(c.second_order_cycles),
        "left": int(c.saddle_points_left), "builds": int(c.fock_builds),
        "eigenvalue": float(c.lowest_hessian_eigenvalue) if looked else None,
        "gap": float(c.gap), "starts": None if again is None else float(again.energy),
        "minima": None if again is None else different(again.certificate.start_energies),
        "seconds": round(seconds, 1),
    }  # fmt: skip


def different(energies: Any) -> int:
    """How many differ."""
    found = sorted(float(e) for e in energies if e == e)
    return 1 + sum(b - a > SAME for a, b in itertools.pairwise(found))


def outcome(row: dict, made: dict) -> str:
    """What to call it."""
    if "outcome" in made:
        return made["outcome"]
    reference = lowest_known(row)
    if made["stable"] is False:
        return "unstable, said so"
    if reference is None:
        return "no reference"
    above, tolerance = made["energy"] - reference, TOLERANCE[row["xc"] is None]
    if above > tolerance:
        return "other stable" if made["stable"] else "unnoticed"
    return "lowest known" if above > -tolerance else "lower"


def of_peer(row: dict) -> str:
    """What PySCF's default ends in."""
    default = row.get("pyscf_2_14_default")
    if not default:
        return ""
    if not default["converged"]:
        return "not converged"
    known = lowest_known(row)
    if known is not None and default["energy"] > known + 1e-5:
        return f"{default['energy'] - known:+.4f}"
    return "lowest known"


def line(row: dict, made: dict) -> str:
    name = f"{row['name']}"
    method = row["method"] if not row["xc"] else f"{row['method']} {row['xc']}"
    basis = row["basis"] if isinstance(row["basis"], str) else "mixed"
    known = lowest_known(row)

    def shown(key: str, style: str) -> str:
        return "" if made.get(key) is None else format(made[key], style)

    def above(key: str) -> str:
        return "" if made.get(key) is None or known is None else f"{made[key] - known:+.1e}"

    cells = [
        name, method, basis, shown("energy", ".8f"), above("energy"), shown("cycles", "d"),
        shown("second_order", "d"), shown("left", "d"), shown("gap", ".2f"),
        shown("eigenvalue", ".0e"), shown("builds", "d"), outcome(row, made), above("starts"),
        shown("minima", "d"), of_peer(row),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for a case")
    parser.add_argument("--out", default=str(HERE / "difficult_results.md"))
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = json.loads(CASES.read_text())
    if options.case is not None:
        print(json.dumps(solve(rows[options.case])))
        return 0
    store = pathlib.Path(options.out).with_suffix(".jsonl")
    done = dict(map(json.loads, store.read_text().splitlines())) if store.exists() else {}
    for i, row in enumerate(rows):
        if row["name"] in done or options.only not in row["name"]:
            continue
        command = [sys.executable, __file__, "--case", str(i)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=options.limit)
            text = run.stdout.splitlines()[-1] if run.returncode == 0 else None
            made = json.loads(text) if text else {"outcome": "crashed", "error": run.stderr[-300:]}
        except subprocess.TimeoutExpired:
            made = {"outcome": "stopped"}
        done[row["name"]] = made
        with store.open("a") as file:
            file.write(json.dumps([row["name"], made]) + "\n")
        print(row["name"], made, flush=True)
    write(pathlib.Path(options.out), [r for r in rows if r["name"] in done], done)
    if len(done) == len(rows):
        store.unlink()
    return 0


def write(path: pathlib.Path, rows: list[dict], done: dict[str, dict]) -> None:
    """The table."""
    outcomes = [outcome(r, done[r["name"]]) for r in rows]
    counts = ", ".join(f"{outcomes.count(o)} {o}" for o in sorted(set(outcomes)))
    head = [
        "case", "method", "basis", "E / hartree", "E - lowest known", "cycles", "second order",
        "saddle points left", "gap", "lowest eigenvalue", "Fock builds", "outcome", "with starts",
        "minima", "PySCF's default",
    ]  # fmt: skip
    stamp = datetime.date.today().isoformat()
    text = [
        "# Difficult self-consistent fields, the default solver from the default guess", "",
        f"{stamp}, by `benchmarks/difficult.py`: {len(rows)} cases, {counts}. \"PySCF's default\" "
        "says by how much it is above the lowest stable energy known.", "",
        "| " + " | ".join(head) + " |", "|" + " --- |" * len(head),
        *(line(r, done[r["name"]]) for r in rows), "",
    ]  # fmt: skip
    path.write_text("\n".join(text))


if __name__ == "__main__":
    sys.exit(main())
