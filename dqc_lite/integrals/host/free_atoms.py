"""Free atoms in the basis of the molecule: spherical Hartree-Fock orbitals, Hueckel combinations
of them, and tabulated atomic potentials.

S. Lehtola, J. Chem. Theory Comput. 15, 1593 (2019); of the potentials as Gaussian fits: S. Lehtola,
L. Visscher, E. Engel, J. Chem. Phys. 152, 144105 (2020).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import cast

import numpy as np
import pyscf.gto
import scipy.linalg
from pyscf import lib
from pyscf.gto.ecp import core_configuration
from pyscf.gto.mole import fakemol_for_cgtf_charge
from pyscf.lib.exceptions import BasisNotFoundError
from pyscf.scf import hf
from pyscf.scf.atom_hf import frac_occ

from dqc_lite._types import Array
from dqc_lite.basis import Layout, Orbitals
from dqc_lite.errors import InputError
from dqc_lite.integrals.host import values as host_values

HEAVIEST = 118
"""Configurations of free atoms end here."""

SAP_BASIS = "sapgrasplarge"

WOLFSBERG_HELMHOLZ = 1.75

LINEAR_DEPENDENCE = 1e-8
"""Eigenvectors of an overlap below this are left out."""

CYCLES, TOLERANCE = 60, 1e-8
"""Of the atomic calculations; the tolerance is of the commutator, hartree."""


def atomic_orbital_count(layout: Layout) -> int:
    """Number of atomic orbitals that hold electrons in the free atoms."""
    return sum(len(_electrons(layout, atom)[1]) for atom in _real(layout))


def atomic_orbitals(orbs: Orbitals) -> np.ndarray:
    """Occupied orbitals of the free atoms, each on its atom, (ao + 2, k).

    Above the coefficients stand two rows: energies (hartree) and electrons.
    """
    layout = orbs.layout
    table = np.zeros((2 + layout.nao, atomic_orbital_count(layout)))
    column = 0
    for atom in _real(layout):
        energies, coefficients, electrons = _free_atom(orbs, atom)
        here = slice(column, column + len(electrons))
        table[0, here], table[1, here] = energies, electrons
        table[2 + np.flatnonzero(layout.ao_atom == atom), here] = coefficients
        column += len(electrons)
    return table


def hueckel_orbitals(orbs: Orbitals) -> np.ndarray:
    """Generalized Wolfsberg-Helmholz combinations of the atomic orbitals, (ao, k), ascending.

    ``H_ij = K/2 (e_i + e_j) <i|j>``, ``H_ii = e_i``.
    """
    table = atomic_orbitals(orbs)
    energies, coefficients = table[0], table[2:]
    overlap = coefficients.T @ host_values.overlap(orbs) @ coefficients
    matrix = 0.5 * WOLFSBERG_HELMHOLZ * (energies + energies[:, None]) * overlap
    np.fill_diagonal(matrix, energies)
    _, combined = _eigh(matrix, overlap)
    made = np.zeros_like(coefficients)
    made[:, : combined.shape[1]] = coefficients @ combined
    return made


def check_atomic_potentials(layout: Layout) -> None:
    """Raise `InputError` for an element that is not tabulated."""
    for atom in _real(layout):
        _atomic_potential(layout.symbols[atom])


def atomic_potentials(orbs: Orbitals) -> np.ndarray:
    """<m|V|n> of the repulsion by the electrons of all free atoms, (ao, ao), hartree.

    Where an effective core stands for some of an atom's electrons its potential is scaled down to
    the others.
    """
    made, layout = host_values.mole(orbs), orbs.layout
    parts = []
    for atom in _real(layout):
        exponents, electrons = _atomic_potential(layout.symbols[atom])
        share = 1.0 - layout.core_electrons[atom] / layout.numbers[atom]
        center = np.asarray(orbs.centers)[atom : atom + 1]
        parts.append(fakemol_for_cgtf_charge(center, exponents, -share * electrons))
    total = np.zeros((layout.nao, layout.nao))
    for part in parts:
        tables = pyscf.gto.conc_env(
            made._atm, made._bas, made._env, part._atm, part._bas, part._env
        )
        shells = (0, made.nbas, 0, made.nbas, made.nbas, made.nbas + part.nbas)
        name = made._add_suffix("int3c2e")
        total += pyscf.gto.moleintor.getints(name, *tables, shells, aosym="s1").sum(-1)
    return total


@functools.lru_cache(maxsize=256)
def _atomic_potential(symbol: str) -> tuple[np.ndarray, np.ndarray]:
    """Exponents and (negative) charges of a Gaussian fit of the electrons."""
    try:
        found = pyscf.gto.basis.load(SAP_BASIS, symbol)
    except (BasisNotFoundError, KeyError, ValueError, OSError, RuntimeError) as error:
        raise InputError(
            f"guess = 'sap' has no atomic potential for {symbol!r}; use guess='core'."
        ) from error
    rows = found[symbol][0] if isinstance(found, dict) else found[0]
    table = np.asarray(rows[1:], float)
    return table[:, 0], table[:, 1]


def _real(layout: Layout) -> list[int]:
    """Atoms with electrons of their own: no ghosts."""
    return [i for i, n in enumerate(layout.numbers) if n > layout.core_electrons[i]]


@functools.lru_cache(maxsize=1024)
def _electrons(layout: Layout, atom: int) -> tuple[np.ndarray, np.ndarray]:
    """Angular momentum and electrons of each occupied orbital of a free atom."""
    symbol, core = layout.symbols[atom], layout.core_electrons[atom]
    inner = core_configuration(core, atom_symbol=symbol)
    shells = np.flatnonzero(layout.atom == atom)
    momenta: list[int] = []
    electrons: list[float] = []
    for l in range(4):
        full, fraction = frac_occ(symbol, l)
        radial = [2.0] * (full - inner[l]) + [fraction] * (fraction > 0)
        available = int(layout.nctr[shells[layout.l[shells] == l]].sum())
        for n in radial[:available]:
            momenta += [l] * (2 * l + 1)
            electrons += [n] * (2 * l + 1)
    return np.array(momenta, int), np.array(electrons, float)


def _free_atom(orbs: Orbitals, atom: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies, coefficients (over the functions of that atom) and electrons."""
    single = _single(orbs, atom)
    leaves = (np.asarray(x).tobytes() for x in (single.exponents, single.coefficients))
    return _solved(single.layout, *leaves)


def _at_origin(exponents: np.ndarray, coefficients: np.ndarray, layout: Layout) -> Orbitals:
    """Of NumPy arrays, which the host is about to look at."""
    center, *others = (cast(Array, x) for x in (np.zeros((1, 3)), exponents, coefficients))
    return Orbitals(center, others[0], others[1], layout)


def _single(orbs: Orbitals, atom: int) -> Orbitals:
    """The functions of one atom at the origin."""
    whole = orbs.layout
    shells = np.flatnonzero(whole.atom == atom)

    def slices(offsets: np.ndarray) -> np.ndarray:
        parts = [np.arange(offsets[s], offsets[s + 1]) for s in shells]
        return np.concatenate(parts or [np.zeros(0)])

    ecp = whole.ecp_rows[whole.ecp_rows[:, 0] == atom].copy()
    ecp[:, 0] = 0
    layout = dataclasses.replace(
        whole, symbols=whole.symbols[atom : atom + 1], numbers=whole.numbers[atom : atom + 1],
        core_electrons=whole.core_electrons[atom : atom + 1], atom=np.zeros(len(shells), int),
        l=whole.l[shells], nprim=whole.nprim[shells], nctr=whole.nctr[shells], ecp_rows=ecp,
        names=(), reference_exponents=np.zeros(0),
    )  # fmt: skip
    exponents = np.asarray(orbs.exponents)[slices(whole.exponent_offset).astype(int)]
    coefficients = np.asarray(orbs.coefficients)[slices(whole.coefficient_offset).astype(int)]
    return _at_origin(exponents, coefficients, layout)


@functools.lru_cache(maxsize=256)
def _solved(
    layout: Layout, exponents: bytes, coefficients: bytes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Restricted Hartree-Fock of a spherical atom with fractions of electrons.

    In Cartesian basis sets the orbitals are combinations of the spherical functions.
    """
    spherical = dataclasses.replace(layout, cartesian=False)
    orbs = _at_origin(np.frombuffer(exponents), np.frombuffer(coefficients), spherical)
    momenta, electrons = _electrons(layout, 0)
    charge = np.array([float(layout.numbers[0] - layout.core_electrons[0])])
    mole = host_values.mole(orbs, charge)
    core = host_values.kinetic(orbs) + host_values.nuclear(orbs, charge)
    core = core + host_values.ecp(orbs) if layout.has_ecp else core
    overlap, shells = host_values.overlap(orbs), _components(spherical)
    diis = lib.diis.DIIS()
    diis.verbose = 0
    fock = core
    for _ in range(CYCLES):
        energies, orbitals = _spherical_orbitals(fock, overlap, shells, momenta)
        density = (orbitals * electrons) @ orbitals.T
        coulomb, exchange = hf.get_jk(mole, density, hermi=1)
        fock = core + coulomb - 0.5 * exchange if electrons.sum() > 1 else core
        error = fock @ density @ overlap
        error = error - error.T
        if np.abs(error).max() < TOLERANCE:
            break
        fock = diis.update(fock, xerr=error)
    if layout.cartesian:
        made = host_values.mole(dataclasses.replace(orbs, layout=layout))
        orbitals = made.cart2sph_coeff(normalized="sp") @ orbitals
    return energies, orbitals, electrons


def _components(layout: Layout) -> dict[int, np.ndarray]:
    """Of each angular momentum l the AO indices, (radial, 2 l + 1)."""
    found: dict[int, list[np.ndarray]] = {}
    for s in range(layout.nshell):
        first, size = int(layout.ao_offset[s]), 2 * int(layout.l[s]) + 1
        for c in range(int(layout.nctr[s])):
            found.setdefault(int(layout.l[s]), []).append(first + c * size + np.arange(size))
    return {l: np.array(rows) for l, rows in found.items()}


def _spherical_orbitals(
    fock: np.ndarray, overlap: np.ndarray, components: dict[int, np.ndarray], momenta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Energies and coefficients of the lowest orbitals of each angular momentum that is held."""
    energies = np.zeros(len(momenta))
    orbitals = np.zeros((len(overlap), len(momenta)))
    for l in np.unique(momenta):
        index = components[int(l)]
        averaged = [
            np.mean([m[np.ix_(index[:, k], index[:, k])] for k in range(2 * l + 1)], axis=0)
            for m in (fock, overlap)
        ]
        e, c = _eigh(*averaged)
        places = np.flatnonzero(momenta == l).reshape(-1, 2 * l + 1)
        for radial, row in enumerate(places[: len(e)]):
            energies[row] = e[radial]
            for k, place in enumerate(row):
                orbitals[index[:, k], place] = c[:, radial]
    return energies, orbitals


def _eigh(matrix: np.ndarray, overlap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenpairs in the space of independent functions."""
    w, v = scipy.linalg.eigh(overlap)
    x = v[:, w > LINEAR_DEPENDENCE] / np.sqrt(w[w > LINEAR_DEPENDENCE])
    e, c = scipy.linalg.eigh(x.T @ matrix @ x)
    return e, x @ c
