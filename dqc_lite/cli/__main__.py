"""``python -m dqc_lite.cli``."""

import sys

from dqc_lite.cli import main

sys.exit(main())
