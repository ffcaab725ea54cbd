"""Density variables on points from the density matrix, and back: a potential as a matrix."""

from __future__ import annotations

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.density import Density
from dqc_lite.xc.density import LocalDensity

ORBITAL_ORDER = {"lda": 0, "gga": 1, "mgga": 1}
"""Derivatives of the orbitals that a functional of this level needs."""


@pytree
class Variables:
    """What is quadratic in the occupied orbitals; or the derivatives with respect to it.

    Attributes:
        rho: (spin, point), density of each spin; one channel: of either.
        gradient: (xyz, spin, point), its gradient, or None.
        tau: (spin, point), its kinetic energy density, or None.
    """

    rho: Float[Array, "spin point"]
    gradient: Float[Array, "xyz spin point"] | None
    tau: Float[Array, "spin point"] | None

    def local(self) -> LocalDensity:
        """With the invariants of the gradient."""
        zero = jnp.zeros_like(self.rho)
        if self.gradient is None:
            return LocalDensity(self.rho, zero, zero[0], zero)
        sigma = (self.gradient**2).sum(0)
        if len(self.rho) == 1:
            total = 4.0 * sigma[0]
        else:
            total = (self.gradient.sum(1) ** 2).sum(0)
        return LocalDensity(self.rho, sigma, total, zero if self.tau is None else self.tau)


def variables(
    values: Float[Array, "component ao point"], density: Density, level: str
) -> Variables:
    """From the occupied orbitals psi_i on the points: rho = sum_i psi_i^2, and so on.

    Where the density matrix has two factors, rho = sum_i psi_i chi_i.
    """
    share = density.exchange_weight  # a closed shell: half of its density for either spin
    psi = _on_points(density.factor, values)
    chi = psi if density.partner is None else _on_points(density.partner, values)
    rho = share * (psi[0] * chi[0]).sum(1)
    if level == "lda":
        return Variables(rho, None, None)
    slopes = list(zip(psi[1:], chi[1:], strict=True))
    if density.partner is None:
        gradient = 2.0 * share * jnp.stack([(psi[0] * d).sum(1) for d in psi[1:]])
    else:
        gradient = share * jnp.stack([(psi[0] * e + d * chi[0]).sum(1) for d, e in slopes])
    if level == "gga":
        return Variables(rho, gradient, None)
    tau = 0.5 * share * sum((d * e).sum(1) for d, e in slopes)
    return Variables(rho, gradient, tau)


def orbitals_on(
    factor: Float[Array, "spin ao occ"], values: Float[Array, "component ao point"]
) -> Float[Array, "component spin occ point"]:
    """Orbitals (and gradients) on the points."""
    return jnp.stack(_on_points(factor, values))


def changes(
    values: Float[Array, "component ao point"],
    psi: Float[Array, "component spin occ point"],
    change: Float[Array, "spin ao occ"],
    level: str,
) -> Variables:
    """Derivative of the variables of occupied orbitals psi along a `change` dC of their factor.

    A GGA needs no gradients of the changed orbitals: sum_i psi_i grad dpsi_i is made of the
    gradients of the functions and of sum_i dC_i psi_i.
    """
    share = 0.5 if len(change) == 1 else 1.0
    dpsi = _on_points(change, values[:1] if level == "gga" else values)
    rho = 2.0 * share * (psi[0] * dpsi[0]).sum(1)
    if level == "lda":
        return Variables(rho, None, None)
    first = [(d * dpsi[0]).sum(1) for d in psi[1:]]
    if level == "gga":
        mixed = change @ psi[0]
        second = [(d * mixed).sum(1) for d in values[1:]]
    else:
        second = [(psi[0] * d).sum(1) for d in dpsi[1:]]
    gradient = 2.0 * share * (jnp.stack(first) + jnp.stack(second))
    if level == "gga":
        return Variables(rho, gradient, None)
    tau = share * sum((d * e).sum(1) for d, e in zip(psi[1:], dpsi[1:], strict=True))
    return Variables(rho, gradient, tau)


def _on_points(factor: Float[Array, "spin ao occ"], values: Float[Array, "component ao point"]):
    rows = factor.swapaxes(-1, -2)
    return [rows @ component for component in values]


def potential_matrix(
    values: Float[Array, "component ao point"], potential: Variables
) -> Float[Array, "spin ao ao"]:
    """Derivative with respect to P from that with respect to the variables (weights included)."""
    share = 0.5 if len(potential.rho) == 1 else 1.0
    half = 0.5 * potential.rho[:, None] * values[0]
    if potential.gradient is not None:
        slopes = zip(potential.gradient, values[1:], strict=True)
        half += sum(v[:, None] * d for v, d in slopes)
    matrix = half @ values[0].T
    if potential.tau is not None:
        quarter = 0.25 * potential.tau[:, None]
        matrix += sum((quarter * d) @ d.T for d in values[1:])
    return share * (matrix + matrix.swapaxes(-1, -2))
