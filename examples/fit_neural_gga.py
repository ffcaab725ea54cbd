"""A neural change of PBE trained on CCSD(T) total energies and densities in the same basis.

    python examples/fit_neural_gga.py [--steps 8] [--folder examples/fit_neural]

The data (see fit_neural_data.py) are 15 geometries of 10 molecules, among them stretched H2 and N2;
8 other geometries are held out. First energies of the densities of PBE are trained, which costs no
SCF, then energies and densities through the self-consistent solution. The folder gets the
functional, which ``--xc examples/fit_neural/functional.h5`` uses, ``results.json`` and plots.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.fit import plots
from dqc_lite.fit.target_units import KCAL_PER_MOL
from dqc_lite.xc import neural, stored


def data(folder: Path) -> tuple[fit.Dataset, fit.Dataset]:
    """Training and held-out geometries."""
    whole = fit.from_hdf5(folder / "data.h5")
    test = [row.name for row in whole if row.name.endswith("test")]
    train = [row.name for row in whole if not row.name.endswith("test")]
    return whole.select(train), whole.select(test)


def relative_errors(whole: fit.Dataset, energies: dict[str, float]) -> np.ndarray:
    """Errors (kcal/mol) of held-out energies above another geometry of the molecule, the first of
    the training set: what is left when total energies are wrong by a constant.
    """
    def error(row: fit.Row) -> float:
        return (energies[row.name] - row.energy) / KCAL_PER_MOL

    first: dict[tuple, fit.Row] = {}
    for row in whole:
        if not row.name.endswith("test"):
            first.setdefault(tuple(sorted(row.mol.symbols)), row)
    held_out = [row for row in whole if row.name.endswith("test")]
    return np.array([error(r) - error(first[tuple(sorted(r.mol.symbols))]) for r in held_out])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--first-steps", type=int, default=60)
    parser.add_argument("--folder", default="examples/fit_neural")
    arguments = parser.parse_args()
    folder = Path(arguments.folder)
    dqc.enable_x64()
    training, test = data(folder)
    functional = dqc.functional("pbe") + neural.correction(jax.random.key(0), "gga", width=6)
    method = dqc.KS(functional, grid_level=1)
    solver = dqc.DIIS(energy_tol=1e-9, gradient_tol=1e-7)
    parameters = fit.Parameters.select(functional, "neural.*")
    begin = time.perf_counter()
    frozen = fit.Objective(
        training, method, parameters, fit.Loss(self_consistent=False, ridge=1e-5), solver=solver,
        max_buckets=2, progress=True,
    )  # fmt: skip
    first = fit.train(frozen, fit.LBFGS(), steps=arguments.first_steps, progress=True)
    middle = time.perf_counter()
    started = dataclasses.replace(parameters, start=first.values)
    loss = fit.Loss(energy=1.0, density=0.05, ridge=1e-5)
    objective = fit.Objective(
        training, method, started, loss, solver=solver, max_buckets=2, progress=True
    )
    held_out = objective.on(test)
    result = fit.train(
        objective, fit.LBFGS(first_step=0.02), steps=arguments.steps, validation=None,
        log=folder / "log.jsonl", progress=True,
    )  # fmt: skip
    end = time.perf_counter()
    stored.save(result.functional, folder / "functional.h5")
    points = {"PBE": parameters.point(), "first": first.x, "trained": result.x}
    evaluations = {
        f"{part}, {name}": o.evaluate(x, "value")
        for part, o in (("training", objective), ("held out", held_out))
        for name, x in points.items()
    }
    record = {"seconds": {"first": middle - begin, "self-consistent": end - middle}}
    for name, evaluation in evaluations.items():
        statistics = fit.of_evaluation(evaluation)
        print(name, fit.table(statistics), sep="\n")
        record[name] = {k: vars(s) for k, s in statistics.items()}
    for name in points:
        energies = {k: e for part in ("training", "held out")
                    for k, e in evaluations[f"{part}, {name}"].energies.items()}  # fmt: skip
        errors = relative_errors(training + test, energies)
        record[f"held out, {name}"]["relative energies"] = {
            "mae": float(np.abs(errors).mean()), "errors": errors.tolist(),
        }  # fmt: skip
        print(f"{name}: relative energies, MAE {np.abs(errors).mean():.2f} kcal/mol")
    (folder / "results.json").write_text(json.dumps(record, indent=1, default=np.asarray) + "\n")
    plots.loss_curve(result.history, folder / "loss.png")
    shown = {k: v for k, v in evaluations.items() if "first" not in k}
    plots.error_histogram(shown, folder / "errors.png")


if __name__ == "__main__":
    main()
