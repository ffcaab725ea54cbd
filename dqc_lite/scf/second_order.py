"""Second-order self-consistent field: a trust-region Newton method on orbital rotations.

Each cycle minimizes the quadratic model of the energy within a radius by preconditioned conjugate
gradients, which follow negative curvature to the boundary (Steihaug, SIAM J. Numer. Anal. 20, 626
(1983)); the radius follows the ratio of actual and predicted decrease (Fletcher, Practical Methods
of Optimization, ch. 5). One Hessian-vector product costs about a Fock build.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dqc_lite._arguments import named_arguments
from dqc_lite._compile import adaptive_jit
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.scf.checkpoint import Recorder
from dqc_lite.scf.diis import DIIS, MAX_MAX_CYCLE
from dqc_lite.scf.orthogonalization import canonical
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.rotations import Surface, turned
from dqc_lite.scf.settings import require_count, require_number
from dqc_lite.scf.state import Point, Problem, SCFState
from dqc_lite.terms import Hamiltonian


@named_arguments
@pytree
class SecondOrder:
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

    def first(self) -> DIIS:
        """The cycles at the beginning."""
        return DIIS(self.start, self.energy_tol, self.gradient_tol)


LARGEST_RADIUS = 1.5
"""Radian; a turn by pi/2 exchanges two orbitals."""

SOFTEST = 0.05
"""Smallest denominator (hartree) of the preconditioner."""

ROUNDING = 1e-12
"""Share of the total energy below which a change of it means nothing."""


@functools.partial(adaptive_jit, static_argnums=(4, 5))
def newton_scf(
    hamiltonian: Hamiltonian,
    integrals: Any,
    overlap: Float[Array, "ao ao"],
    mo_coeff: Float[Array, "set ao mo"],
    solver: SecondOrder,
    reference: Reference,
) -> SCFState:
    """Converge from orbitals; nothing in here is differentiated."""
    newton = _newton(hamiltonian, integrals, overlap, solver, reference)
    return newton.finish(
        jax.lax.while_loop(newton.unfinished, newton.cycle, newton.start(mo_coeff))
    )


def recorded_newton_scf(
    hamiltonian: Hamiltonian,
    integrals: Any,
    overlap: Float[Array, "ao ao"],
    mo_coeff: Float[Array, "set ao mo"],
    solver: SecondOrder,
    reference: Reference,
    recorder: Recorder,
) -> SCFState:
    """The same a cycle at a time, the orbitals of each written to a file."""
    arrays, setting = (hamiltonian, integrals, overlap), (solver, reference)
    cycle = _first(*arrays, mo_coeff, *setting)
    occupations = reference.occupations(mo_coeff.shape[-1])
    unfinished = True
    while unfinished:
        cycle, going, converged = _advanced(*arrays, cycle, *setting)
        unfinished = bool(going)
        recorder.write(
            "second-order", cycle.mo_coeff, occupations, cycle.point.energy, cycle.iteration,
            bool(converged), {},
        )  # fmt: skip
    return _last(*arrays, cycle, *setting)


def _newton(
    hamiltonian: Hamiltonian, integrals: Any, overlap: Float[Array, "ao ao"],
    solver: SecondOrder, reference: Reference,
) -> _Newton:  # fmt: skip
    x, kept = canonical(overlap)
    return _Newton(Problem(hamiltonian, integrals, overlap, x, kept, reference), solver)


@functools.partial(adaptive_jit, static_argnums=(4, 5))
def _first(
    hamiltonian: Hamiltonian, integrals: Any, overlap: Array, mo_coeff: Array,
    solver: SecondOrder, reference: Reference,
) -> _Cycle:  # fmt: skip
    return _newton(hamiltonian, integrals, overlap, solver, reference).start(mo_coeff)


@functools.partial(adaptive_jit, static_argnums=(4, 5))
def _advanced(
    hamiltonian: Hamiltonian, integrals: Any, overlap: Array, cycle: _Cycle,
    solver: SecondOrder, reference: Reference,
) -> tuple[_Cycle, Bool[Array, ""], Bool[Array, ""]]:  # fmt: skip
    """One more cycle, whether more are needed, and convergence."""
    newton = _newton(hamiltonian, integrals, overlap, solver, reference)
    cycle = newton.cycle(cycle)
    return cycle, newton.unfinished(cycle), newton.converged(cycle)


@functools.partial(adaptive_jit, static_argnums=(4, 5))
def _last(
    hamiltonian: Hamiltonian, integrals: Any, overlap: Array, cycle: _Cycle,
    solver: SecondOrder, reference: Reference,
) -> SCFState:  # fmt: skip
    return _newton(hamiltonian, integrals, overlap, solver, reference).finish(cycle)


@pytree
class _Cycle:
    """The best orbitals so far and those to try next, if any are `planned`."""

    mo_coeff: Float[Array, "set ao mo"]
    point: Point
    trial: Float[Array, "set ao mo"]
    predicted: Float[Array, ""]
    length: Float[Array, ""]
    radius: Float[Array, ""]
    delta_energy: Float[Array, ""]
    planned: Bool[Array, ""]
    iteration: Int[Array, ""]
    builds: Int[Array, ""]
    log: Float[Array, "cycle 3"]


class Step(NamedTuple):
    """A step x, the decrease of the energy it promises and the products it cost."""

    x: Float[Array, "set row column"]
    predicted: Float[Array, ""]
    products: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class _Newton:
    problem: Problem
    solver: SecondOrder

    def start(self, mo_coeff: Float[Array, "set ao mo"]) -> _Cycle:
        shapes = jax.eval_shape(lambda c: self.problem.evaluate(self._density(c)), mo_coeff)
        zero = jnp.zeros(())
        return _Cycle(
            mo_coeff=mo_coeff, point=jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes),
            trial=mo_coeff, predicted=zero, length=zero, radius=zero + self.solver.radius,
            delta_energy=zero + jnp.inf, planned=jnp.asarray(True),
            iteration=jnp.zeros((), int), builds=jnp.zeros((), int),
            log=jnp.full((self.solver.max_cycle + 1, 3), jnp.nan),
        )  # fmt: skip

    def cycle(self, c: _Cycle) -> _Cycle:
        """Evaluate the trial, take it or not, and find the next."""
        c = self._judge(c, self.problem.evaluate(self._density(c.trial)))
        _, mo_coeff = self.problem.canonical_orbitals(c.point.effective, c.mo_coeff)
        surface = self._surface(mo_coeff, c.point)
        planned = self.going_on(c)
        step = trust_region_step(
            surface, c.radius, jnp.where(planned, self.solver.max_products, 0)
        )
        return dataclasses.replace(
            c, mo_coeff=mo_coeff, trial=turned(mo_coeff, surface.layout.generator(step.x)),
            predicted=step.predicted, length=jnp.linalg.norm(step.x),
            planned=planned, iteration=c.iteration + jnp.where(planned, 1, 0),
            builds=c.builds + step.products,
        )  # fmt: skip

    def _judge(self, c: _Cycle, point: Point) -> _Cycle:
        """Take the trial where the energy falls; adapt the radius."""
        first = c.builds == 0
        gain = c.point.energy - point.energy
        rounding = ROUNDING * jnp.abs(point.energy)
        # so near the minimum that the ratio is noise
        settled = (c.predicted < 100 * rounding) & (gain > -100 * rounding)
        ratio = jnp.where(settled, 1.0, gain / jnp.where(c.predicted > 0, c.predicted, 1.0))
        good = first | (ratio > 0)
        grown = jnp.where((ratio > 0.75) & (c.length > 0.8 * c.radius), 2.0 * c.radius, c.radius)
        # a comparison that is false for NaN
        radius = jnp.where(ratio >= 0.25, jnp.minimum(grown, LARGEST_RADIUS), 0.25 * c.length)
        delta = jnp.where(first, jnp.inf, jnp.where(good, -gain, c.delta_energy))
        row = jnp.stack([point.energy, -gain, point.gradient])[None]
        return dataclasses.replace(
            c, mo_coeff=jnp.where(good, c.trial, c.mo_coeff),
            point=jax.tree.map(lambda new, old: jnp.where(good, new, old), point, c.point),
            radius=jnp.where(first, c.radius, radius), delta_energy=delta,
            builds=c.builds + 1,
            log=jax.lax.dynamic_update_slice_in_dim(c.log, row, c.iteration, 0),
        )  # fmt: skip

    def _density(self, mo_coeff: Float[Array, "set ao mo"]):
        return self.problem.reference.density(mo_coeff)

    def _surface(self, mo_coeff: Float[Array, "set ao mo"], point: Point) -> Surface:
        problem = self.problem
        return Surface.at(
            problem.hamiltonian, problem.integrals, problem.reference, mo_coeff, point.fock
        )

    def converged(self, c: _Cycle) -> Bool[Array, ""]:
        small = jnp.abs(c.delta_energy) < self.solver.energy_tol
        accurate = c.point.gradient < self.solver.gradient_tol
        return self.problem.enough_functions() & small & accurate

    def going_on(self, c: _Cycle) -> Bool[Array, ""]:
        """Whether a step from the orbitals just evaluated is worth while."""
        ended = (c.iteration >= self.solver.max_cycle) | self.converged(c)
        return ~(ended | ~jnp.isfinite(c.point.energy))

    def unfinished(self, c: _Cycle) -> Bool[Array, ""]:
        return c.planned

    def finish(self, c: _Cycle) -> SCFState:
        return self.problem.finish(
            point=c.point, density=self._density(c.mo_coeff), mo_coeff=c.mo_coeff,
            delta_energy=c.delta_energy,
            converged=self.converged(c), iterations=c.iteration, history=c.log[1:],
            fock_builds=c.builds, newton=True,
        )  # fmt: skip


class _Iterate(NamedTuple):
    x: Array
    residual: Array
    direction: Array
    descent: Array
    count: Array
    ended: Array


def trust_region_step(
    surface: Surface, radius: Float[Array, ""], max_products: Int[Array, ""]
) -> Step:
    """Minimize ``2 g.x + x.H x`` within ``|x| <= radius`` by conjugate gradients from zero."""
    g, product = surface.gradient(), surface.hessian()
    denominators = jnp.maximum(jnp.abs(surface.diagonal()), SOFTEST)
    size = jnp.linalg.norm(g)
    # superlinear convergence
    accurate = size * jnp.minimum(0.2, jnp.sqrt(size))

    def unfinished(i: _Iterate) -> Array:
        return ~i.ended & (i.count < max_products)

    def body(i: _Iterate) -> _Iterate:
        p = i.direction
        image = product(p)
        curvature = jnp.vdot(p, image)
        convex = curvature > 0
        length = i.descent / jnp.where(convex, curvature, 1.0)
        inside = convex & (jnp.linalg.norm(i.x + length * p) < radius)
        length = jnp.where(inside, length, _to_boundary(i.x, p, radius))
        residual = i.residual - length * image
        z = residual / denominators
        descent = jnp.vdot(residual, z)
        return _Iterate(
            i.x + length * p, residual, z + p * descent / i.descent, descent, i.count + 1,
            ~inside | (jnp.linalg.norm(residual) <= accurate),
        )  # fmt: skip

    z = -g / denominators
    start = _Iterate(jnp.zeros_like(g), -g, z, jnp.vdot(-g, z), jnp.zeros((), int), size == 0)
    last = jax.lax.while_loop(unfinished, body, start)
    # H x = -g - residual
    predicted = jnp.vdot(last.x, last.residual - g)
    return Step(last.x, predicted, last.count)


def _to_boundary(x: Array, p: Array, radius: Array) -> Array:
    """The positive t with |x + t p| = radius."""
    a, b, c = jnp.vdot(p, p), jnp.vdot(x, p), jnp.vdot(x, x) - radius**2
    root = jnp.sqrt(jnp.maximum(b**2 - a * c, 0.0))
    return -c / jnp.maximum(b + root, jnp.finfo(x.dtype).tiny)
