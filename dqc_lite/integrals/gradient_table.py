"""The contractions there are: of every integral whose derivative an energy needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array
from dqc_lite.integrals import by_primitive
from dqc_lite.integrals.contracted_gradient import Contraction, Orbs
from dqc_lite.integrals.host import along_motions, hessians
from dqc_lite.integrals.host import values as host_values


def _linear(
    integral: Callable, gradient: Callable, along: Callable, curvature: Callable | None
) -> Contraction:
    """Of ``<dual, integral(*orbitals, *extra)>``, by host functions of orbitals and extra."""

    def directional(
        orbitals: Orbs, extra: tuple, fixed: Any, dual: np.ndarray, changes: np.ndarray
    ) -> np.ndarray:
        return np.stack([gradient(orbitals, extra, change) for change in changes])

    def second(orbitals: Orbs, extra: tuple, fixed: Any, dual: np.ndarray) -> np.ndarray:
        assert curvature is not None
        return curvature(orbitals, extra, dual)

    return Contraction(
        energy=lambda orbitals, extra, fixed, dual: jnp.vdot(integral(*orbitals, *extra), dual),
        gradient=lambda orbitals, extra, fixed, dual: gradient(orbitals, extra, dual),
        directional=directional,
        tensor=lambda orbitals, extra, fixed, dual, motions: along(*orbitals, *extra, motions),
        curvature=None if curvature is None else second,
    )


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    """The part that symmetric integrals see."""
    return 0.5 * (matrix + matrix.swapaxes(-1, -2))


def _two_index(
    integral: Callable, gradient: Callable, along: Callable, curvature: Callable
) -> Contraction:
    return _linear(
        integral,
        lambda orbitals, extra, dual: gradient(*orbitals, *extra, _symmetric(dual))[None],
        along,
        lambda orbitals, extra, dual: curvature(*orbitals, *extra, _symmetric(dual)),
    )


OVERLAP = _two_index(
    by_primitive.overlap, host_values.overlap_gradient, along_motions.overlap, hessians.overlap
)
KINETIC = _two_index(
    by_primitive.kinetic, host_values.kinetic_gradient, along_motions.kinetic, hessians.kinetic
)
NUCLEAR = _two_index(
    by_primitive.nuclear, host_values.nuclear_gradient, along_motions.nuclear, hessians.nuclear
)
ECP = _two_index(by_primitive.ecp, host_values.ecp_gradient, along_motions.ecp, hessians.ecp)
TWO_CENTER = _two_index(
    by_primitive.two_center,
    lambda auxiliary, omega, dual: host_values.two_center_gradient(auxiliary, dual, omega),
    along_motions.two_center,
    lambda auxiliary, omega, dual: hessians.two_center(auxiliary, dual, omega),
)
THREE_CENTER = _linear(
    by_primitive.three_center,
    lambda orbitals, extra, dual: host_values.three_center_gradient(
        orbitals[0], orbitals[1], dual, extra[0]
    ),
    along_motions.three_center,
    lambda orbitals, extra, dual: hessians.three_center(orbitals[0], orbitals[1], dual, extra[0]),
)


def _repulsion_energy(orbitals: Orbs, extra: tuple, scales: tuple, density: Array) -> Array:
    (omega,), (coulomb, exchange) = extra, scales
    eri = by_primitive.repulsion("int2e", orbitals * 4, omega)
    energy = jnp.zeros(())
    if coulomb is not None:
        total = density.sum(0)
        energy += 0.5 * coulomb * jnp.vdot(total, jnp.einsum("mnls,ls->mn", eri, total))
    if exchange is not None:
        k = jnp.einsum("mnls,pnl->pms", eri, density)
        closed = 3 - len(density)  # exchange of a doubly occupied closed shell counts half
        energy -= 0.5 * exchange / closed * jnp.vdot(density, k)
    return energy


def _repulsion_gradient(
    orbitals: Orbs, extra: tuple, scales: tuple, density: np.ndarray
) -> np.ndarray:
    (orbs,), (coulomb, exchange), (omega,) = orbitals, scales, extra
    p = _symmetric(density)
    return host_values.four_center_gradient(orbs, p, coulomb, exchange, omega)[None]


def _repulsion_gradient_along(
    orbitals: Orbs, extra: tuple, scales: tuple, density: np.ndarray, changes: np.ndarray
) -> np.ndarray:
    (orbs,), (coulomb, exchange), (omega,) = orbitals, scales, extra
    p, dp = _symmetric(density), _symmetric(changes)
    if len(dp) > 1:
        return along_motions.four_center_gradients(orbs, p, dp, coulomb, exchange, omega)
    both = np.stack([p, dp[0]])
    mixed = host_values.four_center_mixed_gradient(orbs, both, coulomb, exchange, omega)
    return mixed[None, None]


def _fock_along(
    orbitals: Orbs, extra: tuple, scales: tuple, density: np.ndarray, motions: np.ndarray
) -> np.ndarray:
    (orbs,), (coulomb, exchange), (omega,) = orbitals, scales, extra
    p = _symmetric(density)
    return along_motions.four_center(orbs, p, coulomb, exchange, omega, motions)


def _repulsion_curvature(
    orbitals: Orbs, extra: tuple, scales: tuple, density: np.ndarray
) -> np.ndarray:
    (orbs,), (coulomb, exchange), (omega,) = orbitals, scales, extra
    return hessians.four_center(orbs, _symmetric(density), coulomb, exchange, omega)


FOUR_CENTER = Contraction(
    _repulsion_energy,
    _repulsion_gradient,
    _repulsion_gradient_along,
    _fock_along,
    _repulsion_curvature,
)
