"""Automatic differentiation against finite differences, with the finite difference's own error.

A central difference has two errors: truncation, which shrinks with the step, and the noise of the
function divided by the step, which grows. Both are estimated here for every component, truncation
from an extrapolation table and noise from a difference table (J. J. More, S. M. Wild, SIAM J. Sci.
Comput. 33, 1292 (2011)), so that the verdict can say "undecided" where a finite difference is not
good enough to judge the derivative.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite.errors import DqcLiteError, InputError

Status = Literal["ok", "undecided", "failed"]

FEW = 3.0
"""How many estimated finite-difference errors count as agreement."""

RANDOM_DIRECTIONS = 3
"""Random directions checked in addition, when only a subset of the components is."""

_ROWS = {"ridders": 5, "5-point": 3}
_MODES = ("reverse", "forward")
_FIRST_STEP = 0.1  # of the component's scale; halved from row to row
_SHIFT = 3  # how many halvings the table of steps moves by when it resolves too little
_MOST_LARGER, _MOST_SMALLER = 2 * _SHIFT, 6 * _SHIFT


@dataclass(frozen=True)
class GradientComponent:
    """One checked derivative: a component of an input, or a random direction over all of them.

    `ad` maps each mode to its value, `fd` is the finite difference, `fd_error` its estimated
    error, `difference` is AD - FD of the mode that differs most, `tolerance` is
    ``atol + rtol * max(|AD|, |FD|)``. All in the units of ``fun`` per unit of the input.
    """

    name: str
    ad: dict[str, float]
    fd: float
    fd_error: float
    difference: float
    tolerance: float
    status: Status
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the derivative was found right; False for failed and for undecided."""
        return self.status == "ok"

    @property
    def severity(self) -> float:
        """Orders the components within one status: the difference over what is allowed."""
        allowed = self.tolerance + FEW * self.fd_error
        if not (math.isfinite(self.difference) and math.isfinite(allowed)):
            return math.inf
        if self.status == "undecided":
            return allowed / self.tolerance if self.tolerance > 0 else math.inf
        return abs(self.difference) / allowed if allowed > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The same data for JSON; a value that is not finite becomes None."""
        return {
            "name": self.name,
            "ad": {mode: _finite_or_none(value) for mode, value in self.ad.items()},
            "fd": _finite_or_none(self.fd),
            "fd_error": _finite_or_none(self.fd_error),
            "difference": _finite_or_none(self.difference),
            "tolerance": _finite_or_none(self.tolerance),
            "status": self.status,
            "ok": self.ok,
            "note": self.note,
        }


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found. Prints as a table that names the worst component.

    `value` is the function at the point, `noise` the estimated noise of its value, `total` the
    number of float components of the inputs, of which `components` holds those that were checked,
    `evaluations` the number of calls of the function that the finite differences took.
    """

    components: tuple[GradientComponent, ...]
    value: float
    noise: float
    total: int
    evaluations: int
    method: str
    modes: tuple[str, ...]
    rtol: float
    atol: float

    @property
    def passed(self) -> bool:
        """True when every checked component is ok: none failed and none undecided."""
        return all(c.ok for c in self.components)

    @property
    def worst(self) -> GradientComponent:
        """The worst component: failed before undecided before ok, then the largest deviation."""
        rank = {"ok": 0, "undecided": 1, "failed": 2}
        return max(self.components, key=lambda c: (rank[c.status], c.severity))

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON; a value that is not finite becomes None."""
        return {
            "passed": self.passed,
            "worst": self.worst.name,
            "value": _finite_or_none(self.value),
            "noise": _finite_or_none(self.noise),
            "total_components": self.total,
            "function_evaluations": self.evaluations,
            "method": self.method,
            "modes": list(self.modes),
            "rtol": self.rtol,
            "atol": self.atol,
            "components": [c.to_dict() for c in self.components],
        }

    def __str__(self) -> str:
        width = max(len("component"), *(len(c.name) for c in self.components))
        head = [f"{'component':<{width}}", *(f"{mode:>18}" for mode in self.modes)]
        head += [f"{'finite difference':>18}", f"{'its error':>9}", f"{'AD - FD':>9}", "  verdict"]
        lines = [" ".join(head)]
        for c in self.components:
            cells = [f"{c.name:<{width}}", *(f"{c.ad[mode]:18.10g}" for mode in self.modes)]
            cells += [f"{c.fd:18.10g}", f"{c.fd_error:9.1e}", f"{c.difference:9.1e}"]
            lines.append(" ".join([*cells, f"  {c.status}{': ' + c.note if c.note else ''}"]))
        count = {s: sum(c.status == s for c in self.components) for s in _STATUSES}
        worst = self.worst
        return "\n".join(
            [
                *lines,
                f"worst component: {worst.name} ({worst.status}, AD - FD = {worst.difference:.1e}, "
                f"tolerance {worst.tolerance:.1e}, error of FD {worst.fd_error:.1e})",
                f"{'PASSED' if self.passed else 'NOT PASSED'}: "
                + ", ".join(f"{n} {s}" for s, n in count.items())
                + f"; {len(self.components)} derivatives checked over {self.total} components, "
                f"{self.method}, {self.evaluations} function evaluations, noise {self.noise:.1e}",
            ]
        )


_STATUSES: tuple[Status, ...] = ("ok", "undecided", "failed")


def check_gradients(
    fun: Callable[..., Any],
    *inputs: Any,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    method: str = "ridders",
    modes: Sequence[str] = _MODES,
    max_components: int | None = None,
    seed: int = 0,
    jit: bool = False,
) -> GradientReport:
    """Check the derivatives of `fun(*inputs)` by finite differences.

    `fun` returns a real floating scalar, shape (); `inputs` are pytrees: arrays, containers, or
    registered objects such as a `Molecule`. Every component of every floating leaf is checked;
    integer, boolean and other leaves stay as they are. Units are those of `fun` and of the leaves.

    A component is *ok* when ``|AD - FD| <= tol + few * error`` and ``few * error <= tol``, with
    ``tol = atol + rtol * max(|AD|, |FD|)``, ``few`` = 3 and ``error`` the estimated error of the
    finite difference. It has *failed* when the difference exceeds that sum or a value is not
    finite, and is *undecided* when the finite difference is too inexact to tell (a noisy function,
    a kink at the point): raise the tolerances or make `fun` smoother. Finite differences see what
    `fun` computes; the check says nothing of whether that is the function that was meant.

    Arguments
        method: ``"ridders"``, extrapolation from 5 central differences, or ``"5-point"``, the
            five-point formula at two steps (6 evaluations). Both move to other steps where
            needed. Steps are relative to the component's size (below 1) or absolute (above).
        modes: ``"reverse"`` (`jax.grad`), ``"forward"`` (`jax.jvp`), or both.
        max_components: check only so many components, a random choice with at least one of each
            leaf while they last, and 3 random directions over all components. None: all.
        seed: of the random choices; the same seed gives the same report.
        jit: compile `fun` and its derivatives first.

    A displaced point at which `fun` raises a `DqcLiteError` (atoms too close, say) counts as not
    finite. Raises `InputError` when `fun` does not return a real floating scalar, when an input
    has no floating leaf or a complex one, and for unknown `method` or `modes`.
    """
    modes = _check_options(method, modes, max_components, rtol, atol)
    problem = _Problem(fun, inputs, jit)
    rng = np.random.default_rng(seed)
    problem.noise = _noise(problem, rng)
    gradient = problem.gradient() if "reverse" in modes else []
    components = []
    for name, direction in _directions(problem, max_components, rng):
        ad = {}
        for mode in modes:
            ad[mode] = direction.dot(gradient) if mode == "reverse" else problem.jvp(direction)
        fd = _finite_difference(problem, direction, method, rtol, atol)
        components.append(_judge(name, ad, fd, rtol, atol))
    return GradientReport(
        components=tuple(components),
        value=problem.value,
        noise=problem.noise,
        total=problem.size,
        evaluations=problem.evaluations,
        method=method,
        modes=modes,
        rtol=rtol,
        atol=atol,
    )


def _check_options(
    method: str, modes: Sequence[str], max_components: int | None, rtol: float, atol: float
) -> tuple[str, ...]:
    if method not in _ROWS:
        raise InputError(f"method={method!r} is unknown: use one of {tuple(_ROWS)}.")
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if not modes or any(mode not in _MODES for mode in modes):
        raise InputError(f"modes={modes!r}: give one or both of {_MODES}.")
    if max_components is not None and max_components < 1:
        raise InputError(f"max_components={max_components!r}: give a number above 0, or None.")
    for field, value in (("rtol", rtol), ("atol", atol)):
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{field}={value!r}: give a finite number, 0 or above.")
    return modes


# --- the function on its floating leaves ---------------------------------------------------------


@dataclass(frozen=True)
class _Direction:
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


class _Problem:
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

    def jvp(self, direction: _Direction) -> float:
        zeros = [np.zeros_like(leaf) for leaf in self.leaves]
        for i, part in direction.parts.items():
            zeros[i] = part.astype(zeros[i].dtype)
        return float(self._jvp(self._arrays(self.leaves), self._arrays(zeros)))

    def at(self, direction: _Direction, step: float) -> tuple[float, float]:
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


def _directions(
    problem: _Problem, max_components: int | None, rng: np.random.Generator
) -> Iterator[tuple[str, _Direction]]:
    """(name, direction) of everything to check, in the order of the leaves."""
    every = [(i, ix) for i, leaf in enumerate(problem.leaves) for ix in np.ndindex(leaf.shape)]
    subset = max_components is not None and max_components < len(every)
    for i, index in _choose(every, max_components, rng) if subset else every:
        part = np.zeros(problem.leaves[i].shape)
        part[index] = 1.0
        suffix = f"[{', '.join(map(str, index))}]" if index else ""
        direction = _Direction({i: part}, float(problem.scales[i][index]), (i, index))
        yield problem.names[i] + suffix, direction
    if subset:
        for k in range(RANDOM_DIRECTIONS):
            yield f"random direction {k + 1}", _random_direction(problem, rng)


def _choose(every: list, count: int | None, rng: np.random.Generator) -> list:
    """`count` of the components at random, one of each leaf first while they last."""
    seen: set[int] = set()
    first: list[int] = []
    rest: list[int] = []
    for k in rng.permutation(len(every)):
        (rest if every[k][0] in seen else first).append(int(k))
        seen.add(every[k][0])
    return [every[k] for k in sorted((first + rest)[:count])]


def _random_direction(problem: _Problem, rng: np.random.Generator) -> _Direction:
    """Every component moves, up or down, by its own scale; the whole has length about one scale."""
    parts = {}
    for i, leaf in enumerate(problem.leaves):
        signs = rng.choice([-1.0, 1.0], size=leaf.shape)
        part = signs * problem.scales[i] / math.sqrt(problem.size)
        parts[i] = part.astype(leaf.dtype).astype(np.float64)  # the tangent that AD will see
    return _Direction(parts, 1.0)


# --- finite differences --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Estimate:
    value: float
    truncation: float
    noise: float
    note: str = ""

    @property
    def error(self) -> float:
        return self.truncation + self.noise


_NOTHING = _Estimate(math.nan, math.inf, math.inf, "no finite values near the point")


def _noise(problem: _Problem, rng: np.random.Generator) -> float:
    """Standard deviation of the noise of the value (More and Wild's difference table).

    Equally spaced points close together on a random ray (not through the point itself, where a
    kink may sit): differences of third and higher order remove what is smooth and keep what is
    noise. Points too close for the noise to show (many equal values) are spread out.
    """
    floor = 0.5 * problem.eps * abs(problem.value)
    direction = _random_direction(problem, rng)
    spacing = problem.eps**0.4  # its cube is far below rounding, so what is smooth drops out
    for _ in range(3):
        values = np.array([problem.at(direction, k * spacing)[1] for k in range(1, 10)])
        if not np.all(np.isfinite(values)):
            return floor
        if np.mean(np.diff(values) == 0.0) < 0.5:
            break
        spacing *= 30.0
    sigmas = []
    for order in range(3, 7):
        gamma = math.factorial(order) ** 2 / math.factorial(2 * order)
        sigmas.append(math.sqrt(gamma * float(np.mean(np.diff(values, order) ** 2))))
    return max(floor, *sigmas)


def _finite_difference(
    problem: _Problem, direction: _Direction, method: str, rtol: float, atol: float
) -> _Estimate:
    """Derivative along `direction`, from the table of steps that resolves it best."""

    def resolved(estimate: _Estimate) -> bool:
        return FEW * estimate.error <= 0.1 * (atol + rtol * abs(estimate.value))

    best = _search_steps(problem, direction, direction.scale, method, resolved)
    if not resolved(best) and direction.scale < 0.1:  # small, but perhaps not small by nature
        other = _search_steps(problem, direction, 1.0, method, resolved)
        best = other if other.error < best.error else best
    return best


def _search_steps(
    problem: _Problem,
    direction: _Direction,
    scale: float,
    method: str,
    resolved: Callable[[_Estimate], bool],
) -> _Estimate:
    """The best table of steps around a tenth of `scale`: larger steps against noise, smaller
    ones against truncation, the other way where that does not help."""

    @functools.cache
    def row(k: int) -> tuple[float, float, float]:
        """(step, central difference, jump of the one-sided differences) at halving k."""
        step = scale * _FIRST_STEP * 2.0**-k
        up, above = problem.at(direction, step)
        down, below = problem.at(direction, -step)
        if up == down:
            return step, math.nan, math.nan
        central = (above - below) / (up - down)
        return step, central, (above + below - 2.0 * problem.value) / step

    def table(first: int) -> _Estimate:
        window = [row(k) for k in range(first, first + _ROWS[method])]
        while window and not math.isfinite(window[0][1]):  # too large a step leaves the domain
            window.pop(0)
        if len(window) < 3 or not all(math.isfinite(w[1]) for w in window):
            return _NOTHING
        steps, centrals, jumps = (np.array(column) for column in zip(*window, strict=True))
        estimate = (_ridders if method == "ridders" else _five_point)(
            steps, centrals, problem.noise
        )
        return _widen_by_kink(estimate, steps, jumps, problem.noise)

    best, moved = table(0), False
    larger_first = best.noise > best.truncation
    for shift in (-_SHIFT, _SHIFT) if larger_first else (_SHIFT, -_SHIFT):
        first = 0
        while not resolved(best) and -_MOST_LARGER <= first + shift <= _MOST_SMALLER:
            first += shift
            candidate = table(first)
            if candidate.error < best.error:
                best, moved = candidate, True
            elif math.isfinite(candidate.value):
                break
        if moved:
            break
    return best


def _ridders(steps: np.ndarray, centrals: np.ndarray, noise: float) -> _Estimate:
    """Neville's table in the squared step; the entry with the smallest estimated error."""
    values, spread = [centrals[0]], [noise / steps[0]]
    best = _NOTHING
    for i in range(1, len(steps)):
        new_values, new_spread, factor = [centrals[i]], [noise / steps[i]], 1.0
        for j in range(1, i + 1):
            factor *= 4.0
            new_values.append((factor * new_values[j - 1] - values[j - 1]) / (factor - 1.0))
            new_spread.append((factor * new_spread[j - 1] + spread[j - 1]) / (factor - 1.0))
            truncation = max(
                abs(new_values[j] - new_values[j - 1]), abs(new_values[j] - values[j - 1])
            )
            # two equal rows can be chance: an entry needs three
            if i >= 2 and truncation + new_spread[j] < best.error:
                best = _Estimate(float(new_values[j]), float(truncation), float(new_spread[j]))
        values, spread = new_values, new_spread
    return best


def _five_point(steps: np.ndarray, centrals: np.ndarray, noise: float) -> _Estimate:
    """The five-point formula at the two smallest pairs of steps; their difference is the error."""
    coarse, fine = ((4.0 * centrals[-k] - centrals[-k - 1]) / 3.0 for k in (2, 1))
    return _Estimate(float(fine), abs(float(fine - coarse)), 1.5 * noise / float(steps[-1]))


def _widen_by_kink(
    estimate: _Estimate, steps: np.ndarray, jumps: np.ndarray, noise: float
) -> _Estimate:
    """Add the jump between the one-sided derivatives, if there is one, to the error.

    The jump is the limit of (f(h) - 2 f(0) + f(-h)) / h, a series in odd powers of h when f is
    smooth. A central difference alone would take the mean of the two sides for the derivative.
    """
    if not np.all(np.isfinite(jumps)):
        return estimate
    table, spread = [jumps], [4.0 * noise / steps]
    for power in (1, 3, 5)[: len(steps) - 1]:
        factor = 2.0**power
        old, wide = table[-1], spread[-1]
        table.append((factor * old[1:] - old[:-1]) / (factor - 1.0))
        spread.append((factor * wide[1:] + wide[:-1]) / (factor - 1.0))
    errors = [abs(table[j][-1] - table[j - 1][-1]) + spread[j][-1] for j in range(1, len(table))]
    j = int(np.argmin(errors)) + 1
    jump = abs(float(table[j][-1]))
    if jump <= 5.0 * errors[j - 1]:
        return estimate
    note = f"kink: the one-sided derivatives differ by {jump:.1e}"
    return _Estimate(estimate.value, estimate.truncation + jump, estimate.noise, note)


# --- verdict -------------------------------------------------------------------------------------


def _judge(
    name: str, ad: dict[str, float], fd: _Estimate, rtol: float, atol: float
) -> GradientComponent:
    differences = [value - fd.value for value in ad.values()]
    difference = max(differences, key=lambda d: abs(d) if math.isfinite(d) else math.inf)
    tolerance = atol + rtol * max(abs(fd.value), *(abs(value) for value in ad.values()))
    status: Status
    note = fd.note
    if not math.isfinite(difference):
        status = "failed"
        bad = [mode for mode, value in ad.items() if not math.isfinite(value)]
        note = ", ".join(filter(None, [f"{' and '.join(bad)} not finite" if bad else "", note]))
    elif abs(difference) > tolerance + FEW * fd.error:
        status = "failed"
    elif FEW * fd.error > tolerance:
        status = "undecided"
        note = note or "the finite difference is too inexact to tell"
    else:
        status = "ok"
    return GradientComponent(
        name=name,
        ad=ad,
        fd=fd.value,
        fd_error=fd.error,
        difference=difference,
        tolerance=tolerance,
        status=status,
        note=note,
    )


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
