"""``dqc-lite fit --config fit.toml``: train, validate, report."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dqc_lite.cli.timings import Timings

if TYPE_CHECKING:
    from dqc_lite.fit.config import Training
    from dqc_lite.fit.dataset import Reaction
    from dqc_lite.fit.objective import Evaluation, Objective
    from dqc_lite.fit.train import Result


def run(options: Namespace) -> int:
    """Exit code 1 when gradients were checked and not confirmed, or no molecule converged."""
    timings = Timings()
    with timings.step("start (imports)"):
        from dqc_lite.cli import report, runtime
        from dqc_lite.fit import config

        runtime.set_up(not options.no_cache)
    with timings.step("data"):
        training = config.read(options.config)
        training.folder.mkdir(parents=True, exist_ok=True)
    loud = not options.quiet
    for name, part in training.parts.items():
        _say(loud, f"{name}: {part.summary()}")
    with timings.step("integrals"):
        first = training.objective("train", loud)
        others = {name: first.on(part) for name, part in training.parts.items() if name != "train"}
        objectives = {"train": first, **others}
    for name, objective in objectives.items():
        _say(loud, f"{name}: {len(objective.rows)} molecules in {len(objective.buckets)} buckets")
        for problem in objective.problems[len(training.parts[name].problems) :]:
            print(f"warning: {name}: left out {problem}", file=sys.stderr)
    if options.check_gradients:
        with timings.step("gradient check"):
            return _check(objectives["train"], options.check_gradients)
    with timings.step("before"):
        before = _assess(objectives, None)
    with timings.step("training"):
        result = _train(training, objectives, loud, options.fresh)
    with timings.step("after"):
        after = _assess(objectives, result)
    _report(training, objectives, result, before, after, loud)
    if loud:
        print(report.timings(timings))
    return 0


def _say(loud: bool, text: str) -> None:
    if loud:
        print(text, end="\n\n", flush=True)


def _check(objective: Objective, most: int) -> int:
    import jax.numpy as jnp

    from dqc_lite.gradcheck import check_gradients

    loss, point = objective.function(), jnp.asarray(objective.parameters.point())
    found = check_gradients(loss, point, max_components=most)
    for i, name in enumerate(objective.parameters.names[:most]):
        print(f"x[{i}] is that of {name}")
    print(found)
    return 0 if found.passed else 1


def _train(training: Training, objectives: dict[str, Objective], loud: bool, fresh: bool) -> Result:
    from dqc_lite.fit.train import train

    return train(
        objectives["train"], training.optimizer, **training.steps,
        checkpoint=training.folder / "checkpoint.h5", log=training.folder / "log.jsonl",
        progress=loud, fresh=fresh,
    )  # fmt: skip


def _assess(objectives: dict[str, Objective], result: Result | None) -> dict[str, Evaluation]:
    return {
        name: o.evaluate(o.parameters.point() if result is None else result.x, "value")
        for name, o in objectives.items()
    }


def _report(
    training: Training,
    objectives: dict[str, Objective],
    result: Result,
    before: dict[str, Evaluation],
    after: dict[str, Evaluation],
    loud: bool,
) -> None:
    """Tables on stdout; the functional, a JSON record and plots in the folder."""
    import jax.numpy as jnp

    from dqc_lite.fit import of_evaluation, table
    from dqc_lite.xc import stored

    print(training.parameters.table(jnp.asarray(result.x)), end="\n\n")
    for name in objectives:
        for when, evaluations in (("before", before), ("after", after)):
            print(f"{name}, {when}: loss {evaluations[name].loss:.6e}")
            print(table(of_evaluation(evaluations[name])), end="\n\n")
            for row, reason in evaluations[name].skipped.items():
                print(f"warning: {name}, {when}: {row} left out: {reason}", file=sys.stderr)
    _say(loud, f"stopped: {result.stopped} after {len(result.history)} steps")
    stored.save(result.functional, training.folder / "functional.h5")
    _write_record(training.folder, training, result, before, after)
    if not _plots(training.folder, objectives, result, before, after):
        print("warning: no plots, since matplotlib is not installed", file=sys.stderr)
    _say(loud, f"functional: {result.functional.name}")
    _say(loud, f"written to {training.folder}: functional.h5 (--xc), report.json, log.jsonl, plots")


def _write_record(
    folder: Path, training: Training, result: Result, before: dict, after: dict
) -> None:
    from dqc_lite.cli import record
    from dqc_lite.fit import of_evaluation
    from dqc_lite.fit.identity import of_functional

    def numbers(evaluation: Evaluation) -> dict[str, Any]:
        return {
            "loss": evaluation.loss, "skipped": evaluation.skipped,
            "statistics": {k: vars(s) for k, s in of_evaluation(evaluation).items()},
            "errors": {f"{p.kind} {p.name}": p.errors[0] for p in evaluation.parts
                       if p.kind in ("energy", "reaction")},
        }  # fmt: skip

    written = {
        "schema": "dqc_lite.fit/1",
        "units": {"errors": "hartree"},
        "functional": {
            "file": str(folder / "functional.h5"),
            "name": result.functional.name,
            "parent": training.method.xc.name,
            "sha256": of_functional(result.functional),
        },
        "parameters": dict(zip(training.parameters.names, result.values.tolist(), strict=True)),
        "stopped": result.stopped,
        "steps": len(result.history),
        "before": {name: numbers(e) for name, e in before.items()},
        "after": {name: numbers(e) for name, e in after.items()},
    }
    record.write(folder / "report.json", written)


def _plots(
    folder: Path, objectives: dict[str, Objective], result: Result, before: dict, after: dict
) -> bool:
    from dqc_lite.errors import InputError
    from dqc_lite.fit import plots

    references: dict[str, float] = {}
    for objective in objectives.values():
        references |= {r.name: r.energy for r in objective.rows if r.energy is not None}
        reactions: tuple[Reaction, ...] = objective.reactions
        references |= {r.name: r.energy for r in reactions}
    series = {f"{n}, before": e for n, e in before.items()}
    series |= {f"{n}, after": e for n, e in after.items()}
    try:
        plots.loss_curve(result.history, folder / "loss.png")
        if any(p.kind in ("energy", "reaction") for p in after["train"].parts):
            plots.parity(series, references, folder / "parity.png")
            plots.error_histogram(series, folder / "errors.png")
    except InputError:
        return False
    return True
