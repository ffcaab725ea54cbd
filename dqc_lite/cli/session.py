"""What the commands share: preparing a calculation, and saying how it is going."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dqc_lite.cli.timings import Timings

if TYPE_CHECKING:
    from dqc_lite.cli.calculation import Calculation


@dataclasses.dataclass
class Session:
    """One run of one command. Results go to stdout, notices and warnings to stderr."""

    options: Namespace
    timings: Timings = dataclasses.field(default_factory=Timings)
    keeps_programs: bool = True

    def prepare(self) -> Calculation:
        """The calculation that the options ask for; prints the header."""
        with self.timings.step("start (imports)"):
            from dqc_lite.cli import report, runtime
            from dqc_lite.cli.calculation import Calculation

            cache = runtime.set_up(not self.options.no_cache)
            self.keeps_programs = cache is not None
        with self.timings.step("molecule"):
            calculation = Calculation.build(self.options)
        self.say(report.header(calculation, self.options.file))
        if self.options.verbose:
            print(report.settings(calculation, cache), end="\n\n")
            print(report.geometry(calculation.mol), end="\n\n")
        return calculation

    def say(self, text: str) -> None:
        """Print a block unless quiet."""
        if not self.options.quiet:
            print(text, end="\n\n", flush=True)

    @contextlib.contextmanager
    def running(self, step: str) -> Iterator[None]:
        """Time a step; somebody who watches a terminal is told that it runs."""
        watched = sys.stderr.isatty() and not self.options.quiet
        if watched:
            print(f"running {step} ...", file=sys.stderr, flush=True)
        with self.timings.step(step):
            yield

    @contextlib.contextmanager
    def evaluating(self, step: str) -> Iterator[None]:
        """`running` what evaluates the energy, and forces, once.

        Programs that are kept on disk are optimized for the next processes, others are not.
        """
        from dqc_lite._compile import evaluated_once

        with contextlib.nullcontext() if self.keeps_programs else evaluated_once():
            with self.running(step):
                yield

    def finish(self, record: dict[str, Any]) -> None:
        """Write the JSON file, if asked for, and print the timings."""
        from dqc_lite.cli import record as records
        from dqc_lite.cli import report

        if self.options.json is not None:
            records.write(Path(self.options.json), record | {"timings": dict(self.timings)})
        if not self.options.quiet:
            print(report.timings(self.timings), flush=True)
