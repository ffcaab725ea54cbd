"""Functionals whose enhancement factors are neural networks, with exact constraints built in.

Exchange is the uniform gas times F, of each spin: E_x = sum_s E_x^LDA[2 rho_s] F(f_s) / 2, the
spin scaling of G. L. Oliver and J. P. Perdew, Phys. Rev. A 20, 397 (1979). Correlation is PW92
times a factor of the total density. The features f of the density's inhomogeneity,

    u = s^2 / (1 + s^2),    v = (tau - tau_u) / (tau + tau_u)    (v for meta-GGAs only),

with s the reduced gradient and tau_u the kinetic energy density of the uniform gas, are zero in
the uniform gas and of size one at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from dqc_lite._call_errors import named_arguments
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.errors import FunctionalError
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.functional import Functional
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.slater import SlaterExchange, enhanced

Kind = Literal["exchange", "unscaled exchange", "correlation"]

LIEB_OXFORD = 1.804
"""Local bound of F (J. P. Perdew, K. Burke and M. Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996))."""

_INHOMOGENEITY = {"gga": 1, "mgga": 2}
_SURROUNDINGS: dict[Kind, int] = {"exchange": 0, "unscaled exchange": 1, "correlation": 2}


@pytree
class Network:
    """A callable pytree with its arrays as leaves and all else, such as activations, static."""

    arrays: tuple[Any, ...]
    rest: tuple[Any, ...] = static()
    structure: Any = static()

    @classmethod
    def of(cls, module: Callable) -> Network:
        """Take a module apart."""
        leaves, structure = jax.tree.flatten(module)
        arrays = tuple(leaf for leaf in leaves if eqx.is_array(leaf))
        rest = tuple(None if eqx.is_array(leaf) else leaf for leaf in leaves)
        return cls(arrays, rest, structure)

    @property
    def module(self) -> Callable:
        """The module with the present arrays."""
        arrays = iter(self.arrays)
        leaves = [next(arrays) if leaf is None else leaf for leaf in self.rest]
        return jax.tree.unflatten(self.structure, leaves)

    def __call__(self, features: Float[Array, "feature point"]) -> Float[Array, "output point"]:
        """Values at every point."""
        values = jax.vmap(self.module, in_axes=1, out_axes=-1)(features)
        return jnp.atleast_2d(values)


@named_arguments
@pytree
class NeuralFunctional:
    """Exchange and correlation with enhancement factors from networks.

    A network takes the features of one point, (u,) or (u, v) and after them

    - exchange with spin scaling: nothing;
    - exchange without: the squared polarization zeta^2 (u and v are of the total density);
    - correlation: zeta^2 and r_s / (1 + r_s);

    and returns one number g_k for each of u and v. They enter as x = sum_k f_k g_k, the general
    form of a smooth function that is zero in the uniform gas; without that limit as x = sum_k g_k.

    Attributes:
        exchange, correlation: networks: any callable pytrees, such as modules of equinox; their
            arrays are the leaves. None leaves the part out.
        level: "gga" or "mgga".
        uniform_gas: F = 1 exactly in the uniform gas.
        spin_scaling: exchange obeys E_x[rho_a, rho_b] = (E_x[2 rho_a] + E_x[2 rho_b]) / 2 exactly.
        lieb_oxford: F lies between 0 and this bound, by a smooth map of x; None: F = 1 + x. The
            factor of correlation always lies between 0 and 2.
    """

    exchange: Any = None
    correlation: Any = None
    level: Literal["gga", "mgga"] = static(default="gga")
    uniform_gas: bool = static(default=True)
    spin_scaling: bool = static(default=True)
    lieb_oxford: float | None = static(default=LIEB_OXFORD)

    def __post_init__(self) -> None:
        if self.level not in _INHOMOGENEITY:
            raise FunctionalError(f"level = {self.level!r} is not understood; use 'gga' or 'mgga'.")
        if self.lieb_oxford is not None and not self.lieb_oxford > 1.0:
            raise FunctionalError(
                f"lieb_oxford = {self.lieb_oxford} must exceed 1, the factor of the uniform gas."
            )
        for name, kind in (("exchange", self._exchange_kind), ("correlation", "correlation")):
            module = getattr(self, name)
            if callable(module) and not isinstance(module, Network):
                _check_shapes(name, module, *_sizes(self.level, kind))
                object.__setattr__(self, name, Network.of(module))

    @property
    def note(self) -> str:
        """For printing."""
        return f"networks of {sum(leaf.size for leaf in jax.tree.leaves(self))} parameters"

    @property
    def _exchange_kind(self) -> Kind:
        return "exchange" if self.spin_scaling else "unscaled exchange"

    def energy_density(self, density: LocalDensity) -> Float[Array, " point"]:
        """Energy per volume, hartree / bohr^3."""
        energy = jnp.zeros_like(density.sigma_total)
        if self.exchange is not None:
            energy = energy + self._exchange_energy(density)
        if self.correlation is not None:
            factor = 1.0 + jnp.tanh(self._argument(self.correlation, *_correlation(density)))
            energy = energy + PW92.modified().energy_density(density) * factor
        return energy

    def exchange_factor(self, density: LocalDensity) -> Float[Array, "spin point"]:
        """F of each spin; of one row, for both, without spin scaling."""
        if self.spin_scaling:
            rows = [_of_spin(density, spin) for spin in range(density.rho.shape[0])]
            x = jnp.stack([self._argument(self.exchange, *row) for row in rows])
        else:
            inhomogeneity, (polarization, _) = _correlation(density)
            x = self._argument(self.exchange, inhomogeneity, [polarization])[None]
        return 1.0 + (x if self.lieb_oxford is None else _bounded(x, self.lieb_oxford - 1.0))

    def _exchange_energy(self, density: LocalDensity) -> Float[Array, " point"]:
        return enhanced(density, self.exchange_factor(density))

    def _argument(self, network: Network, inhomogeneity: list, surroundings: list):
        """x, zero in the uniform gas if that is asked for."""
        inhomogeneity = inhomogeneity[: _INHOMOGENEITY[self.level]]
        values = network(jnp.stack([*inhomogeneity, *surroundings]))
        if not self.uniform_gas:
            return values.sum(0)
        return sum(f * g for f, g in zip(inhomogeneity, values, strict=True))


def gga_network(
    key: jax.Array, width: int = 16, depth: int = 2, *, kind: Kind = "exchange"
) -> eqx.nn.MLP:
    """A network for `NeuralFunctional` of level "gga"; `depth` hidden layers of `width`."""
    return _perceptron(key, width, depth, *_sizes("gga", kind))


def mgga_network(
    key: jax.Array, width: int = 16, depth: int = 2, *, kind: Kind = "exchange"
) -> eqx.nn.MLP:
    """A network for `NeuralFunctional` of level "mgga"; `depth` hidden layers of `width`."""
    return _perceptron(key, width, depth, *_sizes("mgga", kind))


def correction(
    key: jax.Array,
    level: Literal["gga", "mgga"] = "gga",
    width: int = 8,
    depth: int = 2,
    *,
    with_correlation: bool = True,
) -> Functional:
    """A neural change of another functional, zero to start with and always in the uniform gas.

    Networks minus the uniform gas: ``functional("pbe") + correction(key)`` starts as PBE, its
    exchange obeys the spin scaling. The component's label is "neural": its parameters are
    ``"neural.*"`` for `dqc_lite.fit.Parameters.select`.
    """
    first, second = jax.random.split(key)
    make = gga_network if level == "gga" else mgga_network
    exchange = _silent(make(first, width, depth))
    correlation = _silent(make(second, width, depth, kind="correlation"))
    networks = NeuralFunctional(
        exchange, correlation if with_correlation else None, level=level, lieb_oxford=None
    )
    components = (networks, SlaterExchange()) + ((PW92.modified(),) if with_correlation else ())
    labels = ("neural", "lda_x", "lda_c_pw_mod")[: len(components)]
    weights = (1.0, -1.0, -1.0)[: len(components)]
    return Functional(components=components, weights=weights, labels=labels)


def _silent(network: eqx.nn.MLP) -> eqx.nn.MLP:
    """With a last layer of zeros."""
    last = network.layers[-1]
    assert last.bias is not None
    zeros = jnp.zeros_like(last.weight), jnp.zeros_like(last.bias)
    return eqx.tree_at(lambda n: (n.layers[-1].weight, n.layers[-1].bias), network, zeros)


def _perceptron(key: jax.Array, width: int, depth: int, inputs: int, outputs: int) -> eqx.nn.MLP:
    """Its activation has derivatives of every order."""
    return eqx.nn.MLP(inputs, outputs, width, depth, activation=jax.nn.silu, key=key)


def _sizes(level: str, kind: Kind) -> tuple[int, int]:
    """Numbers of inputs and outputs."""
    if kind not in _SURROUNDINGS:
        raise FunctionalError(f"kind = {kind!r} is not understood; use one of {[*_SURROUNDINGS]}.")
    outputs = _INHOMOGENEITY[level]
    return outputs + _SURROUNDINGS[kind], outputs


def _check_shapes(name: str, module: Callable, inputs: int, outputs: int) -> None:
    try:
        point = jax.ShapeDtypeStruct((inputs,), jnp.result_type(float))
        shape = jax.eval_shape(lambda x: module(x), point).shape
    except (TypeError, ValueError) as error:
        raise FunctionalError(
            f"{name}: the network does not take {inputs} features of one point: {error}"
        ) from error
    if math.prod(shape) != outputs:
        raise FunctionalError(
            f"{name}: the network returns shape {shape} and has to return {outputs} numbers, one "
            "for each feature of inhomogeneity."
        )


def _bounded(x: Float[Array, "..."], excess: float) -> Float[Array, "..."]:
    """Smooth, increasing, from -1 to `excess`; 0 and of slope excess / (1 + excess) at 0."""
    t = jnp.tanh(0.5 * x)
    return 2.0 * excess * t / ((1.0 + excess) + (1.0 - excess) * t)


def _of_spin(density: LocalDensity, spin: int) -> tuple[list, list]:
    """(u, v) of the closed shell that has twice this spin's density."""
    rho, sigma, tau = (
        density.safe_rho[spin], density.safe_sigma[spin], density.safe_tau[spin],
    )  # fmt: skip
    return [_gradient(sigma, rho, 6.0 * math.pi**2), _motion(tau, _uniform_motion(rho))], []


def _correlation(density: LocalDensity) -> tuple[list, list]:
    """(u, v) of the total density, and (zeta^2, r_s / (1 + r_s))."""
    gradient = _gradient(density.safe_sigma_total, density.safe_total, 3.0 * math.pi**2)
    motion = _motion(density.safe_tau_total, density.summed(_uniform_motion(density.safe_rho)))
    radius = density.wigner_seitz_radius
    surroundings = [jnp.square(density.polarization), radius / (1.0 + radius)]
    return [gradient, motion], surroundings


def _gradient(sigma, rho, fermi_cubed: float):
    """u = s^2 / (1 + s^2), s = |grad rho| / (2 k_F rho)."""
    cbrt = jnp.cbrt(rho)
    return sigma / (sigma + 4.0 * fermi_cubed ** (2.0 / 3.0) * jnp.square(rho * cbrt))


def _uniform_motion(rho):
    """Kinetic energy density of one spin of the uniform gas, hartree / bohr^3."""
    return 0.3 * (6.0 * math.pi**2) ** (2.0 / 3.0) * rho * jnp.square(jnp.cbrt(rho))


def _motion(tau, uniform):
    """v = (tau - tau_u) / (tau + tau_u)."""
    return (tau - uniform) / (tau + uniform)
