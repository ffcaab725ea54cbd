"""Methods: which energy terms, and which kind of determinant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dqc_lite._call_errors import named_arguments, shown
from dqc_lite._pytree import pytree, static
from dqc_lite.errors import (
    BasisError,
    BasisTooSmallError,
    FunctionalError,
    InputError,
    MethodError,
)
from dqc_lite.grid.atomic import Grid
from dqc_lite.integrals.host import dispersion
from dqc_lite.molecule import Molecule
from dqc_lite.scf.occupations import Fermi, Given
from dqc_lite.scf.orthogonalization import LINEAR_DEPENDENCE
from dqc_lite.scf.reference import Kind, Reference
from dqc_lite.terms import (
    CorePotential,
    Dispersion,
    ElectronRepulsion,
    ExchangeCorrelation,
    Hamiltonian,
    Kinetic,
    NonlocalCorrelation,
    NuclearAttraction,
    NuclearRepulsion,
    Term,
)
from dqc_lite.terms.term import checked
from dqc_lite.xc.functional import Functional

Restricted = bool | None | Literal["rohf"]
Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]
Occupations = Numbers | None

if TYPE_CHECKING:

    class FunctionalLike:
        """A functional or its name at the beginning, the functional afterwards."""

        def __get__(self, method: Any, owner: Any) -> Functional: ...

        def __set__(self, method: Any, value: Functional | str) -> None: ...

else:
    FunctionalLike = Functional

KINDS: dict[bool | Literal["rohf"], Kind] = {
    True: "restricted", False: "unrestricted", "rohf": "restricted open-shell",
}  # fmt: skip


@named_arguments
@pytree
class HF:
    """Hartree-Fock.

    Attributes:
        restricted: True, False (unrestricted), "rohf" (restricted open-shell), or None: restricted
            for spin 0, else unrestricted.
        density_fit: False for exact repulsion integrals, True for density fitting with the default
            auxiliary basis, or the name of one.
        smearing: sigma = k_B T in hartree of Fermi-Dirac occupations; the energy is then the free
            energy E - sigma S. None: the lowest orbitals are full.
        occupations: electrons of each orbital from the lowest up, one tuple, or one for each spin
            when unrestricted: fractions are allowed, as in spherical atoms.
        extra_terms: energy terms to add, a tuple of `dqc_lite.terms.Term`, such as
            `dqc_lite.terms.PointCharges`; their leaves are differentiable inputs.
        linear_dependence: combinations of basis functions are left out where the eigenvalue of the
            overlap is below this.
    """

    restricted: Restricted = static(default=None)
    density_fit: bool | str = static(default=False)
    smearing: float | None = static(default=None)
    occupations: Occupations = static(default=None)
    linear_dependence: float = static(default=LINEAR_DEPENDENCE)
    extra_terms: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        _check_state(self)

    def hamiltonian(self, mol: Molecule) -> Hamiltonian:
        """Energy terms for this molecule."""
        repulsion = ElectronRepulsion(1.0, self.density_fit)
        return Hamiltonian((*one_electron_terms(mol), repulsion, *self.extra_terms))

    def reference(self, mol: Molecule) -> Reference:
        """The kind of determinant.

        Raises:
            MethodError, BasisTooSmallError.
        """
        return reference_for(mol, self)


@named_arguments
@pytree
class KS:
    """Kohn-Sham density functional theory.

    Attributes:
        xc: the functional, by name (PySCF's meaning, see `dqc_lite.functional`) or given; its
            leaves, the parameters, are differentiable inputs. A name with its dispersion, such as
            "pbe-d3bj", sets `dispersion` too.
        restricted: as in `HF`.
        density_fit: as in `HF`; long-range exchange is fitted with its own metric.
        grid_level: 0 (coarse) to 9, PySCF's grids, or a `Grid`.
        dispersion: None, "d3bj", "d3zero" or "d4" with the damping of the functional, or of
            another as in "d3bj:pbe"; not beside VV10.
        nonlocal_grid_level: of the grid of nonlocal correlation (VV10).
        smearing, occupations, extra_terms, linear_dependence: as in `HF`.

    Raises:
        FunctionalError, MethodError, BasisError, InputError.
    """

    xc: FunctionalLike
    restricted: Restricted = static(default=None)
    density_fit: bool | str = static(default=False)
    grid_level: int | Grid = static(default=3)
    dispersion: str | None = static(default=None)
    nonlocal_grid_level: int | Grid = static(default=3)
    smearing: float | None = static(default=None)
    occupations: Occupations = static(default=None)
    linear_dependence: float = static(default=LINEAR_DEPENDENCE)
    extra_terms: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.xc, str):
            self._read_name(self.xc)
        if isinstance(self.xc, int | float | bytes | list | dict | None):
            raise FunctionalError(
                f"xc = {self.xc!r} is no functional; give a name such as 'pbe' or a Functional."
            )
        _check_state(self)
        for name in ("grid_level", "nonlocal_grid_level"):
            Grid.of(getattr(self, name))
        if self.dispersion is not None:
            if not isinstance(self.dispersion, str):
                raise InputError(f"dispersion = {self.dispersion!r} must be text, such as 'd3bj'.")
            _check_counted_once(self.dispersion, self.xc)
            dispersion.parse(self.dispersion, self.xc.name)

    def _read_name(self, name: str) -> None:
        """The functional, and the dispersion if the name carries one."""
        from dqc_lite.xc.names import parted_functional  # every family of functionals

        xc, carried = parted_functional(name)
        if carried and self.dispersion not in (None, carried):
            raise InputError(
                f"dispersion = {self.dispersion!r} does not go with xc = {name!r}, which has its "
                f"own ({carried}); leave out one of them."
            )
        object.__setattr__(self, "xc", xc)
        object.__setattr__(self, "dispersion", carried or self.dispersion)

    def hamiltonian(self, mol: Molecule) -> Hamiltonian:
        """Energy terms for this molecule."""
        xc = self.xc
        terms = one_electron_terms(mol)
        terms += (
            ElectronRepulsion(
                xc.exact_exchange, self.density_fit, xc.long_range_exchange, xc.omega
            ),
        )
        if xc.level is not None:
            terms += (ExchangeCorrelation(xc, self.grid_level),)
        if xc.nonlocal_correlation is not None:
            parameters, weight = xc.nonlocal_correlation, xc.nonlocal_weight
            assert weight is not None
            terms += (NonlocalCorrelation(parameters, weight, self.nonlocal_grid_level),)
        if self.dispersion is not None:
            terms += (Dispersion(*dispersion.parse(self.dispersion, xc.name)),)
        return Hamiltonian((*terms, *self.extra_terms))

    def reference(self, mol: Molecule) -> Reference:
        """The kind of determinant.

        Raises:
            MethodError, BasisTooSmallError.
        """
        return reference_for(mol, self)


Method = HF | KS

MethodLike = HF | KS | Functional | str
"""What users give for one."""

HF_NAMES: dict[str, Restricted] = {"hf": None, "rhf": True, "uhf": False, "rohf": "rohf"}
KS_NAMES: dict[str, Restricted] = {
    "ks": None, "dft": None, "rks": True, "uks": False, "roks": "rohf",
}  # fmt: skip
"""Names of a method and the kind of determinant; those of Kohn-Sham name no functional."""


def method_of(given: Any) -> Method:
    """The method meant: an object as it is, a name, a functional; Hartree-Fock for None.

    Raises:
        MethodError: an unknown name, or something else.
    """
    if given is None:
        return HF()
    if isinstance(given, str):
        return _named(given)
    if not isinstance(given, type):
        if hasattr(given, "hamiltonian") and hasattr(given, "reference"):  # one's own, too
            return given
        if hasattr(given, "exact_exchange") or hasattr(given, "energy_density"):
            return KS(_functional(given))
    kind = "a class" if isinstance(given, type) else "no method"
    raise MethodError(
        f"method = {shown(given)} is {kind}; give HF(), KS('pbe'), 'hf', or a functional such as "
        "'pbe'."
    )


def _functional(given: Any) -> Functional:
    from dqc_lite.xc.names import functional  # every family of functionals

    return functional(given)


def _named(name: str) -> Method:
    key = name.strip().lower()
    if key in HF_NAMES:
        return HF(HF_NAMES[key])
    if key in KS_NAMES:
        raise MethodError(
            f"method = {name!r} names no functional; give one, such as 'pbe', or KS('pbe')."
        )
    try:
        return KS(_functional(name))
    except FunctionalError as error:
        near = difflib.get_close_matches(key, HF_NAMES, 2)
        meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ":"
        raise MethodError(
            f"method = {name!r} is neither a functional nor one of "
            f"{', '.join(map(repr, HF_NAMES))}{meant} {error}"
        ) from error


def _check_counted_once(dispersion: str, xc: Functional) -> None:
    """VV10 is dispersion already."""
    if xc.nonlocal_correlation is not None:
        raise MethodError(
            f"dispersion = {dispersion!r} does not go with xc = {xc.name!r}, whose nonlocal "
            "correlation (VV10) is dispersion already; leave dispersion out, or take the "
            "functional that was made for it (such as 'wb97m-d3bj' for 'wb97m-v'), or "
            "dataclasses.replace(xc, nonlocal_correlation=None, nonlocal_weight=None)."
        )


def _check_state(method: Method) -> None:
    object.__setattr__(method, "extra_terms", checked(method.extra_terms))
    _check_restricted(method.restricted)
    _check_density_fit(method.density_fit)
    threshold = method.linear_dependence
    if isinstance(threshold, bool) or not isinstance(threshold, float) or not 0 < threshold < 0.1:
        raise InputError(
            f"linear_dependence = {threshold!r} must be a small positive number, such as 1e-6."
        )
    if method.occupations is not None:
        object.__setattr__(method, "occupations", _occupation_sets(method.occupations))
    if method.smearing is None:
        return
    sigma = method.smearing
    if isinstance(sigma, bool) or not isinstance(sigma, (int, float)) or not 0 < sigma < 1e3:
        raise InputError(f"smearing = {sigma!r} must be a positive k_B T in hartree, or None.")
    if method.occupations is not None or method.restricted == "rohf":
        other = "occupations" if method.occupations is not None else "restricted = 'rohf'"
        raise MethodError(f"smearing = {sigma!r} does not go with {other}; leave out one of them.")


def _occupation_sets(given: Numbers) -> tuple[tuple[float, ...], ...]:
    """One tuple for each set of orbitals."""
    try:
        sets: tuple[Any, ...] = tuple(given)
        sets = sets if sets and all(np.ndim(n) == 1 for n in sets) else (sets,)
        return tuple(tuple(float(n) for n in numbers) for numbers in sets)
    except (TypeError, ValueError):
        raise InputError(
            f"occupations = {given!r} is not understood; give one number of electrons for each "
            "orbital, in one tuple or, unrestricted, in one for each spin."
        ) from None


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


def one_electron_terms(mol: Molecule) -> tuple[Term, ...]:
    """The terms every method shares."""
    terms: tuple[Term, ...] = (NuclearRepulsion(), Kinetic(), NuclearAttraction())
    if mol.layout.has_ecp:
        terms = (*terms, CorePotential())
    return terms


def reference_for(mol: Molecule, method: Method) -> Reference:
    """What kind of state the method asks for in a molecule."""
    if max(mol.nelec) > mol.nao:
        raise BasisTooSmallError(
            f"{max(mol.nelec)} electrons of one spin do not fit {mol.nao} basis functions "
            f"({mol.layout.name}); take a larger basis."
        )
    restricted, fractions = method.restricted, method.smearing or method.occupations
    if restricted is True and mol.spin != 0 and not fractions:
        raise MethodError(
            f"restricted = True needs spin = 0 and the molecule has spin = {mol.spin}; "
            "use restricted=False or 'rohf'."
        )
    if restricted is None:
        restricted = mol.spin == 0
    kind = KINDS[restricted]
    return Reference(kind, *mol.nelec, _filling(mol, method, kind))


def _filling(mol: Molecule, method: Method, kind: Kind) -> Given | Fermi | None:
    """Occupations other than those of a determinant."""
    capacity = 2.0 if kind == "restricted" else 1.0
    electrons = tuple(map(float, mol.nelec)) if kind == "unrestricted" else (float(sum(mol.nelec)),)
    if method.smearing is not None:
        return Fermi(float(method.smearing), electrons, capacity)
    if method.occupations is None:
        return None
    if kind == "restricted open-shell":
        raise MethodError("occupations do not go with restricted = 'rohf'; use True or False.")
    sets = _occupation_sets(method.occupations)
    sums = tuple(map(sum, sets))
    if len(sets) != len(electrons) or not np.allclose(sums, electrons, rtol=0, atol=1e-10):
        raise InputError(
            f"occupations = {sets} hold {sums} electrons and the {kind} molecule has {electrons}; "
            "give numbers that add up to them."
        )
    if any(not 0.0 <= n <= capacity for numbers in sets for n in numbers):
        raise InputError(
            f"occupations = {sets} must lie between 0 and {capacity:g} electrons each."
        )
    if max(map(len, sets)) > mol.nao:
        raise BasisTooSmallError(
            f"occupations of {max(map(len, sets))} orbitals do not fit {mol.nao} basis functions; "
            "take a larger basis."
        )
    return Given(sets)
