"""How large the errors of a functional are on a data set."""

from __future__ import annotations

import dataclasses

import numpy as np

from dqc_lite.fit.objective import Evaluation, Objective
from dqc_lite.fit.target_units import KCAL_PER_MOL
from dqc_lite.units import HARTREE_IN_EV

_UNITS = {
    "energy": ("kcal/mol", 1.0 / KCAL_PER_MOL), "reaction": ("kcal/mol", 1.0 / KCAL_PER_MOL),
    "forces": ("hartree/bohr", 1.0), "dipole": ("e bohr", 1.0), "density": ("bohr^-3/2", 1.0),
    "orbital_energies": ("eV", HARTREE_IN_EV),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Errors of one kind: number of targets, mean, mean absolute, root mean square and largest.

    Of forces and dipoles by component, of orbital energies by level; of densities the root of the
    integral of the squared difference counts as one error.
    """

    kind: str
    unit: str
    count: int
    mean: float
    mae: float
    rmse: float
    largest: float
    worst: str


def assess(objective: Objective, x: np.ndarray | None = None) -> dict[str, Statistics]:
    """Errors at a point of the optimizer, by default where training starts."""
    point = objective.parameters.point() if x is None else x
    return of_evaluation(objective.evaluate(point, "value"))


def of_evaluation(evaluation: Evaluation) -> dict[str, Statistics]:
    """Errors by kind."""
    found = {}
    for kind, (unit, factor) in _UNITS.items():
        parts = [p for p in evaluation.parts if p.kind == kind]
        if not parts:
            continue
        errors = [factor * _single(kind, p.errors) for p in parts]
        flat = np.concatenate(errors)
        worst = int(np.argmax([np.abs(e).max() for e in errors]))
        found[kind] = Statistics(
            kind, unit, len(parts), float(flat.mean()), float(np.abs(flat).mean()),
            float(np.sqrt((flat**2).mean())), float(np.abs(flat).max()), parts[worst].name,
        )  # fmt: skip
    return found


def _single(kind: str, errors: np.ndarray) -> np.ndarray:
    return np.array([np.linalg.norm(errors)]) if kind == "density" else errors


def table(statistics: dict[str, Statistics]) -> str:
    """As text."""
    names = ("mean", "MAE", "RMSE", "largest")
    lines = [f"{'errors':<16} {'number':>6} " + " ".join(f"{n:>11}" for n in names) + "  unit"]
    for s in statistics.values():
        lines.append(
            f"{s.kind:<16} {s.count:6d} {s.mean:11.4g} {s.mae:11.4g} {s.rmse:11.4g} "
            f"{s.largest:11.4g}  {s.unit}  (largest: {s.worst})"
        )
    return "\n".join(lines)
