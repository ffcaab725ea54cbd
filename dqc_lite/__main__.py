"""``python -m dqc_lite``."""

import sys

from dqc_lite.cli import main

if __name__ == "__main__":
    sys.exit(main())
