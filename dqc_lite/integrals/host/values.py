"""Values and first derivatives of integrals by PySCF, in NumPy, on the host.

Derivatives with respect to nuclear positions are contracted block by block where they are made:
each gradient function takes the dual (density) tensor and returns an (atom, 3) array, so that no
derivative tensor is ever held whole. Translational invariance, ``d/dA + d/dB + d/dC = 0`` for
(mn|Q), gives the derivative on the last centre from the first two.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
import pyscf.gto
from pyscf import ao2mo, df, lib
from pyscf.gto.mole import (
    ANG_OF,
    ATM_SLOTS,
    ATOM_OF,
    BAS_SLOTS,
    CHARGE_OF,
    NCTR_OF,
    NPRIM_OF,
    NUC_FRAC_CHARGE,
    NUC_MOD_OF,
    PTR_COEFF,
    PTR_COORD,
    PTR_ENV_START,
    PTR_EXP,
    PTR_FRAC_CHARGE,
)
from pyscf.scf import _vhf

from dqc_lite.basis import Layout, Orbitals

Omega = float | np.ndarray | None
Scale = float | np.ndarray | None
BLOCK_BYTES = 64 * 2**20
"""Target size of one block of derivative integrals."""


def mole(orbitals: Orbitals, charges: np.ndarray | None = None) -> pyscf.gto.Mole:
    """A PySCF `Mole` with these numbers in its tables (no parsing, no normalization)."""
    orbitals = orbitals.separated()
    layout = orbitals.layout
    natm = layout.natm
    charges = np.zeros(natm) if charges is None else np.asarray(charges)
    blocks = [
        np.zeros(PTR_ENV_START),
        np.asarray(orbitals.centers).ravel(),
        charges,
        np.asarray(orbitals.exponents),
        np.asarray(orbitals.coefficients),
        layout.ecp_parameters,
    ]
    start = np.cumsum([0] + [b.size for b in blocks])
    atm = np.zeros((natm, ATM_SLOTS), np.int32)
    atm[:, CHARGE_OF] = np.rint(charges)
    atm[:, NUC_MOD_OF] = NUC_FRAC_CHARGE
    atm[:, PTR_COORD] = start[1] + 3 * np.arange(natm)
    atm[:, PTR_FRAC_CHARGE] = start[2] + np.arange(natm)
    bas = np.zeros((layout.nshell, BAS_SLOTS), np.int32)
    bas[:, ATOM_OF], bas[:, ANG_OF] = layout.atom, layout.l
    bas[:, NPRIM_OF], bas[:, NCTR_OF] = layout.nprim, layout.nctr
    bas[:, PTR_EXP] = start[3] + layout.exponent_offset[:-1]
    bas[:, PTR_COEFF] = start[4] + layout.coefficient_offset[:-1]
    ecp = layout.ecp_rows.copy()
    ecp[:, [5, 6]] += start[5]
    made = pyscf.gto.Mole()
    made._atm, made._bas, made._env = atm, bas, np.concatenate(blocks)
    made._ecpbas, made._built, made.cart, made.verbose = ecp, True, layout.cartesian, 0
    # PySCF looks up the sets of ECP atoms by symbol
    made._ecp = {s: [] for s, c in zip(layout.symbols, layout.core_electrons, strict=True) if c}
    made._atom = [(s, None) for s in layout.symbols]
    return made


# --- values -------------------------------------------------------------------------------------


def overlap(orbitals: Orbitals) -> np.ndarray:
    """<m|n>, (ao, ao)."""
    return mole(orbitals).intor_symmetric("int1e_ovlp")


def kinetic(orbitals: Orbitals) -> np.ndarray:
    """<m|-1/2 nabla^2|n>, (ao, ao)."""
    return mole(orbitals).intor_symmetric("int1e_kin")


def nuclear(orbitals: Orbitals, charges: np.ndarray) -> np.ndarray:
    """-sum_C Z_C <m|1/r_C|n>, (ao, ao)."""
    return mole(orbitals, charges).intor_symmetric("int1e_nuc")


def ecp(orbitals: Orbitals) -> np.ndarray:
    """<m|V_ECP|n>, (ao, ao)."""
    return mole(orbitals).intor_symmetric("ECPscalar")


def multipole(orbitals: Orbitals, order: int) -> np.ndarray:
    """<m|r_x r_y ...|n> about the coordinate origin, (3^order, ao, ao); order 1 to 3."""
    made = mole(orbitals)
    return made.intor("int1e_" + "r" * order, comp=3**order)


def turning(orbitals: Orbitals, center: np.ndarray) -> np.ndarray:
    """<m|(r - center) x nabla|n>, (3, ao, ao), antisymmetric."""
    made = mole(orbitals)
    with made.with_common_orig(center):
        return made.intor("int1e_cg_irxp", comp=3)


def _range(made: pyscf.gto.Mole, omega: Omega) -> AbstractContextManager:
    """PySCF's convention: 0 for the whole repulsion, positive for its long range."""
    return made.with_range_coulomb(0.0 if omega is None else float(omega))


def two_center(auxiliary: Orbitals, omega: Omega) -> np.ndarray:
    """(P|Q), (aux, aux)."""
    made = mole(auxiliary)
    with _range(made, omega):
        return made.intor("int2c2e", hermi=1)


def three_center(orbitals: Orbitals, auxiliary: Orbitals, omega: Omega) -> np.ndarray:
    """(P|mn) for m >= n, (aux, ao (ao + 1) / 2)."""
    made, aux = mole(orbitals), mole(auxiliary)
    with _range(made, omega):
        return df.incore.aux_e2(made, aux, made._add_suffix("int3c2e"), aosym="s2ij").T


def four_center(orbitals: Orbitals, omega: Omega, square: bool) -> np.ndarray:
    """(mn|ls) for m >= n, l >= s, (pair, pair); with `square` for all l, s, (pair, ao, ao)."""
    made = mole(orbitals)
    with _range(made, omega):
        unique = made.intor("int2e", aosym="s8")  # each integral once: half the work of s4
    packed = ao2mo.restore(4, unique, made.nao)
    return lib.unpack_tril(packed) if square else packed


# --- contracted first derivatives with respect to positions -------------------------------------


def shell_runs(layout: Layout) -> list[tuple[int, int, int]]:
    """(atom, first shell, last shell + 1) of the runs of shells on one atom, in their order."""
    starts = [0, *(np.flatnonzero(np.diff(layout.atom)) + 1).tolist()]
    stops = [*starts[1:], layout.nshell]
    return [(int(layout.atom[i]), i, j) for i, j in zip(starts, stops, strict=True)]


def _per_atom(layout: Layout, per_ao: np.ndarray) -> np.ndarray:
    """Sum an (xyz, ao) array over the AOs of each atom: (atom, xyz)."""
    out = np.zeros((layout.natm, per_ao.shape[0]))
    np.add.at(out, layout.ao_atom, per_ao.T)
    return out


def _bra_gradient(orbitals: Orbitals, integral: np.ndarray, dual: np.ndarray) -> np.ndarray:
    """Both sides of a symmetric two-index integral, from ``<nabla m|n>`` (xyz, ao, ao)."""
    return -2.0 * _per_atom(orbitals.layout, np.einsum("xmn,mn->xm", integral, dual))


def overlap_gradient(orbitals: Orbitals, dual: np.ndarray) -> np.ndarray:
    """d/dR of sum_mn dual_mn <m|n> for symmetric dual, (atom, 3)."""
    return _bra_gradient(orbitals, mole(orbitals).intor("int1e_ipovlp", comp=3), dual)


def kinetic_gradient(orbitals: Orbitals, dual: np.ndarray) -> np.ndarray:
    """d/dR of the kinetic energy of a symmetric density matrix, (atom, 3)."""
    return _bra_gradient(orbitals, mole(orbitals).intor("int1e_ipkin", comp=3), dual)


def _point_blocks(nao: int, npoint: int, components: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // (8 * components * nao * nao))
    return (slice(i, min(i + step, npoint)) for i in range(0, npoint, step))


def nuclear_gradient(orbitals: Orbitals, charges: np.ndarray, dual: np.ndarray) -> np.ndarray:
    """d/dR of the nuclear attraction of a symmetric density matrix, (atom, 3)."""
    made, points = mole(orbitals), np.asarray(orbitals.centers)
    gradient = np.zeros((len(points), 3))
    for block in _point_blocks(made.nao, len(points), 3):
        # <nabla m|1/r_C|n>, (xyz, point, ao, ao)
        integral = made.intor("int1e_grids_ip", comp=3, grids=points[block])
        per_point = np.einsum("xcmn,mn->xcm", integral, dual)
        gradient[block] -= 2.0 * charges[block, None] * per_point.sum(2).T
        weighted = np.einsum("c,xcm->xm", charges[block], per_point)
        gradient += 2.0 * _per_atom(orbitals.layout, weighted)
    return gradient


def ecp_gradient(orbitals: Orbitals, dual: np.ndarray) -> np.ndarray:
    """d/dR of the effective-core energy of a symmetric density matrix, (atom, 3)."""
    made = mole(orbitals)
    gradient = _bra_gradient(orbitals, made.intor("ECPscalar_ipnuc", comp=3), dual)
    for atom in np.unique(orbitals.layout.ecp_rows[:, ATOM_OF]):
        with made.with_rinv_at_nucleus(atom):
            integral = made.intor("ECPscalar_iprinv", comp=3)
        gradient[atom] += 2.0 * np.einsum("xmn,mn->x", integral, dual)
    return gradient


def two_center_gradient(auxiliary: Orbitals, dual: np.ndarray, omega: Omega) -> np.ndarray:
    """d/dR of sum_PQ dual_PQ (P|Q) for symmetric dual, (atom, 3)."""
    made = mole(auxiliary)
    with _range(made, omega):
        return _bra_gradient(auxiliary, made.intor("int2c2e_ip1", comp=3), dual)


def _auxiliary_blocks(
    nao: int, auxiliary: Layout, components: int = 3
) -> Iterator[tuple[int, int]]:
    """Shell ranges of the auxiliary basis whose derivative integrals fill about one block."""
    largest = max(1, BLOCK_BYTES // (8 * components * nao * nao))
    first = 0
    for last in range(1, auxiliary.nshell + 1):
        offset = auxiliary.ao_offset
        full = last == auxiliary.nshell or offset[last + 1] - offset[first] > largest
        if full:
            yield first, last
            first = last


def auxiliary_duals(
    nao: int, auxiliary: Layout, dual: np.ndarray, components: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Shell ranges with dual_P,mn + dual_P,nm (aux, ao, ao), from a dual over pairs m >= n."""
    diagonal = np.arange(nao) * (np.arange(nao) + 3) // 2
    for first, last in _auxiliary_blocks(nao, auxiliary, components):
        packed = np.array(dual[slice(*auxiliary.ao_offset[[first, last]])])
        packed[:, diagonal] *= 2.0
        yield first, last, lib.unpack_tril(packed)


def three_center_gradient(
    orbitals: Orbitals, auxiliary: Orbitals, dual: np.ndarray, omega: Omega
) -> np.ndarray:
    """d/dR of sum dual_P,mn (P|mn), dual (aux, ao (ao + 1) / 2) over pairs m >= n.

    (2, atom, 3): the parts of the centres of the orbital and of the auxiliary functions.
    """
    made, aux = mole(orbitals), mole(auxiliary)
    nao, nshell = made.nao, made.nbas
    on_ao, on_aux = np.zeros((3, nao)), np.zeros((3, aux.nao))
    for first, last, square in auxiliary_duals(nao, auxiliary.layout, dual, 3):
        functions = slice(*auxiliary.layout.ao_offset[[first, last]])
        with _range(made, omega):
            shells = (0, nshell, 0, nshell, nshell + first, nshell + last)
            integral = three_center_block(made, aux, "int3c2e_ip1", shells, 3)
        integral = integral.transpose(0, 3, 2, 1)  # (xyz, aux, n, m), nabla on m
        product = np.einsum("xpnm,pnm->xpm", integral, square)
        on_ao += product.sum(1)
        on_aux[:, functions] = product.sum(2)
    return np.stack([-_per_atom(orbitals.layout, on_ao), _per_atom(auxiliary.layout, on_aux)])


def three_center_block(
    made: pyscf.gto.Mole, aux: pyscf.gto.Mole, name: str, shells: tuple, components: int
) -> np.ndarray:
    """Derivative integrals (m n|P) of some shells, (component, m, n, aux)."""
    atm, bas, env = pyscf.gto.conc_env(
        made._atm, made._bas, made._env, aux._atm, aux._bas, aux._env
    )
    name = made._add_suffix(name)
    return pyscf.gto.moleintor.getints(name, atm, bas, env, shells, comp=components, aosym="s1")


def four_center_gradient(
    orbitals: Orbitals, density: np.ndarray, coulomb: Scale, exchange: Scale, omega: Omega
) -> np.ndarray:
    """d/dR of the electron-repulsion energy of a fixed density, (atom, 3).

    ``E = coulomb/2 (P|P) - exchange/2 sum_s (P_s|P_s)_K``, P (spin, ao, ao), P = sum_s P_s; one
    spin channel is a doubly occupied closed shell, whose exchange counts half. None: no such part.
    """
    return _repulsion_gradient(orbitals, density[None], density[None], coulomb, exchange, omega)


def four_center_mixed_gradient(
    orbitals: Orbitals, both: np.ndarray, coulomb: Scale, exchange: Scale, omega: Omega
) -> np.ndarray:
    """Derivative of `four_center_gradient` along a symmetric change of the density, (atom, 3).

    `both` (2, spin, ao, ao): the density and its change; one pass over the integrals.
    """
    return _repulsion_gradient(orbitals, both, both[::-1], coulomb, exchange, omega)


def _repulsion_gradient(
    orbitals: Orbitals,
    left: np.ndarray,
    right: np.ndarray,
    coulomb: Scale,
    exchange: Scale,
    omega: Omega,
) -> np.ndarray:
    """-2 (nabla m n|l s) over pairs of densities (pair, spin, ao, ao): m n with the left one."""
    made = mole(orbitals)
    npair, nspin, nao, _ = left.shape
    # (nabla m n|l s) P_ls and (nabla m n|l s) P_nl
    parts: list[tuple[str, np.ndarray]] = []
    if coulomb is not None:
        parts.append(("lk->s1ij", float(coulomb) * left.sum(1, keepdims=True)))
    if exchange is not None:
        parts.append(("jk->s1il", -float(exchange) / (3 - nspin) * left))
    contractions, duals = zip(*parts, strict=True)
    densities = right.sum(1, keepdims=True) if exchange is None else right
    with _range(made, omega):
        options = _vhf._VHFOpt(
            made, "int2e_ip1", "CVHFgrad_jk_prescreen", dmcondname="CVHFnr_dm_cond1"
        )
        options.q_cond = _derivative_schwarz(made, options)
        matrices = _vhf.direct_mapdm(
            made._add_suffix("int2e_ip1"), "s2kl", contractions,
            densities.reshape(-1, nao, nao), 3, made._atm, made._bas, made._env, vhfopt=options,
        )  # fmt: skip
    per_ao = np.zeros((3, nao))
    for name, matrix, dual in zip(contractions, matrices, duals, strict=True):
        per_spin = np.reshape(matrix, (npair, -1, 3, nao, nao))
        if name == "lk->s1ij":
            per_spin = per_spin.sum(1, keepdims=True)
        per_ao += np.einsum("bsxmn,bsmn->xm", per_spin, dual)
    return -2.0 * _per_atom(orbitals.layout, per_ao)


def _derivative_schwarz(made: pyscf.gto.Mole, options: _vhf._VHFOpt) -> np.ndarray:
    """sqrt((nabla i j|nabla i j)) and sqrt((kl|kl)), the screening bounds of int2e_ip1."""
    bounds = np.empty((2, made.nbas, made.nbas))
    offsets = made.ao_loc_nr()
    kinds = (("int2e_ip1ip2", "CVHFnr_int2e_pp_q_cond"), ("int2e", "CVHFnr_int2e_q_cond"))
    with made.with_integral_screen(options.direct_scf_tol**2):
        for bound, (integral, driver) in zip(bounds, kinds, strict=True):
            getattr(_vhf.libcvhf, driver)(
                getattr(_vhf.libcvhf, made._add_suffix(integral)), lib.c_null_ptr(), bound.ctypes,
                offsets.ctypes, made._atm.ctypes, ctypes.c_int(made.natm),
                made._bas.ctypes, ctypes.c_int(made.nbas), made._env.ctypes,
            )  # fmt: skip
    return bounds
