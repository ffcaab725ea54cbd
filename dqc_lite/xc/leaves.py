"""Parameters of functionals as leaves. They are NumPy arrays until JAX works on them: importing a
functional starts no device, and what nobody differentiates stays a constant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from dqc_lite._types import Array


def leaf(values: Sequence[Any]) -> Array:
    """Numbers, or rows of them."""
    return cast(Array, np.array(values))


def default(*values: float) -> Array:
    """A field whose default they are."""
    return dataclasses.field(default_factory=lambda: leaf(values))
