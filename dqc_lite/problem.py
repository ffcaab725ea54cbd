"""What determines a solution: molecule, method, where to start, how to get there."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._call_errors import named_arguments
from dqc_lite._foreign import require_molecule
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.errors import (
    InputError,
    MethodError,
    NonFiniteError,
)
from dqc_lite.method import Method, MethodLike, method_of
from dqc_lite.molecule import Molecule, require_x64
from dqc_lite.scf import guess as guesses
from dqc_lite.scf.guess import Start
from dqc_lite.scf.solver import Solver
from dqc_lite.scf.solvers import solver_of
from dqc_lite.terms import ElectricField


@pytree
class Problem:
    """All that determines a solution; its leaves are the differentiable inputs."""

    mol: Molecule
    method: Method
    guess: Start
    solver: Solver = static()
    throw: bool = static()
    checkpoint: str | None = static(default=None)

    @classmethod
    def build(
        cls,
        mol: Molecule,
        method: MethodLike | None,
        solver: Solver | str | None,
        guess: Any,
        electric_field: Any,
        throw: bool,
        checkpoint: str | os.PathLike | None = None,
    ) -> Problem:
        require_x64()
        mol, method = require_molecule(mol), method_of(method)
        start = guesses.read(guess, mol)
        if electric_field is not None:
            electric_field = jnp.asarray(electric_field, float)
        require_finite({"mol": mol, "method": method, "electric_field": electric_field})
        if electric_field is not None:
            method = in_field(method, electric_field)
        path = None if checkpoint is None else os.fspath(checkpoint)
        solver = solver_of(solver)
        return cls(mol, method, start, solver, throw, path)

    def hamiltonian(self):
        return self.method.hamiltonian(self.mol)


def in_field(method: Method, strength: Float[Array, " 3"]) -> Method:
    """The method with an electric field (3,), atomic units, as its last extra term.

    Raises:
        MethodError: a method of one's own that takes no extra terms.
    """
    if not hasattr(method, "extra_terms"):
        raise MethodError(
            f"electric_field: the method {type(method).__name__} takes no extra_terms; add that "
            "field to it, and the terms in it to its hamiltonian."
        )
    return dataclasses.replace(method, extra_terms=(*method.extra_terms, ElectricField(strength)))


def _described(
    mol: Molecule,
    method: MethodLike | None = None,
    *,
    solver: Solver | str | None = None,
    guess: Any = "minao",
    electric_field: Any = None,
    throw: bool = True,
    checkpoint: str | os.PathLike | None = None,
) -> Problem:
    """What the arguments of `energy` describe."""
    return Problem.build(mol, method, solver, guess, electric_field, throw, checkpoint)


# messages call it "this function": users name functions built on it
problem_of = named_arguments(_described)


def require_finite(inputs: dict[str, Any]) -> None:
    """Raise `NonFiniteError` for NaN or infinity; integral codes skip what they cannot compare.

    And `InputError` for what is no number.
    """
    for path, leaf in jax.tree.leaves_with_path(inputs):
        if isinstance(leaf, jax.core.Tracer):
            continue
        values = np.asarray(leaf)
        name = jax.tree_util.keystr(path).replace("['", "").replace("']", "")
        if values.dtype.kind not in "iufc":
            raise InputError(f"{name} = {leaf!r} is no number; give one.")
        if np.isfinite(values).all():
            continue
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise NonFiniteError(f"{name} holds {values[where]} at {where}; give finite numbers.")
