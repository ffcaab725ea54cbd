"""Methods: which energy terms, and which kind of determinant."""

from __future__ import annotations

from typing import Literal

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.errors import BasisError, BasisTooSmallError, MethodError
from dqc_lite.molecule import Molecule
from dqc_lite.scf.reference import Reference
from dqc_lite.terms import (
    CorePotential,
    ElectricField,
    ElectronRepulsion,
    Hamiltonian,
    Kinetic,
    NuclearAttraction,
    NuclearRepulsion,
)

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
        if not (self.restricted is None or isinstance(self.restricted, bool)):
            if self.restricted != "rohf":
                raise MethodError(
                    f"restricted = {self.restricted!r} is not understood; use True, False, 'rohf' "
                    "or None."
                )
        named = isinstance(self.density_fit, str) and self.density_fit.strip()
        if not (named or isinstance(self.density_fit, bool)):
            raise BasisError(
                f"density_fit = {self.density_fit!r} is not understood; use True, False or the "
                "name of an auxiliary basis."
            )

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
