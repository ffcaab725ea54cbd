"""Progress bars, where a terminal shows them and rich is installed."""

from __future__ import annotations

import sys
from typing import Any


class Progress:
    """``with Progress(show, "training", 100) as bar: bar.step("loss 1e-3")``."""

    def __init__(self, show: bool, title: str, total: int | None, done: int = 0):
        self.title, self.total, self.done = title, total, done
        self._bar: Any = None
        self._task: Any = None
        if show and sys.stderr.isatty():
            self._bar = _rich_bar()

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(
                self.title, total=self.total, completed=self.done, note=""
            )
        return self

    def step(self, note: str = "", by: int = 1) -> None:
        """One more is done; `note` is shown behind the bar."""
        if self._bar is not None:
            self._bar.update(self._task, advance=by, note=note)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _rich_bar() -> Any:
    try:
        from rich import progress
        from rich.console import Console
    except ImportError:
        return None
    columns = (
        progress.TextColumn("{task.description}"), progress.BarColumn(),
        progress.MofNCompleteColumn(), progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    return progress.Progress(*columns, console=Console(stderr=True))
