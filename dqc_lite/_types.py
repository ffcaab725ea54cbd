"""Array annotations, and the names of axes in them.

Annotations read ``Float[Array, "ao ao"]`` (jaxtyping). The tests check the annotations of the
production integrals, jk, terms, scf and density while they run; those of the rest are not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jax import Array

__all__ = ["Array", "Bool", "Complex", "Float", "Inexact", "Int", "Num", "Shaped"]

AXES = frozenset(
    # molecule, basis: functions, shells, primitives, contracted functions, orbitals
    "atom center ao aux shell prim ctr mo occ minimal pair auxocc xyz input "
    # states: density channels, sets of orbitals, rotations, cycles, guesses, starts
    "spin set row column cycle channel space start term mode "
    # grids and functionals
    "point block component variable feature parameter coefficient power error moment "
    # without a meaning of their own: dimensions of linear algebra, shapes of whatever is given
    "n m k p b j any some one old moold aold count place output derivative parts shape leading "
    "_".split()
)
"""Names of axes in annotations, of which a test knows no others."""

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
