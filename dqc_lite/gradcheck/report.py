"""The outcome of a gradient check, as data and as a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["ok", "undecided", "failed"]

FEW = 3.0
"""How many estimated finite-difference errors count as agreement."""


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


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
