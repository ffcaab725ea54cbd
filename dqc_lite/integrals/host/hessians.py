"""Second derivatives of integrals along positions, contracted with densities, by PySCF.

Only derivatives on two different functions (or on a function and an operator's centre) are made.
Those of both on one centre follow from translational invariance: the rows of a Hessian sum to
zero, ``H_AA = -sum_{B != A} H_AB``. Every function returns such a matrix, (k, atom, 3, k, atom, 3)
for k sets of centres, in hartree/bohr^2 per unit of the dual.
"""

from __future__ import annotations

import numpy as np
import pyscf.gto
from pyscf.gto.mole import ATOM_OF
from pyscf.scf import _vhf

from dqc_lite.basis import Layout, Orbitals
from dqc_lite.integrals.host import values as host_values
from dqc_lite.integrals.host.values import Omega, Scale


def _invariant(half: np.ndarray) -> np.ndarray:
    """``half + half^T`` over (center, 3, center, 3) with diagonal blocks that make rows vanish."""
    n = half.shape[0]
    full = half + half.transpose(2, 3, 0, 1)
    diagonal = np.arange(n)
    full[diagonal, :, diagonal] = 0.0
    full[diagonal, :, diagonal] = -full.sum(2)
    return full


def _one_set(half: np.ndarray) -> np.ndarray:
    return _invariant(half)[None, :, :, None]


def _sum_ao(layout: Layout, tensor: np.ndarray, axis: int) -> np.ndarray:
    """Sum the AOs along an axis over those of each atom."""
    moved = np.moveaxis(tensor, axis, 0)
    out = np.zeros((layout.natm, *moved.shape[1:]))
    np.add.at(out, layout.ao_atom, moved)
    return np.moveaxis(out, 0, axis)


def _pairs(layout: Layout, integral: np.ndarray, dual: np.ndarray) -> np.ndarray:
    """``sum_mn dual_mn <nabla_x m|nabla_y n>`` by the atoms of m and n, (atom, 3, atom, 3).

    With its transpose the Hessian of a symmetric two-index integral, both on different atoms.
    """
    n = len(dual)
    weighted = integral.reshape(3, 3, n, n) * dual
    return _sum_ao(layout, _sum_ao(layout, weighted, 2), 3).transpose(2, 0, 3, 1)


def overlap(orbitals: Orbitals, dual: np.ndarray) -> np.ndarray:
    """Of ``sum_mn dual_mn <m|n>``, symmetric dual."""
    made = host_values.mole(orbitals)
    return _one_set(_pairs(orbitals.layout, made.intor("int1e_ipovlpip", comp=9), dual))


def kinetic(orbitals: Orbitals, dual: np.ndarray) -> np.ndarray:
    """Of the kinetic energy of a symmetric density matrix."""
    made = host_values.mole(orbitals)
    return _one_set(_pairs(orbitals.layout, made.intor("int1e_ipkinip", comp=9), dual))


def two_center(auxiliary: Orbitals, dual: np.ndarray, omega: Omega) -> np.ndarray:
    """Of ``sum_PQ dual_PQ (P|Q)``, symmetric dual."""
    made = host_values.mole(auxiliary)
    with host_values._range(made, omega):
        integral = made.intor("int2c2e_ip1ip2", comp=9)
    return _one_set(_pairs(auxiliary.layout, integral, dual))


def nuclear(orbitals: Orbitals, charges: np.ndarray, dual: np.ndarray) -> np.ndarray:
    """Of the nuclear attraction of a symmetric density matrix."""
    made = host_values.mole(orbitals, charges)
    half = np.zeros((len(charges), 3, len(charges), 3))
    for atom in np.flatnonzero(charges):
        with made.with_rinv_origin(np.asarray(orbitals.centers)[atom]):
            both = made.intor("int1e_ipiprinv", comp=9)
            apart = made.intor("int1e_iprinvip", comp=9)
        _add_point(half, orbitals.layout, int(atom), both, apart, -charges[atom] * dual)
    return _one_set(half)


def ecp(orbitals: Orbitals, dual: np.ndarray) -> np.ndarray:
    """Of the effective-core energy of a symmetric density matrix."""
    made = host_values.mole(orbitals)
    natm = orbitals.layout.natm
    half = np.zeros((natm, 3, natm, 3))
    for atom in np.unique(orbitals.layout.ecp_rows[:, ATOM_OF]):
        with made.with_rinv_at_nucleus(atom):
            both = made.intor("ECPscalar_ipiprinv", comp=9)
            apart = made.intor("ECPscalar_iprinvip", comp=9)
        _add_point(half, orbitals.layout, atom, both, apart, dual)
    return _one_set(half)


def _add_point(
    half: np.ndarray, layout: Layout, atom: int, both: np.ndarray, apart: np.ndarray,
    dual: np.ndarray,
) -> None:  # fmt: skip
    """``sum_mn dual_mn <m|V|n>``, V on an atom: from <nabla nabla m|V|n> and <nabla m|V|nabla n>.

    The derivative on the centre of V is minus those on m and n.
    """
    n = len(dual)
    half += _pairs(layout, apart, dual)
    on_functions = np.einsum("xymn,mn->xym", (both + apart).reshape(3, 3, n, n), dual)
    half[:, :, atom] -= 2.0 * _sum_ao(layout, on_functions, 2).transpose(2, 0, 1)


def three_center(
    orbitals: Orbitals, auxiliary: Orbitals, dual: np.ndarray, omega: Omega
) -> np.ndarray:
    """Of ``sum dual_P,mn (P|mn)`` over pairs m >= n; centres of orbitals, then of auxiliaries."""
    made, aux = host_values.mole(orbitals), host_values.mole(auxiliary)
    natm = orbitals.layout.natm
    half = np.zeros((2, natm, 3, 2, natm, 3))
    for first, last, square in host_values.auxiliary_duals(made.nao, auxiliary.layout, dual, 9):
        shells = (0, made.nbas, 0, made.nbas, made.nbas + first, made.nbas + last)
        functions = slice(*auxiliary.layout.ao_offset[[first, last]])
        with host_values._range(made, omega):
            bra = _three_center(made, aux, "int3c2e_ipvip1", shells)
            weighted = 0.5 * np.einsum("xymnp,pmn->xymn", bra, square, optimize=True)
            both = _three_center(made, aux, "int3c2e_ip1ip2", shells)
        half[0, :, :, 0] += _sum_ao(
            orbitals.layout, _sum_ao(orbitals.layout, weighted, 2), 3
        ).transpose(2, 0, 3, 1)
        mixed = np.zeros((3, 3, made.nao, auxiliary.layout.nao))
        mixed[..., functions] = np.einsum("xymnp,pmn->xymp", both, square, optimize=True)
        mixed = _sum_ao(orbitals.layout, _sum_ao(auxiliary.layout, mixed, 3), 2)
        half[0, :, :, 1] += mixed.transpose(2, 0, 3, 1)
    whole = _invariant(half.reshape(2 * natm, 3, 2 * natm, 3))
    return whole.reshape(half.shape)


def _three_center(
    made: pyscf.gto.Mole, aux: pyscf.gto.Mole, name: str, shells: tuple
) -> np.ndarray:
    """(3, 3, m, n, aux)"""
    integral = host_values.three_center_block(made, aux, name, shells, 9)
    return integral.reshape(3, 3, *integral.shape[1:])


def four_center(
    orbitals: Orbitals, density: np.ndarray, coulomb: Scale, exchange: Scale, omega: Omega
) -> np.ndarray:
    """Of the electron-repulsion energy of `host_values.four_center_gradient`.

    From (nabla m n|nabla l s) and (nabla m nabla n|l s), m on a later atom than l, or than n.
    """
    made = host_values.mole(orbitals)
    layout = orbitals.layout
    half = np.zeros((layout.natm, 3, layout.natm, 3))
    with host_values._range(made, omega):
        for atom, first, last in host_values.shell_runs(layout)[1:]:
            pairs = _repulsion_pairs(made, layout, density, coulomb, exchange, (first, last))
            half[atom] += _sum_ao(layout, pairs, 2).transpose(0, 2, 1)
    return _one_set(half)


def _repulsion_pairs(
    made: pyscf.gto.Mole,
    layout: Layout,
    density: np.ndarray,
    coulomb: Scale,
    exchange: Scale,
    shells: tuple[int, int],
) -> np.ndarray:
    """(3, 3, ao): a derivative on functions of some shells and one on each function before."""
    first, last = shells
    here, before = slice(*layout.ao_offset[[first, last]]), slice(0, layout.ao_offset[first])
    total, nao = density.sum(0), made.nao
    out = np.zeros((9, nao))
    calls: list[tuple[str, str, tuple, list]] = [
        ("int2e_ip1ip2", "s1", (first, last, 0, made.nbas, 0, first, 0, made.nbas), []),
        ("int2e_ipvip1", "s2kl", (first, last, 0, first, 0, made.nbas, 0, made.nbas), []),
    ]
    if coulomb is not None:
        c = float(coulomb)
        # 4 P_mn P_ls (nabla m n|nabla l s), 2 P_mn P_ls (nabla m nabla n|l s)
        calls[0][3].append(("ji->s1kl", total[:, here], 4.0 * c * total[before]))
        calls[1][3].append(("lk->s1ij", total, 2.0 * c * total[here, before]))
    if exchange is not None:
        w = -float(exchange) / (3 - len(density))
        for p in density:
            # 2 (P_ms P_nl + P_ml P_ns) (nabla m n|nabla l s), 2 P_ms P_nl (nabla m nabla n|l s)
            calls[0][3].append(("li->s1kj", p[:, here], 2.0 * w * p[before]))
            calls[0][3].append(("lj->s1ki", p, 2.0 * w * p[before, here]))
            calls[1][3].append(("li->s1kj", p[:, here], 2.0 * w * p[:, before]))
    for name, symmetry, ranges, terms in calls:
        scripts, duals, weights = zip(*terms, strict=True)
        matrices = _vhf.direct_bindm(
            made._add_suffix(name), symmetry, scripts, duals, 9,
            made._atm, made._bas, made._env, shls_slice=ranges,
        )  # fmt: skip
        for script, matrix, weight in zip(scripts, matrices, weights, strict=True):
            out[:, before] += _contracted(name, script, matrix, weight)
    return out.reshape(3, 3, nao)


def _contracted(name: str, script: str, matrix: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sum over the index that carries no second derivative."""
    # int2e_ip1ip2: k does; int2e_ipvip1: j does
    carried = "k" if name == "int2e_ip1ip2" else "j"
    on_first = script[-2] == carried
    return np.einsum("xpq,pq->xp" if on_first else "xpq,pq->xq", matrix, weight)
