"""Every component of functionals, by the label that libxc gives it.

Each family file names its own in ``LABELS``: label -> callable without arguments that makes the
component with its published parameters. Labels are libxc's, in lower case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dqc_lite.xc import (
    b88,
    b97,
    b97m,
    ityh,
    lyp,
    m06,
    omega_b97,
    optx,
    p86,
    pbe,
    pw91,
    pw92,
    pz81,
    scan,
    slater,
    tpss,
    vwn,
    wpbeh,
)

FAMILIES = (
    slater, vwn, pw92, pz81, b88, pbe, pw91, optx, lyp, p86, b97,
    ityh, wpbeh, omega_b97, b97m,
    tpss, scan, m06,
)  # fmt: skip

COMPONENTS: dict[str, Callable[[], Any]] = {}
for _family in FAMILIES:
    _twice = COMPONENTS.keys() & _family.LABELS.keys()
    if _twice:
        raise ValueError(f"two families name {sorted(_twice)}")
    COMPONENTS |= _family.LABELS
