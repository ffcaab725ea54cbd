"""PySCF `Mole` objects that users hand over: what they carry is taken, or refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyscf.gto
from pyscf.gto.mole import (
    NUC_FRAC_CHARGE,
    NUC_GAUSS,
    NUC_MOD_OF,
    PTR_EXPCUTOFF,
    classical_coulomb_energy,
)

from dqc_lite.errors import ChargeSpinError, GeometryError, InputError, SpinError
from dqc_lite.geometry import ELEMENTS, check_geometry, element_of, is_integer
from dqc_lite.integrals.host import layouts

_METHODS = (
    "energy_nuc", "get_enuc", "enuc", "intor", "intor_symmetric", "intor_asymmetric",
    "intor_by_shell", "intor_cross", "tot_electrons", "nelectron", "nelec", "atom_charge",
    "atom_charges", "atom_coord", "atom_coords", "atom_nelec_core", "bas_exp", "bas_ctr_coeff",
)  # fmt: skip
"""What of a `Mole` enters energies; those of a subclass or of a single object are refused."""


def checked_parts(mole: pyscf.gto.Mole) -> layouts.Parts:
    """The parts of a user's `Mole`, as from `layouts.parts`.

    Not looked at, since PySCF's energies do not depend on them either: symmetry, magnetic moments,
    nuclear properties but for masses, origins of multipoles and of 1/r, exponents of geminals,
    spin-orbit terms of effective core potentials, settings of memory and output.

    Raises:
        InputError: no `Mole`, not built, or with features that have no counterpart here.
        GeometryError: a periodic cell, coinciding atoms.
        ChargeSpinError, SpinError: charge or spin not whole.
    """
    _check_type(mole)
    _check_electron_numbers(mole)
    _check_operators(mole)
    _check_nuclei(mole)
    made = layouts.parts(mole)
    check_geometry(made[0].symbols, made[1])
    _check_charges(mole, made[0], made[2])
    _check_repulsion(mole)
    return made


def masses(mole: pyscf.gto.Mole) -> tuple[float | None, ...]:
    """Masses in amu that `nucprop` gives to nuclei, found as PySCF finds them; None elsewhere.

    Raises:
        InputError: a mass that is not positive.
    """
    return tuple(_mass(mole, i) for i in range(mole.natm))


def _mass(mole: pyscf.gto.Mole, atom: int) -> float | None:
    keys = (atom + 1, mole.atom_symbol(atom), mole.atom_pure_symbol(atom))
    properties: dict = next((mole.nucprop[key] for key in keys if key in mole.nucprop), {})
    mass = properties.get("mass")
    symbol = layouts.symbol_of(mole, atom)
    if mass is None or symbol != element_of(symbol):
        return None
    if not (np.isreal(mass) and 0.0 < mass < np.inf):
        raise InputError(f"the PySCF Mole has nucprop mass = {mass!r} for atom {atom} ({symbol}).")
    return float(mass)


def _check_type(mole: Any) -> None:
    if hasattr(mole, "lattice_vectors"):
        raise GeometryError(
            "the PySCF object is a periodic Cell; periodic structures are not available, give a "
            "Mole."
        )
    if not isinstance(mole, pyscf.gto.Mole):
        raise InputError(f"mole is a {type(mole).__name__}; give a PySCF Mole (mf.mol of an mf).")
    if not mole._built:
        raise InputError("the PySCF Mole is not built; call mole.build() first.")
    if (mole._atm[:, NUC_MOD_OF] == NUC_FRAC_CHARGE).any() or len(mole._atom) != mole.natm:
        raise InputError(
            "the PySCF Mole has fractional or external (MM) charges; only nuclei are available."
        )
    for name in _METHODS:
        ours = getattr(pyscf.gto.Mole, name, None)
        if name in vars(mole) or getattr(type(mole), name, None) is not ours:
            raise InputError(
                f"the PySCF Mole ({type(mole).__name__}) has a {name} of its own, which would be "
                "lost; give a plain Mole."
            )


def _check_electron_numbers(mole: pyscf.gto.Mole) -> None:
    if not is_integer(mole.charge):
        raise ChargeSpinError(f"the PySCF Mole has charge = {mole.charge!r}, no whole number of e.")
    if not is_integer(mole.spin):
        raise SpinError(f"the PySCF Mole has spin = {mole.spin!r}; set 2S, a whole number.")


def _check_operators(mole: pyscf.gto.Mole) -> None:
    if mole.omega:
        raise InputError(f"the PySCF Mole has omega = {mole.omega}; only 1/r is available here.")
    cutoff = mole._env[PTR_EXPCUTOFF]
    if cutoff:
        raise InputError(
            f"the PySCF Mole has the cutoff {cutoff:g} for exponents in integrals "
            "(with_integral_screen); only the default one is available."
        )
    if mole._pseudo:
        raise InputError(
            f"the PySCF Mole has GTH pseudopotentials (pseudo) for {', '.join(mole._pseudo)}; they "
            "are not available, use an effective core potential (ecp) or all electrons."
        )


def _check_nuclei(mole: pyscf.gto.Mole) -> None:
    if (mole._atm[:, NUC_MOD_OF] == NUC_GAUSS).any():
        raise InputError("the PySCF Mole has Gaussian nuclei; only point charges are available.")


def _check_charges(mole: pyscf.gto.Mole, layout: Any, charges: np.ndarray) -> None:
    """Nuclear charges are those of the elements, less the cores of effective core potentials."""
    for i, (symbol, number) in enumerate(zip(layout.symbols, layout.numbers, strict=True)):
        core = _core(mole, i)
        if core and not number:
            raise InputError(f"the PySCF Mole has an ecp on atom {i} ({symbol}), without nucleus.")
        if charges[i] != number - core:
            raise InputError(
                f"the PySCF Mole has the nuclear charge {charges[i]:g} for atom {i} ({symbol}), "
                f"which is {number - core} for {ELEMENTS[number]} here; build it from another "
                "element, a ghost or an ecp."
            )
    nelectron = round(float(charges.sum())) - mole.charge
    if mole.nelectron != nelectron:
        raise InputError(
            f"the PySCF Mole has nelectron = {mole.nelectron} and charge = {mole.charge}, which "
            f"means {nelectron} electrons; set its charge instead."
        )


def _core(mole: pyscf.gto.Mole, atom: int) -> int:
    """Electrons in the core of an atom's effective core potential."""
    symbol = mole.atom_symbol(atom)
    plain = "".join(c for c in symbol if c.isalpha())  # PySCF's own rule
    entry = mole._ecp.get(symbol, mole._ecp.get(plain))
    return int(entry[0]) if entry else 0


def _check_repulsion(mole: pyscf.gto.Mole) -> None:
    given, computed = mole.enuc, float(classical_coulomb_energy(mole))
    if not abs(given - computed) <= 1e-8 * max(1.0, abs(computed)):
        raise InputError(
            f"the PySCF Mole has enuc = {given}, and its nuclei repel each other by {computed} "
            "hartree; a nuclear repulsion of one's own is not available."
        )
