"""What derivatives of the converged state cost.

    python benchmarks/derivatives.py [--molecules water benzene] [--basis def2-svp] [--methods hf]
                                     [--repeat 5] [--cycles 20 40 80] [--out FILE.md]

The whole table, on a quiet machine:

    python benchmarks/derivatives.py --methods hf pbe --out benchmarks/derivatives_results.md

- forces beside the energy alone, and the gradient of a loss of the density matrix (one response
  solve) beside the self-consistent field alone, what the gradient takes beyond that field: with
  respect to all positions, which is a pass over derivative integrals too, and with respect to an
  electric field and the parameters of the functional, which is the solve alone. CPU time, warm,
  fitted integrals, one thread, alternating, medians;
- memory of that gradient along an electric field for a program of a given number of cycles, beside
  differentiation through the cycles themselves (the same DIIS loop, unrolled by a scan): the
  temporary memory that XLA reserves for the compiled program, which is exact. The weights of DIIS
  are constants in the unrolled loop: they come from the diagonalization of a matrix whose unused
  rows are those of 1, where stock JAX's derivative of `eigh` is NaN, and at self-consistency the
  result does not depend on them. So held, the derivative of the loop converges more slowly than
  its state: the difference of the gradients falls with the number of cycles.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import os
import pathlib
import statistics
import time
from collections.abc import Callable
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import jax
import jax.numpy as jnp
import numpy as np

import dqc_lite as dqc
from dqc_lite.integrals import operators
from dqc_lite.problem import in_field
from dqc_lite.scf import guess
from dqc_lite.scf.diis import History
from dqc_lite.scf.search import Searching
from dqc_lite.scf.self_consistency import SelfConsistency

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def method_of(name: str) -> dqc.HF | dqc.KS:
    return dqc.HF(density_fit=True) if name == "hf" else dqc.KS(name, density_fit=True)


def distorted(name: str, basis: str) -> dqc.Molecule:
    """Without degenerate orbitals, for the sake of unrolled differentiation."""
    mol = dqc.Molecule.from_xyz(EXAMPLES / f"{name}.xyz", basis)
    noise = np.random.default_rng(0).normal(scale=0.03, size=mol.positions.shape)
    return mol.with_positions(mol.positions + noise)


def loss_of(mol: dqc.Molecule) -> Callable:
    """tr(A P) with a random A."""
    a = jnp.asarray(np.random.default_rng(1).normal(size=(mol.nao, mol.nao)))
    return lambda p: jnp.vdot(a, p.sum(0))


def timed(function: Callable, repeat: int) -> list[float]:
    times = []
    for i in range(repeat):
        start = time.process_time()
        jax.block_until_ready(function(1.0 + 1e-4 * i))
        times.append(time.process_time() - start)
    return times


def cost(mol: dqc.Molecule, method: dqc.HF | dqc.KS, repeat: int) -> list[float]:
    """CPU seconds of the density, the energy, energy with forces, density loss with its gradient
    along positions, and along a field and the parameters of the functional.
    """
    loss, options = loss_of(mol), {"solver": dqc.DIIS()}

    def at(scale: float) -> dqc.Molecule:
        return mol.with_positions(mol.positions * scale)

    def density_loss(r: jax.Array) -> jax.Array:
        return loss(dqc.density_matrix(mol.with_positions(r), method, **options))

    treedef = jax.tree.structure(method)
    parameters = [jnp.asarray(x, float) for x in jax.tree.leaves(method)], jnp.full(3, 1e-4)

    def parameter_loss(mol: dqc.Molecule, parameters: tuple) -> jax.Array:
        moved = jax.tree.unflatten(treedef, parameters[0])
        return loss(dqc.density_matrix(mol, moved, electric_field=parameters[1], **options))

    runs = [
        lambda s: dqc.density_matrix(at(s), method, **options),
        lambda s: dqc.energy(at(s), method, **options),
        lambda s: dqc.energy_and_forces(at(s), method, **options),
        lambda s: jax.value_and_grad(density_loss)(mol.positions * s),
        lambda s: jax.value_and_grad(functools.partial(parameter_loss, at(s)))(parameters),
    ]
    for run in runs:
        timed(run, 1)
    turns = [[timed(run, 1)[0] for run in runs] for _ in range(repeat)]
    return [statistics.median(column) for column in zip(*turns, strict=True)]


def solver(cycles: int) -> dqc.DIIS:
    return dqc.DIIS(max_cycle=cycles, early="diis")


def unrolled(mol: dqc.Molecule, method: dqc.HF | dqc.KS, cycles: int) -> Callable:
    """The loss after so many cycles as a function of the field, the weights of DIIS constant."""
    reference, loss, orbitals = method.reference(mol), loss_of(mol), mol.orbitals()
    overlap = operators.overlap(orbitals)
    beginning = guess.begin(guess.read("minao", mol), mol, orbitals, reference)
    weights = History.weights

    def function(field: jax.Array) -> jax.Array:
        hamiltonian = in_field(method, field).hamiltonian(mol)
        integrals = hamiltonian.prepare(mol, orbitals)
        problem = SelfConsistency.build(hamiltonian, integrals, overlap, reference)
        searching = Searching(problem, solver(cycles).plan(), 0.0)
        constant = mock.patch.object(
            History, "weights", lambda history: jax.lax.stop_gradient(weights(history))
        )
        with constant:
            start = searching.begin(beginning, wide=False)
            width = start.accelerated.density.factor.shape[-1]
            last, _ = jax.lax.scan(
                lambda s, _: (searching.build(s, width), None), start, length=cycles
            )
        return loss(last.accelerated.density.matrix)

    return function


def implicit(mol: dqc.Molecule, method: dqc.HF | dqc.KS, cycles: int) -> Callable:
    """The same from the response of the converged state."""
    loss, options = loss_of(mol), {"solver": solver(cycles), "throw": False}
    density = functools.partial(dqc.density_matrix, mol, method, **options)
    return lambda field: loss(density(electric_field=field))


def memory(function: Callable) -> tuple[float, np.ndarray]:
    """MiB that the compiled gradient reserves, and the gradient."""
    field = jnp.array([0.001, 0.002, -0.001])
    compiled = jax.jit(jax.grad(function)).lower(field).compile()
    return compiled.memory_analysis().temp_size_in_bytes / 2**20, np.asarray(compiled(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--molecules", nargs="+", default=["water", "benzene"])
    parser.add_argument("--methods", nargs="+", default=["hf"])
    parser.add_argument("--basis", default="def2-svp")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cycles", nargs="+", type=int, default=[20, 40, 80])
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    dqc.enable_x64()
    lines = [
        f"Derivatives of the converged state, {options.basis}, fitted, {datetime.date.today()}, "
        f"JAX {jax.__version__}, one thread, CPU time. Gradients: what they take beyond the SCF.",
        "",
        "| method | molecule | SCF, s | energy, s | forces too / energy "
        "| density gradient along positions / SCF | along field and parameters / SCF |",
        "|---|---|---|---|---|---|---|",
    ]
    pairs = [(m, name) for m in options.methods for name in options.molecules]
    for name, molecule in pairs:
        mol = distorted(molecule, options.basis)
        scf, energy, forces, *gradients = cost(mol, method_of(name), options.repeat)
        moving, solved = ((x - scf) / scf for x in gradients)
        lines.append(
            f"| {name} | {molecule} | {scf:.3f} | {energy:.3f} | {forces / energy:.2f} "
            f"| {moving:.2f} | {solved:.2f} |"
        )
        print(lines[-1], flush=True)
    lines += [
        "",
        "Memory of the gradient of a density loss along a field, MiB:",
        "",
        "| method | molecule | cycles | implicit | unrolled | gradients differ by (relative) |",
        "|---|---|---|---|---|---|",
    ]
    for name, molecule in pairs:
        mol = distorted(molecule, options.basis)
        for cycles in options.cycles:
            ours, gradient = memory(implicit(mol, method_of(name), cycles))
            theirs, through = memory(unrolled(mol, method_of(name), cycles))
            difference = np.abs(gradient - through).max() / np.abs(gradient).max()
            lines.append(
                f"| {name} | {molecule} | {cycles} | {ours:.2f} | {theirs:.2f} | {difference:.0e} |"
            )
            print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
