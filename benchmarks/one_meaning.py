"""What the whole search costs inside of `jax.jit`, beside DIIS alone: compilation and warm calls.

    python benchmarks/one_meaning.py --out benchmarks/one_meaning_results.md

CPU seconds of this process for energy and forces of water (def2-SVP, density-fitted), compiled by
XLA with its defaults, as users' own `jit` is; medians over alternating repetitions. Pin the threads
(OMP_NUM_THREADS=1) and let nothing else run.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import time

import jax

import dqc_lite as dqc

METHODS = {"HF": dqc.HF(density_fit=True), "PBE": dqc.KS("pbe", density_fit=True)}
SOLVERS = {"DIIS": "diis", "all stages": "auto"}
WATER = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"
WARM = 15


def measured(mol: dqc.Molecule, method: dqc.HF | dqc.KS, solver: str) -> tuple[float, float]:
    """CPU seconds of compilation and first call, and of a later one."""
    jax.clear_caches()

    @jax.jit
    def function(r: jax.Array) -> tuple:
        return jax.value_and_grad(
            lambda r: dqc.energy(mol.with_positions(r), method, solver=solver)
        )(r)

    def call() -> float:
        start = time.process_time()
        jax.block_until_ready(function(mol.positions))
        return time.process_time() - start

    first = call()
    return first, statistics.median(call() for _ in range(WARM))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    dqc.enable_x64()
    mol = dqc.Molecule.from_atoms(WATER, "def2-svp")
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(options.repeat):
        for name, method in METHODS.items():
            for stages, solver in SOLVERS.items():
                found.setdefault((name, stages), []).append(measured(mol, method, solver))
    lines = [
        "# The whole search inside of jit", "",
        "`python benchmarks/one_meaning.py --out benchmarks/one_meaning_results.md`, CPU seconds,",
        f"JAX {jax.__version__}, energy and forces of water (def2-SVP, fitted); medians of "
        f"{options.repeat}.", "",
        "| method | stages | compilation and first call | later call |", "|---|---|---|---|",
    ]  # fmt: skip
    for (name, stages), pairs in found.items():
        first, warm = map(statistics.median, zip(*pairs, strict=True))
        lines.append(f"| {name} | {stages} | {first:.2f} | {warm:.4f} |")
    for name in METHODS:
        alone, whole = (
            [statistics.median(x) for x in zip(*found[name, stages], strict=True)]
            for stages in SOLVERS
        )
        lines.append(
            f"| {name} | ratio | {whole[0] / alone[0]:.2f} | {whole[1] / alone[1]:.2f} |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out is not None:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
