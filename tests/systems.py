"""Molecules of the tests: degenerate orbitals, open shells, atoms, off-axis copies, an ECP.

Geometries in angstrom, ideal or near experiment; only their symmetry matters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import ase
import ase.build
import jax
import numpy as np
import pyscf.dft
import pyscf.gto
import pyscf.scf

import dqc_lite as dqc


def _rotation() -> np.ndarray:
    """A fixed rotation about no axis of symmetry."""
    q, r = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))
    q = q * np.sign(np.diagonal(r))
    return q * np.linalg.det(q)


ROTATION = _rotation()

_TEXT = {
    "he": ("He 0 0 0", 0),
    "h": ("H 0.1 0.2 0.3", 1),
    "h2": ("H 0 0 0; H 0.1 0.2 0.7", 0),
    "h2-triplet": ("H 0 0 0; H 0 0 0.9", 2),
    "hf": ("H 0 0 0; F 0 0 0.92", 0),
    "n2": ("N 0 0 0; N 0 0 1.1", 0),
    "co2": ("C 0 0 0; O 0 0 1.16; O 0 0 -1.16", 0),
    "sf6": (
        "S 0 0 0; F 1.56 0 0; F -1.56 0 0; F 0 1.56 0; F 0 -1.56 0; F 0 0 1.56; F 0 0 -1.56", 0,
    ),
    "o2": ("O 0 0 0; O 0 0 1.21", 2),
    "ch3": ("C 0 0 0; H 0 1.08 0; H 0.9353 -0.54 0; H -0.9353 -0.54 0", 1),
    "lithium chain": ("; ".join(f"Li {0.3 * (i % 2)} 0 {3.0 * i}" for i in range(6)), 0),
    "heh": ("He 0 0 0; H 0.1 0.2 0.9", 1),
    "h2o+": ("O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", 1),
    "hi": ("H 0 0 0; I 0.2 0.3 1.57", 0),
    "water-ghost": ("O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587; ghost-O 0 0 -2.9", 0),
}  # fmt: skip
_FROM_ASE = {
    "h2o": "H2O", "ch2o": "H2CO", "c2h2": "C2H2", "nh3": "NH3", "ch4": "CH4", "c6h6": "C6H6",
}  # fmt: skip


@functools.cache
def molecule(name: str, basis: str = "6-31g", charge: int | None = None) -> dqc.Molecule:
    """A molecule by name; ' rotated' after it turns it off its axes."""
    plain = name.removesuffix(" rotated")
    ecp = basis if plain == "hi" else None
    if plain in _FROM_ASE:
        mol = dqc.Molecule.from_ase(ase.build.molecule(_FROM_ASE[plain]), basis)
    else:
        text, spin = _TEXT[plain]
        cation = int(plain.endswith("+")) if charge is None else charge
        mol = dqc.Molecule.from_atoms(text, basis, spin=spin, charge=cation, ecp=ecp)
    if plain != name:
        mol = mol.with_positions(mol.positions @ ROTATION.T)
    return mol


def mole(mol: dqc.Molecule, basis: str) -> pyscf.gto.Mole:
    """The same molecule built by PySCF from its own parser and library."""
    heavy = any(mol.layout.core_electrons)
    return pyscf.gto.M(
        atom=[(s, tuple(p)) for s, p in zip(mol.symbols, np.asarray(mol.positions), strict=True)],
        unit="Bohr", basis=basis, charge=mol.charge, spin=mol.spin, verbose=0,
        ecp=basis if heavy else None, cart=mol.layout.cartesian,
    )  # fmt: skip


def mean_field(mol: dqc.Molecule, basis: str, method: dqc.HF | dqc.KS):
    """PySCF's converged mean field of the same kind, tighter than its defaults."""
    built = mole(mol, basis)
    kind = "R" if mol.spin == 0 and method.restricted is not False else "U"
    kind = "RO" if method.restricted == "rohf" else kind
    if isinstance(method, dqc.KS):
        mf = getattr(pyscf.dft, f"{kind}KS")(built, xc=method.xc.name)
        mf.grids.level, mf.nlcgrids.level = method.grid_level, method.nonlocal_grid_level
        mf.small_rho_cutoff = 0  # ours keeps every point
    else:
        mf = getattr(pyscf.scf, f"{kind}HF")(built)
    if method.density_fit:
        mf = mf.density_fit(None if method.density_fit is True else method.density_fit)
    mf.conv_tol, mf.conv_tol_grad, mf.max_cycle = 1e-12, 1e-9, 200
    mf.kernel()
    return mf


def in_field(mol: dqc.Molecule, basis: str, field: np.ndarray) -> np.ndarray:
    """PySCF's dipole moment in a field, a.u."""
    built = mole(mol, basis)
    mf = pyscf.scf.RHF(built) if mol.spin == 0 else pyscf.scf.UHF(built)
    core = mf.get_hcore() + np.einsum("x,xmn->mn", field, built.intor("int1e_r"))
    mf.get_hcore = lambda *_: core
    mf.conv_tol, mf.conv_tol_grad = 1e-13, 1e-10
    mf.kernel()
    return mf.dip_moment(unit="AU", verbose=0)


def five_point(function: Callable, step: float) -> np.ndarray:
    """Derivatives by each component of a field at 0, the last axis."""
    columns = []
    for unit in np.eye(3):
        f = [function(n * step * unit) for n in (-2, -1, 1, 2)]
        columns.append((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step))
    return np.stack(columns, -1)


def central_difference(f: Callable[[float], float], step: float = 0.01) -> tuple[float, float]:
    """f'(0) by five points, extrapolated from two steps, and an estimate of the error."""
    at = {n: f(n * step) for n in (-4, -2, -1, 1, 2, 4)}

    def slope(n: int) -> float:
        return (at[-2 * n] - 8 * at[-n] + 8 * at[n] - at[2 * n]) / (12 * n * step)

    coarse, fine = slope(2), slope(1)
    best = (16 * fine - coarse) / 15
    return best, abs(best - fine)


def primitives(jaxpr) -> list:
    """Names of all primitives of a jaxpr and the jaxprs inside it."""
    names = []
    for eqn in jaxpr.eqns:
        names.append(eqn.primitive.name)
        for value in jax.tree.leaves(eqn.params, is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                names += primitives(inner)
    return names
