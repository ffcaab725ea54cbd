"""ASE structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import ase


def atoms_and_spin(atoms: ase.Atoms) -> tuple[list, int]:
    """Rows ``(symbol, (x, y, z))`` in angstrom, and 2S from the initial magnetic moments."""
    symbols = atoms.get_chemical_symbols()
    spin = round(abs(float(np.sum(atoms.get_initial_magnetic_moments()))))
    return list(zip(symbols, atoms.get_positions().tolist(), strict=True)), spin
