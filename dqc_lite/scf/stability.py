"""Is a stationary point a minimum? The lowest eigenvalue of the orbital Hessian.

A negative one means that a small turn of the orbitals lowers the energy (Seeger and Pople,
J. Chem. Phys. 66, 3045 (1977)). Eigenvalues are those of A + B in hartree: orbital energy
differences for electrons that do not interact.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Bool, Float
from dqc_lite.scf.curvature import Rotation, ask
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.rotations import Surface
from dqc_lite.scf.self_consistency import SelfConsistency

SMALL_GAP = {"closed": (0.05, 0.6), "open": (0.15, 0.8)}
"""(a, b) hartree: where the softest rotation costs orbital energy below a + b (fraction of exact
exchange), a saddle point is likely enough to look for one. Exchange takes the attraction of
electron and hole off that, up to 0.6 hartree where both are small (Hartree-Fock, 6-31G: N2 at 1.5
angstrom 0.49, lowest eigenvalue -0.02; O2 2+ at 1.25 angstrom 0.63 and -0.09), functionals without
exchange next to nothing. In open shells spin polarization comes to it: O2 at 1.25 angstrom 0.64 and
-0.01."""


def external(
    problem: SelfConsistency,
    mo_coeff: Float[Array, "set ao mo"],
    fock: Float[Array, "spin ao ao"],
) -> Rotation:
    """Of a closed shell against different orbitals for different spins (the triplet Hessian)."""
    reference = problem.reference
    both = Reference("unrestricted", reference.nalpha, reference.nbeta)
    doubled = (jnp.concatenate([a] * 2) for a in (mo_coeff, fock))
    surface = Surface.at(problem.hamiltonian, problem.integrals, both, *doubled)
    one_spin = Surface.of(problem, mo_coeff, fock)
    hessian = surface.hessian()

    def product(x: Array) -> Array:
        alpha, beta = hessian(jnp.concatenate([x, -x]) / np.sqrt(2.0))
        return (alpha - beta)[None] / np.sqrt(2.0)

    return ask(one_spin, product, mode=True)


def doubtful(
    problem: SelfConsistency,
    mo_coeff: Float[Array, "set ao mo"],
    fock: Float[Array, "spin ao ao"],
    helped: Bool[Array, ""],
) -> Bool[Array, ""]:
    """Whether a state that has converged may well be no minimum.

    So it is where DIIS had to be `helped`, where alpha and beta orbitals of a singlet may differ
    but need not, and where a rotation costs little orbital energy.
    """
    reference = problem.reference
    if reference.nalpha + reference.nbeta < 2:
        return jnp.asarray(False)
    if reference.kind == "unrestricted" and reference.nalpha == reference.nbeta:
        return jnp.asarray(True)
    a, b = SMALL_GAP["closed" if reference.kind == "restricted" else "open"]
    small = a + b * problem.hamiltonian.exchange_fraction
    return helped | (softest(problem, mo_coeff, fock) < small)


def softest(
    problem: SelfConsistency,
    mo_coeff: Float[Array, "set ao mo"],
    fock: Float[Array, "spin ao ao"],
) -> Float[Array, ""]:
    """Smallest element of the diagonal of A + B without interaction, hartree; inf if there is none.

    The orbital gap, of which that of restricted open shells has three kinds.
    """
    surface = Surface.of(problem, mo_coeff, fock)
    return jnp.min(jnp.where(surface.allowed(), surface.diagonal(), jnp.inf))
