"""Integrals over contracted Gaussians, differentiable to any order in every argument.

Values come from libcint through PySCF over raw Cartesian shells, inside one host call; derivatives
from the rules of `dqc_lite.integrals.multilinear_form`. This is the reference path: complete
tensors, any order, any nesting of forward and reverse mode. Atomic units.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from pyscf.gto import moleintor
from pyscf.gto.mole import (
    ANG_OF,
    AS_ECPBAS_OFFSET,
    AS_NECPBAS,
    ATM_SLOTS,
    ATOM_OF,
    BAS_SLOTS,
    NCTR_OF,
    NPRIM_OF,
    PTR_COEFF,
    PTR_COMMON_ORIG,
    PTR_COORD,
    PTR_ENV_START,
    PTR_EXP,
    PTR_RANGE_OMEGA,
    PTR_RINV_ORIG,
)

from dqc_lite import memory
from dqc_lite._types import Array, Float
from dqc_lite.basis import Layout, Orbitals
from dqc_lite.errors import BasisError, ECPError, InputError, PrecisionError
from dqc_lite.integrals import cartesian, multilinear_form
from dqc_lite.integrals.cartesian import RawLayout

SWAP_2 = ((0, 1), (1, 0))
SWAP_3 = ((0, 1, 2), (1, 0, 2))
SWAP_4 = tuple(
    order
    for bra, ket in (((0, 1), (2, 3)), ((2, 3), (0, 1)))
    for order in ((*bra, *ket), (*bra[::-1], *ket), (*bra, *ket[::-1]), (*bra[::-1], *ket[::-1]))
)
OPERATORS = {  # name: (components, permutations of the slots that change nothing)
    "int1e_ovlp": (1, SWAP_2),
    "int1e_kin": (1, SWAP_2),
    "int1e_r": (3, SWAP_2),
    "int1e_rr": (9, SWAP_2),
    "int1e_rrr": (27, SWAP_2),
    "int1e_rinv": (1, SWAP_2),
    "ECPscalar": (1, SWAP_2),
    "int2c2e": (1, SWAP_2),
    "int3c2e": (1, SWAP_3),
    "int2e": (1, SWAP_4),
}
COMMON_FACTOR = np.array([0.282094791773878143, 0.488602511902919921] + [1.0] * 11)
"""libcint multiplies Cartesian s and p functions by those of the real spherical harmonics."""
MAX_L_ECP = 11
"""Largest sum of two angular momenta in ECP integrals, measured: 12 gives 1e119 or a crash."""
BLOCK_ELEMENTS = 2**23
"""Largest block of uncontracted integrals held at once."""


def integral(
    operator: str,
    orbitals: tuple[Orbitals, ...],
    *,
    points: Float[Array, "point 3"] | None = None,
    origin: tuple[float, float, float] | None = None,
    omega: float = 0.0,
) -> Float[Array, " ..."]:
    """An integral over atomic orbitals in PySCF's order and normalization, not packed.

    Args:
        operator: one of `OPERATORS`, libcint's name.
        orbitals: one set per index: 2, 3 (int3c2e) or 4 (int2e). Give the same object for the same
            set: its permutational symmetry is used.
        points: (point, 3) centres of 1/|r - C| of int1e_rinv, bohr; differentiable.
        origin: of int1e_r, int1e_rr, int1e_rrr, bohr, static; default 0.
        omega: of the two-electron integrals, 1/bohr, static: 0 gives 1/r, positive erf(omega r)/r,
            negative erfc(|omega| r)/r.

    Returns:
        (ao_1, ..., ao_K); with a leading axis of 3, 9, 27 for int1e_r, int1e_rr, int1e_rrr and of
        points for int1e_rinv. ECPscalar is the sum over the ECPs of the layout of `orbitals[0]`.

    Raises:
        MemoryBudgetError: tensors beyond the memory budget.
        InputError: arguments that do not fit the operator.
        BasisError: shells, or their derivatives, beyond libcint's angular momentum.
    """
    made = _operator(operator, orbitals, points, origin, omega)
    if made.ecp is not None:
        points = orbitals[0].centers[np.unique(made.ecp.ecp_rows[:, ATOM_OF])]
    operands: list[Array | None] = []
    for o in orbitals:
        operands += [o.centers, o.exponents, o.coefficients]
    operands += [points, None, None]
    _check_precision(operands)
    layouts = tuple(cartesian.raw_layout(o.layout) for o in orbitals)
    _check_memory(operator, orbitals, points, made.components)
    (tensor,) = multilinear_form.evaluate([multilinear_form.Form(made, layouts, tuple(operands))])
    tensor = cartesian.to_atomic_orbitals(tensor, tuple(o.layout for o in orbitals))
    if made.ecp is not None:
        return tensor.sum(0)
    return tensor[0] if points is None and made.components == 1 else tensor


def _check_memory(
    name: str, orbitals: Sequence[Orbitals], points: Array | None, components: int
) -> None:
    """Whole tensors and their derivative, about four times as large, are held here."""
    size = components * (1 if points is None else len(points))
    size *= math.prod(o.layout.nao for o in orbitals)
    memory.require(
        8 * 5 * size,
        f"{name} over {' x '.join(str(o.layout.nao) for o in orbitals)} functions, in a derivative "
        "that is not contracted on the host,",
        "differentiate first derivatives along positions only, use density_fit=True or a smaller "
        "basis",
    )


def _operator(
    name: str, orbitals: Sequence[Orbitals], points: Any, origin: Any, omega: float
) -> Operator:
    if name not in OPERATORS:
        raise InputError(f"operator = {name!r} is unknown; one of {', '.join(OPERATORS)}.")
    nslot = len(OPERATORS[name][1][0])
    if len(orbitals) != nslot:
        raise InputError(f"{name} takes {nslot} sets of orbitals, got {len(orbitals)}.")
    if (points is not None) != (name == "int1e_rinv"):
        raise InputError(f"points belong to int1e_rinv, which needs them; operator = {name!r}.")
    if points is not None and (jnp.ndim(points) != 2 or jnp.shape(points)[1] != 3):
        raise InputError(f"points must be (point, 3), got {jnp.shape(points)}.")
    if origin is not None and name not in ("int1e_r", "int1e_rr", "int1e_rrr"):
        raise InputError(f"origin belongs to int1e_r, _rr and _rrr, not to {name!r}.")
    if origin is not None and np.shape(origin) != (3,):
        raise InputError(f"origin = {origin!r} must be the 3 coordinates of a point, bohr.")
    if omega != 0.0 and "2e" not in name:
        raise InputError(f"omega belongs to the two-electron integrals, not to {name!r}.")
    layout = orbitals[0].layout
    if name == "ECPscalar" and not layout.has_ecp:
        raise ECPError("ECPscalar needs a layout with an effective core potential; it has none.")
    x, y, z = (0.0, 0.0, 0.0) if origin is None else map(float, origin)
    return Operator(name, float(omega), (x, y, z), layout if name == "ECPscalar" else None)


def _check_precision(operands: Sequence[Any]) -> None:
    for array in operands:
        if array is not None and jnp.result_type(array) != jnp.float64:
            raise PrecisionError(
                f"integrals need float64 arrays, got {jnp.result_type(array)}; call "
                "dqc_lite.enable_x64() before making any array."
            )


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator of libcint with its static parameters; evaluates forms on the host."""

    name: str
    omega: float = 0.0
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ecp: Layout | None = None

    @property
    def components(self) -> int:
        return OPERATORS[self.name][0]

    @property
    def permutations(self) -> tuple[tuple[int, ...], ...]:
        return OPERATORS[self.name][1]

    def check(self, layouts: Sequence[RawLayout]) -> None:
        """PySCF's ECP code overruns its tables at high l: garbage or a crash, not an error."""
        if self.ecp is None:
            return
        bra, ket = (int(layout.l.max(initial=0)) for layout in layouts)
        channel = int(self.ecp.ecp_rows[:, ANG_OF].max(initial=0))
        if max(bra + ket, bra + channel, ket + channel) > MAX_L_ECP:
            raise BasisError(
                f"an ECP integral needs shells of l = {bra} and {ket} with a projector of l = "
                f"{channel}; PySCF is right only while any two of them sum to {MAX_L_ECP} at most, "
                "and each derivative raises l by 1 (position) or 2 (exponent). Differentiate fewer "
                "times, or leave out the functions of highest l."
            )

    def evaluate(self, job: multilinear_form.Job, operands: Sequence[Any]) -> np.ndarray:
        """The form `job`: the tensor of integrals, or the gradient along omitted coefficients."""
        tables, points = Tables(self, job, operands), operands[-3]
        if job.omitted == job.nslot:
            whole = [(0, len(layout.l)) for layout in job.layouts]
            return np.concatenate(
                [tables.integrals(whole, point) for point in _each(points)]
                or [np.zeros(job.shape(operands))]
            )
        return _coefficient_gradient(tables, job, points, operands[-1])


def _each(points: np.ndarray | None) -> Sequence[Any]:
    return [None] if points is None else list(enumerate(points))


def _coefficient_gradient(
    tables: Tables, job: multilinear_form.Job, points: np.ndarray | None, dual: np.ndarray
) -> np.ndarray:
    """Contract the integrals over primitives of one slot with `dual`, block by block of shells."""
    k = job.omitted
    layout = job.layouts[k]
    ranges = [(0, len(other.l)) for other in job.layouts]
    result = np.zeros(len(layout.exponent))
    for first, last in _blocks(job):
        ranges[k] = (layout.coefficient_offset[first], layout.coefficient_offset[last])
        shells = layout.coefficient_shell[slice(*ranges[k])]
        sizes = cartesian.ncart(layout.l[shells])
        starts = np.cumsum(sizes) - sizes
        # the component of the contracted shell behind each component of each primitive
        within = np.arange(sizes.sum()) - np.repeat(starts, sizes)
        component = np.repeat(layout.component_offset[shells], sizes) + within
        weight = np.take(dual, component, axis=k + 1)
        per_component = np.zeros(len(component))
        lead = job.operator.components
        for i, point in enumerate(_each(points)):
            block = tables.integrals(ranges, point)
            flat = (-1, len(component), int(np.prod(block.shape[k + 2 :])))
            part = weight[i * lead : (i + 1) * lead].reshape(flat)
            per_component += np.einsum("lmr,lmr->m", block.reshape(flat), part)
        result[slice(*ranges[k])] = np.add.reduceat(per_component, starts)
    return result


def _blocks(job: multilinear_form.Job) -> Iterator[tuple[int, int]]:
    """Ranges of shells of the omitted slot whose primitives fill one block."""
    layout = job.layouts[job.omitted]
    others = [x.ncomponent for i, x in enumerate(job.layouts) if i != job.omitted]
    limit = BLOCK_ELEMENTS // max(1, job.operator.components * int(np.prod(others)))
    size, first = 0, 0
    for last, more in enumerate(cartesian.ncart(layout.l) * layout.nprim):
        if size and size + more > limit:
            yield first, last
            size, first = 0, last
        size += more
    if len(layout.l):
        yield first, len(layout.l)


class Tables:
    """libcint's atm, bas and env of the slots of one form; equal slots share their shells."""

    def __init__(self, operator: Operator, job: multilinear_form.Job, operands: Sequence[Any]):
        self.operator, self.optimizer = operator, None
        self.atm, self.bas = np.zeros((0, ATM_SLOTS), np.int32), np.zeros((0, BAS_SLOTS), np.int32)
        self.env = np.zeros(PTR_ENV_START)
        self.env[PTR_COMMON_ORIG : PTR_COMMON_ORIG + 3] = operator.origin
        self.env[PTR_RANGE_OMEGA] = operator.omega
        slots = [job.slot(k) for k in range(job.nslot)]
        self.same = [slots.index(slot) for slot in slots]  # the first slot equal to each
        self.start: list[int] = []  # first shell of each slot
        for k, first in enumerate(self.same):
            self.start.append(len(self.bas) if first == k else self.start[first])
            if first == k:
                self._add_slot(job.layouts[k], *operands[3 * k : 3 * k + 3])
        if operator.ecp is not None:
            self._add_ecp(operator.ecp, operands[3 * job.nslot])

    def _add(self, values: np.ndarray) -> int:
        start = len(self.env)
        self.env = np.append(self.env, values)
        return start

    def _add_atoms(self, centers: np.ndarray) -> int:
        atm = np.zeros((len(centers), ATM_SLOTS), np.int32)
        atm[:, PTR_COORD] = self._add(centers) + 3 * np.arange(len(centers))
        self.atm = np.append(self.atm, atm, axis=0)
        return len(self.atm) - len(atm)

    def _add_slot(self, layout: RawLayout, centers: Any, exponents: Any, coefficients: Any) -> None:
        """Contracted shells; without coefficients one shell of coefficient 1 per primitive."""
        single = coefficients is None
        shells = layout.coefficient_shell if single else np.arange(len(layout.l))
        offset = np.arange(len(shells)) if single else layout.coefficient_offset[:-1]
        scale = 1.0 / COMMON_FACTOR[layout.l[layout.coefficient_shell]]
        bas = np.zeros((len(shells), BAS_SLOTS), np.int32)
        bas[:, ATOM_OF] = self._add_atoms(centers) + layout.atom[shells]
        bas[:, ANG_OF], bas[:, NCTR_OF] = layout.l[shells], 1
        bas[:, NPRIM_OF] = 1 if single else layout.nprim
        bas[:, PTR_EXP] = self._add(exponents[layout.exponent]) + offset
        bas[:, PTR_COEFF] = self._add(scale if single else coefficients * scale) + offset
        self.bas = np.append(self.bas, bas, axis=0)

    def _add_ecp(self, layout: Layout, centers: np.ndarray) -> None:
        """One table of shells per ECP centre: all shells, then the rows of that centre."""
        first, rows = self._add_atoms(centers), layout.ecp_rows.copy()
        rows[:, [PTR_EXP, PTR_COEFF]] += self._add(layout.ecp_parameters)
        atoms, center = np.unique(rows[:, ATOM_OF], return_inverse=True)
        rows[:, ATOM_OF] = first + center
        self.env[AS_ECPBAS_OFFSET] = len(self.bas)
        self.ecp_rows = [rows[center == i] for i in range(len(atoms))]

    def integrals(self, ranges: Sequence[tuple[int, int]], point: Any) -> np.ndarray:
        """(component, n_1, ..., n_K) over ranges of shells within the slots, around a point."""
        name, bas = self.operator.name, self.bas
        if name == "ECPscalar":
            bas = np.append(bas, self.ecp_rows[point[0]], axis=0)
            self.env[AS_NECPBAS] = len(self.ecp_rows[point[0]])
        elif point is not None:
            self.env[PTR_RINV_ORIG : PTR_RINV_ORIG + 3] = point[1]
        if self.optimizer is None and name != "ECPscalar":  # that one's depends on the centre
            self.optimizer = moleintor.make_cintopt(self.atm, bas, self.env, name)
        shells = [s + i for s, span in zip(self.start, ranges, strict=True) for i in span]
        size = self.operator.components
        call = functools.partial(
            moleintor.getints, f"{name}_cart", self.atm, bas, self.env, tuple(shells), size,
            cintopt=self.optimizer,
        )  # fmt: skip
        bra, ket = self._equal(ranges, 0), self._equal(ranges, 2)
        if len(ranges) == 2:
            block = call(hermi=int(bra))
        elif len(ranges) == 3:
            block = call(aosym="s2ij" if bra else "s1")
        else:
            block = call(aosym=(("s1", "s2kl"), ("s2ij", "s4"))[bra][ket])
        block = block if size > 1 else block[None]
        return _unpacked(_unpacked(block, 1, bra and len(ranges) > 2), 3, ket)

    def _equal(self, ranges: Sequence[tuple[int, int]], k: int) -> bool:
        """Whether slots k and k + 1 are the same shells."""
        return k + 1 < len(ranges) and self.same[k + 1] == k and ranges[k] == ranges[k + 1]


def _unpacked(block: np.ndarray, axis: int, packed: bool) -> np.ndarray:
    """Pairs i >= j along an axis as two axes."""
    if not packed:
        return block
    n = int(np.sqrt(2 * block.shape[axis]))
    i, j = np.indices((n, n))
    low, high = np.minimum(i, j), np.maximum(i, j)
    return np.take(block, high * (high + 1) // 2 + low, axis=axis)
