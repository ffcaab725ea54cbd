"""What a solver is: the interface of those that are built in and of your own."""

from __future__ import annotations

import abc

from dqc_lite.scf.checkpoint import Files
from dqc_lite.scf.guess import Beginning
from dqc_lite.scf.self_consistency import SelfConsistency
from dqc_lite.scf.state import SCFState


class Solver(abc.ABC):
    """Makes a problem self-consistent; derive from it to use a method of your own.

    A solver must be hashable and equal to another of the same settings (a frozen dataclass is),
    since compiled programs are kept for it. Derivatives do not depend on it: they are those of the
    state that it returns.
    """

    @abc.abstractmethod
    def run(self, problem: SelfConsistency, start: Beginning) -> SCFState:
        """Iterate from a guess to the state of the last cycle.

        Outside of `jax.jit` the arrays are known numbers, and `run` may look at them; inside they
        are traced, and loops must be those of `jax.lax`. Nothing in here is differentiated.

        Args:
            problem: ``first(start)`` is the density to begin with, ``evaluate(density, filled)``
                the energy and Fock matrices there, ``fill(fock)`` orbitals and density of a Fock
                matrix.
            start: the guess.

        Returns:
            ``SCFState.of(problem, ...)`` of a density and the orbitals
            ``problem.canonical(filled, point)``; what its ``converged`` says is believed.
        """

    def run_with_files(
        self, problem: SelfConsistency, start: Beginning, files: Files
    ) -> SCFState | None:
        """The same, every cycle recorded, from where a checkpoint stands; None: it cannot do so."""
        return None
