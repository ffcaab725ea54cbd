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
    """dE/dv, hartree, of a pytree v that makes a density, by way of the Fock matrix dE/dP."""

    def slope(variable: Any) -> Any:
        def matrix(variable: Any) -> tuple[Array, Density]:
            density = density_at(variable)
            return density.matrix, density

        _, pull, density = jax.vjp(matrix, variable, has_aux=True)
        _, fock = hamiltonian.evaluate(integrals, density)
        return pull(fock)[0]

    return slope
