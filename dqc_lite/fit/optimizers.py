"""Steps downhill. An optimizer is settings; what it remembers is a pytree of arrays.

``init(x)`` makes the memory and ``step(evaluate, x, memory)`` returns the next point, the memory
and the evaluation at x; ``evaluate(x, order)`` is `Objective.evaluate` for the present batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Float
from dqc_lite.errors import InputError
from dqc_lite.fit.checks import require_count, require_number, require_text
from dqc_lite.fit.objective import Evaluation

Evaluate = Callable[..., Evaluation]
Point = Float[np.ndarray, " parameter"]


class Optimizer(Protocol):
    """See the module."""

    def init(self, x: Point) -> Any: ...

    def step(self, evaluate: Evaluate, x: Point, memory: Any) -> tuple[Point, Any, Evaluation]: ...


@dataclasses.dataclass(frozen=True)
class Optax:
    """Any gradient transformation of optax: ``Optax(optax.adam(1e-3))``."""

    transformation: Any

    def init(self, x: Point) -> Any:
        return self.transformation.init(jnp.asarray(x))

    def step(self, evaluate: Evaluate, x: Point, memory: Any) -> tuple[Point, Any, Evaluation]:
        at = evaluate(x, "gradient")
        gradient = jnp.asarray(at.gradient)
        update, memory = self.transformation.update(gradient, memory, jnp.asarray(x))
        return x + np.asarray(update), memory, at


@dataclasses.dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with a backtracking line search (Nocedal and Wright, algorithm 7.5).

    Attributes:
        memory_size: pairs of steps and gradient changes kept.
        first_step: length of the first step at most, in units of x.
        decrease: share of the expected decrease that a step must reach.
        halvings: of a step that does not, at most.
    """

    memory_size: int = 10
    first_step: float = 0.1
    decrease: float = 1e-4
    halvings: int = 12

    def __post_init__(self) -> None:
        require_count("optimizer: memory_size", self.memory_size, 1)
        require_count("optimizer: halvings", self.halvings, 1)
        require_number("optimizer: first_step", self.first_step, positive=True)
        require_number("optimizer: decrease", self.decrease, below=1.0)

    def _transformation(self) -> Any:
        import optax

        return optax.scale_by_lbfgs(self.memory_size, scale_init_precond=True)

    def init(self, x: Point) -> Any:
        return {"lbfgs": self._transformation().init(jnp.asarray(x)), "steps": jnp.zeros((), int)}

    def step(self, evaluate: Evaluate, x: Point, memory: Any) -> tuple[Point, Any, Evaluation]:
        at = evaluate(x, "gradient")
        update, inner = self._transformation().update(
            jnp.asarray(at.gradient), memory["lbfgs"], jnp.asarray(x)
        )
        direction = -np.asarray(update)
        slope = float(direction @ at.gradient)
        if not slope < 0:
            direction, slope = -at.gradient, -float(at.gradient @ at.gradient)
        size = np.linalg.norm(direction)
        length = 1.0
        if int(memory["steps"]) == 0 and size > self.first_step:
            length = self.first_step / size
        found = {"lbfgs": inner, "steps": memory["steps"] + 1}
        for _ in range(self.halvings):
            trial = _attempt(evaluate, x + length * direction, at)
            if trial is not None and trial.loss <= at.loss + self.decrease * length * slope:
                return x + length * direction, found, at
            length *= 0.5
        return x, found, at


@dataclasses.dataclass(frozen=True)
class LevenbergMarquardt:
    """Gauss-Newton steps, damped in units of the parameters' own curvature (Marquardt 1963).

    For few parameters: it needs the derivative of every error.

    Attributes:
        damping: to start with.
        trials: dampings tried in one step at most.
    """

    damping: float = 1e-3
    trials: int = 10

    def __post_init__(self) -> None:
        require_number("optimizer: damping", self.damping, positive=True)
        require_count("optimizer: trials", self.trials, 1)

    def init(self, x: Point) -> Any:
        return {"damping": jnp.asarray(self.damping), "scale": jnp.zeros(len(x))}

    def step(self, evaluate: Evaluate, x: Point, memory: Any) -> tuple[Point, Any, Evaluation]:
        at = evaluate(x, "jacobian")
        jacobian, gradient = at.jacobian, at.jacobian.T @ at.errors
        damping = float(memory["damping"])
        # the largest curvature seen so far (More 1978)
        scale = np.maximum(np.asarray(memory["scale"]), np.linalg.norm(jacobian, axis=0))
        safe = np.where(scale > 0, scale, 1.0)
        for _ in range(self.trials):
            rows = np.concatenate([jacobian, np.sqrt(damping) * np.diag(safe)])
            right = np.concatenate([-at.errors, np.zeros(len(x))])
            step = np.linalg.lstsq(rows, right, rcond=None)[0]
            trial = _attempt(evaluate, x + step, at)
            if trial is not None and trial.loss < at.loss:
                return x + step, _damped(damping / 5.0, scale), at
            damping *= 4.0
            if np.linalg.norm(gradient / safe) <= 1e-14 * max(np.sqrt(at.loss), 1e-300):
                break
        return x, _damped(damping, scale), at


def _damped(damping: float, scale: np.ndarray) -> dict[str, Any]:
    return {"damping": jnp.asarray(max(damping, 1e-12)), "scale": jnp.asarray(scale)}


def _attempt(evaluate: Evaluate, x: Point, before: Evaluation) -> Evaluation | None:
    """The loss at a trial point; None where fewer rows converge than before, or no number."""
    from dqc_lite.errors import NonFiniteError

    try:
        trial = evaluate(x, "value")
    except NonFiniteError:
        return None
    lost = set(trial.skipped) - set(before.skipped)
    return None if lost or not np.isfinite(trial.loss) else trial


def named(name: str, **settings: Any) -> Optimizer:
    """An optimizer by name: "lm", "lbfgs", or one of optax, such as "adam".

    Raises:
        InputError: unknown name or settings.
    """
    import optax

    require_text("optimizer", name)
    own = {"lm": LevenbergMarquardt, "lbfgs": LBFGS}
    make = own.get(name.lower()) or getattr(optax, name.lower(), None)
    if make is None:
        raise InputError(f"optimizer = {name!r} is unknown; use 'lm', 'lbfgs' or one of optax.")
    if name.lower() not in own:
        for key, value in settings.items():
            _check_setting(f"optimizer = {name!r}: {key}", key, value)
    try:
        made = make(**settings)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"optimizer = {name!r}: {error}") from error
    if name.lower() in own:
        return made
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise InputError(f"optimizer = {name!r} is no optimizer; use 'lm', 'lbfgs' or 'adam'.")
    return Optax(made)


def _check_setting(name: str, key: str, value: Any) -> None:
    """Numbers of optax's optimizers, which themselves take anything."""
    if key in ("learning_rate", "step_size") and not callable(value):
        require_number(name, value, positive=True)
    elif key in ("b1", "b2", "decay", "momentum") and value is not None:
        require_number(name, value, below=1.0)
    elif isinstance(value, int | float) and not np.isfinite(value):
        raise InputError(f"{name} = {value!r} must be a finite number.")
