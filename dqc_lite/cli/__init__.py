"""The command line ``dqc-lite``. Importing it, and ``--help``, import neither JAX nor PySCF."""

from dqc_lite.cli.application import main

__all__ = ["main"]
