"""Physical constants and unit conversions; internal units are atomic."""

BOHR_IN_ANGSTROM = 0.52917721092
"""1 bohr in angstrom: PySCF's value (CODATA 2010), so that an xyz file means the same."""

ANGSTROM_IN_BOHR = 1.0 / BOHR_IN_ANGSTROM

HARTREE_IN_EV = 27.211386245988
"""1 hartree in electronvolt (CODATA 2018)."""
