"""A command on each of its geometry files, and the JSON of all of them."""

from __future__ import annotations

import contextlib
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from dqc_lite.cli.arguments import STANDARD
from dqc_lite.cli.exit_codes import DONE, FAILED, line_of
from dqc_lite.cli.session import Session
from dqc_lite.errors import DqcLiteError


def run(command: Callable[[Session], int], options: Namespace) -> int:
    """The exit code; of several files 1 if any of them failed, and all are calculated.

    Where the JSON goes to standard output the report goes to stderr.

    Raises:
        DqcLiteError: of a single file.
    """
    sessions = [Session(options, file, len(options.files) > 1) for file in options.files]
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr if options.json == STANDARD else out):
        try:
            codes = [_one(command, session) for session in sessions]
        finally:  # what is there when a run is interrupted, too
            _write(sessions, options.json, out)
    if len(codes) == 1:
        return codes[0]
    return FAILED if any(codes) else DONE


def _one(command: Callable[[Session], int], session: Session) -> int:
    """The exit code of one file; an error ends a single file only."""
    try:
        return command(session)
    except DqcLiteError as error:
        if not session.several:
            raise
        session.complain(line_of(error))
        session.failed(error)
        return FAILED


def _write(sessions: list[Session], name: str | None, out: TextIO) -> None:
    """One record as it is, those of several files as a list."""
    records = [session.record for session in sessions if session.record is not None]
    if name is None or not records:
        return
    from dqc_lite.cli import record

    content = records if len(sessions) > 1 else records[0]
    if name == STANDARD:
        print(record.text(content), file=out, flush=True)
    else:
        record.write(Path(name), content)
