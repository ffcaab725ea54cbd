"""Neural functionals: exact constraints for random parameters, derivatives, training."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from xc import libxc_oracle

from dqc_lite.errors import FunctionalError
from dqc_lite.xc.density import LocalDensity
from dqc_lite.xc.names import functional
from dqc_lite.xc.neural import LIEB_OXFORD, NeuralFunctional, gga_network, mgga_network
from dqc_lite.xc.pw92 import PW92
from dqc_lite.xc.slater import SlaterExchange

NETWORKS = {"gga": gga_network, "mgga": mgga_network}
UNIFORM_TAU = 0.3 * (6 * np.pi**2) ** (2 / 3)


@functools.cache
def shaped(level, kind):
    """A network with shapes for arrays."""
    make = functools.partial(NETWORKS[level], width=5, depth=1, kind=kind)
    return eqx.filter_eval_shape(make, jax.random.key(0))


def random_network(level, kind, rng):
    """With large parameters, far from the small ones that a network starts from."""
    return jax.tree.map(
        lambda x: 3 * rng.normal(size=x.shape) if isinstance(x, jax.ShapeDtypeStruct) else x,
        shaped(level, kind),
    )


@functools.cache
def neural(level, seed=0, spin_scaling=True, **options):
    rng = np.random.default_rng(seed)
    kind = "exchange" if spin_scaling else "unscaled exchange"
    exchange, correlation = (random_network(level, k, rng) for k in (kind, "correlation"))
    return NeuralFunctional(exchange, correlation, level, spin_scaling=spin_scaling, **options)


@jax.jit
def evaluated(f, density):
    """(energy density, that of exchange alone, F)."""
    return f.energy_density(density), f._exchange_energy(density), f.exchange_factor(density)


@jax.jit
def factor_of(f, density):
    return f.exchange_factor(density)


def uniform(rho) -> LocalDensity:
    rho = jnp.asarray(rho)
    zero = jnp.zeros_like(rho)
    return LocalDensity(rho, zero, zero[0], UNIFORM_TAU * rho ** (5 / 3))


@pytest.mark.parametrize("spin_scaling", [True, False])
@pytest.mark.parametrize("level", ["gga", "mgga"])
@pytest.mark.parametrize("seed", [0, 1])
def test_uniform_gas_is_exact(level, spin_scaling, seed):
    density = uniform(10.0 ** np.random.default_rng(seed).uniform(-3, 2, (2, 20)))
    f = neural(level, seed, spin_scaling)
    energy, _, factor = evaluated(f, density)
    expected = SlaterExchange().energy_density(density) + PW92.modified().energy_density(density)
    # tau of the uniform gas is rounded; without gradients nothing else is
    assert np.abs(factor - 1.0).max() <= (0.0 if level == "gga" else 1e-13)
    np.testing.assert_allclose(energy, expected, rtol=1e-13)


def test_uniform_gas_can_be_given_up():
    f = neural("gga", 0, uniform_gas=False)
    assert np.abs(factor_of(f, uniform([[0.3], [0.1]])) - 1.0).min() > 1e-3


@pytest.mark.parametrize("level", ["gga", "mgga"])
@pytest.mark.parametrize("seed", [0, 1])
def test_spin_scaling_is_exact(level, seed):
    """E_x[a, b] = (E_x[2 a] + E_x[2 b]) / 2, the halves closed shells."""
    rho, sigma, tau = libxc_oracle.sample(20, seed)
    f = neural(level, seed)
    both = evaluated(f, libxc_oracle.polarized(rho, sigma, tau))[1]
    halves = [
        evaluated(f, libxc_oracle.unpolarized(2 * rho[s], 4 * sigma[2 * s], 2 * tau[s]))[1]
        for s in range(2)
    ]
    np.testing.assert_allclose(both, 0.5 * (halves[0] + halves[1]), rtol=1e-13)


@pytest.mark.parametrize("bound", [LIEB_OXFORD, 1.174, 2.5])
def test_lieb_oxford_bound(bound):
    density = libxc_oracle.polarized(*libxc_oracle.sample(300))
    seen = []
    for seed in range(4):
        factor = np.asarray(factor_of(neural("mgga", seed, lieb_oxford=bound), density))
        assert (factor >= 0.0).all()
        assert (factor <= bound * (1 + 1e-15)).all()
        seen.append(factor)
    assert np.max(seen) > 1 + 0.9 * (bound - 1)  # it is the bound that holds them
    free = factor_of(neural("mgga", 0, lieb_oxford=None), density)
    assert (free > bound).any() or (free < 0).any()


@pytest.mark.parametrize("level", ["gga", "mgga"])
def test_closed_shell_as_two_equal_spins(level):
    rho, sigma, tau = libxc_oracle.sample(20, spin=1)
    for spin_scaling in (True, False):
        f = neural(level, 0, spin_scaling)
        halves = (jnp.stack([x / d] * n) for x, d, n in ((rho, 2, 2), (sigma, 4, 3), (tau, 2, 2)))
        one = evaluated(f, libxc_oracle.unpolarized(rho, sigma, tau))[0]
        two = evaluated(f, libxc_oracle.polarized(*halves))[0]
        np.testing.assert_allclose(one, two, rtol=1e-12)


def edges() -> np.ndarray:
    """Rows of `libxc_oracle.polarized` where something is zero or next to it."""
    rho = np.array([[0.0, 0.3, 0.0, 1e-25, 1e-12, 0.3, 0.3], [0.0, 0.0, 0.2, 0.2, 1e-12, 0.2, 0.2]])
    zero = np.zeros(7)
    aa = np.array([0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.2])
    bb = np.array([0.0, 0.0, 0.1, 0.1, 0.0, 0.0, 0.1])
    tau = np.array([[0.0, 0.2, 0.0, 0.0, 1e-20, 0.3, 0.0], [0.0, 0.0, 0.1, 0.1, 1e-20, 0.1, 0.0]])
    return np.concatenate([rho, [aa, zero, bb], tau])


@pytest.mark.parametrize(
    ("part", "spin_scaling"), [("exchange", True), ("exchange", False), ("correlation", True)]
)
def test_derivatives_are_finite_everywhere(part, spin_scaling):
    """To third order along every variable and all together, at zero density, gradient and tau."""
    whole = neural("mgga", 0, spin_scaling)
    f = NeuralFunctional(level="mgga", spin_scaling=spin_scaling, **{part: getattr(whole, part)})
    rows = jnp.asarray(edges())

    @jax.jit
    @jax.vmap
    def derivatives(along):
        def function(rows):
            return f.energy_density(libxc_oracle.from_rows(rows))

        for _ in range(3):
            function = functools.partial(slope_and_value, function, along)
        return function(rows)

    def slope_and_value(function, along, rows):
        return jax.jvp(function, (rows,), (along,))

    along = np.concatenate([np.eye(7)[:, :, None] * np.ones(7), [np.ones((7, 7))]])
    values = np.array(jax.tree.leaves(derivatives(jnp.asarray(along))))
    assert len(values) == 8
    assert np.isfinite(values).all()
    assert (values[:, :, 0] == 0.0).all()  # no density, no energy


def test_derivatives_with_respect_to_parameters():
    density = libxc_oracle.polarized(*libxc_oracle.sample(20, 2))
    weights = jnp.asarray(1.0 / np.abs(SlaterExchange().energy_density(density)))
    f = functional(neural("mgga", 1))

    @jax.jit
    def energy(f):
        return jnp.vdot(weights, f.energy_density(density))

    slope = jax.grad(energy)(f)
    assert jax.tree.structure(slope) == jax.tree.structure(f)
    rng = np.random.default_rng(0)
    for _ in range(3):
        along = jax.tree.map(lambda x: rng.normal(size=np.shape(x)), f)
        expected = sum(map(np.vdot, jax.tree.leaves(slope), jax.tree.leaves(along)))

        def moved(step, along=along):
            return float(energy(jax.tree.map(lambda x, a: x + step * a, f, along)))

        def central(step, moved=moved):
            return (moved(step) - moved(-step)) / (2 * step)

        fine, coarse = central(1e-5), central(2e-5)
        extrapolated = fine + (fine - coarse) / 3
        error = abs(fine - coarse) + 1e-9
        assert abs(extrapolated - expected) < error
        assert error < 1e-5 * abs(expected)


def test_part_of_a_functional():
    density = libxc_oracle.polarized(*libxc_oracle.sample(20, 2))
    component = neural("gga")
    f = 0.75 * functional(component) + 0.25 * functional("b88,")
    assert f.level == "gga"
    assert "NeuralFunctional  (networks of" in repr(f)
    expected = 0.75 * component.energy_density(density)
    expected += 0.25 * functional("b88,").energy_density(density)
    np.testing.assert_allclose(
        jax.jit(lambda f: f.energy_density(density))(f), expected, rtol=1e-12
    )


def test_any_callable_is_a_network():
    """One written by hand: F = 1 + x with x = a u gives back the low-gradient form."""

    class Linear(eqx.Module):
        slope: jax.Array

        def __call__(self, features):
            return self.slope

    rho, sigma, tau = libxc_oracle.sample(20, 3)
    density = libxc_oracle.polarized(rho, sigma, tau)
    f = NeuralFunctional(Linear(jnp.asarray(0.2)), lieb_oxford=None)
    s2 = sigma[::2] / (4 * (6 * np.pi**2) ** (2 / 3) * rho ** (8 / 3))
    uniform_gas = -0.75 * (6 / np.pi) ** (1 / 3) * rho ** (4 / 3)
    expected = (uniform_gas * (1 + 0.2 * s2 / (1 + s2))).sum(0)
    np.testing.assert_allclose(f.energy_density(density), expected, rtol=1e-13)
    assert len(jax.tree.leaves(f)) == 1


def test_what_does_not_fit_is_refused():
    network = shaped("gga", "exchange")
    with pytest.raises(FunctionalError, match="level"):
        NeuralFunctional(network, level="lda")
    with pytest.raises(FunctionalError, match="2 features"):
        NeuralFunctional(neural("gga").exchange.module, level="mgga")
    with pytest.raises(FunctionalError, match="has to return 1"):
        NeuralFunctional(lambda features: jnp.stack([features[0]] * 3))
    with pytest.raises(FunctionalError, match="lieb_oxford"):
        NeuralFunctional(network, lieb_oxford=0.9)
    with pytest.raises(FunctionalError, match="kind"):
        gga_network(jax.random.key(0), kind="kinetic")
