"""When the response equations count as solved."""

from __future__ import annotations

import jax.numpy as jnp

from dqc_lite._types import Array, Bool
from dqc_lite.implicit.minres import Response

ACCEPTED = 1e-8
"""Relative residual above which the answer is NaN."""

SINGULAR = 1e-4
"""Eigenvalue of the preconditioned operator below which it is singular."""


def solved(found: Response) -> Bool[Array, ""]:
    """Whether the answer counts."""
    return (found.residual < ACCEPTED) & ~(found.smallest < SINGULAR)


def nan_if_singular(found: Response) -> Array:
    """x, or NaN: never a number that nobody checked."""
    return found.x * jnp.where(solved(found), 1.0, jnp.nan)
