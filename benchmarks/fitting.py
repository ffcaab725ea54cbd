"""Training steps beside plain energies, and buckets beside rows one by one.

    python benchmarks/fitting.py [--heavy 1] [--out benchmarks/fitting_results.md]

Atomization energies of G2 molecules in STO-3G, PBE, exact integrals, grid level 0: time of one
gradient of the loss (warm start after a change of 1 % in the parameters) for each molecule, over
that of a plain energy from the guess with integrals made anew (`dqc_lite.energy`) and over that of
the SCF alone from warm start; compilations; rows in one call. And a step on a density loss of water
beside the derivative of the SCF iterations themselves, unrolled.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.fit import fixed, response, self_consistent
from dqc_lite.fit.programs import quick_jit
from dqc_lite.scf.diis import History
from dqc_lite.scf.orthogonalization import diagonalize
from dqc_lite.scf.state import Problem

METHOD = dqc.KS("pbe", grid_level=0)
PARAMETERS = fit.Parameters.select("pbe", ["gga_x_pbe.*", "gga_c_pbe.beta"])

COMPILED: list[float] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: COMPILED.append(seconds) if "backend_compile" in event else None
)


def best(function: Callable[[int], object], repeats: int = 3) -> float:
    """Seconds of the fastest of some calls; each is told its number."""
    times = []
    for i in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(i))
        times.append(time.perf_counter() - start)
    return min(times)


def steps(heavy: int) -> list[str]:
    """Rows of the table over a data set."""
    data = fit.g2("sto-3g", max_heavy=heavy)
    return [*_of_chunk(data, 1), *_of_chunk(data, 4)]


def _of_chunk(data: fit.Dataset, chunk: int) -> list[str]:
    start, before = time.perf_counter(), len(COMPILED)
    objective = fit.Objective(data, METHOD, PARAMETERS, chunk=chunk)
    built, integrals = time.perf_counter() - start, len(COMPILED) - before
    print(f"integrals: {built:.1f} s, {integrals} compilations", flush=True)
    x, n = PARAMETERS.point(), len(objective.rows)
    start, before = time.perf_counter(), len(COMPILED)
    objective.evaluate(x)
    first, programs = time.perf_counter() - start, len(COMPILED) - before
    gradient = best(lambda i: objective.evaluate(x * (1.01 + 0.01 * i)).loss)
    value = best(lambda i: objective.evaluate(x * (0.99 - 0.01 * i), "value").loss)
    lines = [
        f"| {chunk} | {n} | {len(objective.buckets)} | {programs} | {first:.1f} | "
        f"{1e3 * gradient / n:.1f} | {1e3 * value / n:.1f} |"
    ]
    if chunk > 1:
        return lines
    rows = objective.rows[:: max(n // 8, 1)]
    for row in rows:
        dqc.energy(row.mol, METHOD)
    plain = [best(lambda _, r=row: dqc.energy(r.mol, METHOD)) for row in rows]
    own = [r.name for r in rows]
    step = best(lambda i: _part(objective, x * (1.0 + 0.01 * (i + 1)), own)) / len(own)
    return [
        *lines,
        f"| plain energies of {len(own)} of them | | | | | {1e3 * np.mean(plain):.1f} | |",
        f"| a step on the same | | | | | {1e3 * step:.1f} | |",
    ]


def _part(objective: fit.Objective, x: np.ndarray, names: list[str]) -> None:
    """SCF and derivative of the energies of some rows."""
    for bucket in objective.buckets:
        mine = [n for n in names if n in bucket.names]
        bucket.energy_slopes(x, mine, bucket.solve(x, mine))


def density_step(cycles: int = 12) -> list[str]:
    """A density loss of water: response solve beside unrolled iterations."""
    mol = dqc.Molecule.from_atoms("O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", "6-31g")
    row = fixed.prepare(mol, METHOD).row
    x = jnp.asarray(PARAMETERS.point())
    s = row.overlap

    def squares(total):
        return jnp.trace(total @ s @ total @ s)

    def hamiltonian(x):
        return fixed.hamiltonian(METHOD, PARAMETERS.functional(x))

    start = jax.jit(lambda x: self_consistent.first_orbitals(hamiltonian(x), row))(x)

    def implicit(x):
        # constants of the derivative, as in training
        state = self_consistent.converge(
            hamiltonian(jax.lax.stop_gradient(x)), row, start, jnp.asarray(50),
            jnp.asarray(False), dqc.DIIS(),
        )
        density = response.relaxed_density(METHOD, PARAMETERS.functional(x), row, state)
        return squares(density.total)

    def unrolled(x):
        h = hamiltonian(x)
        problem = Problem(h, row.held, s, row.x, row.kept, row.reference)

        def cycle(carry, _):
            orbitals, history = carry
            point = problem.evaluate(row.reference.density(orbitals))
            history = history.push(point.effective, point.error)
            weights = jax.lax.stop_gradient(history._weights())
            mixed = jnp.tensordot(weights, history.focks, 1)
            return (diagonalize(mixed, row.x, row.kept)[1], history), None

        begin = (start, History.empty(8, row.core[None]))
        orbitals, _ = jax.lax.scan(cycle, begin, length=cycles)[0]
        return squares(row.reference.density(orbitals).total)

    lines, slopes = [], {}
    for name, function in (("response solve", implicit), (f"{cycles} cycles unrolled", unrolled)):
        program = quick_jit(jax.value_and_grad(function))
        begin = time.perf_counter()
        compiled = program.lower(x).compile()
        seconds = time.perf_counter() - begin
        memory = compiled.memory_analysis()
        held = "" if memory is None else f"{memory.temp_size_in_bytes / 2**20:.0f}"
        slopes[name] = np.asarray(compiled(x)[1])
        run = best(lambda _, c=compiled: c(x))
        lines.append(f"| {name} | {seconds:.1f} | {1e3 * run:.0f} | {held} |")
    scale = np.abs(slopes["response solve"]).max()
    difference = np.abs(np.subtract(*slopes.values())).max() / scale
    return [*lines, "", f"Largest relative difference of the two derivatives: {difference:.1e}."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heavy", type=int, default=1)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    dqc.enable_x64()
    lines = [
        "# Training steps", "", f"JAX {jax.__version__} on {jax.default_backend()}, "
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.", "",
        "| rows in a call | rows | buckets | compilations | first step (s) | step (ms/row) | "
        "loss alone (ms/row) |", "|---|---|---|---|---|---|---|", *steps(arguments.heavy), "",
        "| density loss of water, 6-31G | compile (s) | step (ms) | scratch memory (MiB) |",
        "|---|---|---|---|", *density_step(), "",
        f"Peak memory of the process: "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB.",
    ]  # fmt: skip
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        with open(arguments.out, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
