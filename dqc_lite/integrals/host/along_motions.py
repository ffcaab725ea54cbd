"""Derivatives of integrals along motions of their centres, by PySCF.

Motions are (motion, k, atom, 3), for k sets of centres, in bohr; a result has one tensor for each,
all from one pass over the derivative integrals.
"""

from __future__ import annotations

import numpy as np
from pyscf import lib
from pyscf.gto.mole import ATOM_OF
from pyscf.scf import _vhf

from dqc_lite.basis import Layout, Orbitals
from dqc_lite.integrals.host import values as host_values
from dqc_lite.integrals.host.values import Omega, Scale


def _per_function(layout: Layout, motions: np.ndarray) -> np.ndarray:
    """(motion, atom, 3) as (motion, 3, ao)."""
    return motions[:, layout.ao_atom].transpose(0, 2, 1)


def _two_index(layout: Layout, integral: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Of <m|n> from <nabla m|n> (3, ao, ao): (motion, ao, ao)."""
    bra = np.einsum("xmn,bxm->bmn", integral, _per_function(layout, motions), optimize=True)
    return -bra - bra.swapaxes(1, 2)


def overlap(orbitals: Orbitals, motions: np.ndarray) -> np.ndarray:
    """Of <m|n>, (motion, ao, ao)."""
    integral = host_values.mole(orbitals).intor("int1e_ipovlp", comp=3)
    return _two_index(orbitals.layout, integral, motions[:, 0])


def kinetic(orbitals: Orbitals, motions: np.ndarray) -> np.ndarray:
    """Of the kinetic energy, (motion, ao, ao)."""
    integral = host_values.mole(orbitals).intor("int1e_ipkin", comp=3)
    return _two_index(orbitals.layout, integral, motions[:, 0])


def two_center(auxiliary: Orbitals, omega: Omega, motions: np.ndarray) -> np.ndarray:
    """Of (P|Q), (motion, aux, aux)."""
    made = host_values.mole(auxiliary)
    with host_values._range(made, omega):
        integral = made.intor("int2c2e_ip1", comp=3)
    return _two_index(auxiliary.layout, integral, motions[:, 0])


def nuclear(orbitals: Orbitals, charges: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Of the nuclear attraction, (motion, ao, ao)."""
    made, points, motions = host_values.mole(orbitals), np.asarray(orbitals.centers), motions[:, 0]
    on_functions = np.zeros((3, made.nao, made.nao))
    on_nuclei = np.zeros((len(motions), made.nao**2))
    for block in host_values._point_blocks(made.nao, len(points), 3):
        # -Z_C <nabla m|1/r_C|n>, (xyz, point, ao, ao)
        integral = made.intor("int1e_grids_ip", comp=3, grids=points[block])
        integral = integral * -charges[block, None, None]
        on_functions += integral.sum(1)
        moves = motions[:, block].transpose(0, 2, 1).reshape(len(motions), -1)
        on_nuclei += moves @ integral.reshape(-1, made.nao**2)
    on_nuclei = on_nuclei.reshape(-1, made.nao, made.nao)
    on_nuclei = on_nuclei + on_nuclei.swapaxes(1, 2)
    return _two_index(orbitals.layout, on_functions, motions) + on_nuclei


def ecp(orbitals: Orbitals, motions: np.ndarray) -> np.ndarray:
    """Of the effective core potentials, (motion, ao, ao)."""
    made, motions = host_values.mole(orbitals), motions[:, 0]
    change = _two_index(orbitals.layout, made.intor("ECPscalar_ipnuc", comp=3), motions)
    for atom in np.unique(orbitals.layout.ecp_rows[:, ATOM_OF]):
        with made.with_rinv_at_nucleus(atom):
            integral = made.intor("ECPscalar_iprinv", comp=3)
        half = np.einsum("xmn,bx->bmn", integral, motions[:, atom])
        change += half + half.swapaxes(1, 2)
    return change


def three_center(
    orbitals: Orbitals, auxiliary: Orbitals, omega: Omega, motions: np.ndarray
) -> np.ndarray:
    """Of (P|mn) for pairs m >= n, (motion, aux, pair); centres of orbitals, of auxiliaries."""
    made, aux = host_values.mole(orbitals), host_values.mole(auxiliary)
    nao = made.nao
    rows, columns = np.tril_indices(nao)
    change = np.empty((len(motions), auxiliary.layout.nao, len(rows)))
    on_ao = -_per_function(orbitals.layout, motions[:, 0])
    on_aux = _per_function(auxiliary.layout, motions[:, 1])
    for first, last in host_values._auxiliary_blocks(nao, auxiliary.layout):
        functions = slice(*auxiliary.layout.ao_offset[[first, last]])
        shells = (0, made.nbas, 0, made.nbas, made.nbas + first, made.nbas + last)
        with host_values._range(made, omega):
            integral = host_values.three_center_block(made, aux, "int3c2e_ip1", shells, 3)
        # (xyz, aux, pair), nabla on m and on n
        bra, ket = integral[:, rows, columns], integral[:, columns, rows]
        bra, ket = bra.transpose(0, 2, 1), ket.transpose(0, 2, 1)
        both = bra + ket
        for b in range(len(motions)):
            part = np.einsum("xpr,xr->pr", bra, on_ao[b][:, rows])
            part += np.einsum("xpr,xr->pr", ket, on_ao[b][:, columns])
            part += np.einsum("xpr,xp->pr", both, on_aux[b][:, functions])
            change[b, functions] = part
    return change


def four_center(
    orbitals: Orbitals,
    density: np.ndarray,
    coulomb: Scale,
    exchange: Scale,
    omega: Omega,
    motions: np.ndarray,
) -> np.ndarray:
    """Of the Fock matrix of the energy of `four_center_gradient`, (motion, spin, ao, ao).

    Nothing changes when all atoms move together: motions relative to that of one atom suffice.
    """
    made, motions = host_values.mole(orbitals), motions[:, 0]
    still, runs = _runs(orbitals.layout)
    change = np.zeros((len(motions), *density.shape))
    with host_values._range(made, omega):
        for atom, shells in runs:
            move = motions[:, atom] - motions[:, still]
            if move.any():
                fock = _of_shells(made, orbitals.layout, density, coulomb, exchange, shells)
                change += np.einsum("bx,xsmn->bsmn", move, fock)
    return change


def four_center_gradients(
    orbitals: Orbitals,
    density: np.ndarray,
    changes: np.ndarray,
    coulomb: Scale,
    exchange: Scale,
    omega: Omega,
) -> np.ndarray:
    """Derivatives of `four_center_gradient` along symmetric changes (change, spin, ao, ao) of
    the density: (change, 1, atom, 3).
    """
    made = host_values.mole(orbitals)
    still, runs = _runs(orbitals.layout)
    gradients = np.zeros((len(changes), 1, orbitals.layout.natm, 3))
    with host_values._range(made, omega):
        for atom, shells in runs:
            fock = _of_shells(made, orbitals.layout, density, coulomb, exchange, shells)
            part = np.einsum("xsmn,bsmn->bx", fock, changes, optimize=True)
            gradients[:, 0, atom] += part
            gradients[:, 0, still] -= part
    return gradients


def _runs(layout: Layout) -> tuple[int, list[tuple[int, tuple[int, int]]]]:
    """The atom of most functions, and (atom, shells) of the runs of shells of all others."""
    runs = host_values.shell_runs(layout)
    offset = layout.ao_offset
    still, *_ = max(runs, key=lambda run: offset[run[2]] - offset[run[1]])
    return still, [(atom, (first, last)) for atom, first, last in runs if atom != still]


def _of_shells(
    made, layout: Layout, density: np.ndarray, coulomb: Scale, exchange: Scale,
    shells: tuple[int, int],
) -> np.ndarray:  # fmt: skip
    """Derivative of the Fock matrix along the centre of some shells, (3, spin, ao, ao)."""
    first, last = map(int, shells)
    here = slice(*layout.ao_offset[[first, last]])
    nao, nspin = made.nao, len(density)
    terms: list[tuple[str, np.ndarray, int | None, float]] = []
    if coulomb is not None:
        total = density.sum(0)
        terms.append(("ji->s2kl", total[:, here], None, -float(coulomb)))
        terms.append(("lk->s1ij", total, None, -float(coulomb)))
    if exchange is not None:
        weight = float(exchange) / (3 - nspin)
        for s, p in enumerate(density):
            terms.append(("li->s1kj", p[:, here], s, weight))
            terms.append(("jk->s1il", p, s, weight))
    scripts, duals, spins, weights = zip(*terms, strict=True)
    matrices = _vhf.direct_bindm(
        made._add_suffix("int2e_ip1"), "s2kl", scripts, duals, 3,
        made._atm, made._bas, made._env, shls_slice=(first, last, *(0, made.nbas) * 3),
    )  # fmt: skip
    half = np.zeros((3, nspin, nao, nao))
    for script, matrix, spin, weight in zip(scripts, matrices, spins, weights, strict=True):
        if script == "ji->s2kl":
            for component in matrix:
                lib.hermi_triu(component, hermi=1, inplace=True)
        rows = here if script[-2] == "i" else slice(None)
        channels = slice(None) if spin is None else slice(spin, spin + 1)
        half[:, channels, rows] += weight * matrix[:, None]
    return half + half.swapaxes(2, 3)
