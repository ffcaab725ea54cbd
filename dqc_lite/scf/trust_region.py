"""The radius within which a quadratic model of the energy is trusted.

It follows the ratio of actual and predicted decrease (Fletcher, Practical Methods of Optimization,
ch. 5).
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from dqc_lite._types import Array, Bool, Float

LARGEST_RADIUS = 1.5
"""Radian; a turn by pi/2 exchanges two orbitals."""

ROUNDING = 1e-12
"""Share of the total energy below which a change of it means nothing."""


class Verdict(NamedTuple):
    """Whether a step was good, by how much the energy fell, and the next radius."""

    good: Bool[Array, ""]
    gain: Float[Array, ""]
    radius: Float[Array, ""]


def judge(
    before: Float[Array, ""], after: Float[Array, ""], predicted: Float[Array, ""],
    length: Float[Array, ""], radius: Float[Array, ""],
) -> Verdict:  # fmt: skip
    """Of the energies (hartree) before and after a step of that length (radian)."""
    gain = before - after
    rounding = ROUNDING * jnp.abs(after)
    # so near the minimum that the ratio is noise
    settled = (predicted < 100 * rounding) & (gain > -100 * rounding)
    ratio = jnp.where(settled, 1.0, gain / jnp.where(predicted > 0, predicted, 1.0))
    grown = jnp.where((ratio > 0.75) & (length > 0.8 * radius), 2.0 * radius, radius)
    # a comparison that is false for NaN
    radius = jnp.where(ratio >= 0.25, jnp.minimum(grown, LARGEST_RADIUS), 0.25 * length)
    return Verdict(ratio > 0, gain, radius)
