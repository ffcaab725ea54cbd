"""Cost of value_and_grad through a diagonalization: ours, stock JAX, PyTorch, in one run.

    taskset -c 0 env OMP_NUM_THREADS=1 python benchmarks/linalg.py [--repeats 5] [--out FILE.md]

Loss: tr(B P) + sum of the k lowest eigenvalues, P the projector on the lowest k = n/2 states of a
random symmetric matrix (float64). The contestants take turns, one call each per round; figures
are medians over rounds, of wall time and of CPU time. CPU time is the fairer one on a machine
that does other work at the same time. PyTorch takes part where it is installed.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite.linalg import eigh, spectral_projector

try:
    import torch
except ImportError:
    torch = None

jax.config.update("jax_enable_x64", True)

SIZES = [((), 100, 20), ((), 500, 7), ((), 1000, 5), ((256,), 32, 20)]
STOCK = "jnp.linalg.eigh"


def problem(batch, n):
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, *batch, n, n)) / n**0.5
    return a + np.swapaxes(a, -1, -2), b + np.swapaxes(b, -1, -2)


def jax_losses(b, n):
    """Losses by name; all equal in value."""
    k = n // 2

    def of_vectors(solver):
        def loss(a):
            w, v = solver(a)
            v = v[..., :k]
            return jnp.sum(v * (b @ v)) + jnp.sum(w[..., :k])

        return loss

    def of_projector(a):
        p = spectral_projector(a, k)
        return jnp.sum(b * p) + jnp.sum(a * p)

    losses = {
        STOCK: of_vectors(jnp.linalg.eigh),
        "eigh": of_vectors(eigh),
        "eigh, blocks": of_vectors(lambda a: eigh(a, blocks=(k, n - k))),
        "spectral_projector": of_projector,
    }
    return {name: jax.jit(jax.value_and_grad(loss)) for name, loss in losses.items()}


def torch_loss(b, n):
    k, b = n // 2, torch.from_numpy(b)

    def run(a):
        a = a.detach().requires_grad_(True)
        w, v = torch.linalg.eigh((a + a.mT) / 2)
        v = v[..., :k]
        loss = (v * (b @ v)).sum() + w[..., :k].sum()
        loss.backward()
        return loss.detach(), a.grad

    return run


def contestants(batch, n):
    a, b = problem(batch, n)
    calls = {name: (f, jnp.asarray(a)) for name, f in jax_losses(jnp.asarray(b), n).items()}
    if torch is not None:
        calls["torch.linalg.eigh"] = (torch_loss(b, n), torch.from_numpy(a))
    return calls


def measure(batch, n, repeats):
    calls = contestants(batch, n)
    reference = None
    for f, a in calls.values():  # warm up, and see that all compute the same thing
        value, grad = (np.asarray(x) for x in f(a))
        reference = reference or (value, grad)
        np.testing.assert_allclose(value, reference[0], rtol=1e-9)
        np.testing.assert_allclose(grad, reference[1], atol=1e-6 * np.abs(reference[1]).max())
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, (f, a) in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(f(a)) if "torch" not in name else f(a)
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in times.items()
    }


def report(repeats):
    yield "| matrices | function | wall, ms | CPU, ms | CPU ratio to stock JAX |"
    yield "|---|---|---|---|---|"
    for batch, n, default in SIZES:
        result = measure(batch, n, repeats or default)
        label = f"{'x'.join(map(str, batch)) + ' of ' if batch else ''}n = {n}"
        stock = result[STOCK][1]
        for name, (wall, cpu) in result.items():
            ratio = cpu / stock
            yield f"| {label} | {name} | {wall * 1e3:.1f} | {cpu * 1e3:.1f} | {ratio:.2f} |"


def header():
    versions = f"JAX {jax.__version__}, NumPy {np.__version__}"
    if torch is not None:
        torch.set_num_threads(1)
        versions += f", PyTorch {torch.__version__}"
    return (
        f"# value_and_grad through a diagonalization\n\n{time.strftime('%Y-%m-%d')}, "
        f"{platform.machine()} CPU, one core, one thread; {versions}; float64. Medians, the "
        "contestants taking turns. The machine carried other work: compare CPU times.\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, help="rounds per size (default 5 to 20 by size)")
    parser.add_argument("--out", help="also write the report to this file")
    options = parser.parse_args()
    lines = [header()]
    print(lines[0])
    for line in report(options.repeats):
        print(line, flush=True)
        lines.append(line)
    if options.out:
        with open(options.out, "w") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
