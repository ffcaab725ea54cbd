"""Axis vocabulary of array annotations.

Annotations read ``Float[Array, "ao ao"]`` (jaxtyping). Axis names used throughout:
``atom shell prim ctr ao aux mo grid spin xyz``. Most of the package is tested with its annotations
checked (see tests/conftest.py).
"""

from __future__ import annotations

from jax import Array
from jaxtyping import Bool, Complex, Float, Int, Num, Shaped

__all__ = ["Array", "Bool", "Complex", "Float", "Int", "Num", "Shaped"]
