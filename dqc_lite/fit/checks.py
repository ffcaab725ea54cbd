"""Settings of training that are no number, no count or no text: errors that name them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dqc_lite.errors import InputError


def require_count(name: str, value: Any, least: int) -> int:
    """A whole number, `least` or above.

    Raises:
        InputError: anything else, also "12", 1.5 and True.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise InputError(f"{name} = {value!r} must be a whole number, {least} or above.")
    return int(value)


def require_number(
    name: str, value: Any, *, least: float = 0.0, below: float = math.inf, positive: bool = False
) -> float:
    """A finite number from `least` (beyond it if `positive`) up to `below`, which is excluded."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not least <= value < below or (positive and value == least):
        bound = f"above {least:g}" if positive else f"{least:g} or above"
        more = "" if math.isinf(below) else f" and below {below:g}"
        raise InputError(f"{name} = {value!r} must be a finite number {bound}{more}.")
    return float(value)


def require_text(name: str, value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{name} = {value!r} must be text that is not empty.")
    return value


def require_flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} = {value!r} must be true or false.")
    return bool(value)
