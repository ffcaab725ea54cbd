"""Is a stationary point a minimum? The lowest eigenvalue of the orbital Hessian.

A negative one means that a small turn of the orbitals lowers the energy (Seeger and Pople,
J. Chem. Phys. 66, 3045 (1977)). Eigenvalues are those of A + B in hartree: orbital energy
differences for electrons that do not interact.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._compile import adaptive_jit
from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.errors import MethodError
from dqc_lite.scf import davidson
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.rotations import Surface, turned
from dqc_lite.scf.state import SCFState, total
from dqc_lite.terms import Hamiltonian

NEGATIVE = -1e-5
"""Eigenvalues (hartree) above this are rounding: degenerate open shells have exact zeros."""

SMALL_GAP = {"closed": (0.05, 0.6), "open": (0.15, 0.8)}
"""(a, b) hartree: where the softest rotation costs orbital energy below a + b (fraction of exact
exchange), a saddle point is likely enough to look for one. Exchange takes the attraction of
electron and hole off that, up to 0.6 hartree where both are small (Hartree-Fock, 6-31G: N2 at 1.5
angstrom 0.49, lowest eigenvalue -0.02; O2 2+ at 1.25 angstrom 0.63 and -0.09), functionals without
exchange next to nothing. In open shells spin polarization comes to it: O2 at 1.25 angstrom 0.64 and
-0.01."""

TOLERANCE = 1e-3
"""Residual (hartree) of the eigenvector; the eigenvalue is good to its square."""

MAX_PRODUCTS = 200

ANGLES = (-0.9, -0.5, -0.2, 0.2, 0.5, 0.9)
"""Turns (radian) along an unstable mode among which the lowest energy is sought."""


@pytree
class Stability:
    """The softest rotation of a determinant.

    Attributes:
        eigenvalue: lowest eigenvalue of the orbital Hessian A + B, hartree.
        stable: whether it is not negative.
        residual: norm of ``H x - w x``, hartree.
        mode: its eigenvector x, see `dqc_lite.scf.rotations`.
        products: Hessian-vector products, each about a Fock build.
    """

    eigenvalue: Float[Array, ""]
    stable: Bool[Array, ""]
    residual: Float[Array, ""]
    mode: Float[Array, "set row column"]
    products: Int[Array, ""]


@functools.partial(adaptive_jit, static_argnums=(3,))
def internal(
    hamiltonian: Hamiltonian, integrals: Any, state: SCFState, reference: Reference
) -> Stability:
    """Against rotations that keep the kind of determinant."""
    surface = Surface.at(hamiltonian, integrals, reference, state.mo_coeff, state.fock)
    return _lowest(surface.hessian(), surface)


@functools.partial(adaptive_jit, static_argnums=(3,))
def external(
    hamiltonian: Hamiltonian, integrals: Any, state: SCFState, reference: Reference
) -> Stability:
    """Of a closed shell against different orbitals for different spins (the triplet Hessian).

    Raises:
        MethodError: for an open-shell determinant.
    """
    if reference.kind != "restricted":
        raise MethodError(
            f"the external stability of {reference.kind} determinants is not available; it is of "
            "restricted ones."
        )
    both = Reference("unrestricted", reference.nalpha, reference.nbeta)
    mo_coeff = jnp.concatenate([state.mo_coeff] * 2)
    surface = Surface.at(hamiltonian, integrals, both, mo_coeff, jnp.concatenate([state.fock] * 2))
    one_spin = Surface.at(hamiltonian, integrals, reference, state.mo_coeff, state.fock)
    hessian = surface.hessian()

    def product(x: Array) -> Array:
        alpha, beta = hessian(jnp.concatenate([x, -x]) / np.sqrt(2.0))
        return (alpha - beta)[None] / np.sqrt(2.0)

    return _lowest(product, one_spin)


def _lowest(product, surface: Surface) -> Stability:
    shape = surface.layout.shape
    found = davidson.lowest(
        lambda x: product(x.reshape(shape)).ravel(), surface.diagonal().ravel(),
        surface.allowed().ravel(), TOLERANCE, MAX_PRODUCTS,
    )  # fmt: skip
    return Stability(
        found.value,
        found.value > NEGATIVE,
        found.residual,
        found.vector.reshape(shape),
        found.products,
    )


def doubtful(hamiltonian: Hamiltonian, state: SCFState, reference: Reference) -> bool:
    """Whether a state that has converged may well be no minimum.

    So it is where DIIS had to be helped, where alpha and beta orbitals of a singlet may differ but
    need not, and where a rotation costs little orbital energy.
    """
    if reference.nalpha + reference.nbeta < 2:
        return False
    may_polarize = reference.kind == "unrestricted" and reference.nalpha == reference.nbeta
    if may_polarize or int(state.newton) > 0:
        return True
    a, b = SMALL_GAP["closed" if reference.kind == "restricted" else "open"]
    small = a + b * float(hamiltonian.exchange_fraction)
    return float(softest(state.mo_coeff, state.fock, reference)) < small


@functools.partial(adaptive_jit, static_argnums=(2,))
def softest(
    mo_coeff: Float[Array, "set ao mo"], fock: Float[Array, "spin ao ao"], reference: Reference
) -> Float[Array, ""]:
    """Smallest element of the diagonal of A + B without interaction, hartree; inf if there is none.

    The orbital gap, of which that of restricted open shells has three kinds.
    """
    surface = Surface.at(None, None, reference, mo_coeff, fock)
    return jnp.min(jnp.where(surface.allowed(), surface.diagonal(), jnp.inf))


@functools.partial(adaptive_jit, static_argnums=(4,))
def displaced(
    hamiltonian: Hamiltonian, integrals: Any, state: SCFState, mode: Array, reference: Reference
) -> Float[Array, "set ao mo"]:
    """Orbitals turned along a mode to the lowest of `ANGLES`."""
    surface = Surface.at(hamiltonian, integrals, reference, state.mo_coeff, state.fock)
    k = surface.layout.generator(mode)

    def energy(angle: Array) -> Array:
        density = reference.density(turned(state.mo_coeff, angle * k))
        return total(hamiltonian.evaluate(integrals, density)[0])

    angles = jnp.asarray(ANGLES)
    return turned(state.mo_coeff, angles[jnp.argmin(jax.lax.map(energy, angles))] * k)


@jax.jit
def certified(state: SCFState, found: Stability) -> SCFState:
    """The state with its stability."""
    return dataclasses.replace(
        state, stability=found.eigenvalue, stable=found.stable & state.converged,
        fock_builds=state.fock_builds + found.products,
    )  # fmt: skip


@jax.jit
def certified_externally(state: SCFState, found: Stability) -> SCFState:
    """The state with its stability against different orbitals for different spins."""
    return dataclasses.replace(
        state, external=found.eigenvalue, externally_stable=found.stable & state.converged,
        fock_builds=state.fock_builds + found.products,
    )  # fmt: skip
