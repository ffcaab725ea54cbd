"""The slope of the energy along whatever a density is made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from dqc_lite._types import Array
from dqc_lite.density import Density
from dqc_lite.terms import Hamiltonian


def slope_of_energy(
    density_at: Callable[[Any], Density], hamiltonian: Hamiltonian, integrals: Any
) -> Callable[[Any], Any]:
    """dE/dv, hartree, of a pytree v that makes a density P = C C^T, by way of dE/dC = 2 F C; where
    P has two factors, by way of the Fock matrix F = dE/dP.
    """

    def slope(variable: Any) -> Any:
        def factor(variable: Any) -> tuple[Array, Density]:
            density = density_at(variable)
            return density.factor, density

        def matrix(variable: Any) -> tuple[Array, Density]:
            density = density_at(variable)
            return density.matrix, density

        _, pull, density = jax.vjp(factor, variable, has_aux=True)
        if density.partner is None:
            return pull(2.0 * hamiltonian.on_orbitals(integrals, density))[0]
        _, pull, density = jax.vjp(matrix, variable, has_aux=True)
        _, fock = hamiltonian.evaluate(integrals, density)
        return pull(fock)[0]

    return slope
