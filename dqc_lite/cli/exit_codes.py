"""How a command ends: 0 done, 1 the calculation failed, 2 bad input, 130 interrupted."""

from __future__ import annotations

from dqc_lite.errors import DqcLiteError, NonFiniteError, ResponseError, SCFNotConvergedError

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_FAILURES = (SCFNotConvergedError, NonFiniteError, ResponseError)


def code_of(error: DqcLiteError) -> int:
    """Whether the calculation failed, or was asked for wrongly."""
    return FAILED if isinstance(error, _FAILURES) else BAD_INPUT


def line_of(error: DqcLiteError) -> str:
    """An error as one line."""
    return f"{type(error).__name__}: {error}"
