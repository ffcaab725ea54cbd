"""From arguments to an exit code.

Exit codes: 0 done; 1 the calculation failed (SCF not converged, gradients not confirmed), or that
of one of several files; 2 bad input; 130 interrupted. Every error of the package is one line on
stderr, never a traceback.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from dqc_lite.cli import files
from dqc_lite.cli.arguments import parse
from dqc_lite.cli.exit_codes import FAILED, INTERRUPTED, code_of, line_of
from dqc_lite.errors import DqcLiteError

ALLOCATIONS = 400_000
"""Between two searches for reference cycles: JAX alone makes almost as many objects, all of them
there to stay; with Python's default of 700 the searches take a tenth of a short run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code; usage errors and ``--help`` leave by SystemExit."""
    gc.set_threshold(ALLOCATIONS)
    atexit.register(gc.freeze)  # at its end the interpreter searches all there is, more than once
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            # PySCF advertises it whenever a name is not in its library, sought or only tried
            warnings.filterwarnings("ignore", message=".*basis-set-exchange")
            command = importlib.import_module(f"dqc_lite.cli.{options.command.replace('-', '_')}")
            of_files = hasattr(options, "files")
            code = files.run(command.run, options) if of_files else command.run(options)
        sys.stdout.flush()
        return code
    except DqcLiteError as error:
        sys.stdout.flush()
        print(f"error: {line_of(error)}", file=sys.stderr)
        return code_of(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)
