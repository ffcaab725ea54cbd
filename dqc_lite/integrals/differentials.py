"""First derivatives of integrals contracted with a fixed dual tensor: the fast path of forces.

``differential(x, dual)`` has the value 0 and the derivative ``d <dual, I(x)>`` at fixed `dual`:
only the derivative is wanted, and the integrals are not evaluated again. Along positions the
derivative is contracted on the host while the derivative integrals are made, and so is the
derivative of that along the dual (`dqc_lite.integrals.contracted_gradient`); along exponents,
coefficients and charges, and at every other higher order, it is that of the general primitive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.autodiff.zero_valued import inner, is_zero, total, zero
from dqc_lite.basis import Orbitals
from dqc_lite.integrals import gradient_table
from dqc_lite.integrals.by_primitive import Omega
from dqc_lite.integrals.contracted_gradient import Contraction, Orbs

Scale = float | Array | None


def _differential(contraction: Contraction) -> Callable:
    """A zero-valued function ``(orbitals, extra, fixed, dual)`` with the derivative of the energy
    of `contraction` along `orbitals` and `extra`.
    """
    energy = jax.jit(contraction.energy)

    @jax.custom_jvp
    def function(orbitals: Orbs, extra: Any, fixed: Any, dual: Array) -> Array:
        return zero()

    def rule(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        centers = [None if is_zero(o.centers) else o.centers for o in tangents[0]]
        parts = _along_the_rest(energy, primals, tangents)
        if any(t is not None for t in centers):
            parts.append(_along_centers(contraction.function(*primals), centers))
        if not parts:
            return zero(), zero()
        return zero(), parts[0] if len(parts) == 1 else total(parts)

    function.defjvp(rule, symbolic_zeros=True)
    return function


@adaptive_jit
def _along_centers(
    gradients: Float[Array, "k atom 3"], motions: list[Float[Array, "atom 3"] | None]
) -> Float[Array, ""]:
    return inner(list(gradients), motions)


def _along_the_rest(energy: Callable, primals: tuple, tangents: tuple) -> list[Array]:
    """Derivative along exponents, coefficients and extra arguments, if they move."""
    orbitals, extra, *held = primals
    leaves, treedef = jax.tree.flatten(([(o.exponents, o.coefficients) for o in orbitals], extra))
    moves = jax.tree.leaves(([(o.exponents, o.coefficients) for o in tangents[0]], tangents[1]))
    moved = [i for i, t in enumerate(moves) if not is_zero(t)]
    if not moved:
        return []

    def at(*values: Array) -> Array:
        merged = list(leaves)
        for i, value in zip(moved, values, strict=True):
            merged[i] = value
        pairs, rest = jax.tree.unflatten(treedef, merged)
        changed = (
            Orbitals(o.centers, a, c, o.layout) for o, (a, c) in zip(orbitals, pairs, strict=True)
        )
        return energy(tuple(changed), rest, *held)

    return [jax.jvp(at, [leaves[i] for i in moved], [moves[i] for i in moved])[1]]


_overlap = _differential(gradient_table.OVERLAP)
_kinetic = _differential(gradient_table.KINETIC)
_nuclear = _differential(gradient_table.NUCLEAR)
_ecp = _differential(gradient_table.ECP)


def overlap(orbitals: Orbitals, dual: Float[Array, "ao ao"]) -> Float[Array, ""]:
    """d sum_mn dual_mn <m|n>, symmetric dual."""
    return _overlap((orbitals,), (), (), dual)


def kinetic(orbitals: Orbitals, dual: Float[Array, "ao ao"]) -> Float[Array, ""]:
    """d of the kinetic energy of the symmetric density matrix dual."""
    return _kinetic((orbitals,), (), (), dual)


def nuclear(
    orbitals: Orbitals, charges: Float[Array, " atom"], dual: Float[Array, "ao ao"]
) -> Float[Array, ""]:
    """d of the nuclear attraction energy; the nuclei sit on the centres of the orbitals."""
    return _nuclear((orbitals,), (charges,), (), dual)


def ecp(orbitals: Orbitals, dual: Float[Array, "ao ao"]) -> Float[Array, ""]:
    """d of the effective-core-potential energy of the symmetric density matrix dual."""
    return _ecp((orbitals,), (), (), dual)


_two_center = _differential(gradient_table.TWO_CENTER)
_three_center = _differential(gradient_table.THREE_CENTER)


def two_center(
    auxiliary: Orbitals, dual: Float[Array, "aux aux"], omega: Omega = None
) -> Float[Array, ""]:
    """d sum_PQ dual_PQ (P|Q), symmetric dual; of erf(omega r)/r where omega is given."""
    return _two_center((auxiliary,), (omega,), (), dual)


def three_center(
    orbitals: Orbitals, auxiliary: Orbitals, dual: Float[Array, "aux pair"], omega: Omega = None
) -> Float[Array, ""]:
    """d sum dual_P,mn (P|mn) over pairs m >= n."""
    return _three_center((orbitals, auxiliary), (omega,), (), dual)


_four_center = _differential(gradient_table.FOUR_CENTER)


def four_center(
    orbitals: Orbitals,
    density: Float[Array, "spin ao ao"],
    coulomb: Scale,
    exchange: Scale,
    omega: Omega = None,
) -> Float[Array, ""]:
    """d of ``coulomb/2 (P|P) - exchange/2 sum_s (P_s|P_s)_K`` at fixed P_s, P = sum_s P_s.

    One spin channel is a doubly occupied closed shell, whose exchange counts half. The scales,
    None for a part that is absent, are fixed too: their derivative is an energy, which the terms
    have.
    """
    return _four_center((orbitals,), (omega,), (coulomb, exchange), density)
