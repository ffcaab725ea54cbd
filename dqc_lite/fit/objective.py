"""The loss over a data set with its exact derivatives along the trained parameters."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._process import require_own_process
from dqc_lite._types import Array, Float
from dqc_lite.errors import DqcLiteError, InputError, NonFiniteError
from dqc_lite.fit import cache, fixed
from dqc_lite.fit.bucket import Bucket
from dqc_lite.fit.checks import require_count
from dqc_lite.fit.dataset import Dataset, Problem, Reaction, Row
from dqc_lite.fit.losses import KINDS, Loss
from dqc_lite.fit.padding import Sizes, grouped
from dqc_lite.fit.parameters import Parameters
from dqc_lite.fit.programs import Programs
from dqc_lite.fit.progress import Progress
from dqc_lite.fit.self_consistent import State
from dqc_lite.method import KS, MethodLike, method_of
from dqc_lite.scf.solvers import DIIS

Order = Literal["value", "gradient", "jacobian"]


@dataclasses.dataclass(frozen=True)
class Part:
    """Errors of one target: energies, orbital energies too, in hartree, forces in hartree/bohr,
    dipoles in e bohr; of densities, numbers whose squares add up to the integral of the squared
    difference.
    """

    kind: str
    name: str
    errors: Float[np.ndarray, " error"]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The loss at a point.

    Attributes:
        loss: see `Loss`.
        gradient: (parameter,) along the point of the optimizer, or None.
        errors: (error,) scaled so that their squares add up to the loss (but the penalty).
        jacobian: (error, parameter), or None.
        parts: the errors by target, as they are.
        energies: total energies by row, hartree.
        skipped: rows that did not converge, with the reason; they and their reactions are left out.
        fock_builds: of all rows.
        orbitals: converged ones by row, for `Objective.restore`.
    """

    loss: float
    gradient: Float[np.ndarray, " parameter"] | None
    errors: Float[np.ndarray, " error"]
    jacobian: Float[np.ndarray, "error parameter"] | None
    parts: tuple[Part, ...]
    energies: dict[str, float]
    skipped: dict[str, str]
    fock_builds: int
    orbitals: dict[str, Array] = dataclasses.field(default_factory=dict, repr=False)


@dataclasses.dataclass
class _Sum:
    """Scaled errors with their derivatives, added one target after the other."""

    order: Order
    size: int
    parts: list[Part] = dataclasses.field(default_factory=list)
    errors: list[np.ndarray] = dataclasses.field(default_factory=list)
    rows: list[np.ndarray] = dataclasses.field(default_factory=list)
    loss: float = 0.0

    def __post_init__(self) -> None:
        self.gradient = np.zeros(self.size)

    def add(self, part: Part, scale: float, jacobian: np.ndarray | None) -> None:
        """Errors of a target; `jacobian` (error, parameter) of the unscaled ones."""
        errors = scale * part.errors
        self._add(part, errors)
        if self.order != "value":
            jacobian = scale * np.atleast_2d(jacobian)
            self.gradient += 2.0 * errors @ jacobian
            if self.order == "jacobian":
                self.rows.append(jacobian)

    def _add(self, part: Part, errors: np.ndarray) -> None:
        self.parts.append(part)
        self.errors.append(errors)
        self.loss += float(errors @ errors)

    def add_local(self, name: str, targets: dict, errors: dict, derivative: Any) -> None:
        """Errors, scaled already, of a row's own targets and their derivative."""
        for key, scaled in errors.items():
            kind = key.removesuffix("_on_points")
            scaled = np.ravel(scaled)
            scale = float(targets[f"{kind}_scale"])
            if scale == 0.0:
                continue
            given = np.ravel(targets.get(f"{kind}_mask", np.ones(scaled.shape))) > 0
            self._add(Part(kind, name, scaled[given] / scale), scaled[given])
            if self.order == "jacobian":
                self.rows.append(np.asarray(derivative[key])[given])
        if self.order == "gradient":
            self.gradient += np.asarray(derivative)
        elif self.order == "jacobian":
            self.gradient += 2.0 * sum(np.ravel(errors[k]) @ np.asarray(derivative[k])
                                       for k in errors)  # fmt: skip


class Objective:
    """The loss of a data set as a function of the point x of the optimizer.

    Integrals are made once, when it is built. Rows of similar size are padded to common shapes, so
    that at most `max_buckets` versions of each program are compiled; the SCF of each row starts
    from its accepted orbitals: those at the start of training until `restore` gives others.

    Args:
        dataset: rows that cannot be used are added to `problems` and left out.
        method: everything but the functional, which `parameters` make; `KS`, or by name. Its
            integrals, grid and dispersion are those of the trained functional.
        parameters: what is trained.
        loss: what is minimized.
        solver: of the SCF, its cycles, tolerances and `space`; errors of the derivatives are of
            first order in `gradient_tol`.
        max_buckets: groups of rows of equal shapes (at least one for each kind of determinant).
        chunk: rows in one call of a program, mapped by `jax.vmap`; 1 on a CPU.
        cache_folder: where integrals are kept between processes, if anywhere.
        progress: show bars on a terminal.
    """

    def __init__(
        self,
        dataset: Dataset,
        method: MethodLike,
        parameters: Parameters,
        loss: Loss | None = None,
        *,
        solver: DIIS | None = None,
        max_buckets: int = 8,
        chunk: int | None = None,
        cache_folder: str | os.PathLike | None = None,
        progress: bool = False,
    ):
        method = method_of(method)
        fixed.check_method(method)
        method = _following(method, parameters)
        _check_solver(solver)
        require_count("max_buckets", max_buckets, 1)
        if chunk is None:
            chunk = 1 if jax.default_backend() == "cpu" else 16
        require_count("chunk", chunk, 1)
        _check_omega(parameters, method)
        programs = Programs(method, parameters, loss or Loss(), solver or DIIS(), chunk)
        self._settings = {
            "max_buckets": max_buckets, "cache_folder": cache_folder, "progress": progress,
        }  # fmt: skip
        self._fill(dataset, programs, ())

    def on(self, dataset: Dataset) -> Objective:
        """The same loss over another data set, with the same compiled programs.

        Rows that fit the shapes of a bucket of this objective take them.
        """
        other = object.__new__(Objective)
        other._settings = self._settings
        other._fill(dataset, self.programs, [b.sizes for b in self.buckets])
        return other

    def _fill(self, dataset: Dataset, programs: Programs, shapes: Sequence[Sizes]) -> None:
        self.programs, self.loss = programs, programs.loss
        self.method, self.parameters = programs.method, programs.parameters
        self.rows, self.reactions, self.problems = [], (), list(dataset.problems)
        prepared = self._prepare(dataset)
        self.counts = self._counts()
        if not any(self.counts.values()):
            raise InputError(
                "the data set holds nothing that the loss asks for: "
                + dataset.summary().splitlines()[0]
            )
        groups = grouped([Sizes.of(p.row) for p in prepared], self._settings["max_buckets"], shapes)
        self.buckets = [
            Bucket.build(
                [self.rows[i] for i in group], [prepared[i] for i in group], programs,
                self.counts, sizes,
            )
            for sizes, group in groups
        ]  # fmt: skip
        self.home = {name: b for b in self.buckets for name in b.names}
        self.frozen: dict[str, State] = {}

    def _prepare(self, dataset: Dataset) -> list[fixed.Prepared]:
        """Integrals of the rows that can be used."""
        folder, progress = self._settings["cache_folder"], self._settings["progress"]
        prepared = []
        with Progress(progress, "integrals", len(dataset)) as bar:
            for row in dataset:
                try:
                    found = cache.prepare(row.mol, self.method, folder, "forces" in row.targets)
                    fixed.require_values(found.row)
                    _check_sets(row, found.row.reference.nset)
                except DqcLiteError as error:
                    self.problems.append(Problem(row.name, str(error)))
                else:
                    prepared.append(found)
                    self.rows.append(row)
                bar.step(row.name)
        names = {row.name for row in self.rows}
        self.reactions = tuple(r for r in dataset.reactions if names.issuperset(r.stoichiometry))
        return prepared

    def _counts(self) -> dict[str, int]:
        """Number of targets of each kind that the loss asks for."""
        counts = dict.fromkeys(KINDS, 0)
        for row in self.rows:
            for kind in self.loss.local(row):
                counts[kind] += 1
            if "energy" in row.targets and self.loss.energy > 0:
                counts["energy"] += 1
        if self.loss.reaction > 0:
            counts["reaction"] = len(self.reactions)
        return counts

    @property
    def targets(self) -> list[str]:
        """Names of rows with own targets and of reactions: what a mini-batch is drawn from."""
        rows, reactions = [r.name for r in self.rows if self._asked(r)], self.reactions
        return rows + [r.name for r in reactions if self.loss.reaction > 0]

    def _asked(self, row: Row) -> bool:
        """Whether the loss wants any of the row's own targets."""
        return bool(self.loss.local(row)) or ("energy" in row.targets and self.loss.energy > 0)

    def evaluate(
        self,
        x: Float[np.ndarray, " parameter"],
        order: Order = "gradient",
        only: Iterable[str] | None = None,
        sums_to_whole: float = 1.0,
    ) -> Evaluation:
        """The loss at x, hartree^2 and so on, with the derivatives that `order` asks for.

        It is a function of x and of the accepted orbitals, which it does not change: what was
        evaluated before does not matter.

        Args:
            x: (parameter,) the point.
            order: "value", "gradient" or "jacobian" (of every scaled error).
            only: names of targets, all by default; the loss is then that of these alone ...
            sums_to_whole: ... times this factor.

        Raises:
            NonFiniteError: not a single row converged.
        """
        require_own_process()
        x = jnp.asarray(x, float)
        wanted = None if only is None else set(only)
        rows, reactions = self._chosen(wanted)
        states, skipped = self._states(x, [r.name for r in rows])
        present = _present(rows, skipped)
        total = _Sum(order, len(self.parameters))
        locals_ = self._local(x, present, states, wanted, order, skipped)
        present = _present(rows, skipped)
        energies, slopes = self._energies(x, present, states, order)
        for name, (errors, derivative) in locals_.items():
            if name not in skipped:
                total.add_local(name, self.home[name].targets[name], errors, derivative)
        self._add_energies(total, present, wanted, energies, slopes)
        self._add_reactions(total, reactions, energies, slopes)
        factor = np.sqrt(sums_to_whole)
        loss, gradient = total.loss * sums_to_whole, total.gradient * sums_to_whole
        errors = [factor * e for e in total.errors]
        matrix = [factor * m for m in total.rows]
        if self.loss.ridge > 0:
            root = np.sqrt(self.loss.ridge)
            away = root * (np.asarray(x) - self.parameters.point())
            errors.append(away)
            matrix.append(root * np.eye(len(away)))
            loss, gradient = loss + float(away @ away), gradient + 2.0 * root * away
        if self.loss.penalty is not None:
            if order == "jacobian":
                raise InputError("a penalty is no sum of squares; use another optimizer for it.")
            value, slope = self.programs.penalty(x)
            loss, gradient = loss + float(value), gradient + np.asarray(slope)
        return Evaluation(
            loss=loss, gradient=None if order == "value" else gradient,
            errors=np.concatenate(errors) if errors else np.zeros(0),
            jacobian=np.concatenate(matrix) if order == "jacobian" and matrix else None,
            parts=tuple(total.parts), energies=energies, skipped=skipped,
            fock_builds=sum(int(states[r.name].iterations) for r in present),
            orbitals={r.name: states[r.name].mo_coeff for r in present},
        )  # fmt: skip

    def _chosen(self, wanted: set[str] | None) -> tuple[list[Row], list[Reaction]]:
        """Rows to be solved and reactions to be added up."""
        use = self.loss.reaction > 0
        reactions = [r for r in self.reactions if use and (wanted is None or r.name in wanted)]
        needed = {name for r in reactions for name in r.stoichiometry}
        rows = []
        for row in self.rows:
            named = wanted is None or row.name in wanted
            if row.name in needed or (named and self._asked(row)):
                rows.append(row)
        return rows, reactions

    def _states(self, x: Array, names: list[str]) -> tuple[dict[str, State], dict[str, str]]:
        """Converged states by row, and why the others are missing."""
        if not self.loss.self_consistent:
            missing = [n for n in names if n not in self.frozen]
            start = jnp.asarray(self.parameters.point())
            found, skipped = self._solved(start, missing)
            self.frozen |= found
            return {n: self.frozen[n] for n in names if n in self.frozen}, skipped
        return self._solved(x, names)

    def _solved(self, x: Array, names: list[str]) -> tuple[dict[str, State], dict[str, str]]:
        states, skipped = {}, {}
        for bucket in self.buckets:
            for name, state in bucket.solve(x, [n for n in names if n in bucket.names]).items():
                if bool(state.converged):
                    states[name] = state
                else:
                    skipped[name] = (
                        f"SCF not converged after {int(state.iterations)} cycles, "
                        f"|g| = {float(state.gradient):.1e}."
                    )
        return states, skipped

    def _energies(
        self, x: Array, rows: list[Row], states: dict[str, State], order: Order
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Energies, hartree, and their derivatives along x."""
        energies, slopes = {}, {}
        if order == "value" and self.loss.self_consistent:
            return {r.name: float(states[r.name].energy) for r in rows}, slopes
        for bucket in self.buckets:
            names = [r.name for r in rows if r.name in bucket.names]
            if order == "value":
                energies |= {k: float(v) for k, v in bucket.energies(x, names, states).items()}
                continue
            for name, (energy, slope) in bucket.energy_slopes(x, names, states).items():
                energies[name], slopes[name] = float(energy), np.asarray(slope)
        return energies, slopes

    def _local(
        self,
        x: Array,
        rows: list[Row],
        states: dict[str, State],
        wanted: set[str] | None,
        order: Order,
        skipped: dict[str, str],
    ) -> dict[str, tuple[dict, Any]]:
        """Errors of the rows' own targets; rows whose response does not exist are skipped."""
        found = {}
        asked = {r.name for r in rows if self.loss.local(r)}
        if wanted is not None:
            asked &= wanted
        for bucket in self.buckets:
            names = [n for n in bucket.names if n in asked]
            for name, (errors, slope) in bucket.local(x, names, states, order).items():
                if all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((errors, slope))):
                    found[name] = errors, slope
                else:
                    skipped[name] = (
                        "the response equations are singular or did not converge: the determinant "
                        "is unstable or orbitally degenerate."
                    )
        return found

    def _add_energies(
        self,
        total: _Sum,
        rows: list[Row],
        wanted: set[str] | None,
        energies: dict[str, float],
        slopes: dict[str, np.ndarray],
    ) -> None:
        if self.loss.energy == 0:
            return
        for row in rows:
            if row.energy is None or (wanted is not None and row.name not in wanted):
                continue
            scale = np.sqrt(self.loss.energy * row.weight / self.counts["energy"])
            part = Part("energy", row.name, np.array([energies[row.name] - row.energy]))
            total.add(part, scale, slopes.get(row.name))

    def _add_reactions(
        self,
        total: _Sum,
        reactions: list[Reaction],
        energies: Mapping[str, float],
        slopes: Mapping[str, np.ndarray],
    ) -> None:
        for reaction in reactions:
            terms = reaction.stoichiometry.items()
            if any(name not in energies for name, _ in terms):
                continue
            scale = np.sqrt(self.loss.reaction * reaction.weight / self.counts["reaction"])
            error = sum(n * energies[name] for name, n in terms) - reaction.energy
            slope = sum(n * slopes[name] for name, n in terms) if slopes else None
            total.add(Part("reaction", reaction.name, np.array([error])), scale, slope)

    def function(self) -> Callable[[Array], Array]:
        """The loss as a function that JAX differentiates, for `dqc_lite.check_gradients`.

        It runs outside of `jax.jit` and has first derivatives of both modes.
        """

        @jax.custom_jvp
        def loss(x: Array) -> Array:
            return jnp.asarray(self.evaluate(np.asarray(x), "value").loss)

        @loss.defjvp
        def rule(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
            at = self.evaluate(np.asarray(primals[0]), "gradient")
            return jnp.asarray(at.loss), jnp.vdot(jnp.asarray(at.gradient), tangents[0])

        return loss

    def warm_starts(self) -> dict[str, np.ndarray]:
        """The accepted orbitals, from which the SCF of each row starts."""
        return {n: np.asarray(c) for b in self.buckets for n, c in b.orbitals.items()}

    def restore(self, orbitals: Mapping[str, np.ndarray | Array]) -> None:
        """Accept these orbitals, those of `warm_starts` or of an `Evaluation`."""
        for name, coefficients in orbitals.items():
            if name in self.home:
                self.home[name].orbitals[name] = jnp.asarray(coefficients)


def _present(rows: list[Row], skipped: dict[str, str]) -> list[Row]:
    """Rows that are not skipped; at least one."""
    present = [r for r in rows if r.name not in skipped]
    if not present:
        raise NonFiniteError(
            f"none of the {len(rows)} molecules converged; the first: "
            f"{next(iter(skipped.values()), '')} Take smaller steps or bounds."
        )
    return present


def _check_sets(row: Row, nset: int) -> None:
    """Orbital energies belong to the kind of determinant."""
    levels = row.orbital_energies
    if levels is not None and len(levels) != nset:
        raise InputError(
            f"row {row.name!r}: orbital_energies has {len(levels)} sets of levels and this "
            f"determinant {nset}; give alpha and beta for unrestricted ones only."
        )


def _check_solver(solver: Any) -> None:
    """What the SCF of rows does not do is not asked for in vain."""
    if solver is None:
        return
    if not isinstance(solver, DIIS):
        raise InputError(f"solver = {solver!r}: rows are solved by DIIS; give a DIIS(...).")
    used = ("max_cycle", "energy_tol", "gradient_tol", "space")
    for field in dataclasses.fields(solver):
        value = getattr(solver, field.name)
        if field.name not in used and value != field.default:
            raise InputError(
                f"solver: {field.name} = {value!r} has no effect in training, whose SCF knows "
                f"{', '.join(used)}; leave it out."
            )


def _following(method: KS, parameters: Parameters) -> KS:
    """The method with the functional that is trained, where it starts."""
    xc = parameters.build(jnp.asarray(parameters.start))
    xc = jax.tree.map(lambda leaf: leaf if np.ndim(leaf) else float(leaf), xc)
    if method.dispersion is not None and method.xc.name != xc.name:
        raise InputError(
            f"method = {method.xc.name!r} with dispersion = {method.dispersion!r} does not go with "
            f"parameters of {xc.name!r}: whose dispersion is meant? Give a method of the trained "
            f"functional, KS({xc.name!r}, dispersion=...), or parameters of {method.xc.name!r}."
        )
    return dataclasses.replace(method, xc=xc)


def _check_omega(parameters: Parameters, method: KS) -> None:
    """Trained range separation would change the integrals."""
    if method.xc.long_range_exchange is None:
        return
    slope = jax.jacobian(lambda v: jnp.asarray(parameters.build(v).omega, float))(
        jnp.asarray(parameters.start)
    )
    if np.any(slope):
        raise InputError(
            "omega changes the integrals, which are made once; train it by jax.grad of "
            "dqc_lite.energy instead."
        )
