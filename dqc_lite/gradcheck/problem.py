"""A scalar function of pytrees, on its floating leaves; directions in their space."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite.errors import DqcLiteError, InputError

RANDOM_DIRECTIONS = 3
"""Random directions checked in addition, when only a subset of the components is."""


@dataclass(frozen=True)
class Direction:
    """A direction in the space of all floating components.

    `parts` maps leaf number -> array of the leaf's shape (float64); `single` is set when only one
    component is not zero (it is 1 there): (leaf number, index).
    """

    parts: dict[int, np.ndarray]
    scale: float
    single: tuple[int, tuple[int, ...]] | None = None

    def dot(self, gradient: list[np.ndarray]) -> float:
        if self.single is not None:
            leaf, index = self.single
            return float(gradient[leaf][index])
        return float(sum(np.sum(part * gradient[i]) for i, part in self.parts.items()))


class Problem:
    """`fun` as a function of the list of its floating leaves, with a count of the calls."""

    def __init__(self, fun: Callable[..., Any], inputs: tuple, jit: bool):
        paths, treedef = jax.tree_util.tree_flatten_with_path(inputs)
        arguments = _argument_names(fun, len(inputs))
        leaves = [leaf for _, leaf in paths]
        names = [arguments[path[0].idx] + jax.tree_util.keystr(path[1:]) for path, _ in paths]
        self.where = [i for i, leaf in enumerate(leaves) if _is_floating(names[i], leaf)]
        self.names = [names[i] for i in self.where]
        self.leaves = [np.asarray(jnp.asarray(leaves[i])) for i in self.where]
        self.size = sum(leaf.size for leaf in self.leaves)
        if self.size == 0:
            raise InputError(
                f"inputs={_short(inputs)}: there is no floating component to differentiate. "
                "Pass at least one array of floats (1.0 instead of 1)."
            )

        def of_floats(floats):
            merged = list(leaves)
            for i, value in zip(self.where, floats, strict=True):
                merged[i] = value
            return fun(*jax.tree_util.tree_unflatten(treedef, merged))

        wrap = jax.jit if jit else (lambda f: f)
        self._fun = wrap(of_floats)
        self._grad = wrap(jax.grad(of_floats))
        self._jvp = wrap(lambda x, t: jax.jvp(of_floats, (x,), (t,))[1])
        self.evaluations = 1
        out = _checked_scalar(self._fun(self._arrays(self.leaves)))
        self.value, self.noise = float(out), 0.0
        dtypes = [out.dtype, *(leaf.dtype for leaf in self.leaves)]
        self.eps = max(float(jnp.finfo(d).eps) for d in dtypes)
        self.scales = [_scales(leaf.astype(np.float64), self.eps) for leaf in self.leaves]

    def _arrays(self, leaves: list[np.ndarray]) -> list[jax.Array]:
        return [jnp.asarray(leaf) for leaf in leaves]

    def gradient(self) -> list[np.ndarray]:
        return [np.asarray(g, dtype=np.float64) for g in self._grad(self._arrays(self.leaves))]

    def jvp(self, direction: Direction) -> float:
        zeros = [np.zeros_like(leaf) for leaf in self.leaves]
        for i, part in direction.parts.items():
            zeros[i] = part.astype(zeros[i].dtype)
        return float(self._jvp(self._arrays(self.leaves), self._arrays(zeros)))

    def at(self, direction: Direction, step: float) -> tuple[float, float]:
        """(displacement really made, value there); the value is NaN where `fun` cannot be had."""
        leaves, made = list(self.leaves), step
        for i, part in direction.parts.items():
            leaf = self.leaves[i]
            moved = (leaf.astype(np.float64) + step * part).astype(leaf.dtype)
            if direction.single is not None:
                index = direction.single[1]
                made = float(moved[index]) - float(leaf[index])
            leaves[i] = moved
        self.evaluations += 1
        try:
            return made, float(self._fun(self._arrays(leaves)))
        except DqcLiteError:
            return made, math.nan


def _scales(leaf: np.ndarray, eps: float) -> np.ndarray:
    """The step scale of each component, in the leaf's units and shape.

    Its size below 1, else 1; more where it is nearly 0 beside the others, or so large that a step
    of 1 would drown in its rounding.
    """
    size = np.where(np.isfinite(leaf), np.abs(leaf), 1.0)
    typical = min(float(size.max(initial=0.0)), 1.0) or 1.0
    floor = np.where(size == 0.0, typical, 1e-3 * typical)
    return np.maximum(np.clip(size, floor, 1.0), eps ** (1 / 3) * size)


def _argument_names(fun: Callable[..., Any], count: int) -> list[str]:
    """The names of the positional parameters of `fun`, `arg0` and so on where it has none."""
    names = [f"arg{i}" for i in range(count)]
    try:
        parameters = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):
        return names
    for i, p in zip(range(count), parameters, strict=False):
        if p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            break
        names[i] = p.name
    return names


def _is_floating(name: str, leaf: Any) -> bool:
    if isinstance(leaf, float):
        return True
    if isinstance(leaf, complex) or (
        hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.complexfloating)
    ):
        raise InputError(
            f"input {name} is complex ({_short(leaf)}): pass its real and imaginary parts as two "
            "inputs and combine them inside the function."
        )
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


def _checked_scalar(out: Any) -> np.ndarray:
    remedy = "The function must return one real floating number, shape (): reduce it (jnp.sum), "
    if isinstance(out, float):
        return np.asarray(out)
    shape, dtype = getattr(out, "shape", None), getattr(out, "dtype", None)
    if shape is None or dtype is None:
        raise InputError(f"output of fun={_short(out)}: {remedy}or select one entry.")
    if shape != ():
        raise InputError(f"output of fun has shape={shape}: {remedy}or select one entry.")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(f"output of fun has dtype={dtype}: {remedy}or convert it to a float.")
    return np.asarray(out)


def _short(value: Any, length: int = 60) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= length else text[: length - 3] + "..."


# --- which directions ----------------------------------------------------------------------------


def directions(
    problem: Problem, max_components: int | None, rng: np.random.Generator
) -> Iterator[tuple[str, Direction]]:
    """(name, direction) of everything to check, in the order of the leaves."""
    every = [(i, ix) for i, leaf in enumerate(problem.leaves) for ix in np.ndindex(leaf.shape)]
    subset = max_components is not None and max_components < len(every)
    for i, index in _choose(every, max_components, rng) if subset else every:
        part = np.zeros(problem.leaves[i].shape)
        part[index] = 1.0
        suffix = f"[{', '.join(map(str, index))}]" if index else ""
        direction = Direction({i: part}, float(problem.scales[i][index]), (i, index))
        yield problem.names[i] + suffix, direction
    if subset:
        for k in range(RANDOM_DIRECTIONS):
            yield f"random direction {k + 1}", random_direction(problem, rng)


def _choose(every: list, count: int | None, rng: np.random.Generator) -> list:
    """`count` of the components at random, one of each leaf first while they last."""
    seen: set[int] = set()
    first: list[int] = []
    rest: list[int] = []
    for k in rng.permutation(len(every)):
        (rest if every[k][0] in seen else first).append(int(k))
        seen.add(every[k][0])
    return [every[k] for k in sorted((first + rest)[:count])]


def random_direction(problem: Problem, rng: np.random.Generator) -> Direction:
    """Every component moves, up or down, by its own scale; the whole has length about one scale."""
    parts = {}
    for i, leaf in enumerate(problem.leaves):
        signs = rng.choice([-1.0, 1.0], size=leaf.shape)
        part = signs * problem.scales[i] / math.sqrt(problem.size)
        parts[i] = part.astype(leaf.dtype).astype(np.float64)  # the tangent that AD will see
    return Direction(parts, 1.0)
