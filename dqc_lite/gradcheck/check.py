"""The check itself: derivatives of both modes against finite differences, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dqc_lite._process import require_own_process
from dqc_lite.errors import InputError
from dqc_lite.gradcheck.differences import ROWS, Estimate, finite_difference, noise_level
from dqc_lite.gradcheck.problem import Problem, directions
from dqc_lite.gradcheck.report import FEW, GradientComponent, GradientReport, Status

MODES = ("reverse", "forward")


def check_gradients(
    fun: Callable[..., Any],
    *inputs: Any,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    method: str = "ridders",
    modes: Sequence[str] = MODES,
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
    require_own_process()
    modes = _check_options(method, modes, max_components, rtol, atol)
    problem = Problem(fun, inputs, jit)
    rng = np.random.default_rng(seed)
    problem.noise = noise_level(problem, rng)
    gradient = problem.gradient() if "reverse" in modes else []
    components = []
    for name, direction in directions(problem, max_components, rng):
        ad = {}
        for mode in modes:
            ad[mode] = direction.dot(gradient) if mode == "reverse" else problem.jvp(direction)
        fd = finite_difference(problem, direction, method, rtol, atol)
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
    if method not in ROWS:
        raise InputError(f"method={method!r} is unknown: use one of {tuple(ROWS)}.")
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if not modes or any(mode not in MODES for mode in modes):
        raise InputError(f"modes={modes!r}: give one or both of {MODES}.")
    if max_components is not None and max_components < 1:
        raise InputError(f"max_components={max_components!r}: give a number above 0, or None.")
    for field, value in (("rtol", rtol), ("atol", atol)):
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{field}={value!r}: give a finite number, 0 or above.")
    return modes


def _judge(
    name: str, ad: dict[str, float], fd: Estimate, rtol: float, atol: float
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
