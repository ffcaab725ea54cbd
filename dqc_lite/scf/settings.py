"""Checks of the numbers a user sets."""

from __future__ import annotations

import math
from typing import Any

from dqc_lite.errors import InputError
from dqc_lite.geometry import is_integer


def require_count(settings: Any, least: int, most: int | float, *names: str) -> None:
    """Raise `InputError` unless these settings are whole numbers from `least` to `most`."""
    for name in names:
        value = getattr(settings, name)
        if not (is_integer(value) and isinstance(value, int) and least <= value <= most):
            bounds = f"of at least {least}" + (f", at most {most}" if most < math.inf else "")
            raise InputError(f"{name} = {value!r} must be a whole number {bounds}.")


def require_number(settings: Any, *names: str, positive: bool = True) -> None:
    """Raise `InputError` unless these settings are finite, and positive or at least zero."""
    for name in names:
        value = getattr(settings, name)
        real = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (real and math.isfinite(value) and (value > 0 if positive else value >= 0)):
            kind = "a positive number" if positive else "a number >= 0"
            raise InputError(f"{name} = {value!r} must be {kind}.")


def require_flag(settings: Any, *names: str) -> None:
    """Raise `InputError` unless these settings are True or False."""
    for name in names:
        if not isinstance(getattr(settings, name), bool):
            raise InputError(f"{name} = {getattr(settings, name)!r} must be True or False.")
