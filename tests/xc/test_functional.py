"""Functionals put together by hand: sums, factors, leaves, transformations."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from xc import libxc_oracle

from dqc_lite._pytree import pytree
from dqc_lite.errors import FunctionalError
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.functional import (
    Functional,
    exact_exchange,
    long_range_exchange,
    of_component,
)


@pytree
class Power:
    """scale rho^power."""

    scale: float = -0.7
    power: float = 4 / 3
    level: ClassVar[str] = "lda"

    def energy_density(self, density):
        return self.scale * density.total**self.power


@pytree
class Gradient:
    """mu |grad rho|^2."""

    mu: float = 0.2
    level: ClassVar[str] = "gga"

    def energy_density(self, density):
        return self.mu * density.sigma_total


@pytree
class Screened:
    """rho exp(-omega scale), the short range of `Power` in spirit."""

    scale: float = 1.5
    level: ClassVar[str] = "lda"
    attenuated: ClassVar[bool] = True

    def energy_density(self, density, omega):
        return density.total * jnp.exp(-omega * self.scale)


power, gradient, screened = map(of_component, (Power(), Gradient(), Screened()))


@pytest.fixture(scope="module")
def density() -> LocalDensity:
    return libxc_oracle.polarized(*libxc_oracle.sample(7, seed=3))


def test_energy_is_the_weighted_sum(density):
    f = 0.25 * power - gradient * 2.0 + np.float64(3.0) * power
    expected = 3.25 * Power().energy_density(density) - 2.0 * Gradient().energy_density(density)
    np.testing.assert_allclose(f.energy_density(density), expected, rtol=1e-14)
    np.testing.assert_allclose((-f).energy_density(density), -expected, rtol=1e-14)
    np.testing.assert_allclose(sum([f, f]).energy_density(density), 2 * expected, rtol=1e-14)
    assert f.weights == (0.25, -2.0, 3.0)


def test_factors_reach_every_part():
    f = Functional((), (), 0.2, 0.6, 0.3, (5.9, 0.009), 1.0)
    half = 0.5 * f
    assert (half.exact_exchange, half.long_range_exchange, half.omega) == (0.1, 0.3, 0.3)
    assert (half.nonlocal_correlation, half.nonlocal_weight) == ((5.9, 0.009), 0.5)
    both = half + f
    assert (both.exact_exchange, both.nonlocal_weight) == (pytest.approx(0.3), 1.5)


def test_levels_are_the_highest():
    assert exact_exchange(1.0).level is None
    assert power.level == "lda"
    assert (power + gradient + exact_exchange(0.1)).level == "gga"


def test_without_components_the_energy_is_zero(density):
    assert np.array_equal(exact_exchange(0.25).energy_density(density), np.zeros(7))


def test_absent_parts_stay_absent():
    f = 0.5 * power + gradient
    assert f.exact_exchange is f.long_range_exchange is f.omega is f.nonlocal_correlation is None
    assert len(jax.tree.leaves(f)) == 5  # two weights, two parameters of one, one of the other


def test_attenuated_components_take_omega(density):
    f = screened + long_range_exchange(1.0, 0.4)
    expected = np.asarray(density.total) * np.exp(-0.6)
    np.testing.assert_allclose(f.energy_density(density), expected, rtol=1e-14)
    with pytest.raises(FunctionalError, match="omega"):
        screened.energy_density(density)


def test_one_functional_has_one_omega():
    a, b = long_range_exchange(0.5, 0.3), long_range_exchange(0.5, 0.4)
    with pytest.raises(FunctionalError, match=r"omega = 0\.3 and 0\.4"):
        a + b
    assert (a + long_range_exchange(0.2, jnp.asarray(0.3))).long_range_exchange == 0.7
    assert (a + power).omega == (power + a).omega == 0.3
    with pytest.raises(FunctionalError, match="nonlocal_correlation"):
        Functional(nonlocal_correlation=(6.0, 0.01), nonlocal_weight=1.0) + Functional(
            nonlocal_correlation=(5.9, 0.01), nonlocal_weight=1.0
        )


def test_omega_while_tracing():
    jax.jit(lambda w: (f := long_range_exchange(0.5, w)) + 2.0 * f)(0.3)
    with pytest.raises(FunctionalError, match="traced"):
        jax.jit(lambda w: long_range_exchange(0.5, w) + long_range_exchange(0.5, 0.3))(0.3)


def test_only_functionals_and_scalars_combine():
    with pytest.raises(TypeError):
        power + 1.0
    with pytest.raises(TypeError):
        1.0 + power
    with pytest.raises(TypeError):
        power - "pbe"
    with pytest.raises(FunctionalError, match="scalar"):
        np.ones(2) * power


def test_the_text_says_what_it_is():
    f = dataclasses.replace(0.75 * power + 0.25 * gradient, exact_exchange=0.2, omega=0.33)
    text = repr(f)
    for part in ("gga", "0.75 Power", "0.25 Gradient", "0.2 exact exchange", "omega = 0.33"):
        assert part in text
    assert "ShapeDtypeStruct" in repr(jax.eval_shape(lambda: f))
    seen = []
    jax.jit(lambda f: seen.append(repr(f)) or f.weights)(f)
    assert "Tracer" in seen[0]


def test_jit_grad_and_vmap_of_a_functional(density):
    f = 0.75 * power + 0.25 * gradient + (screened + long_range_exchange(0.3, 0.4))

    def energy(f):
        return jnp.sum(f.energy_density(density) * jnp.linspace(0.1, 0.3, 7))

    compiled = jax.jit(energy)
    assert compiled(f) == pytest.approx(float(energy(f)), rel=1e-14)
    slope = jax.jit(jax.grad(energy))(f)
    assert jax.tree.structure(slope) == jax.tree.structure(f)
    leaves, structure = jax.tree.flatten(f)
    for i, at in enumerate(jax.tree.leaves(slope)):
        step = 1e-5
        moved = [
            compiled(jax.tree.unflatten(structure, [*leaves[:i], leaves[i] + d, *leaves[i + 1 :]]))
            for d in (step, -step)
        ]
        assert float(at) == pytest.approx(float(moved[0] - moved[1]) / (2 * step), rel=1e-7)
    many = jax.tree.map(lambda leaf: leaf * jnp.array([1.0, 1.1]), f)
    np.testing.assert_allclose(
        jax.vmap(energy)(many),
        [energy(jax.tree.map(lambda leaf, k=k: leaf[k], many)) for k in range(2)],
        rtol=1e-13,
    )
