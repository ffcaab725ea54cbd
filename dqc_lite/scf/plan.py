"""What a search for a self-consistent state does: the settings of every built-in solver, as one."""

from __future__ import annotations

import dataclasses
from typing import Literal

from dqc_lite.errors import MethodError
from dqc_lite.scf.reference import Reference


@dataclasses.dataclass(frozen=True)
class Plan:
    """DIIS; second order where that fails, and then a look at the stability.

    The attributes are those of `dqc_lite.DIIS`, `dqc_lite.SecondOrder` and `dqc_lite.Auto`; of the
    last two parts there is nothing by default.

    Attributes:
        solver: name of the solver whose settings these are.
        newton_cycles: cycles of second order in one run at most, 0: that stage does not exist.
        stability: whether the stability of what has converged is examined: always, never, or where
            `dqc_lite.scf.stability.doubtful` says so.
    """

    solver: str
    max_cycle: int
    energy_tol: float
    gradient_tol: float
    space: int = 8
    damping: float = 0.0
    level_shift: float = 0.0
    early: Literal["diis", "adiis", "ediis"] = "diis"
    maximum_overlap: bool = False
    patience: int | None = None
    newton_cycles: int = 0
    radius: float = 0.4
    max_products: int = 40
    stability: bool | Literal["doubtful"] = False
    max_follow: int = 0
    starts: int = 1
    external: bool = False

    @property
    def rows(self) -> int:
        """Cycles that the history has room for."""
        return self.max_cycle + self.newton_cycles

    @property
    def several(self) -> bool:
        """Whether minima are compared."""
        return self.starts > 1

    def suited_to(self, reference: Reference) -> Plan:
        """The part of the plan that there is for a kind of state.

        Raises:
            MethodError: more than DIIS is asked for with fractions of electrons.
        """
        if self.level_shift and reference.smeared:
            raise MethodError(
                f"level_shift = {self.level_shift} moves the orbital energies that smearing "
                "fills by; leave out one of them."
            )
        if self.external and reference.kind != "restricted":
            raise MethodError(
                f"the external stability of {reference.kind} determinants is not available; it is "
                "of restricted ones."
            )
        if reference.filling is None:
            return self
        if self.stability is True or self.solver == "SecondOrder":
            raise MethodError(
                f"smearing and given occupations are solved by DIIS, not by {self.solver}; "
                "use solver=dqc_lite.DIIS()."
            )
        if not self.newton_cycles:
            return self
        return dataclasses.replace(self, newton_cycles=0, stability=False, patience=None)
