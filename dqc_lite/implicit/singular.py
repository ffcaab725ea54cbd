"""When the response equations count as solved."""

from __future__ import annotations

import jax.numpy as jnp

from dqc_lite._types import Array
from dqc_lite.implicit.minres import Response

ACCEPTED = 1e-8
"""Relative residual above which the answer is NaN."""

SINGULAR = 1e-4
"""Eigenvalue of the preconditioned operator below which it is singular."""


def nan_if_singular(found: Response) -> Array:
    """x, or NaN: never a number that nobody checked."""
    bad = ~(found.residual < ACCEPTED) | (found.smallest < SINGULAR)
    return found.x * jnp.where(bad, jnp.nan, 1.0)
