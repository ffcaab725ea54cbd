"""Finite differences with estimates of their truncation and noise."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dqc_lite.gradcheck.problem import Direction, Problem, random_direction
from dqc_lite.gradcheck.report import FEW

ROWS = {"ridders": 5, "5-point": 3}
_FIRST_STEP = 0.1  # of the component's scale; halved from row to row
_SHIFT = 3  # how many halvings the table of steps moves by when it resolves too little
_MOST_LARGER, _MOST_SMALLER = 2 * _SHIFT, 6 * _SHIFT


@dataclass(frozen=True)
class Estimate:
    value: float
    truncation: float
    noise: float
    note: str = ""

    @property
    def error(self) -> float:
        return self.truncation + self.noise


_NOTHING = Estimate(math.nan, math.inf, math.inf, "no finite values near the point")


def noise_level(problem: Problem, rng: np.random.Generator) -> float:
    """Standard deviation of the noise of the value (More and Wild's difference table).

    Equally spaced points close together on a random ray (not through the point itself, where a
    kink may sit): differences of third and higher order remove what is smooth and keep what is
    noise. Points too close for the noise to show (many equal values) are spread out.
    """
    floor = 0.5 * problem.eps * abs(problem.value)
    direction = random_direction(problem, rng)
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


def finite_difference(
    problem: Problem, direction: Direction, method: str, rtol: float, atol: float
) -> Estimate:
    """Derivative along `direction`, from the table of steps that resolves it best."""

    def resolved(estimate: Estimate) -> bool:
        return FEW * estimate.error <= 0.1 * (atol + rtol * abs(estimate.value))

    best = _search_steps(problem, direction, direction.scale, method, resolved)
    if not resolved(best) and direction.scale < 0.1:  # small, but perhaps not small by nature
        other = _search_steps(problem, direction, 1.0, method, resolved)
        best = other if other.error < best.error else best
    return best


def _search_steps(
    problem: Problem,
    direction: Direction,
    scale: float,
    method: str,
    resolved: Callable[[Estimate], bool],
) -> Estimate:
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

    def table(first: int) -> Estimate:
        window = [row(k) for k in range(first, first + ROWS[method])]
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


def _ridders(steps: np.ndarray, centrals: np.ndarray, noise: float) -> Estimate:
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
                best = Estimate(float(new_values[j]), float(truncation), float(new_spread[j]))
        values, spread = new_values, new_spread
    return best


def _five_point(steps: np.ndarray, centrals: np.ndarray, noise: float) -> Estimate:
    """The five-point formula at the two smallest pairs of steps; their difference is the error."""
    coarse, fine = ((4.0 * centrals[-k] - centrals[-k - 1]) / 3.0 for k in (2, 1))
    return Estimate(float(fine), abs(float(fine - coarse)), 1.5 * noise / float(steps[-1]))


def _widen_by_kink(
    estimate: Estimate, steps: np.ndarray, jumps: np.ndarray, noise: float
) -> Estimate:
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
    return Estimate(estimate.value, estimate.truncation + jump, estimate.noise, note)


# --- verdict -------------------------------------------------------------------------------------
