"""Axis vocabulary of array annotations.

Annotations read ``Float[Array, "ao ao"]`` (jaxtyping). Axis names used throughout:
``atom shell prim ctr ao aux mo grid spin xyz``. The tests check the annotations of the
production integrals, jk, terms, scf and density while they run; those of the rest are not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jax import Array

__all__ = ["Array", "Bool", "Complex", "Float", "Inexact", "Int", "Num", "Shaped"]

if TYPE_CHECKING:
    from jaxtyping import Bool, Complex, Float, Inexact, Int, Num, Shaped
else:

    class _Annotation:
        """A jaxtyping annotation, imported when one is evaluated: ordinary runs never do."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __getitem__(self, item: Any) -> Any:
            import jaxtyping

            return getattr(jaxtyping, self.name)[item]

    Bool, Complex, Float, Inexact, Int, Num, Shaped = map(_Annotation, __all__[1:])
