"""A molecule at fixed geometry: the integrals, made once, and the energy as a function of them."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Bool, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.basis import Orbitals
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
    LinearTerm,
    NonlocalCorrelation,
)
from dqc_lite.xc.functional import Functional

Builder = Exact | DensityFitted


@pytree
class Core(LinearTerm):
    """What does not depend on the functional: the sum of the terms linear in the density."""

    name: ClassVar[str] = "core"

    terms: tuple[LinearTerm, ...] = ()

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Array, Array]:
        return _added([t.prepare(mol, orbitals) for t in self.terms], mol.nao)


def _added(parts: list[tuple[Array, Array]], nao: int) -> tuple[Array, Array]:
    """Constants and one-electron matrices of linear terms, hartree, each added up."""
    constant, core = jnp.zeros(()), jnp.zeros((nao, nao))
    for energy, matrix in parts:
        constant, core = constant + energy, core + matrix
    return constant, core


@pytree
class FixedRow:
    """Integrals of a molecule; padded ones have a common shape and may carry a leading row axis.

    Attributes:
        constant: energy without electrons: of the nuclei, of dispersion and the like, hartree.
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
    """The energy of a `FixedRow` with this functional; extra terms are in its core."""
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

    `integrals` belong to the terms of ``method.hamiltonian(mol)``, for derivatives along
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
    for i, term in enumerate(method.extra_terms):
        if not isinstance(term, LinearTerm):
            raise MethodError(
                f"fitting does not go with extra_terms[{i}], {type(term).__name__}, which is not "
                "linear in the density (a dqc_lite.terms.LinearTerm). Leave it out, or "
                "differentiate dqc_lite.energy, which has it, along method.xc."
            )


def prepare(mol: Molecule, method: KS, repulsion: tuple | None = None) -> Prepared:
    """Make every integral of a molecule; `repulsion` when its integrals are there already."""
    check_method(method)
    orbitals = mol.orbitals()
    whole = method.hamiltonian(mol)
    integrals = tuple(
        repulsion if repulsion is not None and isinstance(t, ElectronRepulsion)
        else t.prepare(mol, orbitals)
        for t in whole.terms
    )  # fmt: skip
    reference = method.reference(mol)
    overlap = operators.overlap(orbitals)
    builders, grids, linear = (None, None), {}, []
    for term, held in zip(whole.terms, integrals, strict=True):
        if isinstance(term, ElectronRepulsion):
            builders = held
        elif isinstance(term, LinearTerm):
            linear.append(held)
        else:
            grids[type(term)] = held
    constant, core = _added(linear, mol.nao)
    x, kept = _canonical(overlap, method.linear_dependence)
    row = FixedRow(
        constant=constant, core=core, repulsion=builders,
        grid=grids.get(ExchangeCorrelation), nonlocal_grid=grids.get(NonlocalCorrelation),
        overlap=overlap, x=x, kept=kept, guess=_projected(x, guess.minao(mol, orbitals)),
        dipole=operators.dipole(orbitals), nuclear_dipole=mol.charges @ mol.positions,
        electrons=jnp.asarray(mol.nelec, float), kind=reference.kind, nocc=reference.nocc,
    )  # fmt: skip
    return Prepared(mol, row, integrals)


@adaptive_jit
def _canonical(overlap: Array, threshold: Array | float) -> tuple[Array, Array]:
    return canonical(overlap, threshold)


@adaptive_jit
def _projected(x: Array, cross: Array) -> Array:
    return x @ (x.T @ cross)


def require_values(row: FixedRow) -> None:
    """Raise `MethodError` unless the orbitals on the grids are held."""
    for name in ("grid", "nonlocal_grid"):
        grid: Quadrature | None = getattr(row, name)
        if grid is not None and grid.values is None:
            raise MethodError(
                f"the orbitals on the {name.replace('_', ' ')} do not fit the memory set aside "
                f"for them; take a lower {name}_level or raise DQC_LITE_MEMORY_GB."
            )
