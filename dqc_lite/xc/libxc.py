"""Any functional of libxc, evaluated on the host; its parameters are fixed."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.zero_valued import is_zero
from dqc_lite.errors import FunctionalError
from dqc_lite.integrals.callback import host_call
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.functional import Functional


def libxc_functional(name: str) -> Functional:
    """The functional that PySCF knows by this name, with libxc's coefficients of exact exchange.

    Raises:
        FunctionalError: unknown, or of a kind that is not supported.
    """
    from dqc_lite.integrals.host import libxc  # PySCF is imported for those who need it

    found = libxc.describe("".join(name.split()))
    components: tuple[LibxcComponent, ...] = ()
    if found.level is not None:
        components = (LibxcComponent(found.name, found.level, found.order, found.omega),)
    parameters, weight = found.vv10 or (None, None)
    return Functional(
        components=components,
        weights=(1.0,) * len(components),
        exact_exchange=found.exact_exchange,
        long_range_exchange=found.long_range_exchange,
        omega=found.omega,
        nonlocal_correlation=parameters,
        nonlocal_weight=weight,
        labels=(found.name.lower(),) * len(components),
        name=f"libxc:{found.name.lower()}",
    )


@pytree
class LibxcComponent:
    """The semilocal part of a functional of libxc. It has no leaves: nothing in it is trainable.

    Attributes:
        name: PySCF's name of it.
        level: "lda", "gga" or "mgga".
        order: the highest derivative that libxc gives.
        range_separation: libxc's omega, 1 / bohr; None without range-separated exchange.
    """

    name: str = static()
    level: str = static()
    order: int = static(default=3)
    range_separation: float | None = static(default=None)

    note: ClassVar[str] = "libxc on the host, not trainable"

    @property
    def attenuated(self) -> bool:
        """Whether `energy_density` takes omega."""
        return self.range_separation is not None

    def energy_density(
        self, density: LocalDensity, omega: float | Float[Array, ""] | None = None
    ) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3; differentiable to `order` in the density.

        omega, 1 / bohr, has to be `range_separation`; NaN where it turns out not to be in compiled
        code.

        Raises:
            FunctionalError: another omega, or, while tracing, a derivative that libxc lacks.
        """
        variables = _variables(density, self.level)
        if not self.attenuated:
            return _through_order(self, len(variables), 0)(variables)[0]
        if not isinstance(omega, jax.core.Tracer) and omega != self.range_separation:
            raise FunctionalError(
                f"omega = {omega} does not fit 'libxc:{self.name}', where it is "
                f"{self.range_separation}; libxc keeps it fixed."
            )
        return _through_order(self, len(variables), 0)(variables, omega)[0]


def _variables(density: LocalDensity, level: str) -> Float[Array, "variable point"]:
    """libxc's variables, in its order."""
    if density.rho.shape[0] == 1:
        every = {"lda": density.total[None], "gga": density.sigma_total[None],
                 "mgga": density.tau_total[None]}  # fmt: skip
    else:
        a, b = density.sigma
        mixed = 0.5 * (density.sigma_total - a - b)
        every = {"lda": density.rho, "gga": jnp.stack([a, mixed, b]), "mgga": density.tau}
    levels = list(every)
    return jnp.concatenate([every[key] for key in levels[: levels.index(level) + 1]])


@functools.lru_cache(maxsize=512)
def _through_order(component: LibxcComponent, variables: int, order: int) -> Callable:
    """``(variables, omega) ->`` all derivatives through `order`, (derivative, point).

    The rule reads value and tangent from the derivatives of one order more, so that every order of
    differentiation asks the host once.
    """
    count = len(_multisets(variables, order))

    @jax.custom_jvp
    def derivatives(values: Float[Array, "variable point"], *omega: Any) -> jax.Array:
        host = functools.partial(_on_host, component, order)
        return host_call(host, (count, values.shape[1]), values, *omega)

    def rule(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
        if not all(is_zero(t) for t in tangents[1:]):
            raise FunctionalError(
                f"omega of 'libxc:{component.name}' has no derivative in libxc; hold it fixed with "
                "jax.lax.stop_gradient, or use a functional of dqc_lite.list_functionals()."
            )
        if order >= component.order:
            raise FunctionalError(
                f"'libxc:{component.name}' has derivatives to order {component.order} only and one "
                "more was asked for; the functionals of dqc_lite.list_functionals() have every "
                "order."
            )
        above = _through_order(component, variables, order + 1)(*primals)
        if is_zero(tangents[0]):
            return above[:count], jnp.zeros_like(above[:count])
        index = _raised(variables, order)
        tangent = sum(above[index[:, j]] * tangents[0][j] for j in range(variables))
        return above[:count], tangent

    derivatives.defjvp(rule, symbolic_zeros=True)
    return derivatives


def _on_host(
    component: LibxcComponent, order: int, values: np.ndarray, omega: np.ndarray | None = None
) -> np.ndarray:
    from dqc_lite.integrals.host import libxc

    out = libxc.derivatives(component.name, component.level, order, values)
    fits = omega is None or float(omega) == component.range_separation
    return out if fits else np.full_like(out, np.nan)


@functools.cache
def _multisets(variables: int, order: int) -> list[tuple[int, ...]]:
    """The variables of each derivative through `order`, in libxc_host's order."""
    return [
        chosen
        for k in range(order + 1)
        for chosen in itertools.combinations_with_replacement(range(variables), k)
    ]


@functools.cache
def _raised(variables: int, order: int) -> np.ndarray:
    """(derivative, variable): where the derivative by one variable more stands."""
    position = {chosen: i for i, chosen in enumerate(_multisets(variables, order + 1))}
    return np.array(
        [
            [position[tuple(sorted((*chosen, j)))] for j in range(variables)]
            for chosen in _multisets(variables, order)
        ]
    )
