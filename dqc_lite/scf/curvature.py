"""What is asked of the orbital Hessian: a step downhill, or its lowest eigenvector."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.linalg.krylov import subspace
from dqc_lite.linalg.krylov.subspace import Question
from dqc_lite.scf.rotations import Surface

NEGATIVE = -1e-5
"""Eigenvalues (hartree) above this are rounding: degenerate open shells have exact zeros."""

TOLERANCE = 1e-3
"""Residual (hartree) of the eigenvector; the eigenvalue is good to its square."""

MAX_PRODUCTS = 200


@pytree
class Rotation:
    """A rotation of the orbitals and what is known of it.

    Attributes:
        x: its coordinates, see `dqc_lite.scf.rotations`: a step, or the softest mode.
        value: the change of the energy that a step promises, or the lowest eigenvalue of the
            orbital Hessian A + B, hartree.
        residual: norm of ``H x - w x``, or of what the step leaves of the gradient, hartree.
        products: Hessian-vector products, each about a Fock build.
    """

    x: Float[Array, "set row column"]
    value: Float[Array, ""]
    residual: Float[Array, ""]
    products: Int[Array, ""]

    def stable(self) -> Bool[Array, ""]:
        """Whether the eigenvalue is not negative; not, where it could not be determined."""
        return (self.value > NEGATIVE) & (self.residual <= TOLERANCE)


def ask(
    surface: Surface,
    product: Callable[[Array], Array],
    mode: Bool[Array, ""] | bool,
    radius: Float[Array, ""] | float = 1.0,
    max_products: int = MAX_PRODUCTS,
) -> Rotation:
    """The softest `mode` of a Hessian, else the step within a radius (radian)."""
    shape, g = surface.layout.shape, surface.gradient().ravel()
    mode, size = jnp.asarray(mode), jnp.linalg.norm(g)
    # of a step: superlinear convergence
    accurate = size * jnp.minimum(0.2, jnp.sqrt(size))
    found = subspace.answer(
        lambda x: product(x.reshape(shape)).ravel(),
        Question(
            lowest=mode, gradient=g, radius=jnp.asarray(radius),
            diagonal=surface.diagonal().ravel(), allowed=surface.allowed().ravel(),
            tolerance=jnp.where(mode, TOLERANCE, accurate),
            most=jnp.where(mode, MAX_PRODUCTS, max_products),
        ),
    )  # fmt: skip
    return Rotation(found.vector.reshape(shape), found.value, found.residual, found.products)
