"""London dispersion D3(BJ), D3(0) or D4, a function of the nuclear positions only."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.zero_valued import without_value, zero
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.errors import ResponseError
from dqc_lite.integrals.callback import host_call
from dqc_lite.integrals.host import dispersion
from dqc_lite.molecule import Molecule
from dqc_lite.terms.term import LinearTerm

STEP = 0.02
"""Bohr, of the differences that make second derivatives."""


@pytree
class Dispersion(LinearTerm):
    """E_disp(R) of the package's model, with its gradient.

    Second derivatives are five-point differences of that gradient (error about 1e-9 a.u.); higher
    ones raise `ResponseError`.

    Attributes:
        model: "d3bj" or "d3zero" (two-body terms), or "d4" (with its three-body term).
        functional: the one whose damping parameters are taken.
    """

    name: ClassVar[str] = "dispersion"

    model: str = static()
    functional: str = static()

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Array, Array]:
        return self.energy(mol), zero((1, 1))

    def energy(self, mol: Molecule) -> Float[Array, ""]:
        """Hartree."""
        real = tuple(i for i, number in enumerate(mol.layout.numbers) if number)
        if not real:
            return zero()
        numbers = tuple(mol.layout.numbers[i] for i in real)
        energy = _energy(numbers, mol.charge, self.model, self.functional)
        return energy(mol.positions[np.asarray(real)])

    def differential(
        self, mol: Molecule, orbitals: Orbitals, integrals: tuple[Array, Array], density: Density
    ) -> Array:
        return without_value(self.energy(mol))


@functools.lru_cache(maxsize=32)
def _energy(*system) -> Callable[[Float[Array, "atom 3"]], Array]:
    """The energy of these atoms as a function of positions, twice differentiable."""
    natm = len(system[0])

    def value(r: np.ndarray) -> np.ndarray:
        return np.asarray(dispersion.energy_and_gradient(r, *system)[0])

    def slope(r: np.ndarray) -> np.ndarray:
        return dispersion.energy_and_gradient(r, *system)[1]

    def curvature(r: np.ndarray) -> np.ndarray:
        columns = [_difference(slope, r, i) for i in range(r.size)]
        matrix = np.stack(columns).reshape(r.size, r.size)
        return 0.5 * (matrix + matrix.T)

    @jax.custom_jvp
    def energy(r: Array) -> Array:
        return host_call(value, (), r)

    @jax.custom_jvp
    def gradient(r: Array) -> Array:
        return host_call(slope, (natm, 3), r)

    @jax.custom_jvp
    def hessian(r: Array) -> Array:
        return host_call(curvature, (3 * natm, 3 * natm), r)

    @energy.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        return energy(*primals), jnp.vdot(gradient(*primals), tangents[0])

    @gradient.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        along = hessian(*primals) @ tangents[0].ravel()
        return gradient(*primals), along.reshape(natm, 3)

    @hessian.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        raise ResponseError(
            "the dispersion energy has first and second derivatives only; leave dispersion out for "
            "third ones."
        )

    return energy


def _difference(gradient: Callable, r: np.ndarray, i: int) -> np.ndarray:
    def at(step: float) -> np.ndarray:
        moved = np.array(r, float)
        moved.flat[i] += step
        return gradient(moved)

    near, far = at(STEP) - at(-STEP), at(2 * STEP) - at(-2 * STEP)
    return (8.0 * near - far) / (12.0 * STEP)
