"""Methods: which energy terms, and which kind of determinant."""

from __future__ import annotations

from typing import Literal

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.errors import BasisError, BasisTooSmallError, MethodError
from dqc_lite.grid.atomic import Grid
from dqc_lite.interop import dispersion
from dqc_lite.molecule import Molecule
from dqc_lite.scf.reference import Reference
from dqc_lite.terms import (
    CorePotential,
    Dispersion,
    ElectricField,
    ElectronRepulsion,
    ExchangeCorrelation,
    Hamiltonian,
    Kinetic,
    NonlocalCorrelation,
    NuclearAttraction,
    NuclearRepulsion,
)
from dqc_lite.xc.functional import Functional
from dqc_lite.xc.names import functional

Restricted = bool | None | Literal["rohf"]


@pytree
class HF:
    """Hartree-Fock.

    Attributes:
        restricted: True, False (unrestricted), "rohf" (restricted open-shell), or None: restricted
            for spin 0, else unrestricted.
        density_fit: False for exact repulsion integrals, True for density fitting with the default
            auxiliary basis, or the name of one.
    """

    restricted: Restricted = static(default=None)
    density_fit: bool | str = static(default=False)

    def __post_init__(self) -> None:
        _check_restricted(self.restricted)
        _check_density_fit(self.density_fit)

    def hamiltonian(self, mol: Molecule, field: Float[Array, " 3"] | None) -> Hamiltonian:
        """Energy terms for this molecule; `field` in atomic units."""
        core = one_electron_terms(mol, field)
        return Hamiltonian((*core, ElectronRepulsion(1.0, self.density_fit)))

    def reference(self, mol: Molecule) -> Reference:
        """The kind of determinant.

        Raises:
            MethodError, BasisTooSmallError.
        """
        return reference_for(mol, self.restricted)


@pytree
class KS:
    """Kohn-Sham density functional theory.

    Attributes:
        xc: the functional, by name (PySCF's meaning, see `dqc_lite.functional`) or given; its
            leaves, the parameters, are differentiable inputs.
        restricted: as in `HF`.
        density_fit: as in `HF`; long-range exchange is fitted with its own metric.
        grid_level: 0 (coarse) to 9, PySCF's grids, or a `dqc_lite.grid.Grid`.
        dispersion: None, "d3bj" or "d4" with the damping of the functional, or of another as in
            "d3bj:pbe".
        nonlocal_grid_level: of the grid of nonlocal correlation (VV10).

    Raises:
        FunctionalError, MethodError, BasisError, InputError.
    """

    xc: Functional
    restricted: Restricted = static(default=None)
    density_fit: bool | str = static(default=False)
    grid_level: int | Grid = static(default=3)
    dispersion: str | None = static(default=None)
    nonlocal_grid_level: int | Grid = static(default=3)

    def __post_init__(self) -> None:
        if isinstance(self.xc, str):
            object.__setattr__(self, "xc", functional(self.xc))
        _check_restricted(self.restricted)
        _check_density_fit(self.density_fit)
        for name in ("grid_level", "nonlocal_grid_level"):
            Grid.of(getattr(self, name))
        if self.dispersion is not None:
            dispersion.parse(self.dispersion, self.xc.name)

    def hamiltonian(self, mol: Molecule, field: Float[Array, " 3"] | None) -> Hamiltonian:
        """Energy terms for this molecule; `field` in atomic units."""
        xc = self.xc
        terms = one_electron_terms(mol, field)
        terms += (
            ElectronRepulsion(
                xc.exact_exchange, self.density_fit, xc.long_range_exchange, xc.omega
            ),
        )
        if xc.level is not None:
            terms += (ExchangeCorrelation(xc, self.grid_level),)
        if xc.nonlocal_correlation is not None:
            parameters, weight = xc.nonlocal_correlation, xc.nonlocal_weight
            terms += (NonlocalCorrelation(parameters, weight, self.nonlocal_grid_level),)
        if self.dispersion is not None:
            terms += (Dispersion(*dispersion.parse(self.dispersion, xc.name)),)
        return Hamiltonian(terms)

    def reference(self, mol: Molecule) -> Reference:
        """The kind of determinant.

        Raises:
            MethodError, BasisTooSmallError.
        """
        return reference_for(mol, self.restricted)


Method = HF | KS


def _check_restricted(restricted: Restricted) -> None:
    if not (restricted is None or isinstance(restricted, bool) or restricted == "rohf"):
        raise MethodError(
            f"restricted = {restricted!r} is not understood; use True, False, 'rohf' or None."
        )


def _check_density_fit(density_fit: bool | str) -> None:
    named = isinstance(density_fit, str) and density_fit.strip()
    if not (named or isinstance(density_fit, bool)):
        raise BasisError(
            f"density_fit = {density_fit!r} is not understood; use True, False or the "
            "name of an auxiliary basis."
        )


def one_electron_terms(mol: Molecule, field: Float[Array, " 3"] | None) -> tuple:
    """The terms every method shares."""
    terms: tuple = (NuclearRepulsion(), Kinetic(), NuclearAttraction())
    if mol.layout.has_ecp:
        terms = (*terms, CorePotential())
    if field is not None:
        terms = (*terms, ElectricField(field))
    return terms


def reference_for(mol: Molecule, restricted: Restricted) -> Reference:
    """Resolve `restricted` for a molecule."""
    if max(mol.nelec) > mol.nao:
        raise BasisTooSmallError(
            f"{max(mol.nelec)} electrons of one spin do not fit {mol.nao} basis functions "
            f"({mol.layout.name}); take a larger basis."
        )
    if restricted is True and mol.spin != 0:
        raise MethodError(
            f"restricted = True needs spin = 0 and the molecule has spin = {mol.spin}; "
            "use restricted=False or 'rohf'."
        )
    if restricted is None:
        restricted = mol.spin == 0
    kind = {True: "restricted", False: "unrestricted", "rohf": "restricted open-shell"}[restricted]
    return Reference(kind, *mol.nelec)
