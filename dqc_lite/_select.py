"""`jnp.where` with a number, as one operation: that of NumPy is a compiled function of its own,
which takes far longer to trace, to differentiate and to lower.
"""

from __future__ import annotations

from jax import lax

from dqc_lite._types import Array, Bool, Float


def select(
    mask: Bool[Array, "..."], values: Float[Array, "..."], otherwise: float
) -> Float[Array, "..."]:
    """`values` where the mask, of the same shape, holds, else a number."""
    return lax.select(mask, values, lax.full_like(values, otherwise))
