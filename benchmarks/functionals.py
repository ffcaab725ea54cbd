"""Functionals beside libxc, in one run: energy density and first derivatives at many points.

    python benchmarks/functionals.py [--points 102400] [--repeat 5] [--out FILE.md]

One thread each; libxc through PySCF's `eval_xc`. Ours runs in blocks of 128 points, as in the
quadrature. Medians of turns taken in alternation; the first call includes compilation.
"""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
import numpy as np
import pyscf
from pyscf.dft import libxc

import dqc_lite as dqc
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.grid.on_points import Variables

NAMES = ("lda,vwn", "pbe", "b3lyp", "tpss", "r2scan", "m06l", "camb3lyp", "wb97m_v")
BLOCK = 128


def sample(npoint: int, nspin: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Densities of molecular size: rho (spin, point), gradient (3, spin, point), tau."""
    rng = np.random.default_rng(1)
    rho = 10.0 ** rng.uniform(-4, 1, (nspin, npoint))
    direction = rng.normal(size=(3, nspin, npoint))
    gradient = direction * rho ** (4 / 3)
    tau = (gradient**2).sum(0) / (8 * rho) + 2.871 * 2 ** (2 / 3) * rho ** (5 / 3)
    return rho, gradient, tau


def ours(name: str, nspin: int, data: tuple):
    functional = dqc.functional(name)
    blocks = [jnp.moveaxis(jnp.asarray(x).reshape(*x.shape[:-1], -1, BLOCK), -2, 0) for x in data]

    def energy(rho, gradient, tau):
        return functional.energy_density(Variables(rho, gradient, tau).local()).sum()

    @adaptive_jit
    def run(blocks):
        return jax.lax.map(lambda b: jax.value_and_grad(energy, (0, 1, 2))(*b), blocks)

    return lambda: jax.block_until_ready(run(blocks))


def theirs(name: str, nspin: int, data: tuple):
    rho, gradient, tau = data if nspin == 2 else [2 * x for x in data]
    rows = [
        np.stack([rho[s], *gradient[:, s], np.zeros_like(rho[s]), tau[s]]) for s in range(nspin)
    ]
    count = {"LDA": 1, "GGA": 4, "MGGA": 6}[libxc.xc_type(name)]
    rows = np.stack(rows)[:, :count] if count > 1 else np.stack(rows)[:, 0]
    rows = rows if nspin == 2 else rows[0]
    return lambda: libxc.eval_xc(name, rows, spin=nspin - 1, deriv=1)


def compare(name: str, nspin: int, npoint: int, repeat: int) -> list[str]:
    data = sample(npoint, nspin)
    engines = {"ours": ours(name, nspin, data), "libxc": theirs(name, nspin, data)}
    times: dict[str, list[float]] = {engine: [] for engine in engines}
    for _ in range(repeat + 1):
        for engine, run in engines.items():
            start = time.perf_counter()
            run()
            times[engine].append(time.perf_counter() - start)
    first = times["ours"][0]
    mine, other = (statistics.median(times[engine][1:]) for engine in ("ours", "libxc"))
    kind = "closed shell" if nspin == 1 else "polarized"
    numbers = [f"{1e3 * mine:.1f}", f"{1e3 * other:.1f}", f"{mine / other:.2f}", f"{first:.2f}"]
    return [name, kind, *numbers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=102400)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out")
    options = parser.parse_args()
    dqc.enable_x64()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    header = ["functional", "spin", "ours / ms", "libxc / ms", "ours / libxc", "first call / s"]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for name in NAMES:
        for nspin in (1, 2):
            row = compare(name, nspin, options.points, options.repeat)
            lines.append("| " + " | ".join(row) + " |")
            print(*row, sep="  ", flush=True)
    text = "\n".join([
        "# Functionals beside libxc", "",
        f"{datetime.date.today().isoformat()}, `benchmarks/functionals.py --points "
        f"{options.points}`, JAX {jax.__version__}, PySCF {pyscf.__version__}, one core; energy "
        f"density and first derivatives, load {os.getloadavg()[0]:.1f} at the end.", "", *lines, "",
    ])  # fmt: skip
    if options.out:
        pathlib.Path(options.out).write_text(text)


if __name__ == "__main__":
    main()
