"""A molecule at fixed geometry: the integrals, made once, and the energy as a function of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp

from dqc_lite._compile import adaptive_jit
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Bool, Float
from dqc_lite.density import Density
from dqc_lite.errors import MethodError
from dqc_lite.fit.electrons import Counted
from dqc_lite.grid.quadrature import Quadrature
from dqc_lite.integrals import operators
from dqc_lite.jk import DensityFitted, Exact
from dqc_lite.method import KS
from dqc_lite.molecule import Molecule
from dqc_lite.scf import guess
from dqc_lite.scf.orthogonalization import canonical
from dqc_lite.scf.reference import Kind
from dqc_lite.terms import (
    ElectronRepulsion,
    ExchangeCorrelation,
    Hamiltonian,
    NonlocalCorrelation,
)
from dqc_lite.xc.functional import Functional

Builder = Exact | DensityFitted


@pytree
class Core:
    """What does not depend on the functional: a constant and ``tr(P h)``, hartree."""

    def evaluate(
        self, held: tuple[Array, Array], density: Density
    ) -> tuple[dict[str, Array], Array]:
        constant, h = held
        return {"core": constant + jnp.vdot(h, density.total)}, h[None]


@pytree
class FixedRow:
    """Integrals of a molecule; padded ones have a common shape and may carry a leading row axis.

    Attributes:
        constant: energy of the nuclei and of dispersion, hartree.
        core: (ao, ao) one-electron Hamiltonian, hartree.
        repulsion: builders of the whole repulsion and of its long range.
        grid: quadrature with the orbitals on it, or None.
        nonlocal_grid: that of nonlocal correlation, or None.
        overlap: (ao, ao).
        x: (ao, mo) orthonormal combinations of which `kept` count.
        guess: (ao, any) factor of the total density to start from.
        dipole: (3, ao, ao) <m|r|n>, bohr.
        nuclear_dipole: (3,) e bohr.
        electrons: (2,) alpha and beta.
    """

    constant: Float[Array, ""]
    core: Float[Array, "ao ao"]
    repulsion: tuple[Any, Any]
    grid: Any
    nonlocal_grid: Any
    overlap: Float[Array, "ao ao"]
    x: Float[Array, "ao mo"]
    kept: Bool[Array, " mo"]
    guess: Float[Array, "ao any"]
    dipole: Float[Array, "3 ao ao"]
    nuclear_dipole: Float[Array, " 3"]
    electrons: Float[Array, " 2"]
    kind: Kind = static()
    nocc: int = static()

    @property
    def reference(self) -> Counted:
        """The kind of determinant."""
        return Counted(self.kind, self.nocc, self.nocc, electrons=self.electrons)

    @property
    def held(self) -> tuple:
        """Integrals of the terms of `hamiltonian`."""
        grids = (g for g in (self.grid, self.nonlocal_grid) if g is not None)
        return ((self.constant, self.core), self.repulsion, *grids)


def hamiltonian(method: KS, xc: Functional) -> Hamiltonian:
    """The energy of a `FixedRow` with this functional."""
    repulsion = ElectronRepulsion(
        xc.exact_exchange, method.density_fit, xc.long_range_exchange, xc.omega
    )
    terms = (Core(), repulsion)
    if xc.level is not None:
        terms += (ExchangeCorrelation(xc, method.grid_level),)
    if xc.nonlocal_correlation is not None:
        parameters, weight = xc.nonlocal_correlation, xc.nonlocal_weight
        terms += (NonlocalCorrelation(parameters, weight, method.nonlocal_grid_level),)
    return Hamiltonian(terms)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A molecule with its integrals: those of the method's terms, and what fitting needs of them.

    `integrals` belong to the terms of ``method.hamiltonian(mol, None)``, for derivatives along
    positions.
    """

    mol: Molecule
    row: FixedRow
    integrals: tuple


def check_method(method: KS) -> None:
    """Raise `MethodError` for what cannot be fitted."""
    if not isinstance(method, KS):
        raise MethodError(f"method {method!r} has no functional to fit; use dqc_lite.KS.")
    for name in ("smearing", "occupations"):
        if getattr(method, name) is not None:
            raise MethodError(
                f"fitting does not go with {name}: rows are determinants. Leave it out, or "
                "differentiate dqc_lite.energy, which has it, along method.xc."
            )


def prepare(mol: Molecule, method: KS, repulsion: tuple | None = None) -> Prepared:
    """Make every integral of a molecule; `repulsion` when its integrals are there already."""
    check_method(method)
    orbitals = mol.orbitals()
    whole = method.hamiltonian(mol, None)
    integrals = tuple(
        repulsion if repulsion is not None and isinstance(t, ElectronRepulsion)
        else t.prepare(mol, orbitals)
        for t in whole.terms
    )  # fmt: skip
    reference = method.reference(mol)
    overlap = operators.overlap(orbitals)
    builders, grids, constant, core = (None, None), {}, 0.0, jnp.zeros_like(overlap)
    for term, held in zip(whole.terms, integrals, strict=True):
        if isinstance(term, ElectronRepulsion):
            builders = held
        elif isinstance(term, ExchangeCorrelation | NonlocalCorrelation):
            grids[type(term)] = held
        else:
            energy, matrix = _fixed_parts(term, held, overlap)
            constant, core = constant + energy, core + matrix
    x, kept = _canonical(overlap)
    row = FixedRow(
        constant=jnp.asarray(constant), core=core, repulsion=builders,
        grid=grids.get(ExchangeCorrelation), nonlocal_grid=grids.get(NonlocalCorrelation),
        overlap=overlap, x=x, kept=kept, guess=_projected(x, guess.minao(mol, orbitals)),
        dipole=operators.dipole(orbitals), nuclear_dipole=mol.charges @ mol.positions,
        electrons=jnp.asarray(mol.nelec, float), kind=reference.kind, nocc=reference.nocc,
    )  # fmt: skip
    return Prepared(mol, row, integrals)


@adaptive_jit
def _canonical(overlap: Array) -> tuple[Array, Array]:
    return canonical(overlap)


@adaptive_jit
def _projected(x: Array, cross: Array) -> Array:
    return x @ (x.T @ cross)


def _fixed_parts(term: Any, held: Any, overlap: Array) -> tuple[Array, Array]:
    """Constant and one-electron matrix of a term that is linear in the density."""
    nao = len(overlap)
    nothing = Density(jnp.zeros((1, nao, nao)), jnp.zeros((1, nao, 1)))
    energies, matrix = term.evaluate(held, nothing)
    return sum(energies.values()), jnp.broadcast_to(matrix[0], (nao, nao))


def require_values(row: FixedRow) -> None:
    """Raise `MethodError` unless the orbitals on the grids are held."""
    for name in ("grid", "nonlocal_grid"):
        grid: Quadrature | None = getattr(row, name)
        if grid is not None and grid.values is None:
            raise MethodError(
                f"the orbitals on the {name.replace('_', ' ')} do not fit the memory set aside "
                f"for them; take a lower {name}_level or raise DQC_LITE_MEMORY_GB."
            )
