"""A functional: weighted semilocal components, exact exchange, nonlocal correlation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.errors import FunctionalError
from dqc_lite.xc.density import LocalDensity

LEVELS = ("lda", "gga", "mgga")
Scalar = float | Float[Array, ""]


class Component(Protocol):
    """What a component offers: pytrees of your own may be some (see `dqc_lite.xc`)."""

    @property
    def level(self) -> str:
        """One of `LEVELS`."""

    @property
    def energy_density(self) -> Callable[..., Float[Array, " point"]]:
        """Of a `LocalDensity`, and omega where `attenuated` is true, hartree / bohr^3."""


@pytree
class Functional:
    """E_xc = sum_i w_i E_i[rho] + a K + b K_erf(omega) + c E_VV10, in hartree.

    K is the exact exchange energy and K_erf the same with erf(omega r) / r for 1 / r. Every number
    is a leaf; which of them exist at all (not None) is structure. Functionals add and scale:
    ``0.75 * functional("pbe,") + exact_exchange(0.25) + functional(",pbe")`` is PBE0.

    Attributes:
        components: semilocal components (see `dqc_lite.xc`).
        weights: w_i, one of each component.
        exact_exchange: a; None without exact exchange of the full range.
        long_range_exchange: b; None without range separation.
        omega: attenuation parameter, 1 / bohr, of `long_range_exchange` and of the components that
            are attenuated; None where there is neither.
        nonlocal_correlation: the parameters (b, C) of VV10, None without.
        nonlocal_weight: c; None without.
        labels: libxc's label of each component, for printing.
        name: the name it was made from, "" when it was put together by hand.
    """

    components: tuple[Component, ...] = ()
    weights: tuple[Scalar, ...] = ()
    exact_exchange: Scalar | None = None
    long_range_exchange: Scalar | None = None
    omega: Scalar | None = None
    nonlocal_correlation: tuple[Scalar, Scalar] | None = None
    nonlocal_weight: Scalar | None = None
    labels: tuple[str, ...] = static(default=())
    name: str = static(default="")

    __array_ufunc__ = None  # NumPy scalars leave the product to __rmul__

    @property
    def level(self) -> str | None:
        """The highest level of the components, None without any."""
        if not self.components:
            return None
        return max((c.level for c in self.components), key=LEVELS.index)

    @property
    def fixed(self) -> tuple[str, ...]:
        """Labels of the components without any parameter to train, such as those of libxc."""
        pairs = zip(self.components, _labels(self), strict=True)
        return tuple(label for component, label in pairs if not jax.tree.leaves(component))

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Semilocal energy per volume, hartree / bohr^3."""
        total = jnp.zeros_like(density.rho[0])
        for weight, component in zip(self.weights, self.components, strict=True):
            total = total + weight * self._component_energy(component, density)
        return total

    def _component_energy(
        self, component: Component, density: LocalDensity
    ) -> Float[Array, " point"]:
        if not getattr(component, "attenuated", False):
            return component.energy_density(density)
        if self.omega is None:
            raise FunctionalError(
                f"component {type(component).__name__} is of short range and the functional has "
                "omega = None; set omega (1 / bohr)."
            )
        return component.energy_density(density, self.omega)

    def __add__(self, other: Functional) -> Functional:
        if not isinstance(other, Functional):
            return NotImplemented
        return Functional(
            components=self.components + other.components,
            weights=self.weights + other.weights,
            exact_exchange=_sum(self.exact_exchange, other.exact_exchange),
            long_range_exchange=_sum(self.long_range_exchange, other.long_range_exchange),
            omega=_common("omega", self.omega, other.omega),
            nonlocal_correlation=_common(
                "nonlocal_correlation", self.nonlocal_correlation, other.nonlocal_correlation
            ),
            nonlocal_weight=_sum(self.nonlocal_weight, other.nonlocal_weight),
            labels=_labels(self) + _labels(other),
        )

    def __radd__(self, other: Any) -> Functional:
        """The 0 that `sum` starts from."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __mul__(self, factor: Scalar) -> Functional:
        if jnp.ndim(factor) != 0:
            raise FunctionalError(
                f"a functional scales by a scalar, not by an array of shape {jnp.shape(factor)}."
            )
        return dataclasses.replace(
            self,
            weights=tuple(factor * w for w in self.weights),
            exact_exchange=_scaled(factor, self.exact_exchange),
            long_range_exchange=_scaled(factor, self.long_range_exchange),
            nonlocal_weight=_scaled(factor, self.nonlocal_weight),
            name="",
        )

    __rmul__ = __mul__

    def __neg__(self) -> Functional:
        return -1.0 * self

    def __sub__(self, other: Functional) -> Functional:
        if not isinstance(other, Functional):
            return NotImplemented
        return self + (-other)

    def __repr__(self) -> str:
        lines = [f"Functional({self.name!r}, level={self.level!r})"]
        for weight, component, label in zip(
            self.weights, self.components, _labels(self), strict=True
        ):
            note = getattr(component, "note", "")
            lines.append(f"  {_text(weight):>12s} {label}" + (f"  ({note})" if note else ""))
        for key in ("exact_exchange", "long_range_exchange"):
            if getattr(self, key) is not None:
                lines.append(f"  {_text(getattr(self, key)):>12s} {key.replace('_', ' ')}")
        if self.nonlocal_correlation is not None:
            b, c = map(_text, self.nonlocal_correlation)
            lines.append(f"  {_text(self.nonlocal_weight):>12s} VV10, b = {b}, C = {c}")
        if self.omega is not None:
            lines.append(f"  omega = {_text(self.omega)} / bohr")
        return "\n".join(lines)


def exact_exchange(fraction: Scalar) -> Functional:
    """This fraction of exact exchange, of the full range."""
    return Functional(exact_exchange=fraction)


def long_range_exchange(fraction: Scalar, omega: Scalar) -> Functional:
    """This fraction of exact exchange with erf(omega r) / r; omega in 1 / bohr."""
    return Functional(long_range_exchange=fraction, omega=omega)


def of_component(component: Component, label: str = "") -> Functional:
    """A functional of one component, weight 1."""
    return Functional((component,), (1.0,), labels=(label,) if label else ())


def _sum(a: Scalar | None, b: Scalar | None) -> Scalar | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _scaled(factor: Scalar, value: Scalar | None) -> Scalar | None:
    return None if value is None else factor * value


def _common(name: str, a: Any, b: Any) -> Any:
    """What two functionals share, or what the only one that has it says."""
    if a is None or b is None:
        return b if a is None else a
    if not all(map(_same, jax.tree.leaves(a), jax.tree.leaves(b))):
        values = " and ".join(str(jax.tree.map(_text, v)) for v in (a, b))
        raise FunctionalError(
            f"functionals with {name} = {values} cannot be added: one functional has one {name}. "
            "Make them equal first; traced values count as equal only if they are the same object."
        )
    return a


def _same(a: Scalar, b: Scalar) -> bool:
    if a is b:
        return True
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return False
    return np.array_equal(a, b)


def _labels(functional: Functional) -> tuple[str, ...]:
    """Of every component; its class where it has no label."""
    if functional.labels:
        return functional.labels
    return tuple(type(c).__name__ for c in functional.components)


def _text(value: Any) -> str:
    if isinstance(value, int | float) or (
        isinstance(value, jax.Array | np.ndarray | np.generic)
        and not isinstance(value, jax.core.Tracer)
        and value.size == 1
    ):
        return f"{float(np.reshape(value, ())):.12g}"
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{type(value).__name__}{list(shape)}"
