"""The compiled functions of training: the same few for every row of a bucket."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite._types import Array
from dqc_lite.autodiff import jit as jit_options
from dqc_lite.density import Density
from dqc_lite.fit import fixed, response, self_consistent
from dqc_lite.fit.fixed import FixedRow
from dqc_lite.fit.losses import Loss, Moving, local_errors
from dqc_lite.fit.parameters import Parameters
from dqc_lite.fit.self_consistent import State
from dqc_lite.method import KS
from dqc_lite.scf.solvers import DIIS

FORWARD = 8
"""Parameters up to which derivatives of forces are made in forward mode."""


@dataclasses.dataclass(frozen=True)
class Programs:
    """Functions of the point x of the optimizer and of one row, or of a stack of rows.

    Attributes:
        method: its functional gives the structure only.
        chunk: rows that one call takes; more than 1 are mapped by `jax.vmap`.
    """

    method: KS
    parameters: Parameters
    loss: Loss
    solver: DIIS
    chunk: int

    def _hamiltonian(self, x: Array) -> Any:
        return fixed.hamiltonian(self.method, self.parameters.functional(x))

    def _compiled(self, function: Callable) -> Callable:
        """Of (x, rows, ...)."""
        if self.chunk > 1:
            mapped = function

            def function(x: Array, *rows: Any) -> Any:
                return jax.vmap(functools.partial(mapped, x))(*rows)

        return quick_jit(function)

    @functools.cached_property
    def first_orbitals(self) -> Callable[[Array, FixedRow], Array]:
        """Orbitals to start from."""
        return self._compiled(
            lambda x, row: self_consistent.first_orbitals(self._hamiltonian(x), row)
        )

    @functools.cached_property
    def converge(self) -> Callable[[Array, FixedRow, Array, tuple[Array, Array]], State]:
        """The SCF from orbitals: so many cycles at most, following them or not."""
        return self._compiled(
            lambda x, row, c, how: self_consistent.converge(
                self._hamiltonian(x), row, c, *how, self.solver
            )
        )

    @functools.cached_property
    def energy_slope(self) -> Callable[[Array, FixedRow, State], tuple[Array, Array]]:
        """Energy (hartree) and its derivative along x at the density of the state."""
        return self._compiled(jax.value_and_grad(self._energy))

    @functools.cached_property
    def energy(self) -> Callable[[Array, FixedRow, State], Array]:
        """Energy of the density of the state, hartree."""
        return self._compiled(self._energy)

    def _energy(self, x: Array, row: FixedRow, state: State) -> Array:
        density: Density = response.converged_density(row, jax.lax.stop_gradient(state))
        return response.energy(self.method, self.parameters.functional(x), row, density)

    @functools.cached_property
    def local(self) -> Callable[..., dict[str, Array]]:
        """Errors of the row's own targets."""
        return self._compiled(self._errors)

    @functools.cached_property
    def local_slope(self) -> Callable[..., tuple[dict[str, Array], Array]]:
        """These errors and the derivative of the sum of their squares along x."""
        return self._compiled(functools.partial(_squared_slope, self._errors))

    @functools.cached_property
    def local_jacobian(self) -> Callable[..., tuple[dict[str, Array], dict[str, Array]]]:
        """These errors and their derivatives along x."""
        return self._compiled(functools.partial(_jacobian, self._errors))

    def _errors(
        self, x: Array, row: FixedRow, state: State, targets: dict, moving: Moving | None = None
    ) -> dict[str, Array]:
        xc = self.parameters.functional(x)
        return local_errors(self.method, self.loss, xc, row, state, targets, moving)

    def of_one(self, moving: Moving) -> Callable[..., tuple[dict[str, Array], Any]]:
        """Errors of a row with derivatives along positions, and their derivatives along x.

        The Jacobian for few parameters, else the derivative of the sum of squares. It is one
        program for all purposes: it is compiled for each molecule and runs less long than that.
        """
        derivative = _jacobian if self.forward else _squared_slope
        errors = functools.partial(self._errors, moving=moving)
        return quick_jit(functools.partial(derivative, errors), effort=0)

    @property
    def forward(self) -> bool:
        """Whether Jacobians are cheaper to have than they take to compile apart."""
        return len(self.parameters) <= FORWARD

    @functools.cached_property
    def penalty(self) -> Callable[[Array], tuple[Array, Array]]:
        """The penalty of the functional and its derivative along x."""
        return quick_jit(
            jax.value_and_grad(lambda x: self.loss.penalty(self.parameters.functional(x)))
        )


def quick_jit(function: Callable, effort: int = 1) -> Callable:
    """`jax.jit` with the effort that programs deserve that run some hundred times (0: some ten)."""
    options = dict(jit_options.emitters(jax.default_backend()))
    if jax.default_backend() == "cpu":
        options["xla_backend_optimization_level"] = effort
    return jax.jit(function, compiler_options=options)


def _squared_slope(errors: Callable, x: Array, *rest: Any) -> tuple[dict[str, Array], Array]:
    def squared(x: Array) -> tuple[Array, dict[str, Array]]:
        found = errors(x, *rest)
        return sum(jnp.vdot(e, e) for e in found.values()), found

    slope, found = jax.grad(squared, has_aux=True)(x)
    return found, slope


def _jacobian(errors: Callable, x: Array, *rest: Any) -> tuple[dict, dict]:
    def twice(x: Array) -> tuple[dict, dict]:
        found = errors(x, *rest)
        return found, found

    jacobian, found = jax.jacfwd(twice, has_aux=True)(x)
    return found, jacobian
