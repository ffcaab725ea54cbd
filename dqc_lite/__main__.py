"""``python -m dqc_lite``."""

from dqc_lite.cli.__main__ import run

run()
