"""Axis vocabulary of array annotations.

Annotations read ``Float[Array, "ao ao"]`` (jaxtyping). Axis names used throughout:
``atom shell prim ctr ao aux mo grid spin xyz``. The tests check the annotations of the
production integrals, jk, terms, scf and density while they run; those of the rest are not checked.
"""

from __future__ import annotations

from jax import Array
from jaxtyping import Bool, Complex, Float, Int, Num, Shaped

__all__ = ["Array", "Bool", "Complex", "Float", "Int", "Num", "Shaped"]
