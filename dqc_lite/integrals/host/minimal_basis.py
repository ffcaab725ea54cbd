"""A minimal basis of atomic natural orbitals with the occupations of spherical free atoms.

Its density, projected on the basis of the molecule, is the usual starting point of an SCF
(Almlof, Faegri, Korsell, J. Comput. Chem. 3, 385 (1982)).
"""

from __future__ import annotations

import functools

import numpy as np
import pyscf.gto
from pyscf.gto.ecp import core_configuration
from pyscf.scf.atom_hf import frac_occ

from dqc_lite.basis import Layout, Orbitals
from dqc_lite.errors import InputError
from dqc_lite.geometry import element_of
from dqc_lite.integrals.host import layouts
from dqc_lite.integrals.host import values as host_values

HEAVIEST = 96
"""The natural orbitals end at curium."""


@functools.lru_cache(maxsize=256)
def _element(symbol: str, core: int) -> tuple[list, list[float]]:
    """Valence natural orbitals of an element (PySCF's basis format) and their occupations."""
    natural = pyscf.gto.basis.load("ano", symbol)
    inner = core_configuration(core, atom_symbol=symbol)
    shells, occupations = [], []
    for l in range(4):
        full, fraction = frac_occ(symbol, l)
        count = full + (fraction > 0) - inner[l]
        if count <= 0:
            continue
        kept = slice(1 + inner[l], 1 + inner[l] + count)
        for shell in natural:
            if shell[0] == l:
                shells.append([l, *([row[0], *row[kept]] for row in shell[1:])])
                filled = [2.0] * (full - inner[l]) + [fraction] * (fraction > 0)
                occupations += np.repeat(filled, 2 * l + 1).tolist()
    return shells, occupations


@functools.lru_cache(maxsize=64)
def minimal_basis(layout: Layout) -> tuple[tuple[int, ...], Layout, tuple, np.ndarray]:
    """Atoms that carry functions, their layout, (exponents, coefficients), and occupations.

    Raises:
        InputError: an element without natural orbitals.
    """
    real = tuple(i for i, n in enumerate(layout.numbers) if n)
    heavy = [layout.symbols[i] for i in real if layout.numbers[i] > HEAVIEST]
    if heavy:
        raise InputError(f"guess = 'minao' has no functions for {heavy[0]!r}; use guess='core'.")
    elements = [(element_of(layout.symbols[i]), layout.core_electrons[i]) for i in real]
    made = [_element(*e) for e in elements]
    # the label with its index keeps atoms of one element with different cores apart
    mole = pyscf.gto.Mole()
    mole.atom = [(f"{e[0]}{k}", (0.0, 0.0, float(k))) for k, e in enumerate(elements)]
    mole.basis = {f"{e[0]}{k}": m[0] for k, (e, m) in enumerate(zip(elements, made, strict=True))}
    mole.verbose, mole.spin = 0, None
    mole.build(dump_input=False, parse_arg=False)
    minimal, exponents, coefficients = layouts.fixed_functions(mole)
    occupations = np.concatenate([np.asarray(m[1]) for m in made])
    return real, minimal, (exponents, coefficients), occupations


def cross_overlap(orbs: Orbitals, minimal: Orbitals) -> np.ndarray:
    """<m|k> of the molecule's functions and the minimal ones, (ao, minimal ao)."""
    return pyscf.gto.intor_cross("int1e_ovlp", host_values.mole(orbs), host_values.mole(minimal))


def weighted_overlap(orbs: Orbitals, minimal: Orbitals, weights: np.ndarray) -> np.ndarray:
    """<m|k> w_k, (ao, minimal ao)."""
    return cross_overlap(orbs, minimal) * weights
