"""The memory budget, asked before large arrays are made."""

from __future__ import annotations

import os

from dqc_lite.errors import InputError, MemoryBudgetError

ENVIRONMENT_VARIABLE = "DQC_LITE_MEMORY_GB"


def budget_bytes() -> float:
    """Bytes that may be used: $DQC_LITE_MEMORY_GB (GiB), else 80 % of the physical memory.

    Raises:
        InputError: a value that is no number.
    """
    value = os.environ.get(ENVIRONMENT_VARIABLE)
    if value:
        try:
            return float(value) * 2**30
        except ValueError:
            raise InputError(f"{ENVIRONMENT_VARIABLE} = {value!r} is no number of GiB.") from None
    return 0.8 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def require(nbytes: float, what: str, remedy: str) -> None:
    """Raise `MemoryBudgetError` when `nbytes` exceed the budget."""
    budget = budget_bytes()
    if nbytes > budget:
        raise MemoryBudgetError(
            f"{what} would take {nbytes / 2**30:.1f} GiB, more than the budget of "
            f"{budget / 2**30:.1f} GiB; {remedy}, or set {ENVIRONMENT_VARIABLE}."
        )
