"""The solvers that are built in, as a user sets them: each is a plan of one search."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from dqc_lite._call_errors import named_arguments
from dqc_lite._pytree import pytree, static
from dqc_lite.errors import InputError
from dqc_lite.scf import driver
from dqc_lite.scf.checkpoint import Files
from dqc_lite.scf.guess import Beginning
from dqc_lite.scf.plan import Plan
from dqc_lite.scf.self_consistency import SelfConsistency
from dqc_lite.scf.settings import require_count, require_flag, require_number
from dqc_lite.scf.solver import Solver
from dqc_lite.scf.state import SCFState

MAX_MAX_CYCLE = 100_000
"""The log of the cycles is allocated beforehand."""


EARLY = ("diis", "adiis", "ediis")


class Planned(Solver):
    """A solver whose stages are those of `dqc_lite.scf.search`."""

    max_cycle: int
    energy_tol: float
    gradient_tol: float

    def plan(self) -> Plan:
        """Which of the stages there are, and their settings."""
        raise NotImplementedError

    def run(self, problem: SelfConsistency, start: Beginning) -> SCFState:
        return driver.run(problem, start, self.plan())

    def run_with_files(
        self, problem: SelfConsistency, start: Beginning, files: Files
    ) -> SCFState:
        return driver.run(problem, start, self.plan(), files)


@named_arguments
@pytree
class DIIS(Planned):
    """Commutator DIIS.

    Attributes:
        max_cycle: Fock builds at most.
        energy_tol: converged when the energy changes by less, hartree.
        gradient_tol: ... and the norm of the orbital gradient is less.
        space: number of Fock matrices kept.
        damping: share of the previous cycle's Fock matrix kept while the gradient is above 0.1.
        level_shift: added to the energies of the virtual orbitals while the gradient is above 0.1,
            and in proportion to it below, hartree; neither the converged state nor the test of
            convergence knows of it.
        early: what is extrapolated while the gradient is above 0.1: "diis", or "adiis" or "ediis",
            the combination of lowest energy (`dqc_lite.scf.energy_diis`).
        maximum_overlap: fill the orbitals most like the occupied ones of the guess, a `Solution`
            for instance, instead of the lowest: for excited determinants with given occupations.
        patience: cycles in which the smallest gradient must halve, else the iteration ends
            unconverged; None: it goes on to `max_cycle`.
    """

    max_cycle: int = static(default=100)
    energy_tol: float = static(default=1e-10)
    gradient_tol: float = static(default=1e-8)
    space: int = static(default=8)
    damping: float = static(default=0.0)
    level_shift: float = static(default=0.0)
    early: Literal["diis", "adiis", "ediis"] = static(default="diis")
    maximum_overlap: bool = static(default=False)
    patience: int | None = static(default=None)

    def __post_init__(self) -> None:
        require_count(self, 1, MAX_MAX_CYCLE, "max_cycle", "space")
        require_number(self, "energy_tol", "gradient_tol")
        require_number(self, "damping", "level_shift", positive=False)
        require_flag(self, "maximum_overlap")
        if self.patience is not None:
            require_count(self, 1, MAX_MAX_CYCLE, "patience")
        if self.damping >= 1:
            raise InputError(f"damping = {self.damping} must lie in [0, 1).")
        if self.early not in EARLY:
            raise InputError(f"early = {self.early!r} is unknown; use one of {', '.join(EARLY)}.")

    def plan(self) -> Plan:
        settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Plan(type(self).__name__, **settings)


@named_arguments
@pytree
class SecondOrder(Planned):
    """Trust-region Newton method, after a few cycles of DIIS from the guess.

    It never raises the energy and does not stall where DIIS oscillates; each cycle costs several
    Fock builds.

    Attributes:
        max_cycle: Newton cycles at most.
        energy_tol: converged when the energy changes by less, hartree.
        gradient_tol: ... and the norm of the orbital gradient is less.
        start: cycles of DIIS at the beginning, at least 1.
        radius: first trust radius, radian.
        max_products: Hessian-vector products in a cycle.
    """

    max_cycle: int = static(default=60)
    energy_tol: float = static(default=1e-10)
    gradient_tol: float = static(default=1e-8)
    start: int = static(default=5)
    radius: float = static(default=0.4)
    max_products: int = static(default=40)

    def __post_init__(self) -> None:
        require_count(self, 1, MAX_MAX_CYCLE, "max_cycle", "start", "max_products")
        require_number(self, "energy_tol", "gradient_tol", "radius")

    def plan(self) -> Plan:
        return Plan(
            type(self).__name__, self.start, self.energy_tol, self.gradient_tol,
            newton_cycles=self.max_cycle, radius=self.radius, max_products=self.max_products,
        )  # fmt: skip


@named_arguments
@pytree
class Auto(Planned):
    """DIIS; where that does not converge, a second-order method; then a look at the stability.

    Attributes:
        max_cycle: cycles of DIIS before the second-order method takes over.
        energy_tol: converged when the energy changes by less, hartree.
        gradient_tol: ... and the norm of the orbital gradient is less.
        stability: whether to compute the lowest eigenvalue of the orbital Hessian and to leave
            saddle points: the solution is then a minimum with respect to small rotations that
            keep the kind of determinant. "doubtful" does so where a saddle point is likely: at
            small orbital gaps (`dqc_lite.scf.stability.doubtful`) and where DIIS did not converge.
        max_follow: saddle points left at most.
        max_second_order: cycles of the second-order method.
        patience: the second-order method takes over earlier when in so many cycles of DIIS the
            smallest gradient has not halved.
        starts: number of minima to look for, of which the lowest is taken: the first from the
            guess, the others from the lowest so far, its soft orbitals turned at random; each
            costs a solution of second order. `certificate.start_energies` tells where they ended.
        external: whether to examine a closed shell also against different orbitals for different
            spins; `certificate.externally_stable` tells, and the solution stays as it is.
    """

    max_cycle: int = static(default=40)
    energy_tol: float = static(default=1e-10)
    gradient_tol: float = static(default=1e-8)
    stability: bool | Literal["doubtful"] = static(default=True)
    max_follow: int = static(default=10)
    max_second_order: int = static(default=100)
    patience: int = static(default=20)
    starts: int = static(default=1)
    external: bool = static(default=False)

    def __post_init__(self) -> None:
        require_count(self, 1, MAX_MAX_CYCLE, "max_cycle", "max_second_order", "patience")
        require_number(self, "energy_tol", "gradient_tol")
        require_count(self, 0, math.inf, "max_follow")
        require_count(self, 1, math.inf, "starts")
        require_flag(self, "external")
        if not (isinstance(self.stability, bool) or self.stability == "doubtful"):
            raise InputError(f"stability = {self.stability!r} must be True, False or 'doubtful'.")
        if self.starts > 1 and self.stability is not True:
            raise InputError(f"starts = {self.starts} compares minima: it needs stability=True.")
        if self.external and self.stability is not True:
            raise InputError("external = True is about a minimum: it needs stability=True.")

    def plan(self) -> Plan:
        return Plan(
            type(self).__name__, self.max_cycle, self.energy_tol, self.gradient_tol,
            patience=self.patience, newton_cycles=self.max_second_order, stability=self.stability,
            max_follow=self.max_follow, starts=self.starts, external=self.external,
        )  # fmt: skip


DEFAULT = Auto(max_cycle=60, stability="doubtful")
"""The solver when none is named: for closed shells of ordinary gaps just DIIS, where that
converges. The slowest system of the G2 set takes 56 cycles of it."""

SOLVERS = {"auto": DEFAULT, "diis": DIIS(), "second-order": SecondOrder()}
"""By name."""


def solver_of(solver: Any) -> Solver:
    """The solver meant.

    Raises:
        InputError: an unknown name, or something else.
    """
    if solver is None:
        return DEFAULT
    if isinstance(solver, str) and solver in SOLVERS:
        return SOLVERS[solver]
    if isinstance(solver, Solver):
        return solver
    raise InputError(
        f"solver = {solver!r} is unknown; use one of {', '.join(map(repr, SOLVERS))}, "
        "DIIS(...), SecondOrder(...), Auto(...), or an instance of your own dqc_lite.Solver."
    )
