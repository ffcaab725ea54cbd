"""The process that computes. JAX does not survive a fork.

The threads that run compiled programs live in the process that started them. A child forked
afterwards (`multiprocessing` with the method "fork") inherits their locks without the threads, and
its first computation would wait for ever.
"""

from __future__ import annotations

import os

from dqc_lite.errors import ForkError

_computing: int | None = None
"""Id of the process in which the package has computed; None before. A forked child inherits it."""


def require_own_process() -> None:
    """Called where computations begin.

    Raises:
        ForkError: this process was forked from one in which the package had computed.
    """
    global _computing
    here = os.getpid()
    if _computing is None:
        _computing = here
    elif _computing != here:
        raise ForkError(
            f"process {here} was forked from process {_computing}, in which dqc_lite had computed: "
            "JAX would wait here for ever. Start processes with "
            "multiprocessing.get_context('spawn') (or 'forkserver'), or fork before anything is "
            "computed."
        )
