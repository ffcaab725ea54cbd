"""The training loop."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dqc_lite._types import Float
from dqc_lite.errors import DqcLiteError, NonFiniteError
from dqc_lite.fit import checkpoint as checkpoints
from dqc_lite.fit import identity
from dqc_lite.fit.checkpoint import Orbitals, Progressed
from dqc_lite.fit.checks import require_count, require_number
from dqc_lite.fit.identity import of_functional
from dqc_lite.fit.losses import KINDS
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
        loss: the lowest validation loss, or training loss without validation set; always that of
            the complete set, where fewer rows left out count more than any loss.
        history: of each step: "step", "loss" (of the batch, before the step), "complete" (the
            training loss of all targets that was compared, or None), "validation" (or None),
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
    fresh: bool = False,
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
        validation: another objective with the same parameters, evaluated at the start, after every
            `validate_every` steps and at the end; the best point is the one that it likes best.
            Without one, points are compared by the loss of the whole training set: with batches
            after every round, and at the end.
        patience: such comparisons without a new lowest loss before training ends.
        loss_tol, gradient_tol: training ends below this loss of the whole training set, or norm of
            its gradient.
        checkpoint: a file; when it exists training goes on where it stood, with the same numbers
            as if it had never stopped.
        checkpoint_every: steps between checkpoints.
        fresh: start anew, whatever file is there.
        log: a file of JSON lines, one for each step; after a resume those of the checkpoint first.
        progress: show a bar on a terminal.

    Raises:
        InputError. NonFiniteError: no row converged. CheckpointError: a damaged checkpoint, or one
        of another training; the message names what differs. DqcLiteError: the best point, solved
        once more, has another loss than recorded.
    """
    counts = {
        "steps": (steps, 0), "validate_every": (validate_every, 1), "seed": (seed, 0),
        "checkpoint_every": (checkpoint_every, 1),
    }  # fmt: skip
    counts |= {"batch_size": (batch_size, 1)} if batch_size is not None else {}
    counts |= {"patience": (patience, 1)} if patience is not None else {}
    for name, (value, least) in counts.items():
        require_count(name, value, least)
    require_number("loss_tol", loss_tol)
    require_number("gradient_tol", gradient_tol)
    optimizer = optimizer or LevenbergMarquardt()
    run = _Run(objective, validation, optimizer, batch_size, seed, validate_every, gradient_tol)
    at = run.begin(None if fresh else checkpoint)
    _log(log, *at.history, mode="w")  # steps after the checkpoint are done again
    stopped = "steps"
    with Progress(progress, "training", steps, at.step) as bar:
        while at.step < steps:
            ended = run.advance(at, loss_tol, patience)
            _log(log, at.history[-1])
            if checkpoint is not None and (ended or at.step % checkpoint_every == 0):
                run.save(checkpoint, at)
            bar.step(f"loss {at.history[-1]['loss']:.3e}")
            if ended:
                stopped = ended
                break
    if checkpoint is not None:
        run.save(checkpoint, at)
    run.finish(at)
    parameters = objective.parameters
    return Result(
        functional=trained(parameters.functional(at.best_x)), x=at.best_x,
        values=np.asarray(parameters.values(at.best_x)), loss=at.best, history=at.history,
        stopped=stopped,
    )  # fmt: skip


def trained(functional: Functional) -> Functional:
    """The functional under a name of its own: its parent's and a digest of its parameters."""
    parent = functional.name.partition(" trained ")[0]
    name = f"{parent or 'functional'} trained {of_functional(functional)[:12]}"
    return dataclasses.replace(functional, name=name)


@dataclasses.dataclass(frozen=True)
class _Run:
    objective: Objective
    validation: Objective | None
    optimizer: Optimizer
    batch_size: int | None
    seed: int
    validate_every: int = 1
    gradient_tol: float = 0.0

    @property
    def _objectives(self) -> dict[str, Objective]:
        named = {"training": self.objective, "validation": self.validation}
        return {name: o for name, o in named.items() if o is not None}

    @property
    def _round(self) -> int:
        """Steps in which every target is drawn once."""
        names = len(self.objective.targets)
        return 1 if self.batch_size is None else math.ceil(names / min(self.batch_size, names))

    def _identity(self) -> identity.Identity:
        found = identity.of_objective(self.objective)
        found["validation"] = identity.digest(self.validation is not None)
        if self.validation is not None:
            found |= identity.of_objective(self.validation, "validation: ")
        settings = {
            "optimizer": self.optimizer, "batch_size": self.batch_size, "seed": self.seed,
            "validate_every": self.validate_every,
        }  # fmt: skip
        return found | {name: identity.digest(value) for name, value in settings.items()}

    def begin(self, path: str | os.PathLike | None) -> Progressed:
        """Where the checkpoint stands, else at the start, which is the best point so far."""
        x = self.objective.parameters.point()
        memory = self.optimizer.init(x)
        if path is not None and Path(path).exists():
            at = checkpoints.load(path, self._identity(), memory)
            self._restore(at.orbitals)
            return at
        at = Progressed(0, x, memory, x, math.inf, 0, -1, 0, [], {}, {})
        if self.validation is not None or self._round > 1:
            self._judge(at, x, self._complete(x))
        return at

    def save(self, path: str | os.PathLike, at: Progressed) -> None:
        at.orbitals = self._accepted()
        checkpoints.save(path, at, self._identity())

    def finish(self, at: Progressed) -> None:
        """Compare the last point, too, and leave the objectives with the best one's orbitals.

        Raises:
            DqcLiteError: the best point has another loss than when it was the best.
        """
        if at.compared != at.step:
            with contextlib.suppress(NonFiniteError):  # no row converges: worse than any other
                self._judge(at, at.x, self._complete(at.x))
        self._restore(at.best_orbitals)
        again = self._compared.evaluate(at.best_x, "value")
        if not _same(self._compared, at.best, again.loss) or len(again.skipped) != at.dropped:
            raise DqcLiteError(
                f"the loss of the best point is {at.best:.10e} with {at.dropped} rows left out as "
                f"recorded and {again.loss:.10e} with {len(again.skipped)} when it is solved once "
                "more: the SCF found another state. Tighten the tolerances of the solver or set "
                "bounds."
            )

    @property
    def _compared(self) -> Objective:
        """The set by whose loss points are compared."""
        return self.objective if self.validation is None else self.validation

    def _complete(self, x: np.ndarray) -> Evaluation:
        """The loss by which points are compared; its state is where the next one starts."""
        gradient = self.validation is None and self.gradient_tol > 0
        found = self._compared.evaluate(x, "gradient" if gradient else "value")
        self._compared.restore(found.orbitals)
        return found

    def _accepted(self) -> Orbitals:
        return {name: o.warm_starts() for name, o in self._objectives.items()}

    def _restore(self, orbitals: Orbitals) -> None:
        for name, objective in self._objectives.items():
            objective.restore(orbitals.get(name, {}))

    def advance(self, at: Progressed, loss_tol: float, patience: int | None) -> str | None:
        """One step; why training is to end, or None."""
        start, before = time.perf_counter(), at.x
        at.x, at.memory, found = self.optimizer.step(self._evaluate(at.step), at.x, at.memory)
        self.objective.restore(found.orbitals)
        at.step += 1
        validated = complete = None
        whole = self._round == 1
        if self.validation is not None:
            complete = found if whole else None
            if at.step % self.validate_every == 0:
                validated = self._complete(at.x)
                self._judge(at, at.x, validated)
        elif whole:  # the loss of the step is that of the point before it
            complete = found
            self._judge(at, before, found)
        elif at.step % self._round == 0:
            complete = self._complete(at.x)
            self._judge(at, at.x, complete)
        at.history.append({
            "step": at.step, "loss": found.loss,
            "complete": None if complete is None else complete.loss,
            "validation": None if validated is None else validated.loss,
            "gradient_norm": _norm(found), "skipped": found.skipped,
            "fock_builds": found.fock_builds, "seconds": time.perf_counter() - start,
        })  # fmt: skip
        if complete is not None and not complete.skipped:
            if complete.loss < loss_tol:
                return "loss"
            norm = _norm(complete)
            if norm is not None and norm < self.gradient_tol:
                return "gradient"
        if whole and np.array_equal(at.x, before):
            return "stalled"
        return "patience" if patience is not None and at.stale >= patience else None

    def _judge(self, at: Progressed, x: np.ndarray, found: Evaluation) -> None:
        """Whether this point is the best: fewest rows left out, then the lowest loss."""
        if x is at.x:
            at.compared = at.step
        dropped = len(found.skipped)
        first = not math.isfinite(at.best)
        if math.isfinite(found.loss) and (first or (dropped, found.loss) < (at.dropped, at.best)):
            at.best, at.dropped, at.best_x, at.stale = found.loss, dropped, x, 0
            at.best_orbitals = self._accepted()
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


def _norm(found: Evaluation) -> float | None:
    return None if found.gradient is None else float(np.linalg.norm(found.gradient))


def _same(objective: Objective, a: float, b: float) -> bool:
    """Whether two losses differ by no more than the tolerances of the SCF explain."""
    solver, loss = objective.programs.solver, objective.loss
    largest = max(1.0, *(getattr(loss, kind) for kind in KINDS))
    largest *= max(1.0, *(entry.weight for entry in (*objective.rows, *objective.reactions)))
    error = 100.0 * (solver.energy_tol + solver.gradient_tol) * math.sqrt(largest)
    return abs(a - b) <= error * (2.0 * math.sqrt(abs(a)) + error) + 1e-7 * abs(a)


def _log(path: str | os.PathLike | None, *records: dict, mode: Literal["a", "w"] = "a") -> None:
    if path is not None:
        with open(path, mode, encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
