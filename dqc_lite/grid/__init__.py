"""Numerical integration on a grid that moves with the atoms.

Each atom carries a static grid, radial times angular; Becke's partition of space gives every point
its share. Points and weights are those of PySCF's default grids of the same level.
"""

from dqc_lite.grid.atomic import Grid

__all__ = ["Grid"]
