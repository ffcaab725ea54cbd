"""Training data: molecules with targets, and reactions between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from dqc_lite.errors import DqcLiteError, InputError
from dqc_lite.fit.checks import require_count, require_number, require_text
from dqc_lite.molecule import Molecule

ARRAYS = (
    "forces", "dipole", "density", "density_points", "density_weights", "density_values",
    "orbital_energies",
)  # fmt: skip
"""Targets of a row that are arrays."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A molecule with what is known of it, in atomic units.

    Attributes:
        name: unique within a data set.
        mol: geometry, basis, charge and spin.
        energy: total energy, hartree, or None.
        forces: (atom, 3) hartree/bohr, or None.
        dipole: (3,) e bohr about the origin of the coordinates, or None.
        density: (ao, ao) matrix of the total density over the basis of `mol`, or None.
        density_values: (point,) total density on `density_points` (point, 3), bohr, with the
            positive quadrature weights `density_weights` (point,), bohr^3; or None.
        orbital_energies: (set, level) hartree, the occupied ones from below and then the empty
            ones, NaN for levels that are not known; one set for closed shells, where (level,) will
            do, and restricted open shells, else alpha and beta. Or None.
        weight: factor of this row's squared errors.
        source: where the targets come from.
    """

    name: str
    mol: Molecule
    energy: float | None = None
    forces: np.ndarray | None = None
    dipole: np.ndarray | None = None
    density: np.ndarray | None = None
    density_points: np.ndarray | None = None
    density_weights: np.ndarray | None = None
    density_values: np.ndarray | None = None
    orbital_energies: np.ndarray | None = None
    weight: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        require_text("name of a row", self.name)
        on_points = (self.density_points, self.density_weights, self.density_values)
        if len({value is None for value in on_points}) == 2:
            raise InputError(
                f"row {self.name!r}: density_points, density_weights and density_values go "
                "together; give all three."
            )
        natm, nao = self.mol.natm, self.mol.nao
        points = None if self.density_points is None else len(self.density_points)
        shapes: dict[str, tuple] = {
            "energy": (), "forces": (natm, 3), "dipole": (3,), "density": (nao, nao),
            "density_points": (points, 3), "density_weights": (points,),
            "density_values": (points,),
        }  # fmt: skip
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is None:
                continue
            array = np.asarray(value, float)
            if name == "density" and array.ndim == 3:
                array = array.sum(0)
            if array.shape != shape:
                raise InputError(
                    f"row {self.name!r}: {name} has shape {array.shape} and needs {shape}."
                )
            if not np.isfinite(array).all():
                raise InputError(f"row {self.name!r}: {name} holds numbers that are not finite.")
            object.__setattr__(self, name, float(array) if shape == () else array)
        if self.orbital_energies is not None:
            object.__setattr__(self, "orbital_energies", self._levels())
        if self.density_weights is not None and (self.density_weights < 0).any():
            raise InputError(f"row {self.name!r}: density_weights must not be negative.")
        require_number(f"row {self.name!r}: weight", self.weight)

    def _levels(self) -> np.ndarray:
        levels = np.atleast_2d(np.asarray(self.orbital_energies, float))
        if levels.ndim != 2 or len(levels) > 2 or levels.shape[1] > self.mol.nao:
            raise InputError(
                f"row {self.name!r}: orbital_energies has shape {levels.shape} and needs (set, "
                f"level), 1 or 2 sets of {self.mol.nao} levels at most."
            )
        if np.isinf(levels).any() or not np.isfinite(levels).any():
            raise InputError(
                f"row {self.name!r}: orbital_energies holds no finite number or infinite ones; "
                "NaN stands for levels that are not known."
            )
        return levels

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the losses that this row has data for."""
        names = ("energy", "forces", "dipole", "density", "orbital_energies")
        present = [getattr(self, name) is not None for name in names]
        present[3] |= self.density_values is not None
        return tuple(name for name, there in zip(names, present, strict=True) if there)


@dataclasses.dataclass(frozen=True)
class Reaction:
    """``energy = sum_k n_k E_k``, hartree, over rows by name: products positive."""

    name: str
    stoichiometry: Mapping[str, float]
    energy: float
    weight: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        require_text("name of a reaction", self.name)
        if not self.stoichiometry:
            raise InputError(f"reaction {self.name!r} has no stoichiometry; name its rows.")
        numbers = [self.energy, self.weight, *self.stoichiometry.values()]
        if not np.isfinite(numbers).all() or self.weight < 0:
            raise InputError(
                f"reaction {self.name!r}: energy, weight and coefficients must be finite, the "
                f"weight not negative: {numbers}."
            )


@dataclasses.dataclass(frozen=True)
class Problem:
    """An entry that could not be used, and why."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Rows and reactions; `problems` lists the entries that were left out."""

    rows: tuple[Row, ...]
    reactions: tuple[Reaction, ...] = ()
    problems: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(self.rows))
        names = [row.name for row in self.rows]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise InputError(f"rows {sorted(twice)} appear more than once; give them other names.")
        _check_names(self.rows, self.reactions)
        known = set(names)
        complete, problems = [], list(self.problems)
        for reaction in self.reactions:
            missing = sorted(set(reaction.stoichiometry) - known)
            if missing:
                problems.append(Problem(reaction.name, f"there is no row {', '.join(missing)}."))
            else:
                complete.append(reaction)
        object.__setattr__(self, "reactions", tuple(complete))
        object.__setattr__(self, "problems", tuple(problems))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise InputError(f"there is no row {name!r}.")

    def __add__(self, other: Dataset) -> Dataset:
        return Dataset(
            self.rows + other.rows, self.reactions + other.reactions,
            self.problems + other.problems,
        )  # fmt: skip

    def select(self, targets: Iterable[str]) -> Dataset:
        """The part with these target names: rows with own targets and reactions, and the rows
        that the reactions need. A row that only a reaction needs loses its own targets.
        """
        wanted = set(targets)
        reactions = tuple(r for r in self.reactions if r.name in wanted)
        needed = {name for r in reactions for name in r.stoichiometry}
        rows = []
        for row in self.rows:
            if row.name in wanted:
                rows.append(row)
            elif row.name in needed:
                rows.append(Row(row.name, row.mol, source=row.source))
        return Dataset(tuple(rows), reactions, self.problems)

    def split(self, *fractions: float, seed: int = 0) -> tuple[Dataset, ...]:
        """Disjoint parts by shuffled targets; one more with the rest unless fractions sum to 1.

        What is shuffled are the rows with targets of their own and the reactions; rows without,
        such as the atoms of atomization energies, go wherever they are needed.

        Raises:
            InputError: fractions that are not positive or exceed 1 in sum; a part without targets.
        """
        for fraction in fractions:
            require_number("fractions of a split", fraction, positive=True)
        if not fractions or sum(fractions) > 1 + 1e-12:
            raise InputError(f"fractions = {fractions}: give positive ones that sum to 1 at most.")
        require_count("seed", seed, 0)
        names = [r.name for r in self.rows if r.targets] + [r.name for r in self.reactions]
        order = np.random.default_rng(seed).permutation(len(names))
        edges = np.round(np.cumsum(fractions) * len(names)).astype(int)
        if sum(fractions) < 1 - 1e-12:
            edges = np.append(edges, len(names))
        starts = [0, *edges[:-1]]
        if any(a == b for a, b in zip(starts, edges, strict=True)):
            raise InputError(
                f"fractions = {fractions} of {len(names)} targets leave a part without any; give "
                "others, or more data."
            )
        return tuple(
            self.select([names[i] for i in order[a:b]]) for a, b in zip(starts, edges, strict=True)
        )

    def summary(self) -> str:
        """What is in it, in a few lines."""
        counts: dict[str, int] = {}
        for row in self.rows:
            for target in row.targets:
                counts[target] = counts.get(target, 0) + 1
        parts = [f"{n} {name}" for name, n in counts.items()]
        if self.reactions:
            parts.append(f"{len(self.reactions)} reactions")
        lines = [f"{len(self.rows)} molecules; targets: {', '.join(parts) or 'none'}"]
        lines += [f"  left out {problem}" for problem in self.problems]
        return "\n".join(lines)


def _check_names(rows: tuple[Row, ...], reactions: tuple[Reaction, ...]) -> None:
    """Targets are drawn and reported by name."""
    names = [r.name for r in reactions]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"reactions {sorted(twice)} appear more than once; give them other names.")
    both = sorted({row.name for row in rows if row.targets}.intersection(names))
    if both:
        raise InputError(f"{both} name rows with targets and reactions; give one other names.")


def collect(entries: Iterable[tuple[str, Callable[[], Row]]]) -> tuple[list[Row], list[Problem]]:
    """Make rows one by one; the errors of bad ones are kept and the rest goes on."""
    rows, problems = [], []
    for name, make in entries:
        try:
            rows.append(make())
        except DqcLiteError as error:
            problems.append(Problem(name, str(error)))
    return rows, problems


def molecule(symbols: list[str], positions: Any, basis: Any, unit: str, **options: Any) -> Molecule:
    """A molecule from separate symbols and positions."""
    rows = [(s, tuple(map(float, p))) for s, p in zip(symbols, positions, strict=True)]
    return Molecule.from_atoms(rows, basis, unit=unit, **options)
