"""``python -m dqc_lite.cli``, and ``python -m dqc_lite``."""

import sys

from dqc_lite.cli import main


def run() -> None:
    sys.exit(main())


if __name__ == "__main__":
    run()
