"""Rows of common shapes, and the programs run over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array
from dqc_lite.errors import InputError
from dqc_lite.fit.dataset import Row
from dqc_lite.fit.fixed import FixedRow, Prepared
from dqc_lite.fit.losses import Moving, local_targets
from dqc_lite.fit.padding import Sizes, pad, stacked, unstacked
from dqc_lite.fit.programs import Programs
from dqc_lite.fit.self_consistent import State

ROUNDING = 1e-10
"""Size of weights (bohr^3) that may be below zero by rounding."""


WARM_CYCLES = 25
"""Cycles from the last orbitals before the guess is tried."""


@dataclasses.dataclass
class Bucket:
    """Padded rows by name.

    Attributes:
        sizes: their common shapes.
        rows: padded integrals.
        targets: of the errors that belong to one row.
        single: rows whose errors need derivatives along positions or points of their own: the
            unpadded integrals and the program.
        orbitals: where every SCF starts: those of the start of training until others are accepted.
        unanchored: rows without a solution at the start of training.
    """

    sizes: Sizes
    rows: dict[str, FixedRow]
    targets: dict[str, dict[str, Array]]
    single: dict[str, tuple[FixedRow, Callable]]
    programs: Programs
    orbitals: dict[str, Array] = dataclasses.field(default_factory=dict)
    unanchored: set[str] = dataclasses.field(default_factory=set)

    @classmethod
    def build(
        cls,
        rows: Sequence[Row],
        prepared: Sequence[Prepared],
        programs: Programs,
        counts: dict[str, int],
        sizes: Sizes,
    ) -> Bucket:
        """Pad the rows to `sizes`."""
        padded, targets, single = {}, {}, {}
        for row, made in zip(rows, prepared, strict=True):
            padded[row.name] = jax.tree.map(jnp.asarray, pad(made.row, sizes))
            wanted = programs.loss.local(row)
            if not wanted:
                continue
            _check_weights(row, made, programs)
            alone = "forces" in wanted or ("density" in wanted and row.density_values is not None)
            nao = row.mol.nao if alone else sizes.nao
            nset = made.row.reference.nset
            targets[row.name] = local_targets(row, programs.loss, counts, nao, nset, not alone)
            if alone:
                points = None if row.density_points is None else jnp.asarray(row.density_points)
                moving = Moving(made, points, "forces" in wanted)
                single[row.name] = made.row, programs.of_one(moving)
        return cls(sizes, padded, targets, single, programs)

    @property
    def names(self) -> list[str]:
        """Of the rows."""
        return list(self.rows)

    def solve(self, x: Array, names: list[str]) -> dict[str, State]:
        """The SCF of these rows from the accepted orbitals; once more from the guess if that fails.

        The result depends on x and on the accepted orbitals alone, not on what was solved before.
        """
        self._anchor([n for n in names if n not in self.orbitals and n not in self.unanchored])
        states = self._converge(x, [n for n in names if n in self.orbitals])
        failed = [n for n in names if n not in states or not bool(states[n].converged)]
        return states | self._from_guess(x, failed)

    def _anchor(self, names: list[str]) -> None:
        """Accept the orbitals at the start of training, from where states are followed."""
        start = jnp.asarray(self.programs.parameters.point())
        for name, state in self._from_guess(start, names).items():
            if bool(state.converged):
                self.orbitals[name] = state.mo_coeff
            else:
                self.unanchored.add(name)

    def _from_guess(self, x: Array, names: list[str]) -> dict[str, State]:
        first = self._run(self.programs.first_orbitals, x, names, [self.rows])
        return self._converge(x, names, first)

    def _converge(
        self, x: Array, names: list[str], start: Mapping[str, Array] | None = None
    ) -> dict[str, State]:
        most = self.programs.solver.max_cycle
        warm = start is None
        how = jnp.asarray(min(WARM_CYCLES, most) if warm else most), jnp.asarray(warm)
        tables = [self.rows, self.orbitals if warm else start, dict.fromkeys(names, how)]
        return self._run(self.programs.converge, x, names, tables)

    def energies(self, x: Array, names: list[str], states: dict[str, State]) -> dict[str, Array]:
        """Energies of given densities, hartree."""
        return self._run(self.programs.energy, x, names, [self.rows, states])

    def energy_slopes(
        self, x: Array, names: list[str], states: dict[str, State]
    ) -> dict[str, tuple[Array, Array]]:
        """Energies (hartree) and their derivatives along x."""
        return self._run(self.programs.energy_slope, x, names, [self.rows, states])

    def local(
        self, x: Array, names: list[str], states: dict[str, State], order: str
    ) -> dict[str, tuple[dict, Any]]:
        """Errors of the rows' own targets and the derivatives that `order` asks for."""
        key = {"value": "local", "gradient": "local_slope", "jacobian": "local_jacobian"}[order]
        found = {}
        for name in names:
            if name in self.single:
                row, program = self.single[name]
                state = _unpadded(states[name], row)
                errors, slope = program(x, row, state, self.targets[name])
                found[name] = errors, self._as_asked(errors, slope, order)
        program = getattr(self.programs, key)
        alike = [n for n in names if n not in self.single]
        made = self._run(program, x, alike, [self.rows, states, self.targets])
        found |= {n: (f, None) if order == "value" else f for n, f in made.items()}
        return found

    def _as_asked(self, errors: dict, slope: Any, order: str) -> Any:
        """From what the programs of single rows make."""
        if order == "value":
            return None
        if self.programs.forward == (order == "jacobian"):
            return slope
        if order == "jacobian":
            raise InputError(
                "errors of forces and of densities on points have no Jacobian for so many "
                "parameters; use another optimizer than Levenberg-Marquardt."
            )
        return 2.0 * sum(np.asarray(errors[k]) @ np.asarray(slope[k]) for k in errors)

    def _run(
        self, program: Callable, x: Array, names: list[str], tables: list[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """``program(x, *rows)`` over rows, `chunk` at a time, the last one filled up."""
        chunk, results = self.programs.chunk, {}
        if chunk == 1:
            return {n: program(x, *(table[n] for table in tables)) for n in names}
        for at in range(0, len(names), chunk):
            part = names[at : at + chunk]
            filled = [*part, *[part[-1]] * (chunk - len(part))]
            out = program(x, *(stacked([table[n] for n in filled]) for table in tables))
            results |= dict(zip(part, unstacked(out), strict=False))  # without the filling
        return results


def _unpadded(state: State, row: FixedRow) -> State:
    """The state in the shapes of the row's own integrals."""
    nao = len(row.core)
    return dataclasses.replace(
        state, mo_coeff=state.mo_coeff[:, :nao, :nao], mo_energy=state.mo_energy[:, :nao]
    )


def _check_weights(row: Row, made: Prepared, programs: Programs) -> None:
    on_grid = row.density is not None and programs.loss.density_metric == "grid"
    if not (on_grid and programs.loss.density > 0):
        return
    if made.row.grid is None or np.asarray(made.row.grid.weights).min() < -ROUNDING:
        raise InputError(
            f"row {row.name!r}: density_metric = 'grid' needs a functional with a grid of positive "
            "weights, which some Lebedev orders lack; use grid_level 1 or 4, or 'overlap'."
        )
