"""The errors a user can meet. Each message names the field, its value, and a remedy."""

from __future__ import annotations

from typing import Any


class DqcLiteError(Exception):
    """Base class of every error this package raises on purpose."""


class InputError(DqcLiteError, ValueError):
    """An argument, unit or keyword that is not understood."""


class ArgumentError(InputError, TypeError):
    """A call with arguments that the function does not have, or without one that it needs."""


class GeometryError(InputError):
    """Atoms too close, not finite, missing, or text that cannot be read as a geometry."""


class SpinError(InputError):
    """`spin` (2S, the number of unpaired electrons) does not fit the number of electrons."""


class ChargeSpinError(InputError):
    """Charge or spin outside what the nuclei allow."""


class UnknownElementError(InputError):
    """A symbol that is no chemical element."""


class BasisError(InputError):
    """A basis set that is unknown or lacks an element."""


class BasisTooSmallError(BasisError):
    """More electrons of one spin than orbitals."""


class ECPError(BasisError):
    """An effective core potential that is missing, unknown or inconsistent with the basis."""


class FunctionalError(InputError):
    """An exchange-correlation functional that is unknown or ambiguous."""


class MethodError(InputError):
    """A method that does not apply to this molecule."""


class NonFiniteError(DqcLiteError, ArithmeticError):
    """NaN or infinity where a finite number is required."""


NEARLY_DEPENDENT = 1e-5
"""Eigenvalue of the overlap below which rounding may be what keeps an SCF from converging."""


class SCFNotConvergedError(DqcLiteError, RuntimeError):
    """The SCF did not converge.

    Attributes:
        iterations: cycles made.
        energy, delta_energy, gradient: of the last one, hartree.
        density_matrix: of the last one, (spin, ao, ao): ``guess=error.density_matrix`` goes on.
        smallest_overlap: eigenvalue of the overlap of the basis functions, where it is known.
    """

    def __init__(
        self,
        iterations: int,
        energy: float,
        delta_energy: float,
        gradient: float,
        density_matrix: Any = None,
        smallest_overlap: float | None = None,
    ):
        self.iterations = iterations
        self.energy = energy
        self.delta_energy = delta_energy
        self.gradient = gradient
        self.density_matrix = density_matrix
        self.smallest_overlap = smallest_overlap
        dependent = smallest_overlap is not None and smallest_overlap < NEARLY_DEPENDENT
        hint = "" if not dependent else (
            f" The basis is nearly linearly dependent, smallest eigenvalue of the overlap "
            f"{smallest_overlap:.1e}: linear_dependence=1e-6 of the method leaves out more."
        )  # fmt: skip
        super().__init__(
            f"SCF not converged after {iterations} cycles: E = {energy:.10f} hartree, "
            f"delta_E = {delta_energy:.2e}, |g| = {gradient:.2e}. Go on from there with "
            "guess=error.density_matrix, raise max_cycle in the solver, try another guess "
            "(guess='atom', 'sap' or 'core'), a damped or shifted start (DIIS(damping=0.3), "
            "DIIS(level_shift=0.3), DIIS(early='adiis')) or solver=SecondOrder(), check charge and "
            "spin, or look at the last state of dqc_lite.solve(..., throw=False)." + hint
        )

    def __reduce__(self) -> tuple:
        """By the arguments: exceptions of other processes arrive pickled."""
        numbers = self.iterations, self.energy, self.delta_energy, self.gradient
        return type(self), (*numbers, self.density_matrix, self.smallest_overlap)


class ResponseError(DqcLiteError, RuntimeError):
    """The response (coupled-perturbed) equations are singular, unconverged or not available."""


class MemoryBudgetError(DqcLiteError, MemoryError):
    """An allocation that would exceed the memory budget; raised before allocating."""


class ForkError(DqcLiteError, RuntimeError):
    """A computation in a process that was forked from one that had computed."""


class PrecisionError(DqcLiteError, RuntimeError):
    """Double precision is required and is off."""


class CheckpointError(DqcLiteError, RuntimeError):
    """A checkpoint that is truncated, foreign, or does not fit the molecule."""
