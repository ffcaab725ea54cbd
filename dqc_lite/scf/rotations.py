"""Orbital rotations: coordinates, gradient and Hessian of the energy in them.

Orbitals C turn into C exp(K), K antisymmetric. Only rotations between orbitals of different
occupation change the density, so the coordinates x are the elements of K below the diagonal with
fewer electrons in the row than in the column: virtual-occupied, and with open shells open-closed
and virtual-open. They are scaled to ``K_pq = x_pq / sqrt(sum_s (n_sq - n_sp)^2)``, n_s the
occupations of spin s, in which the length of x is that of the turn of the spin orbitals whatever
the kind of determinant, and

    E(x) = E + 2 g.x + x.H x + O(x^3),

so that H is the matrix A + B of stability theory: of a restricted determinant its singlet part,
without interaction the orbital energy differences (Seeger and Pople, J. Chem. Phys. 66, 3045
(1977)). The same formulas hold for every kind of determinant and any energy of the density:
with F_s the Fock matrices in orbitals and dP_s = [K, n_s],

    dE = sum_s tr(F_s dP_s),    d2E = sum_s tr(F_s [K, [K, n_s]]) + tr(F'_s[dP] dP_s).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Bool, Float
from dqc_lite.scf.orthogonalization import present
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.self_consistency import SelfConsistency
from dqc_lite.terms import Hamiltonian

Vector = Float[Array, "set row column"]
Matrix = Float[Array, "set mo mo"]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which rotations there are (static): rows may lose, columns may hold electrons."""

    reference: Reference
    nmo: int

    @property
    def first_row(self) -> int:
        """Orbitals before this one are full; at least one row is kept."""
        return min(self.reference.nbeta, self.nmo - 1)

    @property
    def columns(self) -> int:
        """Orbitals from this one on are empty."""
        return self.reference.nocc

    @property
    def shape(self) -> tuple[int, int, int]:
        """(set, row, column) of x."""
        return self.reference.nset, self.nmo - self.first_row, self.columns

    @functools.cached_property
    def occupations(self) -> np.ndarray:
        """(spin, set, mo): electrons of each density channel in each orbital set."""
        n = self.reference.occupations(self.nmo)
        if self.reference.kind == "unrestricted":
            return n[:, None, :] * np.eye(2)[:, :, None]
        if self.reference.kind == "restricted":
            return n[None]
        return np.stack([(n > 0.5).astype(float), (n > 1.5).astype(float)])

    @functools.cached_property
    def scale(self) -> np.ndarray:
        """(set, row, column): K = scale x; zero where there is no rotation."""
        n = self.occupations
        # both spins of a closed shell turn
        weight = 0.5 if self.reference.kind == "restricted" else 1.0
        square = weight * ((n[..., None, :] - n[..., :, None]) ** 2).sum(0)
        fewer = n.sum(0)[..., :, None] < n.sum(0)[..., None, :]
        with np.errstate(divide="ignore"):
            scale = np.where(fewer, 1.0 / np.sqrt(square), 0.0)
        return scale[:, self.first_row :, : self.columns]

    def generator(self, x: Vector) -> Matrix:
        """K of x."""
        above = ((0, 0), (self.first_row, 0), (0, self.nmo - self.columns))
        lower = jnp.pad(self.scale * x, above)
        return lower - lower.swapaxes(-1, -2)

    def coordinates(self, m: Float[Array, "set mo some"]) -> Vector:
        """g with ``2 g.x = sum tr(M K)``, M antisymmetric, of which the occupied columns count."""
        return m[:, self.first_row :, : self.columns] * -self.scale


def turned(mo_coeff: Float[Array, "set ao mo"], k: Matrix) -> Float[Array, "set ao mo"]:
    """C exp(K), by its series: K is a turn by a few radian at most."""

    def unfinished(carry: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        _, term, j = carry
        # the series of a turn by 10 has no larger terms beyond the 60th
        return (jnp.abs(term).max() > 1e-17) & (j < 60)

    def added(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        total, term, j = carry
        term = term @ k / (j + 1)
        return total + term, term, j + 1

    start = mo_coeff, mo_coeff, jnp.zeros((), int)
    return jax.lax.while_loop(unfinished, added, start)[0]


@dataclasses.dataclass(frozen=True)
class Surface:
    """The energy around orbitals C to second order; F, its Fock matrices, in orbitals."""

    hamiltonian: Hamiltonian
    integrals: Any
    layout: Layout
    mo_coeff: Float[Array, "set ao mo"]
    fock: Float[Array, "spin set mo mo"]
    present: Bool[Array, "set row 1"]

    @classmethod
    def at(
        cls, hamiltonian: Hamiltonian, integrals: Any, reference: Reference,
        mo_coeff: Float[Array, "set ao mo"], fock: Float[Array, "spin ao ao"],
    ) -> Surface:  # fmt: skip
        """Of orbitals and the Fock matrix of their density; absent orbitals are zero columns."""
        layout = Layout(reference, mo_coeff.shape[-1])
        rows = present(mo_coeff)[:, layout.first_row :, None]
        return cls(hamiltonian, integrals, layout, mo_coeff, _in_orbitals(fock, mo_coeff), rows)

    @classmethod
    def of(
        cls, problem: SelfConsistency, mo_coeff: Float[Array, "set ao mo"],
        fock: Float[Array, "spin ao ao"],
    ) -> Surface:  # fmt: skip
        """The same of a self-consistent problem."""
        parts = problem.hamiltonian, problem.integrals, problem.reference
        return cls.at(*parts, mo_coeff, fock)

    @property
    def occupations(self) -> Float[Array, "spin set 1 mo"]:
        return jnp.asarray(self.layout.occupations)[:, :, None, :]

    def gradient(self) -> Vector:
        """g."""
        return self.layout.coordinates(self._commutator(self.fock).sum(0)) * self.present

    def hessian(self) -> Callable[[Vector], Vector]:
        """x -> H x, for less than a Fock build; what does not depend on x is made here, once."""
        n, f, occupied = self.occupations, self.fock, slice(self.layout.columns)
        response = self._response()

        def product(x: Vector) -> Vector:
            k = self.layout.generator(x * self.present)
            turn = k * n - n.swapaxes(-1, -2) * k  # [K, n]
            # tr(F [K, [L, n]]) = tr(L [n, [F, K]]), and [L, [K, n]] in the same way
            second = 0.5 * (self._commutator(f @ k - k @ f) + turn @ f - f @ turn)
            first = (n.swapaxes(-1, -2) - n[..., occupied]) * response(k)
            return self.layout.coordinates((second[..., occupied] + first).sum(0)) * self.present

        return product

    def diagonal(self) -> Vector:
        """The diagonal of H without the response of the Fock matrix."""
        e = jnp.diagonal(self.fock, axis1=-2, axis2=-1)
        n = self.occupations[:, :, 0]
        rows, columns = np.index_exp[..., :, None], np.index_exp[..., None, :]
        weighted = (n[columns] - n[rows]) * (e[rows] - e[columns])
        block = weighted.sum(0)[:, self.layout.first_row :, : self.layout.columns]
        return block * self.layout.scale**2 * self.present

    def allowed(self) -> Bool[Array, "set row column"]:
        """Where there are rotations."""
        return self.present & (self.layout.scale > 0)

    def _commutator(self, a: Float[Array, "spin set mo mo"]) -> Float[Array, "spin set mo mo"]:
        """[n, A]."""
        n = self.occupations
        return n.swapaxes(-1, -2) * a - a * n

    def _response(self) -> Callable[[Matrix], Float[Array, "spin set mo occ"]]:
        """K -> F'[dP] in orbitals, of its columns those of occupied ones.

        The factor of the density is C r, r the roots of the occupations, and what its change makes
        of the Fock matrix comes times C r. Columns without electrons are zero: nothing takes them.
        """
        occupied, reference = slice(self.layout.columns), self.layout.reference
        density = reference.density(self.mo_coeff)
        along = self.hamiltonian.response(self.integrals, density)
        root = np.sqrt(self.layout.occupations[:, :, None, occupied])
        inverse = np.where(root > 0, 1.0 / np.where(root > 0, root, 1.0), 0.0)

        def response(k: Matrix) -> Float[Array, "spin set mo occ"]:
            change = reference.density(self.mo_coeff @ k).factor
            return (self.mo_coeff.swapaxes(-1, -2) @ along(change)[:, None]) * inverse

        return response


def _in_orbitals(
    fock: Float[Array, "spin ao ao"], mo_coeff: Float[Array, "set ao mo"]
) -> Float[Array, "spin set mo mo"]:
    return mo_coeff.swapaxes(-1, -2) @ fock[:, None] @ mo_coeff
