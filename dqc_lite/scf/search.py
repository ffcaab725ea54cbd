"""The search for a self-consistent state: one state machine for every built-in solver.

DIIS from a guess; where that does not converge, Newton's method; a look at the stability of what
has converged; from a saddle point, a scan along its softest mode and Newton's method again. What a
search does next is a number, `Search.stage`, and what costs time stands in two functions, each of
which holds one copy of it: `Searching.builds`, a loop of Fock builds, and `Searching.products`, a
loop of Hessian-vector products. Between them `Searching.settled` decides, at the cost of next to
nothing. `dqc_lite.scf.driver` runs them in turn, compiled one by one or together.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.density import Density
from dqc_lite.scf import curvature, stability, trust_region
from dqc_lite.scf.acceleration import Accelerated, Acceleration
from dqc_lite.scf.guess import Beginning
from dqc_lite.scf.occupations import Filled
from dqc_lite.scf.plan import Plan
from dqc_lite.scf.restarts import random_turn
from dqc_lite.scf.rotations import Surface, turned
from dqc_lite.scf.self_consistency import Point, SelfConsistency
from dqc_lite.scf.state import SCFState, Stages

# stages; those up to SCAN want a Fock build, STEP and EXAMINE Hessian products
DIIS, TRY, SCAN, SETTLE, STEP, EXAMINE, EXAMINED, DONE = range(8)

# why Newton's method runs: not at all, after DIIS failed, down from a saddle point, another start
NOT, HELP, DESCENT, START = range(4)

ANGLES = (-0.9, -0.5, -0.2, 0.2, 0.5, 0.9)
"""Turns (radian) along an unstable mode among which the lowest energy is sought."""


STALLED = 8
"""Cycles without progress after which rounding is taken for the reason, if it may be."""

ROUNDING = 100.0
"""Times the estimate of `SelfConsistency.rounding`: a chain of four H atoms in aug-cc-pVDZ leaves
20 to 80 times."""


@pytree
class Place:
    """A density that was evaluated.

    Attributes:
        density, filled: with its orbitals; canonical ones once it is settled.
        point: the energy surface there.
        delta_energy: by how much the energy fell in the last cycle, hartree, with a minus sign.
        converged: whether it met the tolerances, or stalled at rounding, when it was settled.
        lowest: eigenvalue of the orbital Hessian (hartree), NaN before it is known, and
        stable: whether it is not negative; None in a search that never looks.
    """

    density: Density
    filled: Filled
    point: Point
    delta_energy: Float[Array, ""]
    converged: Bool[Array, ""]
    lowest: Float[Array, ""] | None = None
    stable: Bool[Array, ""] | None = None

    @property
    def at_minimum(self) -> Bool[Array, ""]:
        """`stable`, in a search that looks."""
        assert self.stable is not None
        return self.stable


@pytree
class Descent:
    """What the stages after DIIS keep.

    Attributes:
        why: which kind of run this is, `cycle` its cycles, `fresh` before its first evaluation.
        mark, waited: the gradient (hartree) when it last halved, and the steps since.
        x, angle: the turn of the orbitals to evaluate next is ``angle x``.
        predicted: decrease of the energy that it promises, hartree; radius: the trust radius.
        scanned: number of `ANGLES` tried along a mode, the lowest energy and where it was.
        cycles, analyses, left: cycles of second order, stability analyses, saddle points left.
        followed: saddle points left since the last start.
        saddle: the one being left.
        best: the lowest minimum of several, `number` of starts, `energies` of their ends.
    """

    why: Int[Array, ""]
    cycle: Int[Array, ""]
    mark: Float[Array, ""]
    waited: Int[Array, ""]
    fresh: Bool[Array, ""]
    x: Float[Array, "set row column"]
    angle: Float[Array, ""]
    predicted: Float[Array, ""]
    radius: Float[Array, ""]
    scanned: Int[Array, ""]
    lowest_energy: Float[Array, ""]
    lowest_angle: Float[Array, ""]
    cycles: Int[Array, ""]
    analyses: Int[Array, ""]
    left: Int[Array, ""]
    followed: Int[Array, ""]
    number: Int[Array, ""]
    saddle: Place | None
    best: Place | None
    energies: Float[Array, " start"] | None


@pytree
class Search:
    """Where a search stands; `log` has the rows of `SCFState.history` after one for the guess."""

    stage: Int[Array, ""]
    here: Place
    accelerated: Accelerated
    descent: Descent | None
    cycles: Int[Array, ""]
    fock_builds: Int[Array, ""]
    log: Float[Array, "cycle 3"]

    @property
    def iterations(self) -> Int[Array, ""]:
        """Cycles of all stages; the evaluation of the guess is none."""
        return self.cycles if self.descent is None else self.cycles + self.descent.cycles

    @property
    def descending(self) -> Descent:
        """What the stages after DIIS keep, in a search that has them."""
        assert self.descent is not None
        return self.descent

    def building(self) -> Bool[Array, ""]:
        """Whether a Fock build is next."""
        return self.stage <= SCAN

    def asking(self) -> Bool[Array, ""]:
        """Whether Hessian products are next."""
        return (self.stage == STEP) | (self.stage == EXAMINE)

    def unfinished(self) -> Bool[Array, ""]:
        """Whether there is anything left to do."""
        return self.stage != DONE


@dataclasses.dataclass(frozen=True)
class Searching:
    """The functions of a `Search`, for one problem and one plan; ``mix``: see `Guess`."""

    problem: SelfConsistency
    plan: Plan
    mix: float

    # --- beginning -------------------------------------------------------------------------------

    def begin(self, start: Beginning, wide: bool) -> Search:
        """At the guess, with room for all columns of its factor (`wide`), or evaluated."""
        problem, plan = self.problem, self.plan
        filled, density = problem.first(start)
        width = problem.reference.columns(problem.x.shape[-1])
        columns = density.factor.shape[-1]
        narrow = columns > width and not wide
        width = width if narrow else max(width, columns)
        shapes = jax.eval_shape(problem.evaluate, density, filled)
        point = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        looks = plan.stability is not False
        here = Place(
            self._own_columns(density), filled, point, jnp.full((), jnp.inf), jnp.asarray(False),
            jnp.full((), jnp.nan) if looks else None, jnp.asarray(False) if looks else None,
        )  # fmt: skip
        search = Search(
            stage=_number(DIIS), here=here,
            accelerated=self._acceleration(width).start(filled, density, point),
            descent=self._no_descent(here) if plan.newton_cycles else None,
            cycles=_number(-1), fock_builds=_number(0),
            log=jnp.full((plan.rows + 1, 3), jnp.nan),
        )  # fmt: skip
        if not narrow:
            return search
        return self._after_diis(
            self._counted(search), filled, density, problem.evaluate(density, filled), width
        )

    def resumed(self, s: Search) -> Search:
        """A search from a file, as this plan goes on from there.

        What is over stays so if it has converged and its stability is known as far as it is asked
        for. A look or a scan that this plan does not have ends at the place where it began.
        """
        by_diis = jnp.asarray(True) if s.descent is None else s.descent.why == NOT
        again = _pick(by_diis & ((s.cycles < 0) | self._diis_goes_on(s)), DIIS, SETTLE)
        known = s.here.converged
        if self.plan.stability is True:
            assert s.here.lowest is not None
            known = known & ~jnp.isnan(s.here.lowest)
        ended = s.stage == DONE
        stage = jnp.where(by_diis & ~ended, again, s.stage)
        stage = jnp.where(ended & ~known, again, stage)
        if self.plan.stability is False:
            elsewhere = (stage == EXAMINE) | (stage == EXAMINED) | (stage == SCAN)
            stage = jnp.where(elsewhere, SETTLE, stage)
        return dataclasses.replace(s, stage=stage.astype(int))

    def _own_columns(self, density: Density) -> Density:
        """The density without the columns by which guesses differ; those of a guess are cut."""
        width = self.problem.reference.columns(self.problem.x.shape[-1])
        factor = density.factor[..., :width]
        missing = width - factor.shape[-1]
        return Density(density.matrix, jnp.pad(factor, ((0, 0), (0, 0), (0, missing))))

    def _acceleration(self, width: int) -> Acceleration:
        return Acceleration(self.problem, self.plan, width, self.mix)

    def _no_descent(self, here: Place) -> Descent:
        surface = self._surface(here)
        number, zero = _number(0), jnp.zeros(())
        several = self.plan.several
        return Descent(
            why=_number(NOT), cycle=number, mark=zero, waited=number, fresh=jnp.asarray(False),
            x=jnp.zeros(surface.layout.shape), angle=zero, predicted=zero, radius=zero,
            scanned=number, lowest_energy=zero, lowest_angle=zero,
            cycles=number, analyses=number, left=number, followed=number, number=number,
            saddle=None if self.plan.stability is False else here,
            best=here if several else None,
            energies=jnp.full(self.plan.starts, jnp.nan) if several else None,
        )  # fmt: skip

    # --- Fock builds -----------------------------------------------------------------------------

    def builds(self, search: Search, limit: Int[Array, ""] | int) -> Search:
        """As many Fock builds as are wanted in a row, `limit` at most."""
        width = search.accelerated.density.factor.shape[-1]

        def going_on(carry: tuple[Search, Array]) -> Bool[Array, ""]:
            search, count = carry
            return search.building() & (count < limit)

        def another(carry: tuple[Search, Array]) -> tuple[Search, Array]:
            search, count = carry
            return self.build(search, width), count + 1

        return jax.lax.while_loop(going_on, another, (search, _number(0)))[0]

    def build(self, s: Search, width: int) -> Search:
        """One Fock build, and what follows from it."""
        if s.descent is None:
            a = s.accelerated
            point = self.problem.evaluate(a.density, a.filled)
            return self._after_diis(self._counted(s), a.filled, a.density, point, width)
        filled, density = jax.lax.cond(
            s.stage == DIIS, lambda s: (s.accelerated.filled, s.accelerated.density),
            lambda s: self._turned(s, width), s,
        )  # fmt: skip
        point = self.problem.evaluate(density, filled)
        after_diis = functools.partial(self._after_diis, width=width)
        return jax.lax.cond(
            s.stage == DIIS, after_diis, self._after_turn,
            self._counted(s), filled, density, point,
        )  # fmt: skip

    def _turned(self, s: Search, width: int) -> tuple[Filled, Density]:
        """The orbitals to try, and their density."""
        surface, mo_coeff = self._surface(s.here), s.here.filled.mo_coeff
        k = surface.layout.generator(s.descending.angle * s.descending.x)
        filled = dataclasses.replace(s.here.filled, mo_coeff=turned(mo_coeff, k))
        return filled, self._acceleration(width).padded(self.problem.reference.density_of(filled))

    def _counted(self, s: Search) -> Search:
        return dataclasses.replace(s, fock_builds=s.fock_builds + 1)

    def _logged(self, s: Search, point: Point, delta: Array) -> Float[Array, "cycle 3"]:
        """The log, with a row for the present cycle where there is room."""
        row = jnp.stack([point.energy, delta, point.gradient])
        return s.log.at[s.iterations].set(row, mode="drop")

    def _after_diis(
        self, s: Search, filled: Filled, density: Density, point: Point, width: int
    ) -> Search:
        first = s.cycles < 0
        delta = jnp.where(first, jnp.inf, point.energy - s.here.point.energy)
        here = dataclasses.replace(
            s.here, density=self._own_columns(density), filled=filled, point=point,
            delta_energy=delta,
        )  # fmt: skip
        s = dataclasses.replace(
            s, here=here, cycles=s.cycles + 1,
            accelerated=self._acceleration(width).next(s.accelerated, point, first),
        )  # fmt: skip
        stage = _pick(first | self._diis_goes_on(s), DIIS, SETTLE)
        return dataclasses.replace(s, stage=stage, log=self._logged(s, point, delta))

    def _diis_goes_on(self, s: Search) -> Bool[Array, ""]:
        stalled = s.accelerated.diis.waited >= STALLED
        ended = (s.cycles >= self.plan.max_cycle) | self.converged(s.here)
        ended |= stalled & self._at_rounding(s.here)
        if self.plan.patience is not None:
            ended |= s.accelerated.diis.waited >= self.plan.patience
        return ~ended & jnp.isfinite(s.here.point.energy)

    def _after_turn(self, s: Search, filled: Filled, density: Density, point: Point) -> Search:
        """After an evaluation along a mode, or of a step."""
        if self.plan.stability is False:
            return self._tried(s, filled, density, point)
        return jax.lax.cond(
            s.stage == SCAN, lambda s, *args: self._scanned(s, point), self._tried,
            s, filled, density, point,
        )  # fmt: skip

    def _scanned(self, s: Search, point: Point) -> Search:
        """The next of the `ANGLES`, or the one of the lowest energy, to start from."""
        d = s.descending
        lower = point.energy < d.lowest_energy
        s = _with_descent(
            s, scanned=d.scanned + 1,
            lowest_energy=jnp.where(lower, point.energy, d.lowest_energy),
            lowest_angle=jnp.where(lower, d.angle, d.lowest_angle),
        )  # fmt: skip

        def last(s: Search) -> Search:
            return _at(_with_descent(s, angle=s.descending.lowest_angle), TRY)

        def another(s: Search) -> Search:
            return _with_descent(s, angle=jnp.asarray(ANGLES)[s.descending.scanned])

        return jax.lax.cond(s.descending.scanned == len(ANGLES), last, another, s)

    def _tried(self, s: Search, filled: Filled, density: Density, point: Point) -> Search:
        """A step is taken or not; the first evaluation of a run is."""
        s = _at(s, SETTLE)
        d, here = s.descending, s.here
        verdict = trust_region.judge(
            here.point.energy, point.energy, d.predicted, jnp.linalg.norm(d.x), d.radius
        )

        def taken(s: Search, delta: Array) -> Search:
            place = dataclasses.replace(
                here, density=self._own_columns(density), filled=filled, point=point,
                delta_energy=delta,
            )  # fmt: skip
            return dataclasses.replace(s, here=place)

        def first(s: Search) -> Search:
            return taken(_with_descent(s, fresh=jnp.asarray(False)), jnp.full((), jnp.inf))

        def step(s: Search) -> Search:
            s = dataclasses.replace(s, log=self._logged(s, point, -verdict.gain))
            halved = point.gradient < 0.5 * d.mark
            s = _with_descent(
                s, radius=verdict.radius, mark=jnp.where(halved, point.gradient, d.mark),
                waited=jnp.where(halved, 0, d.waited + 1).astype(int),
            )  # fmt: skip
            return jax.lax.cond(verdict.good, lambda s: taken(s, -verdict.gain), _same, s)

        return jax.lax.cond(d.fresh, first, step, s)

    # --- decisions -------------------------------------------------------------------------------

    def converged(self, here: Place) -> Bool[Array, ""]:
        """Whether both tolerances are met."""
        small = jnp.abs(here.delta_energy) < self.plan.energy_tol
        accurate = here.point.gradient < self.plan.gradient_tol
        return self.problem.enough_functions() & small & accurate

    def _at_rounding(self, here: Place) -> Bool[Array, ""]:
        """Whether what is left may be rounding, which nearly dependent functions make large."""
        rounding = self.problem.rounding(here.point)
        small = jnp.abs(here.delta_energy) < ROUNDING * rounding
        accurate = here.point.gradient < ROUNDING * rounding
        return self.problem.enough_functions() & small & accurate

    def _done(self, s: Search) -> Bool[Array, ""]:
        """Whether the tolerances are met, or the cycles have stalled at what rounding allows."""
        waited = s.accelerated.diis.waited
        if s.descent is not None:
            waited = jnp.where(s.descent.why == NOT, waited, s.descent.waited)
        return self.converged(s.here) | ((waited >= STALLED) & self._at_rounding(s.here))

    def settled(self, s: Search) -> Search:
        """What to do next, after a row of Fock builds or a look at the stability."""
        s = jax.lax.cond(s.stage == SETTLE, self._after_builds, _same, s)
        if self.plan.stability is False:
            return s
        s = jax.lax.cond(s.stage == EXAMINED, self._after_a_look, _same, s)
        return s

    def _after_builds(self, s: Search) -> Search:
        """Canonical orbitals, and a step, a look at the stability, or the end."""
        filled = self.problem.canonical(s.here.filled, s.here.point)
        converged = self._done(s)
        here = dataclasses.replace(s.here, filled=filled, converged=converged)
        s = dataclasses.replace(s, here=here)
        if s.descent is None:
            return _at(s, DONE)
        look = converged & self._to_be_examined(s)
        goes_on = ~converged & self._newton_goes_on(s)
        stage = _pick(goes_on, STEP, jnp.where(look, EXAMINE, DONE))
        s = dataclasses.replace(s, stage=stage)
        s = jax.lax.cond(goes_on & (s.descending.why == NOT), self._helped, _same, s)
        if self.plan.stability is False:
            return s
        return jax.lax.cond(s.stage == DONE, self._ended, self._arrived, s)

    def _newton_goes_on(self, s: Search) -> Bool[Array, ""]:
        finite = jnp.isfinite(s.here.point.energy)
        room = (s.descending.cycle < self.plan.newton_cycles) & self.problem.enough_functions()
        return room & finite

    def _to_be_examined(self, s: Search) -> Bool[Array, ""]:
        if isinstance(self.plan.stability, bool):
            return jnp.asarray(self.plan.stability)
        helped = s.descending.why != NOT
        return stability.doubtful(
            self.problem, s.here.filled.mo_coeff, s.here.point.fock, helped
        )  # fmt: skip

    def _helped(self, s: Search) -> Search:
        """DIIS has failed: Newton's method goes on from its orbitals."""
        return _with_descent(
            s, why=_number(HELP), cycle=_number(0), radius=jnp.full((), self.plan.radius),
            mark=s.here.point.gradient, waited=_number(0),
        )  # fmt: skip

    def _launched(self, s: Search, stage: int, angle: float, **changes: Any) -> Search:
        """A run of Newton's method that begins with a turn."""
        return _at(_with_descent(
            s, cycle=_number(0), fresh=jnp.asarray(True), angle=jnp.full((), angle),
            radius=jnp.full((), self.plan.radius), mark=jnp.full((), jnp.inf), waited=_number(0),
            **changes,
        ), stage)  # fmt: skip

    def _arrived(self, s: Search) -> Search:
        """A saddle point is left once there is another place."""
        d = s.descending
        arrived = (d.why == DESCENT) & (s.stage == EXAMINE)

        def counted(s: Search) -> Search:
            return _with_descent(s, left=d.left + 1, followed=d.followed + 1, why=_number(HELP))

        return jax.lax.cond(arrived, counted, _same, s)

    def _after_a_look(self, s: Search) -> Search:
        """Leave a saddle point, or end at what has converged."""
        leave = ~s.here.at_minimum & (s.descending.followed < self.plan.max_follow)

        def left(s: Search) -> Search:
            return self._launched(
                s, SCAN, ANGLES[0], why=_number(DESCENT), saddle=s.here, scanned=_number(0),
                lowest_energy=jnp.full((), jnp.inf),
            )  # fmt: skip

        return jax.lax.cond(leave, left, self._ended, s)

    def _ended(self, s: Search) -> Search:
        """At a minimum, or where no way down was found: then the saddle point stays."""
        s = _at(s, DONE)
        lost = (s.descending.why == DESCENT) & ~s.here.converged
        s = jax.lax.cond(
            lost, lambda s: _with_descent(
                dataclasses.replace(s, here=s.descending.saddle), why=_number(HELP)
            ), _same, s,
        )  # fmt: skip
        return self._next_start(s) if self.plan.several else s

    def _next_start(self, s: Search) -> Search:
        """Another start from the lowest minimum so far, or the end with that one."""
        d = s.descending
        assert d.energies is not None
        energy = jnp.where(s.here.converged & s.here.at_minimum, s.here.point.energy, jnp.nan)
        lowest = (d.number == 0) | (energy < jnp.fmin(jnp.nanmin(d.energies), jnp.inf))
        best = jax.lax.cond(lowest, lambda s: s.here, lambda s: s.descending.best, s)
        energies = d.energies.at[d.number].set(energy)
        s = _with_descent(dataclasses.replace(s, here=best), best=best, energies=energies)

        def again(s: Search) -> Search:
            number = d.number + 1
            turn = random_turn(self._surface(best), number)
            return self._launched(
                s, TRY, 1.0, x=turn, number=number, followed=_number(0), why=_number(START)
            )

        more = (d.number + 1 < self.plan.starts) & jnp.isfinite(best.point.energy)
        return jax.lax.cond(more, again, _same, s)

    # --- Hessian products ------------------------------------------------------------------------

    def products(self, s: Search) -> Search:
        """A step of Newton's method, or a look at the stability."""
        surface, examining = self._surface(s.here), s.stage == EXAMINE
        found = curvature.ask(
            surface, surface.hessian(), examining, s.descending.radius, self.plan.max_products
        )
        s = dataclasses.replace(s, fock_builds=s.fock_builds + found.products)
        s = _with_descent(s, x=found.x)

        def step(s: Search) -> Search:
            d = s.descending
            return _at(_with_descent(
                s, angle=jnp.ones(()), predicted=-found.value, cycle=d.cycle + 1,
                cycles=d.cycles + 1,
            ), TRY)  # fmt: skip

        def look(s: Search) -> Search:
            here = dataclasses.replace(s.here, lowest=found.value, stable=found.stable())
            s = _with_descent(s, analyses=s.descending.analyses + 1)
            return _at(dataclasses.replace(s, here=here), EXAMINED)

        return step(s) if self.plan.stability is False else jax.lax.cond(examining, look, step, s)

    def _surface(self, here: Place) -> Surface:
        return Surface.of(self.problem, here.filled.mo_coeff, here.point.fock)

    # --- the end ---------------------------------------------------------------------------------

    def state(self, s: Search) -> SCFState:
        """The present place as what a solver returns."""
        d, none = s.descent, _number(0)
        counts = (none, none, none) if d is None else (d.cycles, d.analyses, d.left)
        state = SCFState.of(
            self.problem, s.here.density, s.here.filled, s.here.point,
            converged=s.here.converged, delta_energy=s.here.delta_energy,
            stages=Stages(self.plan.solver, s.cycles, *counts),
            history=s.log[1:], fock_builds=s.fock_builds,
        )  # fmt: skip
        return dataclasses.replace(
            state, stability=s.here.lowest, stable=s.here.stable,
            at_rounding=state.converged & ~self.converged(s.here),
            start_energies=None if d is None else d.energies,
        )  # fmt: skip


def _number(n: int) -> Int[Array, ""]:
    return jnp.full((), n, int)


def _pick(condition: Bool[Array, ""], new: Any, old: Any) -> Int[Array, ""]:
    return jnp.where(condition, new, old).astype(int)


def _same(s: Search) -> Search:
    """A branch in which nothing happens."""
    return s


def _at(s: Search, stage: int) -> Search:
    return dataclasses.replace(s, stage=_number(stage))


def _with_descent(s: Search, **changes: Any) -> Search:
    return dataclasses.replace(s, descent=dataclasses.replace(s.descending, **changes))
