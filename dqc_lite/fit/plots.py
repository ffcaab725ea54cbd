"""Plots of a training: matplotlib figures, written to files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dqc_lite.errors import InputError
from dqc_lite.fit.objective import Evaluation
from dqc_lite.fit.target_units import KCAL_PER_MOL


def loss_curve(history: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """Loss and validation loss by step."""
    figure, axes = _axes("step", "loss")
    steps = [record["step"] for record in history]
    axes.semilogy(steps, [record["loss"] for record in history], label="training")
    validated = [(r["step"], r["validation"]) for r in history if r["validation"] is not None]
    if validated:
        axes.semilogy(*zip(*validated, strict=True), label="validation")
    axes.legend()
    _save(figure, path)


def parity(
    evaluations: Mapping[str, Evaluation], references: Mapping[str, float], path: str | os.PathLike
) -> None:
    """Energies against their references (hartree, by target), in kcal/mol; a series each."""
    figure, axes = _axes("reference (kcal/mol)", "computed (kcal/mol)")
    for label, evaluation in evaluations.items():
        pairs = [(references[p.name], references[p.name] + p.errors[0])
                 for p in _energies(evaluation) if p.name in references]  # fmt: skip
        axes.plot(*(np.array(pairs).T / KCAL_PER_MOL), ".", label=label)
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color="gray", linewidth=0.8, zorder=0)
    axes.legend()
    _save(figure, path)


def error_histogram(evaluations: Mapping[str, Evaluation], path: str | os.PathLike) -> None:
    """Errors of energies in kcal/mol; a series each."""
    figure, axes = _axes("error (kcal/mol)", "number")
    series = {k: np.array([p.errors[0] for p in _energies(e)]) / KCAL_PER_MOL
              for k, e in evaluations.items()}  # fmt: skip
    edges = np.histogram_bin_edges(np.concatenate([*series.values()]), bins=24)
    for label, errors in series.items():
        axes.hist(errors, edges, alpha=0.55, label=label)
    axes.legend()
    _save(figure, path)


def _energies(evaluation: Evaluation) -> list:
    return [p for p in evaluation.parts if p.kind in ("energy", "reaction")]


def _axes(x: str, y: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("plots need matplotlib; pip install matplotlib.") from error
    figure = Figure(figsize=(5.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    return figure, axes


def _save(figure: Any, path: str | os.PathLike) -> None:
    figure.savefig(path, dpi=120)
