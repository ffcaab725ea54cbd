"""Electrons in the orbitals most like those of the start: the maximum-overlap method.

Without it every cycle fills the lowest orbitals, or the given ones counted from the lowest, and an
excited determinant falls back to the ground state. A. T. B. Gilbert, N. A. Besley, P. M. W. Gill,
J. Phys. Chem. A 112, 13164 (2008); with the overlap taken with the first density throughout:
G. M. J. Barca, A. T. B. Gilbert, P. M. W. Gill, J. Chem. Theory Comput. 14, 1501 (2018).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float


def ordered(
    mo_energy: Float[Array, "set mo"],
    mo_coeff: Float[Array, "set ao mo"],
    occupations: Float[np.ndarray, "set mo"],
    density: Float[Array, "set ao ao"],
    overlap: Float[Array, "ao ao"],
) -> tuple[Float[Array, "set mo"], Float[Array, "set ao mo"]]:
    """Orbitals in the places where the electrons are, by how much of `density` they hold.

    ``p_j = c_j^T S P S c_j``: the largest go where `occupations` are largest; those of equal
    occupation are ascending in energy.
    """
    image = overlap @ mo_coeff
    held = jnp.einsum("smj,smn,snj->sj", image, density, image)
    rank = jnp.argsort(jnp.argsort(-held, axis=-1, stable=True), axis=-1, stable=True)
    descending = jnp.asarray(-np.sort(-occupations, axis=-1))
    electrons = jnp.take_along_axis(descending, rank, -1)
    # eigenvectors come ascending in energy, and a stable sort keeps that within an occupation
    order = jnp.argsort(-electrons, axis=-1, stable=True)
    places = np.argsort(-occupations, axis=-1, kind="stable")
    chosen = jnp.take_along_axis(order, np.argsort(places, axis=-1), -1)
    return (
        jnp.take_along_axis(mo_energy, chosen, -1),
        jnp.take_along_axis(mo_coeff, chosen[:, None, :], -1),
    )
