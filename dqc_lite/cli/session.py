"""What the commands share: preparing a calculation, and saying how it is going."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dqc_lite.cli.timings import Timings
from dqc_lite.errors import DqcLiteError

if TYPE_CHECKING:
    from dqc_lite.cli.calculation import Calculation


@dataclasses.dataclass
class Session:
    """One command on one file. Results go to stdout, notices and warnings to stderr.

    `record` is what the JSON file will hold.
    """

    options: Namespace
    file: str
    several: bool = False
    timings: Timings = dataclasses.field(default_factory=Timings)
    keeps_programs: bool = True
    record: dict[str, Any] | None = None

    def prepare(self) -> Calculation:
        """The calculation that the options ask for; prints the header."""
        with self.timings.step("start (imports)"):
            from dqc_lite.cli import report, runtime
            from dqc_lite.cli.calculation import Calculation

            cache = runtime.set_up(not self.options.no_cache)
            self.keeps_programs = cache is not None
        with self.timings.step("molecule"):
            calculation = Calculation.build(self.options, self.file)
        if self.options.quiet and self.several:
            print(f"{self.file}:")
        self.say(report.header(calculation, self.file))
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
        from dqc_lite.autodiff.jit import evaluated_once

        with contextlib.nullcontext() if self.keeps_programs else evaluated_once():
            with self.running(step):
                yield

    def complain(self, text: str) -> None:
        """One line on stderr, which names the file if there are others."""
        sys.stdout.flush()
        where = f"{self.file}: " if self.several else ""
        print(f"error: {where}{text}", file=sys.stderr)

    def failed(self, error: DqcLiteError) -> None:
        """Keep the error as the record."""
        from dqc_lite.cli import record

        self.record = record.of_error(self.options, self.file, error)

    def finish(self, record: dict[str, Any]) -> None:
        """Keep the record and print the timings."""
        from dqc_lite.cli import report

        self.record = record | {"timings": dict(self.timings)}
        if not self.options.quiet:
            print(report.timings(self.timings), flush=True)
