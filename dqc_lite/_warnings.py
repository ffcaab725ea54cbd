"""Warnings that point to the line of the user."""

from __future__ import annotations

import sys
import warnings


def warn(message: str) -> None:
    """`warnings.warn`, attributed to the nearest caller outside of this package and of JAX."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _internal(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def _internal(module: str) -> bool:
    return module.partition(".")[0] in ("dqc_lite", "jax")
