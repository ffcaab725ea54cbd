"""Smeared states near the converged one: the matrix whose Fermi function is the density matrix.

With the orthonormalized orbitals C of the converged state, P = C M C^T, M = g n((Y - mu)/sigma),
n the Fermi function and mu such that the electrons stay as many. The unknown is Y, at
self-consistency the Fock matrix between these orbitals: ``Y = C^T F(P) C``. Occupations and
orbital energies are nowhere apart, so that neither levels that meet nor those at the Fermi level
need care: M follows Y by divided differences (`dqc_lite.linalg.fermi_density_matrix`).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.density import Density
from dqc_lite.implicit.converged import Converged, orthonormal
from dqc_lite.implicit.coordinates import Coordinates, Kernel
from dqc_lite.linalg.krylov import minres


@pytree
class SmearedStates(Coordinates):
    """Y: the matrix of which the density matrix is a Fermi function."""

    converged: Converged

    def check(self) -> None:
        """Nothing to check: every smeared state nearby can be written with Y."""

    def unmoved(self) -> Float[Array, "set mo mo"]:
        """Y of the converged state."""
        return jax.vmap(jnp.diag)(self.converged.mo_energy)

    def density(self) -> Density:
        """P of the converged Y, with the factors whose derivatives are followed."""
        return Density.within(self.converged.mo_coeff, self.variable(self.unmoved()))

    def variable(self, y: Float[Array, "set mo mo"]) -> Float[Array, "set mo mo"]:
        """M, the density matrix between the orbitals."""
        return self.converged.reference.fermi.density_matrix(0.5 * (y + y.swapaxes(-1, -2)))[0]

    def density_at(
        self, overlap: Float[Array, "ao ao"], m: Float[Array, "set mo mo"]
    ) -> Density:
        """P = C M C^T, the orbitals C orthonormalized in `overlap`."""
        return Density.within(orthonormal(self.converged, overlap), m)

    def residual(
        self, y: Float[Array, "set mo mo"], slope: Float[Array, "set mo mo"]
    ) -> Float[Array, "set mo mo"]:
        """C^T F C - Y, hartree; `slope` is the derivative of the energy with respect to M."""
        fock = 0.5 * (slope + slope.swapaxes(-1, -2))
        return _pairs(self.converged) * (fock - y)

    def turned(self, between: Float[Array, "set mo mo"]) -> Float[Array, "set mo mo"]:
        """Change of Y when orbitals change by ``C between``, between antisymmetric."""
        energies = _pairs(self.converged) * self.converged.mo_energy[:, None, :]
        return between * (energies - energies.swapaxes(-1, -2))

    def solve(
        self,
        kernel: Kernel,
        y: Float[Array, "set mo mo"],
        b: Float[Array, "set mo mo"],
    ) -> Float[Array, "set mo mo"]:
        """dY of ``(K L - 1) dY = b``, K = d slope/dM, L = dM/dY; NaN where that does not exist.

        `kernel` is the slope linearized at M. -L = B B^T is known from the orbital energies. With
        the symmetric ``A = 1 + B^T K B``, whose unknowns are the electrons that move,
        ``dY = -b + K B A^-1 B^T b``, and the solution of the transposed equations is
        ``-b + B A^-1 B^T K b``.
        """
        _, turned = jax.linearize(self.variable, y)
        root = _Root.of(self.converged)
        absent = 1.0 - _pairs(self.converged)

        def along(v: Array) -> Array:
            return self.residual(v, kernel(turned(v)))

        response = _interaction(self, kernel)

        def electrons(b: Array) -> Array:
            return _electrons(self, kernel, b).x_or_nan()

        def forward(_: Callable, b: Array) -> Array:
            return -b + response(root(electrons(root.transposed(b))))

        def backward(_: Callable, b: Array) -> Array:
            return -b + root(electrons(root.transposed(response(b))))

        return jax.lax.custom_linear_solve(
            lambda v: along(v) - absent * v, _pairs(self.converged) * b, forward, backward
        )

    def reverse(
        self,
        kernel: Kernel,
        y: Float[Array, "set mo mo"],
        b: Float[Array, "set mo mo"],
    ) -> minres.Response:
        """What the solver found in reverse mode, b the cotangent of dY."""
        interaction = _interaction(self, kernel)
        at = _Root.of(self.converged).transposed(interaction(_pairs(self.converged) * b))
        return _electrons(self, kernel, at)


def _interaction(at: SmearedStates, kernel: Kernel) -> Kernel:
    """K between the orbitals."""
    return lambda m: at.residual(jnp.zeros_like(m), kernel(m))


def _electrons(
    at: SmearedStates, kernel: Kernel, b: Float[Array, "set mo mo"]
) -> minres.Response:
    """The electrons that move: A^-1 b."""
    root, interaction = _Root.of(at.converged), _interaction(at, kernel)
    return minres.solve(lambda z: z + root.transposed(interaction(root(z))), b, jnp.ones_like(b))


def _pairs(converged: Converged) -> Float[Array, "mo mo"]:
    present = converged.present()
    return present[:, None] * present


@pytree
class _Root:
    """B of -L = B B^T: roots of the divided differences, then what keeps the electrons' number."""

    elements: Float[Array, "set mo mo"]

    @classmethod
    def of(cls, converged: Converged) -> _Root:
        from dqc_lite.linalg import divided_difference
        from dqc_lite.linalg.scalar_functions import Fermi

        fermi = converged.reference.fermi
        x = fermi.reduced(converged.mo_energy)
        slopes = divided_difference(Fermi(), x[:, :, None], x[:, None, :])
        return cls(jnp.sqrt(-slopes * fermi.degeneracy / fermi.sigma) * _pairs(converged))

    def __call__(self, z: Float[Array, "set mo mo"]) -> Float[Array, "set mo mo"]:
        return self.elements * self._conserving(z)

    def transposed(self, v: Float[Array, "set mo mo"]) -> Float[Array, "set mo mo"]:
        return self._conserving(self.elements * v)

    def _conserving(self, z: Float[Array, "set mo mo"]) -> Float[Array, "set mo mo"]:
        u = jnp.diagonal(self.elements, axis1=1, axis2=2)
        square = (u * u).sum(-1, keepdims=True)
        part = (u * jnp.diagonal(z, axis1=1, axis2=2)).sum(-1, keepdims=True)
        return z - jax.vmap(jnp.diag)(u * part / jnp.where(square > 0, square, 1.0))
