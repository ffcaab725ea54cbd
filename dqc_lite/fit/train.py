"""The training loop."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dqc_lite._types import Float
from dqc_lite.errors import InputError
from dqc_lite.fit import checkpoint as checkpoints
from dqc_lite.fit.checkpoint import Progressed
from dqc_lite.fit.objective import Evaluation, Objective, Order
from dqc_lite.fit.optimizers import LevenbergMarquardt, Optimizer
from dqc_lite.fit.progress import Progress
from dqc_lite.xc.functional import Functional


@dataclasses.dataclass(frozen=True)
class Result:
    """What training found.

    Attributes:
        functional: the best one.
        x: its point of the optimizer.
        values: its parameters.
        loss: the lowest validation loss, or training loss without validation set.
        history: of each step: "step", "loss" (before the step), "validation" (or None),
            "gradient_norm", "skipped" (row -> reason), "fock_builds", "seconds".
        stopped: why training ended.
    """

    functional: Functional
    x: Float[np.ndarray, " parameter"]
    values: Float[np.ndarray, " parameter"]
    loss: float
    history: list[dict[str, Any]]
    stopped: Literal["steps", "gradient", "loss", "stalled", "patience"]


def train(
    objective: Objective,
    optimizer: Optimizer | None = None,
    *,
    steps: int = 50,
    batch_size: int | None = None,
    seed: int = 0,
    validation: Objective | None = None,
    validate_every: int = 1,
    patience: int | None = None,
    loss_tol: float = 0.0,
    gradient_tol: float = 0.0,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int = 1,
    log: str | os.PathLike | None = None,
    progress: bool = False,
) -> Result:
    """Minimize the loss.

    Rows whose SCF fails are left out of that step and named in the history; optimizers that try
    points turn down those where more rows fail.

    Args:
        objective: the training set.
        optimizer: `LevenbergMarquardt()` by default.
        steps: at most, those before a resume included.
        batch_size: targets in each step, drawn without replacement in each round; all by default.
        seed: of the batches.
        validation: another objective with the same parameters, evaluated after every
            `validate_every` steps; the best point is the one that it likes best.
        patience: validations (or steps) without a new lowest loss before training ends.
        loss_tol, gradient_tol: training ends below this loss, or norm of its gradient.
        checkpoint: a file; when it exists training goes on where it stood, with the same numbers
            as if it had never stopped.
        checkpoint_every: steps between checkpoints.
        log: a file of JSON lines, one for each step; after a resume those of the checkpoint first.
        progress: show a bar on a terminal.

    Raises:
        InputError, CheckpointError, NonFiniteError (no row converged).
    """
    if steps < 0 or (batch_size is not None and batch_size < 1) or validate_every < 1:
        raise InputError(
            f"steps = {steps}, batch_size = {batch_size}, validate_every = {validate_every}: "
            "give positive numbers."
        )
    optimizer = optimizer or LevenbergMarquardt()
    run = _Run(objective, validation, optimizer, batch_size, seed)
    at = run.begin(checkpoint)
    if at.step:
        _log(log, *at.history, mode="w")  # steps after the checkpoint are done again
    stopped = "steps"
    with Progress(progress, "training", steps, at.step) as bar:
        while at.step < steps:
            ended = run.advance(at, validate_every, loss_tol, gradient_tol, patience)
            _log(log, at.history[-1])
            if checkpoint is not None and (ended or at.step % checkpoint_every == 0):
                run.save(checkpoint, at)
            bar.step(f"loss {at.history[-1]['loss']:.3e}")
            if ended:
                stopped = ended
                break
    if checkpoint is not None:
        run.save(checkpoint, at)
    if not math.isfinite(at.best):
        at.best, at.best_x = _value(objective, at.x), at.x
    parameters = objective.parameters
    return Result(
        functional=parameters.functional(at.best_x), x=at.best_x,
        values=np.asarray(parameters.values(at.best_x)), loss=at.best, history=at.history,
        stopped=stopped,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Run:
    objective: Objective
    validation: Objective | None
    optimizer: Optimizer
    batch_size: int | None
    seed: int

    @property
    def _objectives(self) -> dict[str, Objective]:
        named = {"training": self.objective, "validation": self.validation}
        return {name: o for name, o in named.items() if o is not None}

    def _identity(self) -> str:
        o = self.objective
        data = [(r.name, r.mol.layout.name, checkpoints.digest(r)) for r in o.rows]
        reactions = [(r.name, sorted(r.stoichiometry.items()), r.energy) for r in o.reactions]
        optimizer = type(self.optimizer).__name__
        loss = dataclasses.replace(o.loss, penalty=None)
        method = (o.method.density_fit, str(o.method.grid_level), o.method.restricted)
        return checkpoints.fingerprint(
            data, reactions, o.parameters.names, o.parameters.start.tolist(), loss, method,
            optimizer, self.batch_size, self.seed,
        )  # fmt: skip

    def begin(self, path: str | os.PathLike | None) -> Progressed:
        """Where the checkpoint stands, else at the start."""
        x = self.objective.parameters.point()
        memory = self.optimizer.init(x)
        if path is None or not Path(path).exists():
            return Progressed(0, x, memory, x, math.inf, 0, [], {})
        at = checkpoints.load(path, self._identity(), memory)
        for name, objective in self._objectives.items():
            objective.restore(at.orbitals.get(name, {}))
        return at

    def save(self, path: str | os.PathLike, at: Progressed) -> None:
        at.orbitals = {name: o.warm_starts() for name, o in self._objectives.items()}
        checkpoints.save(path, at, self._identity())

    def advance(
        self,
        at: Progressed,
        validate_every: int,
        loss_tol: float,
        gradient_tol: float,
        patience: int | None,
    ) -> str | None:
        """One step; why training is to end, or None."""
        start, before = time.perf_counter(), at.x
        at.x, at.memory, found = self.optimizer.step(self._evaluate(at.step), at.x, at.memory)
        at.step += 1
        validated = None
        if self.validation is not None and at.step % validate_every == 0:
            validated = _value(self.validation, at.x)
            self._judge(at, at.x, validated)
        elif self.validation is None:
            # the loss of the step is that of the point before it
            self._judge(at, before, found.loss)
        norm = None if found.gradient is None else float(np.linalg.norm(found.gradient))
        at.history.append({
            "step": at.step, "loss": found.loss, "validation": validated, "gradient_norm": norm,
            "skipped": found.skipped, "fock_builds": found.fock_builds,
            "seconds": time.perf_counter() - start,
        })  # fmt: skip
        if found.loss < loss_tol:
            return "loss"
        if norm is not None and norm < gradient_tol:
            return "gradient"
        if self.batch_size is None and np.array_equal(at.x, before):
            return "stalled"
        return "patience" if patience is not None and at.stale >= patience else None

    def _judge(self, at: Progressed, x: np.ndarray, loss: float) -> None:
        if loss < at.best:
            at.best, at.best_x, at.stale = loss, x, 0
        else:
            at.stale += 1

    def _evaluate(self, step: int) -> Any:
        batch, share = self._batch(step)

        def evaluate(x: np.ndarray, order: Order) -> Evaluation:
            return self.objective.evaluate(x, order, batch, share)

        return evaluate

    def _batch(self, step: int) -> tuple[list[str] | None, float]:
        """Targets of a step, from the seed and the number of the round alone."""
        names = self.objective.targets
        if self.batch_size is None or self.batch_size >= len(names):
            return None, 1.0
        each = math.ceil(len(names) / self.batch_size)
        order = np.random.default_rng([self.seed, step // each]).permutation(len(names))
        part = order[(step % each) :: each]
        return [names[i] for i in part], len(names) / len(part)


def _value(objective: Objective, x: np.ndarray) -> float:
    return objective.evaluate(x, "value").loss


def _log(path: str | os.PathLike | None, *records: dict, mode: Literal["a", "w"] = "a") -> None:
    if path is not None:
        with open(path, mode, encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
