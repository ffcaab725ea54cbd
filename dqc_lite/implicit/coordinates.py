"""What states near a converged one are described by: the unknowns of the response."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import jax

from dqc_lite._types import Array, Float
from dqc_lite.density import Density
from dqc_lite.implicit.energy_slope import slope_of_energy
from dqc_lite.linalg.krylov import minres
from dqc_lite.terms import Hamiltonian

Kernel = Callable[[Array], Array]
"""The slope of the energy along the variable, linearized at the converged state."""


class Coordinates(abc.ABC):
    """Coordinates z of the states nearby, and the equation that the converged one satisfies.

    The density matrix is made from a variable v(z), in some coordinates z itself, and
    ``residual(z, dE/dv) = 0`` at self-consistency. All of them are pytrees over `converged`.
    """

    converged: Any

    @abc.abstractmethod
    def check(self) -> None:
        """Raise `ResponseError` where z does not reach every state nearby."""

    @abc.abstractmethod
    def unmoved(self) -> Array:
        """z of the converged state."""

    @abc.abstractmethod
    def variable(self, z: Array) -> Array:
        """v, what the density is made from."""

    @abc.abstractmethod
    def density_at(self, overlap: Float[Array, "ao ao"], v: Array) -> Density:
        """The density of orbitals orthonormalized in `overlap`."""

    @abc.abstractmethod
    def density(self) -> Density:
        """The converged density, with the factors whose derivatives are followed."""

    @abc.abstractmethod
    def residual(self, z: Array, slope: Array) -> Array:
        """0 at self-consistency, hartree; `slope` is dE/dv."""

    @abc.abstractmethod
    def turned(self, between: Float[Array, "set mo mo"]) -> Array:
        """Change of z when orbitals change by ``C between``, between antisymmetric."""

    @abc.abstractmethod
    def solve(self, kernel: Kernel, z: Array, b: Array) -> Array:
        """dz of ``d residual = b`` along z; NaN where that does not exist."""

    @abc.abstractmethod
    def reverse(self, kernel: Kernel, z: Array, b: Array) -> minres.Response:
        """What the solver found in reverse mode, b the cotangent of dz."""


class ResponseEquation:
    """The equation of the response: how the coordinates follow whatever moves the energy's slope.

    The slopes of the energy along overlap and variable are linearized once, for however many
    directions follow.
    """

    def __init__(
        self, at: Coordinates, hamiltonian: Hamiltonian, integrals: Any,
        overlap: Float[Array, "ao ao"], z: Array,
    ) -> None:  # fmt: skip
        self.at, self.z, self.overlap = at, z, overlap
        self.variable, self.variable_along = jax.linearize(at.variable, z)
        slope = slope_of_energy(lambda sv: at.density_at(*sv), hamiltonian, integrals)
        _, self.along = jax.linearize(slope, (overlap, self.variable))

    def kernel(self, dv: Array) -> Array:
        """Change of dE/dv with v."""
        return self.along((0.0 * self.overlap, dv))[1]

    def coordinates(self, explicit: Array, ds: Float[Array, "ao ao"] | None) -> Array:
        """dz, from the change of dE/dv at fixed z and overlap, and the change of the overlap."""
        if ds is not None:
            explicit = explicit + self.along((ds, 0.0 * self.variable))[1]
        b = -self.at.residual(0.0 * self.z, explicit)
        return self.at.solve(self.kernel, self.z, b)

    def reverse(self, cotangent: Array) -> minres.Response:
        """What the solver finds for a cotangent of dz."""
        return self.at.reverse(self.kernel, self.z, cotangent)
