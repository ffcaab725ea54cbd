"""B3LYP's three mixing coefficients fitted to atomization energies of the G2 set.

    python examples/fit_g2_b3lyp.py [--max-heavy 3] [--folder examples/fit_g2_b3lyp]

Molecules of the G2 set with at most three atoms other than hydrogen, zero-point energy removed;
half of them, drawn with a seed, for training, the other half for testing. 6-31G, density fitting
and a coarse grid keep it small, so the coefficients make up for the basis too. The folder gets
``results.json`` and the plots of the documentation.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.fit import plots

SEED = 1


def objectives(max_heavy: int, cache: str | None) -> dict[str, fit.Objective]:
    """Of the training and the test half."""
    data = fit.g2("6-31g", max_heavy=max_heavy)
    training, test = data.split(0.5, seed=SEED)
    method = dqc.KS("b3lyp", density_fit=True, grid_level=1)
    solver = dqc.DIIS(energy_tol=1e-9, gradient_tol=1e-6)
    parameters = fit.three_parameters("b3lyp")
    first = fit.Objective(
        training, method, parameters, solver=solver, max_buckets=6, cache_folder=cache,
        progress=True,
    )  # fmt: skip
    return {"training": first, "test": first.on(test)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-heavy", type=int, default=3)
    parser.add_argument("--folder", default="examples/fit_g2_b3lyp")
    parser.add_argument("--cache", help="folder for integrals")
    arguments = parser.parse_args()
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    dqc.enable_x64()
    begin = time.process_time()
    parts = objectives(arguments.max_heavy, arguments.cache)
    prepared = time.process_time()
    parameters = parts["training"].parameters
    before = {k: o.evaluate(parameters.point(), "value") for k, o in parts.items()}
    result = fit.train(
        parts["training"], fit.LevenbergMarquardt(), steps=12, gradient_tol=1e-7,
        checkpoint=folder / "checkpoint.h5", progress=True,
    )  # fmt: skip
    after = {k: o.evaluate(result.x, "value") for k, o in parts.items()}
    end = time.process_time()
    print(parameters.table(result.x))
    references = {r.name: r.energy for o in parts.values() for r in o.reactions}
    record: dict = {
        "parameters": dict(zip(parameters.names, result.values.tolist(), strict=True)),
        "seconds of the CPU": {"integrals": prepared - begin, "fit": end - prepared},
        "buckets": [str(b.sizes) for b in parts["training"].buckets],
        "problems": [str(p) for o in parts.values() for p in o.problems],
        "history": result.history,
    }
    for name in parts:
        for when, evaluations in (("before", before), ("after", after)):
            found = fit.of_evaluation(evaluations[name])["reaction"]
            print(f"{name:<9} {when:<7} {found.count} molecules, MAE {found.mae:.2f} kcal/mol")
            record[f"{name} {when}"] = vars(found) | {
                "skipped": evaluations[name].skipped,
                "errors": {p.name: p.errors[0] for p in evaluations[name].parts},
            }
    (folder / "results.json").write_text(json.dumps(record, indent=1, default=np.asarray) + "\n")
    (folder / "checkpoint.h5").unlink()
    series = {f"{n}, before": e for n, e in before.items()}
    series |= {f"{n}, after": e for n, e in after.items()}
    plots.parity(series, references, folder / "parity.png")
    plots.error_histogram(series, folder / "errors.png")
    plots.loss_curve(result.history, folder / "loss.png")


if __name__ == "__main__":
    main()
