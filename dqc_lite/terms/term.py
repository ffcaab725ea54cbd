"""What an energy term is: the classes to derive from."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float
from dqc_lite.autodiff.zero_valued import without_value
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.errors import InputError
from dqc_lite.molecule import Molecule, require_x64

Leaf = Any
"""An array; in the leaves of inputs JAX puts markers of its own too, which are none."""


Response = Callable[[Float[Array, "spin ao occ"]], Float[Array, "spin ao occ"]]


class Term(abc.ABC):
    """A part of the energy, a function of the molecule and of the density matrix.

    A term is a frozen pytree (`jax.tree_util.register_dataclass`); its leaves are differentiable
    inputs of everything that is computed with it. It has to offer `prepare` and `evaluate`, both
    differentiable to any order; the other methods follow from these two and are overridden where
    something cheaper is known.
    """

    @abc.abstractmethod
    def prepare(self, mol: Molecule, orbitals: Orbitals) -> Any:
        """The integrals that the term needs: a pytree of arrays, made once for each geometry."""

    @abc.abstractmethod
    def evaluate(
        self, integrals: Any, density: Density
    ) -> tuple[dict[str, Array], Float[Array, "spin ao ao"]]:
        """Named energies (hartree) and the Fock matrix, the derivative of their sum with respect
        to the density matrix, (spin, ao, ao) or broadcastable to it.
        """

    @property
    def exchange_fraction(self) -> float | Array:
        """The share of exact exchange."""
        return 0.0

    def on_orbitals(self, integrals: Any, density: Density) -> Float[Array, "spin ao occ"]:
        """The Fock matrix times the factor of the density: half of dE/dC, hartree.

        To be overridden where that and its derivative cost less than the Fock matrix.
        """
        _, fock = self.evaluate(integrals, density)
        return jnp.broadcast_to(fock, density.matrix.shape) @ density.factor

    def response(self, integrals: Any, density: Density) -> Response:
        """``dC -> dF C``: how the Fock matrix changes with the factor C of the density, times C.

        Half of the second derivative of the energy along C but for F dC, which whoever has the
        Fock matrix knows. What does not depend on dC is made once, for however many follow.

        To be overridden where that costs less than the Fock matrix.
        """

        def fock(factor: Array) -> Array:
            _, matrix = self.evaluate(integrals, Density.from_factor(factor))
            return jnp.broadcast_to(matrix, density.matrix.shape)

        _, along = jax.linearize(fock, density.factor)
        return lambda change: along(change) @ density.factor

    def differential(
        self, mol: Molecule, orbitals: Orbitals, integrals: Any, density: Density
    ) -> Float[Array, ""]:
        """Zero, with the derivative of the energy along the molecule, its orbitals and the leaves
        of the term at fixed density matrix.

        To be overridden where that is to be had without evaluating the integrals again, from those
        given.
        """
        energies, _ = self.evaluate(self.prepare(mol, orbitals), density)
        return without_value(jnp.asarray(sum(energies.values())))

    def moving_integrals(
        self, mol: Molecule, orbitals: Orbitals, integrals: Any, density: Density
    ) -> Any:
        """The integrals at `mol` as far as `differential` makes use of them, for second
        derivatives at (about) `density`; `integrals` are those values as constants.

        To be overridden with ``return integrals`` where `differential` makes no use of them.
        """
        return self.prepare(mol, orbitals)


def as_array(given: Any) -> Any:
    """Numbers that a user gives for a leaf as float or float64 array; what else stands there in
    trees like an input (markers of JAX, labels, masks) as it is.

    Raises:
        PrecisionError: double precision is off.
    """
    leaves = jax.tree.leaves(given)
    numbers = [isinstance(x, int | float | np.number | np.ndarray) for x in leaves]
    if not numbers or not all(numbers) or any(isinstance(x, bool) for x in leaves):
        return given
    if isinstance(given, int | float | np.number):
        return float(given)
    try:
        made = np.asarray(given)
    except ValueError:  # rows of different lengths
        return given
    require_x64()
    return jnp.asarray(made, float) if made.dtype.kind in "iuf" else given


def require_array(name: str, leaf: Any) -> None:
    """Raise InputError for a leaf that is still a list."""
    if isinstance(leaf, list | tuple):
        raise InputError(f"{name} = {leaf!r} is no array of numbers; give one.")


def checked(terms: Any) -> tuple[Term, ...]:
    """`terms` as a tuple.

    Raises:
        InputError: something that is no term, or a term that is no pytree.
    """
    if isinstance(terms, Term):
        raise InputError(
            f"extra_terms = {terms!r} is one term; give a tuple of terms, extra_terms=(term,)."
        )
    if not isinstance(terms, list | tuple):
        raise InputError(f"extra_terms = {terms!r} is no tuple of dqc_lite.terms.Term.")
    for i, term in enumerate(terms):
        if isinstance(term, type) and issubclass(term, Term):
            raise InputError(
                f"extra_terms[{i}] is the class {term.__name__}; give an instance, "
                f"{term.__name__}(...)."
            )
        if not isinstance(term, Term):
            raise InputError(
                f"extra_terms[{i}] = {term!r} is no energy term; give one of dqc_lite.terms, or "
                "of a class derived from dqc_lite.terms.Term."
            )
        if jax.tree_util.treedef_is_leaf(jax.tree.structure(term)):
            raise InputError(
                f"extra_terms[{i}] is of the class {type(term).__name__}, which is no pytree; make "
                "it a frozen dataclass and register it with jax.tree_util.register_dataclass."
            )
    return tuple(terms)


class LinearTerm(Term):
    """A term linear in the density matrix: ``E = constant + tr(P h)``.

    It has to offer `prepare`, which returns the constant (hartree) and h, (ao, ao) or
    broadcastable to it, hartree. Terms of the nuclei alone have h = 0. `name` is that of the
    energy.
    """

    name: ClassVar[str]

    @abc.abstractmethod
    def prepare(self, mol: Molecule, orbitals: Orbitals) -> tuple[Array, Array]: ...

    def evaluate(
        self, integrals: tuple[Array, Array], density: Density
    ) -> tuple[dict[str, Array], Float[Array, "one ao ao"]]:
        constant, h = integrals
        return {self.name: constant + jnp.sum(h * density.total)}, h[None]

    def response(self, integrals: tuple[Array, Array], density: Density) -> Response:
        return jnp.zeros_like

    def moving_integrals(
        self,
        mol: Molecule,
        orbitals: Orbitals,
        integrals: tuple[Array, Array],
        density: Density,
    ) -> tuple[Array, Array]:
        return integrals
