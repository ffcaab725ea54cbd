"""Every component of functionals, by the label that libxc gives it.

Each family file names its own in ``LABELS``: label -> callable without arguments that makes the
component with its published parameters. Labels are libxc's, in lower case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dqc_lite.xc import (
    b88,
    b95,
    b97,
    b97m,
    ityh,
    lyp,
    m06,
    mn15,
    n12,
    omega_b97,
    optx,
    p86,
    pbe,
    pw86,
    pw91,
    pw92,
    pz81,
    scan,
    slater,
    sogga11,
    tau_hcth,
    tpss,
    vwn,
    wpbeh,
)

FAMILIES = (
    slater, vwn, pw92, pz81, b88, pbe, pw86, pw91, optx, lyp, p86, b97, n12, sogga11,
    ityh, wpbeh, omega_b97, b97m,
    tpss, scan, b95, tau_hcth, m06, mn15,
)  # fmt: skip

COMPONENTS: dict[str, Callable[[], Any]] = {}
for _family in FAMILIES:
    _twice = COMPONENTS.keys() & _family.LABELS.keys()
    if _twice:
        raise ValueError(f"two families name {sorted(_twice)}")
    COMPONENTS |= _family.LABELS
