"""What is minimized: weighted mean squares of errors, in atomic units."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float
from dqc_lite.errors import InputError
from dqc_lite.fit import response
from dqc_lite.fit.checks import require_flag, require_number
from dqc_lite.fit.dataset import Row
from dqc_lite.fit.fixed import FixedRow, Prepared
from dqc_lite.fit.self_consistent import State
from dqc_lite.integrals import differentials
from dqc_lite.integrals.ao_values import ao_values
from dqc_lite.method import KS
from dqc_lite.xc.functional import Functional

KINDS = ("energy", "reaction", "forces", "dipole", "density", "orbital_energies")


@dataclasses.dataclass(frozen=True)
class Loss:
    """``sum_k w_k (1 / N_k) sum_targets weight |error|^2 + ridge |x - x_start|^2 + penalty``.

    Errors: of total and reaction energies in hartree; of forces, the mean over components, in
    hartree/bohr; of dipoles, the squared length of the difference in e bohr; of densities the
    integral of the squared difference; of orbital energies the mean over the levels given, in
    hartree.

    Attributes:
        energy, reaction, forces, dipole, density, orbital_energies: the factors w; 0 leaves the
            kind out.
        density_metric: "overlap": tr(dP S dP S), the squared norm of the difference of density
            operators; "grid": the integral of (d rho)^2 on the grid of the method. Densities given
            on points are compared there.
        self_consistent: False: energies of the densities at the starting parameters, for cheap
            first rounds; energies and reactions only.
        ridge: pulls the point of the optimizer back to where it started.
        penalty: of the functional, any differentiable scalar (not for Levenberg-Marquardt).
    """

    energy: float = 1.0
    reaction: float = 1.0
    forces: float = 1.0
    dipole: float = 1.0
    density: float = 1.0
    orbital_energies: float = 1.0
    density_metric: Literal["overlap", "grid"] = "overlap"
    self_consistent: bool = True
    ridge: float = 0.0
    penalty: Callable[[Functional], Any] | None = None

    def __post_init__(self) -> None:
        for name in (*KINDS, "ridge"):
            require_number(f"loss: {name}", getattr(self, name))
        require_flag("loss: self_consistent", self.self_consistent)
        if self.density_metric not in ("overlap", "grid"):
            raise InputError(
                f"loss: density_metric = {self.density_metric!r}; use 'overlap' or 'grid'."
            )

    def local(self, row: Row) -> tuple[str, ...]:
        """The kinds of a row's targets that belong to it alone and are asked for."""
        if not self.self_consistent:
            return ()
        return tuple(k for k in row.targets if k != "energy" and getattr(self, k) > 0)


@dataclasses.dataclass(frozen=True)
class Moving:
    """What derivatives along positions and densities on points need of one row, unpadded."""

    prepared: Prepared
    points: Array | None
    forces: bool


def local_targets(
    row: Row, loss: Loss, counts: dict[str, int], nao: int, nset: int, alike: bool
) -> dict[str, Float[Array, "..."]]:
    """Targets and the factors of their errors as arrays, matrices padded to `nao`.

    `nset`: of sets of orbitals. `alike`: with zeros for the dipole, density or orbital energies
    that this row lacks and others have, so that one program serves all.
    """
    wanted = loss.local(row)
    targets: dict[str, Any] = {}
    for kind in ("forces", "dipole", "density", "orbital_energies"):
        there = kind in wanted
        number = counts[kind] * (_components(row, kind) if there else 1)
        if there or (alike and counts[kind] and kind != "forces"):
            weight = getattr(loss, kind) * row.weight / number if there else 0.0
            targets[f"{kind}_scale"] = np.sqrt(weight)
    if "forces" in wanted:
        targets["forces"] = row.forces
    if "dipole_scale" in targets:
        targets["dipole"] = row.dipole if "dipole" in wanted else np.zeros(3)
    if "density" in wanted and row.density_values is not None:
        targets["density_values"] = row.density_values
        targets["density_roots"] = np.sqrt(row.density_weights)
    if "density_scale" in targets and (row.density is not None or alike):
        more = nao - row.mol.nao
        matrix = np.zeros((row.mol.nao,) * 2) if row.density is None else row.density
        targets["density"] = np.pad(matrix, ((0, more), (0, more)))
    if "orbital_energies_scale" in targets:
        levels = np.full((nset, nao), np.nan)
        if "orbital_energies" in wanted:
            levels[:, : row.orbital_energies.shape[1]] = row.orbital_energies
        targets["orbital_energies_mask"] = np.isfinite(levels).astype(float)
        targets["orbital_energies"] = np.nan_to_num(levels)
    return jax.tree.map(jnp.asarray, targets)


def _components(row: Row, kind: str) -> int:
    """Numbers that the error of a target is the mean over."""
    if kind == "orbital_energies":
        return int(np.isfinite(row.orbital_energies).sum())
    return 3 * row.mol.natm if kind == "forces" else 1


def local_errors(
    method: KS,
    loss: Loss,
    xc: Functional,
    row: FixedRow,
    state: State,
    targets: dict[str, Array],
    moving: Moving | None = None,
) -> dict[str, Float[Array, " error"]]:
    """Scaled errors of the row's own targets: their squares add up to its loss."""
    density = response.relaxed_density(method, xc, row, state)
    total, found = density.total, {}
    if "dipole" in targets:
        dipole = row.nuclear_dipole - jnp.einsum("xmn,mn->x", row.dipole, total)
        found["dipole"] = targets["dipole_scale"] * (dipole - targets["dipole"])
    if "density" in targets:
        difference = total - targets["density"]
        metric = _overlap_metric if loss.density_metric == "overlap" else _grid_metric
        found["density"] = targets["density_scale"] * metric(row, difference)
    if moving is not None and "density_values" in targets:
        phi = ao_values(moving.prepared.mol.orbitals(), moving.points, 0)[0]
        rho = jnp.einsum("mp,mn,np->p", phi, total, phi)
        errors = targets["density_roots"] * (rho - targets["density_values"])
        found["density_on_points"] = targets["density_scale"] * errors
    if moving is not None and "forces" in targets:
        errors = forces(method, xc, row, moving.prepared, density) - targets["forces"]
        found["forces"] = targets["forces_scale"] * errors.ravel()
    if "orbital_energies" in targets:
        levels = response.orbital_energies(method, xc, row, state, density)
        errors = targets["orbital_energies_mask"] * (levels - targets["orbital_energies"])
        found["orbital_energies"] = targets["orbital_energies_scale"] * errors.ravel()
    return found


def forces(method: KS, xc: Functional, row: FixedRow, prepared: Prepared, density: Any) -> Array:
    """Forces in hartree/bohr, (atom, 3), of a converged density with its derivatives.

    At fixed P and W = sum_s P_s F_s P_s, ``F = -dE(R, P)/dR + tr(W dS/dR)``.
    """
    weighted = response.energy_weighted(method, xc, row, density)
    mol = prepared.mol
    whole = dataclasses.replace(method, xc=xc).hamiltonian(mol)

    def differential(positions: Array) -> Array:
        moved = mol.with_positions(positions)
        orbitals = moved.orbitals()
        explicit = whole.differential(moved, orbitals, prepared.integrals, density)
        return explicit - differentials.overlap(orbitals, weighted)

    return -jax.grad(differential)(mol.positions)


def _overlap_metric(row: FixedRow, difference: Array) -> Array:
    """L^T dP L with S = L L^T: the sum of its squares is tr(dP S dP S)."""
    lower = jnp.linalg.cholesky(row.overlap)
    return (lower.T @ difference @ lower).ravel()


def _grid_metric(row: FixedRow, difference: Array) -> Array:
    """sqrt(w) d rho on the points."""
    rho = row.grid.map(lambda values: ((difference @ values[0]) * values[0]).sum(0))
    return (jnp.sqrt(jnp.maximum(row.grid.weights, 0.0)) * rho).ravel()
