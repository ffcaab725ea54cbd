"""The derivative of a converged SCF, written once, blind to the solver that converged it.

Orbitals near the converged ones C are ``C (1 + X)``, orthonormalized in the overlap S of the moved
molecule; X, from lower to higher occupation, is the only unknown. Its equation is that the energy
is stationary, ``g(theta, X) = dE/dX = 0``, and the implicit function theorem gives

    H dX = -dg/dtheta,   H = dg/dX, the orbital Hessian.

One formula serves restricted, unrestricted and restricted open-shell determinants and every
functional; it knows no orbital energies (those only precondition the solver), so degenerate
orbitals need no care. For smeared states the unknown is the matrix whose Fermi function is the
density matrix (`dqc_lite.implicit.smeared_states`), with the same steps. Every quantity is again a
differentiable function of theta and the unknown, hence derivatives of any order, in either mode.
"""

from dqc_lite.autodiff.guards import without_derivative
from dqc_lite.autodiff.leaves import tangent_along
from dqc_lite.implicit.converged import Constants, Converged
from dqc_lite.implicit.relaxed import (
    relaxed_density,
    relaxed_energy,
    relaxed_occupations,
    relaxed_orbital_energies,
)

__all__ = [
    "Constants",
    "Converged",
    "relaxed_density",
    "relaxed_energy",
    "relaxed_occupations",
    "relaxed_orbital_energies",
    "tangent_along",
    "without_derivative",
]
