"""The report as plain text, at most 100 columns. Every function returns one block of lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dqc_lite import __version__
from dqc_lite._types import Float
from dqc_lite.cli.calculation import Calculation
from dqc_lite.cli.timings import Timings
from dqc_lite.method import HF, KS, Method
from dqc_lite.molecule import Molecule
from dqc_lite.scf.solution import Solution
from dqc_lite.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

_COMPONENTS = (
    "nuclear_repulsion", "kinetic", "nuclear_attraction", "core_potential", "electric_field",
    "point_charges", "pcm", "coulomb", "exchange", "exchange_correlation", "nonlocal_correlation",
    "dispersion", "smearing",
)  # fmt: skip


def header(calculation: Calculation, file: str) -> str:
    """What is calculated, and the units of everything below."""
    mol, method = calculation.mol, calculation.method
    functions = "Cartesian" if mol.layout.cartesian else "spherical"
    rows = {
        "molecule": f"{formula(mol)}, {mol.natm} atoms, {mol.nelectron} electrons",
        "from": file,
        "basis": f"{mol.layout.name} ({functions}), nao = {mol.nao}",
        "method": f"{name(method)}, {calculation.reference}, {repulsion(calculation)}",
        "charge": f"{mol.charge}, spin (2S) = {mol.spin}",
    }
    if isinstance(method, KS):
        rows["xc"] = str(method.xc)
        rows["grid"] = f"level {method.grid_level}"
        rows |= {"dispersion": method.dispersion} if method.dispersion else {}
    if mol.layout.has_ecp:
        cores = sum(mol.layout.core_electrons)
        rows["ECP"] = f"replaces {cores} core electrons"
    if calculation.electric_field is not None:
        rows["field"] = " ".join(f"{x:g}" for x in calculation.electric_field) + " a.u."
    rows["units"] = "hartree, bohr, unless another is named"
    device = jax.devices()[0]
    lines = [f"dqc_lite {__version__}, JAX {jax.__version__} on {device.platform}"]
    return "\n".join([*lines, *(f"  {name:<10}{text}" for name, text in rows.items())])


def name(method: Method) -> str:
    """As in the literature: HF, or the functional."""
    return "HF" if isinstance(method, HF) else f"KS {method.xc.name}"


def formula(mol: Molecule) -> str:
    """Elements in Hill's order (C, H, then by alphabet), ghost atoms last."""
    symbols = list(mol.symbols)
    first = ("C", "H") if "C" in symbols else ()

    def order(symbol: str) -> tuple:
        rank = first.index(symbol) if symbol in first else len(first)
        return symbol.startswith("GHOST-"), rank, symbol

    names = [(s, s if "-" not in s else f"[{s.lower()}]") for s in sorted(set(symbols), key=order)]
    counts = [(name, symbols.count(s)) for s, name in names]
    return "".join(f"{name}{count if count > 1 else ''}" for name, count in counts)


def repulsion(calculation: Calculation) -> str:
    """How the electron repulsion is evaluated."""
    fit = calculation.method.density_fit
    if not fit:
        return "exact integrals"
    return f"density-fitted ({'default auxiliary basis' if fit is True else fit})"


def settings(calculation: Calculation, cache: Path | None) -> str:
    """Convergence criteria, guess and cache."""
    solver = calculation.solver
    return "\n".join(
        [
            f"  guess = {calculation.guess}, max_cycle = {solver.max_cycle}, energy_tol = "
            f"{solver.energy_tol:g}, gradient_tol = {solver.gradient_tol:g}",
            f"  compiled programs are kept in {cache}" if cache else "  no compilation cache",
        ]
    )


def geometry(mol: Molecule) -> str:
    """Positions in angstrom, as read."""
    positions = np.asarray(mol.positions) * BOHR_IN_ANGSTROM
    return _atom_table("Geometry (angstrom)", mol.symbols, positions, "xyz")


def log(solution: Solution) -> str:
    """A line for each cycle; what was not finite is printed as it is."""
    history = np.asarray(solution.history)[: int(solution.iterations)]
    lines = [
        f"cycle={cycle:>3} E= {energy(value)}  delta_E= {change: .2e}  |g|= {gradient:.2e}"
        for cycle, (value, change, gradient) in enumerate(history, 1)
    ]
    c = solution.certificate
    if c.second_order_cycles:
        text = f"second order: the last {int(c.second_order_cycles)} cycles"
        assert c.saddle_points_left is not None
        left = int(c.saddle_points_left)
        lines.append(text + (f", {left} saddle points left" if left else ""))
    if c.stable is not None:
        kind = "a minimum" if c.stable else "NOT a minimum: energy and forces are of a saddle point"
        lines.append(f"stability: lowest curvature {c.lowest_hessian_eigenvalue:.4f}, {kind}")
    return "\n".join(lines)


def energy(value: Any) -> str:
    """Hartree, twelve decimals; shorter where the SCF has run away."""
    return f"{float(value):.12f}" if abs(value) < 1e7 else f"{float(value):.6e}"


def total_energy(solution: Solution) -> str:
    """The line everybody greps for."""
    if solution.converged:
        return f"converged SCF energy = {energy(solution.energy)}"
    cycles = int(solution.iterations)
    return f"SCF not converged. SCF energy = {energy(solution.energy)} after {cycles} cycles"


def component_names(solution: Solution) -> list[str]:
    """Nuclei, one-electron, two-electron; then what is not known here."""
    known = [name for name in _COMPONENTS if name in solution.energies]
    return known + [name for name in solution.energies if name not in known]


def components(solution: Solution) -> str:
    """The terms of the energy and their sum."""
    names = component_names(solution)
    rows = [(name.replace("_", " "), float(solution.energies[name])) for name in names]
    rows.append(("total", float(solution.energy)))
    return "\n".join(["Energy components", *(f"  {n:<20}{energy(e):>22}" for n, e in rows)])


def frontier(solution: Solution) -> str:
    """HOMO, LUMO and their gap, for each set of orbitals."""
    sets = orbital_sets(solution)
    lines = ["Frontier orbitals"]
    for name, energies, occupations in sets:
        label = f"  {name:<6}" if name else "  "
        highest, lowest = _edges(energies, occupations)
        lines += [f"{label}HOMO {_level(highest)}", f"{label}LUMO {_level(lowest)}"]
        if math.isfinite(lowest - highest):
            lines.append(f"{label}gap  {_level(lowest - highest)}")
    return "\n".join(lines)


def orbital_sets(solution: Solution) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, energies, occupations) of the orbitals that exist, energies in hartree."""
    kept = int(solution.certificate.kept_orbitals)
    energies = np.asarray(solution.mo_energy)[:, :kept]
    occupations = np.asarray(solution.mo_occ)[:, :kept]
    names = ("",) if len(energies) == 1 else ("alpha", "beta")
    return list(zip(names, energies, occupations, strict=True))


def _edges(energies: np.ndarray, occupations: np.ndarray) -> tuple[float, float]:
    highest = energies[occupations > 0].max(initial=-math.inf)
    return float(highest), float(energies[occupations == 0].min(initial=math.inf))


def _level(value: float) -> str:
    if not math.isfinite(value):
        return "        none"
    return f"{value:>14.8f}  ({value * HARTREE_IN_EV:>10.4f} eV)"


def orbitals(solution: Solution) -> str:
    """All orbital energies, four in a line, occupation in brackets."""
    lines = ["Orbital energies (occupation)"]
    for name, energies, occupations in orbital_sets(solution):
        if name:
            lines.append(f"  {name}")
        cells = [f"{e:>15.8f} ({n:.0f})" for e, n in zip(energies, occupations, strict=True)]
        lines += ["  " + "".join(cells[i : i + 4]) for i in range(0, len(cells), 4)]
    return "\n".join(lines)


def forces(symbols: Sequence[str], values: Float[np.ndarray, "atom 3"]) -> str:
    """The forces, their sum (zero but for errors) and the largest component."""
    printed = np.round(values, 10) + 0.0  # no "-0.0000000000"
    table = _atom_table("Forces (hartree/bohr)", symbols, printed, ("Fx", "Fy", "Fz"))
    atom, axis = np.unravel_index(np.abs(values).argmax(), values.shape)
    net = "".join(f"{x:>18.1e}" for x in values.sum(axis=0))
    return "\n".join(
        [
            table,
            f"  {'net force':<13}{net}",
            f"  max component {abs(values[atom, axis]):.6e} "
            f"(atom {atom} {symbols[atom]}, {'xyz'[axis]})",
        ]
    )


def _atom_table(
    title: str, symbols: Sequence[str], values: Float[np.ndarray, "atom 3"], names: Sequence[str]
) -> str:
    rows = [
        f"  {i:>4} {symbol:<8}" + "".join(f"{x:>18.10f}" for x in row)
        for i, (symbol, row) in enumerate(zip(symbols, values, strict=True))
    ]
    head = f"  {'atom':>4} {'symbol':<8}" + "".join(f"{name:>18}" for name in names)
    return "\n".join([title, head, *rows])


def timings(steps: Timings) -> str:
    """Seconds of each step."""
    rows = [*steps.items(), ("total", sum(steps.values()))]
    return "\n".join(["Wall-clock time (s)", *(f"  {n:<20}{t:>10.2f}" for n, t in rows)])
