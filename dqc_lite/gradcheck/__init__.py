"""Automatic differentiation against finite differences, with the finite difference's own error.

A central difference has two errors: truncation, which shrinks with the step, and the noise of the
function divided by the step, which grows. Both are estimated here for every component, truncation
from an extrapolation table and noise from a difference table (J. J. More, S. M. Wild, SIAM J. Sci.
Comput. 33, 1292 (2011)), so that the verdict can say "undecided" where a finite difference is not
good enough to judge the derivative.
"""

from dqc_lite.gradcheck.check import check_gradients
from dqc_lite.gradcheck.report import GradientComponent, GradientReport

__all__ = ["GradientComponent", "GradientReport", "check_gradients"]
