"""Training steps beside plain energies, buckets beside loops, density losses beside unrolling.

    python benchmarks/fitting.py [--heavy 99] [--loop-heavy 1] [--out benchmarks/fitting_results.md]

Atomization energies of G2 molecules in STO-3G, PBE, exact integrals, grid level 0. A training step
is one gradient of the loss after a change of the parameters by 1 %, with SCFs from the last
orbitals; a plain energy is `dqc_lite.energy`, from the guess and with integrals made anew. All
times are of the CPU (one thread), the best of some repeats.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import resource
import time
from collections.abc import Callable, Iterable

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import jax
import jax.numpy as jnp
import numpy as np

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.fit import fixed, response, self_consistent
from dqc_lite.fit.programs import quick_jit
from dqc_lite.scf.diis import History
from dqc_lite.scf.orthogonalization import diagonalize
from dqc_lite.scf.self_consistency import SelfConsistency

METHOD = dqc.KS("pbe", grid_level=0)
PARAMETERS = fit.Parameters.select("pbe", ["gga_x_pbe.*", "gga_c_pbe.beta"])
SAMPLE = 8

COMPILED: list[float] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: COMPILED.append(seconds) if "backend_compile" in event else None
)


def timed(function: Callable[[], object]) -> tuple[float, object]:
    """Seconds of the CPU, and the result."""
    start = time.process_time()
    result = jax.block_until_ready(function())
    return time.process_time() - start, result


def best(function: Callable[[int], object], repeats: int = 3) -> float:
    """Seconds of the fastest of some calls; each is told its number."""
    return min(timed(lambda i=i: function(i))[0] for i in range(repeats))


def peak() -> float:
    """Largest memory of the process until now, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def table(head: str, rows: Iterable[Iterable[object]]) -> list[str]:
    """In Markdown."""
    columns = head.count("|") - 1
    return [head, "|---" * columns + "|", *("| " + " | ".join(map(str, r)) + " |" for r in rows)]


class Steps:
    """A data set with its compilations and times."""

    def __init__(self, data: fit.Dataset, chunk: int = 1, max_buckets: int = 8):
        begin = len(COMPILED)
        make = lambda: fit.Objective(  # noqa: E731
            data, METHOD, PARAMETERS, chunk=chunk, max_buckets=max_buckets
        )
        self.integrals, self.objective = timed(make)
        self.of_integrals, begin = len(COMPILED) - begin, len(COMPILED)
        self.x, self.rows = PARAMETERS.point(), self.objective.rows
        self.first, self.found = timed(lambda: self.objective.evaluate(self.x))
        self.programs = len(COMPILED) - begin

    def step(self, names: set[str]) -> float:
        """Seconds of the gradients of the energies of some rows."""
        objective = self.objective

        def run(i: int) -> None:
            x = jnp.asarray(self.x * (1.0 + 0.01 * (i + 1)))
            for bucket in objective.buckets:
                mine = [n for n in bucket.names if n in names]
                jax.block_until_ready(bucket.energy_slopes(x, mine, bucket.solve(x, mine)))

        return best(run)

    @property
    def builds(self) -> float:
        """Fock builds of a row in the last evaluation."""
        return self.found.fock_builds / len(self.rows)


def whole_set(heavy: int) -> list[str]:
    """The set in few buckets, and a step beside plain energies of a sample."""
    data = fit.g2("sto-3g", max_heavy=heavy)
    steps = Steps(data)
    print(f"first evaluation done after {time.process_time():.0f} s", flush=True)
    n = len(steps.rows)
    everything = steps.step({row.name for row in steps.rows})
    moved = steps.objective.evaluate(steps.x * 1.05)
    rows = table(
        "| molecules and atoms | buckets | compilations of integrals | of training programs | "
        "integrals (s) | first step (s) | later steps (ms/row) | Fock builds, first / later | "
        "peak memory (GiB) |",
        [[n, len(steps.objective.buckets), steps.of_integrals, steps.programs,
          f"{steps.integrals:.0f}", f"{steps.first:.0f}", f"{1e3 * everything / n:.0f}",
          f"{steps.builds:.1f} / {moved.fock_builds / n:.1f}", f"{peak():.2f}"]],
    )  # fmt: skip
    skipped = ", ".join(steps.found.skipped) or "none"
    return [*rows, "", f"Rows that did not converge: {skipped}.", "", *against_plain(steps)]


def against_plain(steps: Steps) -> list[str]:
    """Row by row."""
    rows = steps.rows[:: max(len(steps.rows) // SAMPLE, 1)][:SAMPLE]
    lines, ratios = [], []
    for row in rows:
        dqc.energy(row.mol, METHOD)
        dqc.energy(row.mol, METHOD)
        own = {row.name}
        steps.step(own)
        pairs = [(steps.step(own), best(lambda _, r=row: dqc.energy(r.mol, METHOD), 2))
                 for _ in range(2)]  # fmt: skip
        step, plain = (min(p) for p in zip(*pairs, strict=True))
        ratios.append(step / plain)
        sizes = steps.objective.home[row.name].sizes
        lines.append([row.name, row.mol.nao, sizes.nao, f"{1e3 * plain:.0f}",
                      f"{1e3 * step:.0f}", f"{step / plain:.2f}"])  # fmt: skip
    head = "| row | functions | padded to | plain energy (ms) | training step (ms) | ratio |"
    mean = np.exp(np.mean(np.log(ratios)))
    return [*table(head, lines), "", f"Geometric mean of the ratios: {mean:.2f}."]


def loops(heavy: int) -> list[str]:
    """One bucket for each kind of determinant beside the derivative of every energy by itself."""
    data = fit.g2("sto-3g", max_heavy=heavy)
    lines = []
    for chunk in (1, 4):
        steps = Steps(data, chunk, max_buckets=2)
        names = {row.name for row in steps.rows}
        later = 1e3 * steps.step(names) / len(names)
        lines.append([f"buckets, {chunk} rows in a call", len(names), steps.programs,
                      f"{steps.first:.1f}", f"{later:.0f}"])  # fmt: skip
    begin = len(COMPILED)

    def each(i: int) -> list:
        xc = PARAMETERS.functional(jnp.asarray(PARAMETERS.point() * (1.0 + 0.01 * i)))

        def energy(xc: dqc.Functional, mol: dqc.Molecule) -> jax.Array:
            return dqc.energy(mol, dataclasses.replace(METHOD, xc=xc))

        return [jax.value_and_grad(energy)(xc, row.mol) for row in steps.rows]

    first, _ = timed(lambda: each(0))
    programs = len(COMPILED) - begin
    later = best(lambda i: each(i + 1), 2) / len(steps.rows)
    lines.append(["jax.value_and_grad(dqc.energy) in a loop", len(steps.rows), programs,
                  f"{first:.1f}", f"{1e3 * later:.0f}"])  # fmt: skip
    head = "| | rows | compilations | first step (s) | later steps (ms/row) |"
    return table(head, lines)


GEOMETRIES = {
    "water": "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587",
    "N2": "N 0 0 0; N 0 0 1.1",
}


UNROLLED = {"12 cycles of DIIS unrolled": (12, True), "25 damped cycles unrolled": (25, False)}


def density_step(name: str) -> list[list[str]]:
    """The squared change of the density since the guess: response solve beside unrolled cycles."""
    mol = dqc.Molecule.from_atoms(GEOMETRIES[name], "6-31g")
    row = fixed.prepare(mol, METHOD).row
    x = jnp.asarray(PARAMETERS.point())
    s = row.overlap

    def hamiltonian(x):
        return fixed.hamiltonian(METHOD, PARAMETERS.functional(x))

    start = jax.jit(lambda x: self_consistent.first_orbitals(hamiltonian(x), row))(x)
    target = row.reference.density(start).total

    def squares(total):
        return jnp.trace((total - target) @ s @ (total - target) @ s)

    def implicit(x):
        # constants of the derivative, as in training
        state = self_consistent.converge(
            hamiltonian(jax.lax.stop_gradient(x)), row, start, jnp.asarray(50),
            jnp.asarray(False), dqc.DIIS(energy_tol=1e-11, gradient_tol=1e-9),
        )  # fmt: skip
        density = response.relaxed_density(METHOD, PARAMETERS.functional(x), row, state)
        return squares(density.total)

    def unrolled(cycles, diis, x):
        h = hamiltonian(x)
        problem = SelfConsistency(h, row.held, s, row.x, row.kept, row.reference)

        def cycle(carry, _):
            orbitals, history, last = carry
            point = problem.evaluate(row.reference.density(orbitals))
            history = history.push(point.effective, point.error)
            mixed = history.extrapolate() if diis else 0.5 * (last + point.effective)
            return (diagonalize(mixed, row.x, row.kept)[1], history, mixed), None

        first = problem.evaluate(row.reference.density(start)).effective
        begin = (start, History.empty(8, row.core[None]), first)
        orbitals = jax.lax.scan(cycle, begin, length=cycles)[0][0]
        return squares(row.reference.density(orbitals).total)

    functions = {"response solve": implicit}
    functions |= {k: functools.partial(unrolled, *how) for k, how in UNROLLED.items()}
    lines, exact = [], None
    for label, function in functions.items():
        program = quick_jit(jax.value_and_grad(function))
        seconds, compiled = timed(program.lower(x).compile)
        held = compiled.memory_analysis().temp_size_in_bytes / 2**20
        slope = np.asarray(compiled(x)[1])
        exact = slope if exact is None else exact
        run = best(lambda _, c=compiled: c(x))
        error = np.abs(slope - exact).max() / np.abs(exact).max()
        difference = "" if label == "response solve" else f"{error:.0e}"
        lines.append([name, label, f"{seconds:.1f}", f"{1e3 * run:.0f}", f"{held:.2f}", difference])
    return lines


WHY = """
The loop has to diagonalize, and the derivative of the orbitals divides by differences of their
energies. Where orbitals are degenerate (pi orbitals of N2; the grid splits them by rounding alone)
that is noise which grows with the cycles. DIIS solves a system that becomes singular as the errors
vanish: its derivative is NaN."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heavy", type=int, default=99, help="atoms other than hydrogen at most")
    parser.add_argument("--loop-heavy", type=int, default=1, help="the same beside loops")
    parser.add_argument("--only", default="", help="sections whose title holds this")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    dqc.enable_x64()
    sections = {
        "The whole set": lambda: whole_set(arguments.heavy),
        "Buckets beside loops": lambda: [
            f"Rows with at most {arguments.loop_heavy} atom(s) other than hydrogen.", "",
            *loops(arguments.loop_heavy),
        ],
        "Density loss beside the unrolled loop": lambda: [
            *table("| 6-31G | derivative by | compile (s) | step (ms) | scratch memory (MiB) | "
                   "relative difference |", [*density_step("water"), *density_step("N2")]),
            *WHY.splitlines(),
        ],
    }  # fmt: skip
    lines = [
        "# Training steps", "", " ".join(__doc__.split("\n\n")[2].split()), "",
        f"`python benchmarks/fitting.py --heavy {arguments.heavy} --loop-heavy "
        f"{arguments.loop_heavy}`, dqc_lite {dqc.__version__}, JAX {jax.__version__} on "
        f"{jax.default_backend()}, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} "
        "cores.",
    ]  # fmt: skip
    for title, section in sections.items():
        if arguments.only in title:
            lines += ["", f"## {title}", "", *section()]
    lines += ["", f"Peak memory of the process: {peak():.2f} GiB."]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        with open(arguments.out, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
