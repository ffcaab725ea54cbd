"""Calls that do not fit a function: `ArgumentError` in the place of Python's `TypeError`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from dqc_lite.errors import ArgumentError

F = TypeVar("F", bound=Callable)

_SHOWN = 60
"""Characters of a value in a message."""


def named_arguments(target: F) -> F:
    """Raise `ArgumentError` for arguments that a function, or the constructor of a class, lacks.

    A call that fits costs nothing but the call; the signature is looked at after a `TypeError`.
    """
    if isinstance(target, type):
        # in place: the class is registered as a pytree, and is the same afterwards
        init = target.__init__  # type: ignore[misc]  # of this very class, of no subclass
        target.__init__ = _guarded(init, target.__name__)  # type: ignore[misc]
        return target
    return cast(F, _guarded(target, target.__qualname__))


def shown(value: Any) -> str:
    """The beginning of a value's text, for a message."""
    text = repr(value) or type(value).__name__
    first = text.split("\n")[0][:_SHOWN]
    return first if first == text else f"{first}..."


def _guarded(function: Callable, name: str) -> Callable:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            problem = _misfit(function, name, args, kwargs)
            if problem is None:
                raise
        raise ArgumentError(problem)

    return call


def _misfit(function: Callable, name: str, args: tuple, kwargs: dict[str, Any]) -> str | None:
    """What is wrong with the arguments; None where they fit, and something else was wrong."""
    import difflib
    import inspect

    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
        return None
    except TypeError as error:
        reason = str(error)
    parameters = [p for p in signature.parameters if p not in ("self", "cls")]
    called = "this function" if name.startswith("_") else f"{name}()"
    known = f"arguments of {called}: {', '.join(parameters)}."
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    unknown = [] if takes_any else [key for key in kwargs if key not in parameters]
    if not unknown:
        return f"{reason}; {known}"
    key = unknown[0]
    value = shown(kwargs[key])
    close = difflib.get_close_matches(key, parameters, 1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{key} = {value} is no argument of {called}; {meant}{known[0].upper()}{known[1:]}"
