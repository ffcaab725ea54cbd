"""Divided differences against 50-digit recursion, from equal to distant nodes."""

import hermitian_reference as ref  # sets the precision
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from dqc_lite.linalg import divided_difference
from dqc_lite.linalg.scalar_functions import Derivative, Entropy, Exp, Fermi, Log, Power, Sign

FUNCTIONS = {
    "exp": (Exp(), mp.exp),
    "log": (Log(), mp.log),
    "sqrt": (Power(0.5), mp.sqrt),
    "inverse sqrt": (Power(-0.5), lambda x: 1 / mp.sqrt(x)),
    "power 1.7": (Power(1.7), lambda x: x ** mp.mpf(1.7)),
    "cube": (Power(3), lambda x: x**3),
    "inverse": (Power(-1), lambda x: 1 / x),
    "inverse square": (Power(-2), lambda x: x**-2),
    "fermi": (Fermi(), lambda x: 1 / (1 + mp.exp(x))),
    "fermi slope": (Derivative(Fermi()), lambda x: -1 / (2 + mp.exp(x) + mp.exp(-x))),
    "entropy": (Entropy(), lambda x: mp.log(1 + mp.exp(-x)) + x / (1 + mp.exp(x))),
    "generic gaussian": (lambda x: jnp.exp(-4 * x * x), lambda x: mp.exp(-4 * x * x)),
    "generic sine": (lambda x: jnp.sin(5 * x), lambda x: mp.sin(5 * x)),
    "generic, no Taylor rule": (jnp.arctan, mp.atan),
}
SPREADS = (0, 1e-16, 1e-12, 1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0)


def recursion(f, x):
    m = len(x) - 1
    if x[-1] == x[0]:
        return mp.diff(f, x[0], m) / mp.factorial(m)
    return (recursion(f, x[1:]) - recursion(f, x[:-1])) / (x[-1] - x[0])


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_recursion(name, order):
    if name == "generic, no Taylor rule" and order == 3:
        pytest.skip("same code as order 2, slow to compile")
    f, exact = FUNCTIONS[name]
    rng = np.random.default_rng(order)
    nodes = np.array([rng.uniform(0.5, 2.5) + s * rng.uniform(0, 1, order + 1) for s in SPREADS])
    nodes[::2, 0] = nodes[::2, -1]
    values = jax.jit(lambda *x: divided_difference(f, *x))(*nodes.T)
    for x, value in zip(nodes, values, strict=True):
        expected = recursion(exact, sorted(mp.mpf(t) for t in x))
        # A value near a zero of f^(m) is measured by the size of its neighbourhood.
        size = max(
            abs(expected), abs(mp.diff(exact, mp.mpf(x.mean()), order)) / mp.factorial(order)
        )
        assert abs(mp.mpf(float(value)) - expected) / size < 1e-10, x


def test_fermi_never_overflows():
    x = np.array([-1e300, -1e5, -800.0, -1.0, 0.0, 1.0, 800.0, 1e5, 1e300])
    for order in (1, 2):
        nodes = [x.reshape((-1,) + (1,) * i) for i in range(order + 1)]
        assert np.isfinite(divided_difference(Fermi(), *nodes)).all()
    assert float(divided_difference(Fermi(), 0.0, 0.0)) == -0.25
    assert float(divided_difference(Fermi(), -1e5, 1e5)) == pytest.approx(-1 / 2e5)


def test_a_step_between_close_nodes_is_seen():
    """Every derivative of sign is 0: Taylor must not win across the step."""
    for f in (Sign(), jnp.sign):
        values = [
            float(divided_difference(f, jnp.asarray(-t), jnp.asarray(t))) for t in (1e-9, 1.0)
        ]
        assert values == pytest.approx([1e9, 1.0])
        assert float(divided_difference(f, jnp.asarray(-1.0), jnp.ones(()), jnp.ones(()))) == -0.5


def test_single_precision_keeps_its_type():
    x = jnp.asarray([1.0, 1.0 + 1e-4], jnp.float32)
    value = divided_difference(Log(), x[0], x[1])
    assert value.dtype == jnp.float32
    assert ref.relative(value, mp.log(mp.mpf(float(x[1]))) / (mp.mpf(float(x[1])) - 1)) < 1e-6
