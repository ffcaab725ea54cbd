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
    values: Float[Array, "*block component ao point"], density: Density, level: str
) -> Variables:
    """From the occupied orbitals psi_i on the points: rho = sum_i psi_i^2, and so on.

    Where the density matrix has two factors, rho = sum_i psi_i chi_i. Of many blocks the variables
    have the leading axes of the values.
    """
    share = density.exchange_weight  # a closed shell: half of its density for either spin
    psi = orbitals_on(density.factor, values)
    chi = psi if density.partner is None else orbitals_on(density.partner, values)
    (psi, d), (chi, e) = _with_slopes(psi), _with_slopes(chi)
    rho = share * (psi * chi).sum(-2).squeeze(-3)
    if level == "lda":
        return Variables(rho, None, None)
    if density.partner is None:
        gradient = 2.0 * share * (psi * d).sum(-2)
    else:
        gradient = share * (psi * e + d * chi).sum(-2)
    if level == "gga":
        return Variables(rho, gradient, None)
    return Variables(rho, gradient, 0.5 * share * (d * e).sum((-4, -2)))


def _with_slopes(psi: Float[Array, "*block component spin occ point"]) -> tuple[Array, Array]:
    """Orbitals, with an axis of length 1 for the component, and their gradients."""
    return psi[..., :1, :, :, :], psi[..., 1:, :, :, :]


def orbitals_on(
    factor: Float[Array, "spin ao occ"], values: Float[Array, "*block component ao point"]
) -> Float[Array, "*block component spin occ point"]:
    """Orbitals (and gradients) on the points: one product for each component, without copies."""
    nspin, nao, nocc = factor.shape
    rows = factor.swapaxes(-1, -2).reshape(nspin * nocc, nao)
    psi = jnp.broadcast_to(rows, (*values.shape[:-2], *rows.shape)) @ values
    return psi.reshape(*values.shape[:-2], nspin, nocc, values.shape[-1])


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
    dpsi = orbitals_on(change, values[:1] if level == "gga" else values)
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


def potential_matrix(
    values: Float[Array, "*block component ao point"], potential: Variables
) -> Float[Array, "*block spin ao ao"]:
    """Derivative with respect to P from that with respect to the variables (weights included)."""
    share = 0.5 if potential.rho.shape[-2] == 1 else 1.0
    functions = jnp.moveaxis(values, -3, 0)
    half = 0.5 * _times(potential.rho, functions[0])
    if potential.gradient is not None:
        slopes = zip(jnp.moveaxis(potential.gradient, -3, 0), functions[1:], strict=True)
        half += sum(_times(v, d) for v, d in slopes)
    matrix = _product(half, functions[0])
    if potential.tau is not None:
        quarter = 0.25 * potential.tau
        matrix += sum(_product(_times(quarter, d), d) for d in functions[1:])
    return share * (matrix + matrix.swapaxes(-1, -2))


def _times(
    potential: Float[Array, "*block spin point"], function: Float[Array, "*block ao point"]
) -> Float[Array, "*block spin ao point"]:
    return potential[..., :, None, :] * function[..., None, :, :]


def _product(
    half: Float[Array, "*block spin ao point"], function: Float[Array, "*block ao point"]
) -> Float[Array, "*block spin ao ao"]:
    *block, nspin, nao, npoint = half.shape
    rows = half.reshape(*block, nspin * nao, npoint)
    return (rows @ function.swapaxes(-1, -2)).reshape(*block, nspin, nao, nao)
