"""The gradient checker: it accepts right derivatives, catches wrong ones, and admits what it
cannot tell."""

import dataclasses
import functools
import json
import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dqc_lite.errors import GeometryError, InputError
from dqc_lite.gradcheck import GradientReport, check_gradients

METHODS = ["ridders", "5-point"]


@jax.custom_jvp
def _wrong_cube(x):
    return x**3


@_wrong_cube.defjvp
def _wrong_cube_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return x**3, 3.001 * x**2 * t


@jax.custom_vjp
def _wrong_backward(x):
    return jnp.sum(jnp.sin(x))


_wrong_backward.defvjp(lambda x: (_wrong_backward(x), x), lambda x, g: (g * jnp.cos(x + 1e-4),))


def _noise_of(x, size):
    """Noise that AD does not see, as that of an iteration stopped early."""
    return jax.lax.stop_gradient(size * jnp.sum(jnp.sin(1e9 * x)))


# --- right derivatives ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("fun", "derivative"),
    [
        (lambda x: jnp.sum(x**4 - 3.0 * x), lambda x: 4.0 * x**3 - 3.0),
        (lambda x: jnp.sum(jnp.sin(3.0 * x)), lambda x: 3.0 * np.cos(3.0 * x)),
        (lambda x: jnp.sum(jnp.exp(-(x**2))), lambda x: -2.0 * x * np.exp(-(x**2))),
        (lambda x: 1e3 + jnp.sum(jnp.cos(x)), lambda x: -np.sin(x)),
        (lambda x: jnp.sum(0.0 * x) + 5.0, lambda x: 0.0 * x),
    ],
    ids=["polynomial", "sine", "gaussian", "large offset", "constant"],
)
def test_known_derivatives(fun, derivative, method):
    x = np.array([0.3, -1.7, 0.0, 1e-9, 2.5])
    report = check_gradients(fun, jnp.asarray(x), method=method)
    assert report.passed, str(report)
    assert [c.name for c in report.components] == [f"x[{i}]" for i in range(5)]
    for component, exact in zip(report.components, derivative(x), strict=True):
        assert abs(component.fd - exact) <= 3.0 * component.fd_error + 1e-15
        np.testing.assert_allclose(list(component.ad.values()), exact, rtol=1e-12, atol=1e-12)
        assert 3.0 * component.fd_error <= 1e-8 + 1e-6 * abs(exact)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("x", [1e-6, 1e5])
def test_steps_follow_the_size_of_the_input(x, method):
    """log is finite on one side of 0 only, and flat far out."""
    report = check_gradients(jnp.log, x, method=method, atol=1e-12)
    assert report.passed, str(report)


def test_narrow_function_needs_small_steps():
    report = check_gradients(lambda x: jnp.sin(300.0 * x), 2.0)
    assert report.passed, str(report)


def test_edge_of_the_domain():
    """The first steps leave the domain of the square root; later ones do not."""
    report = check_gradients(lambda x: jnp.sqrt(x - 1.0), 1.01)
    assert report.passed, str(report)


def test_single_precision_is_judged_by_its_own_rounding():
    fun = lambda x: jnp.sum(jnp.sin(x))  # noqa: E731
    x = jnp.asarray([0.3, 1.2], dtype=jnp.float32)
    assert check_gradients(fun, x, rtol=1e-3, atol=1e-3).passed
    strict = check_gradients(fun, x, rtol=1e-9, atol=1e-9)
    assert {c.status for c in strict.components} == {"undecided"}


def test_jit_gives_the_same_verdict():
    fun = lambda x: jnp.sum(jnp.tanh(x) ** 2)  # noqa: E731
    plain = check_gradients(fun, jnp.arange(3.0))
    compiled = check_gradients(fun, jnp.arange(3.0), jit=True)
    assert plain.passed
    assert compiled.passed


# --- wrong derivatives ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_wrong_custom_jvp_is_caught(method):
    fun = lambda x, y: jnp.sum(_wrong_cube(x)) + jnp.sum(y**2)  # noqa: E731
    report = check_gradients(fun, jnp.array([0.0, 1.0]), jnp.array([3.0]), method=method)
    assert not report.passed
    assert report.worst.name == "x[1]"
    assert report.worst.status == "failed"
    assert report.worst.difference == pytest.approx(1e-3, rel=1e-4)
    # the derivative of x^3 at 0 is right even in the wrong rule
    assert [c.status for c in report.components] == ["ok", "failed", "ok"]
    assert "worst component: x[1] (failed" in str(report)
    assert "NOT PASSED" in str(report)


def test_wrong_backward_rule_is_caught_in_reverse_mode():
    report = check_gradients(_wrong_backward, jnp.array([0.4]), modes="reverse")
    assert report.worst.status == "failed"
    assert report.modes == ("reverse",)


def test_a_wrong_component_outside_the_subset_is_caught_by_random_directions():
    fun = lambda x: jnp.sum(x**2) + 2.0 * _wrong_cube(x[37])  # noqa: E731
    x = 1.0 + jnp.arange(100.0) / 100.0
    for seed in range(5):
        report = check_gradients(fun, x, max_components=3, seed=seed)
        names = [c.name for c in report.components]
        assert len(names) == 3 + 3
        assert names[3:] == [f"random direction {k}" for k in (1, 2, 3)]
        assert not report.passed


def test_large_error_in_a_noisy_function_fails():
    fun = lambda x: 2.0 * jnp.sum(_wrong_cube(x)) + _noise_of(x, 1e-9)  # noqa: E731
    assert check_gradients(fun, jnp.array([1.3])).worst.status == "failed"


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_derivative_that_is_not_finite_fails(bad):
    @jax.custom_jvp
    def f(x):
        return jnp.sum(x**2)

    f.defjvp(lambda p, t: (f(*p), jnp.sum(2.0 * p[0] * t[0] * jnp.array([1.0, bad]))))
    report = check_gradients(f, jnp.array([1.0, 2.0]), modes="reverse")
    assert report.worst.name == "x[1]"
    assert report.worst.status == "failed"
    assert "reverse not finite" in report.worst.note
    assert [c.status for c in report.components] == ["ok", "failed"]


def test_function_that_is_not_finite_fails():
    report = check_gradients(lambda x: jnp.sum(jnp.sqrt(x)), jnp.array([-1.0]))
    assert report.worst.status == "failed"
    report = check_gradients(jnp.sqrt, 0.0)  # finite at the point, on one side of it only
    assert report.worst.status == "failed"


# --- what cannot be told -------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("x0", [0.3, 0.01, 1.0, 7.7])
def test_noisy_function_is_undecided(method, x0):
    fun = lambda x: jnp.sum(x**2) + _noise_of(x, 1e-4)  # noqa: E731
    report = check_gradients(fun, jnp.array([x0]), method=method)
    assert report.worst.status == "undecided"
    assert not report.passed
    assert report.noise > 1e-6
    assert report.worst.fd_error > 1e-7


def test_noisy_function_passes_at_tolerances_above_the_noise():
    fun = lambda x: jnp.sum(x**2) + _noise_of(x, 1e-7)  # noqa: E731
    assert check_gradients(fun, jnp.array([0.8, 1.5]), rtol=1e-3, atol=1e-3).passed


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "kink", [jnp.abs, jax.nn.relu, lambda x: jnp.abs(x) + jnp.sin(x)], ids=["abs", "relu", "mixed"]
)
def test_kink_at_the_point_is_not_ok(kink, method):
    """The central difference of |x| at 0 is a clean 0: the one-sided ones tell."""
    report = check_gradients(lambda x: jnp.sum(kink(x)), jnp.array([0.0, 2.0]), method=method)
    assert [c.status for c in report.components] == ["undecided", "ok"]
    assert "kink" in report.worst.note


def test_kink_beside_the_point_is_stepped_around():
    report = check_gradients(lambda x: jnp.abs(x - 0.99), 1.0)
    assert report.passed, str(report)


def test_derivative_outside_the_two_sides_of_a_kink_fails():
    @jax.custom_jvp
    def f(x):
        return jnp.abs(x)

    f.defjvp(lambda p, t: (f(*p), 9.0 * t[0]))
    assert check_gradients(f, 0.0).worst.status == "failed"


# --- inputs and output ---------------------------------------------------------------------------


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["positions", "count"], meta_fields=["label"]
)
@dataclasses.dataclass(frozen=True)
class Thing:
    positions: jax.Array
    count: jax.Array
    label: str


def test_pytrees_are_named_by_their_paths():
    thing = Thing(jnp.array([[0.1, 0.2], [0.3, 0.4]]), jnp.array([2, 3]), "static")

    def fun(thing, extra, scale):
        assert thing.label == "static"
        r = jnp.sum(thing.positions**2) * jnp.sum(thing.count) * extra["n"]
        return r * jnp.exp(extra["a"][0]) * scale

    report = check_gradients(fun, thing, {"a": [0.5], "n": 4, "flag": True}, jnp.float64(1.5))
    assert report.passed, str(report)
    assert [c.name for c in report.components] == [
        *(f"thing.positions[{i}, {j}]" for i in range(2) for j in range(2)),
        "extra['a'][0]",
        "scale",
    ]
    assert report.total == 6


def test_variadic_functions_have_numbered_inputs():
    report = check_gradients(lambda *xs: xs[0] * xs[1], 2.0, 3.0)
    assert [c.name for c in report.components] == ["arg0", "arg1"]


def test_subset_takes_every_leaf_and_is_reproducible():
    fun = lambda a, b: jnp.sum(a**2) * b  # noqa: E731
    args = (jnp.arange(1.0, 51.0), jnp.float64(0.7))
    first = check_gradients(fun, *args, max_components=4, seed=3)
    assert first.passed, str(first)
    assert "b" in [c.name for c in first.components]
    assert len(first.components) == 4 + 3
    assert first.total == 51
    assert first == check_gradients(fun, *args, max_components=4, seed=3)
    other = check_gradients(fun, *args, max_components=4, seed=4)
    assert [c.name for c in first.components] != [c.name for c in other.components]
    whole = check_gradients(fun, *args, max_components=51)
    assert len(whole.components) == 51


def test_named_errors_at_displaced_points_do_not_stop_the_check():
    def fun(x):
        if not isinstance(x, jax.core.Tracer) and abs(float(x) - 1.0) > 0.03:
            raise GeometryError("too far")
        return jnp.sin(x)

    assert check_gradients(fun, 1.0).passed


@pytest.mark.parametrize(
    ("fun", "inputs", "match"),
    [
        (lambda x: x**2, (jnp.arange(3.0),), r"shape=\(3,\)"),
        (lambda x: x**2, (jnp.ones(1),), r"shape=\(1,\)"),
        (lambda x: (x, x), (1.0,), "one real floating number"),
        (lambda x: jnp.sum(x > 0.0), (jnp.arange(3.0),), "dtype=int"),
        (lambda x: x + 0j, (1.0,), "dtype=complex128"),
        (lambda x: x * 1.0, (3,), "no floating component"),
        (lambda: 1.0, (), "no floating component"),
        (lambda x: jnp.sum(x), (jnp.zeros((0, 3)),), "no floating component"),
        (lambda z: jnp.abs(z), (1.0 + 1.0j,), "input z is complex"),
    ],
)
def test_bad_function_or_input(fun, inputs, match):
    with pytest.raises(InputError, match=match):
        check_gradients(fun, *inputs)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "3-point"},
        {"modes": ("sideways",)},
        {"modes": ()},
        {"max_components": 0},
        {"rtol": -1.0},
        {"atol": math.nan},
    ],
)
def test_bad_options_name_the_field_and_the_value(options):
    (field, value) = next(iter(options.items()))
    with pytest.raises(InputError) as caught:
        check_gradients(jnp.sin, 1.0, **options)
    assert f"{field}={value!r}" in str(caught.value)


# --- the report ----------------------------------------------------------------------------------


def test_report_is_data_and_a_table():
    fun = lambda x: jnp.sum(x**2) + _wrong_cube(x[1])  # noqa: E731
    report = check_gradients(fun, jnp.array([1.0, 2.0]))
    assert isinstance(report, GradientReport)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.value = 0.0
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["passed"] is False
    assert data["worst"] == "x[1]"
    assert [c["status"] for c in data["components"]] == ["ok", "failed"]
    assert data["components"][0]["ad"] == pytest.approx({"reverse": 2.0, "forward": 2.0})
    lines = str(report).splitlines()
    assert len(lines) == 1 + 2 + 2
    assert lines[0].split()[:3] == ["component", "reverse", "forward"]
    assert len({len(line.rsplit("  ", 1)[0]) for line in lines[:3]}) == 1


def test_report_with_nan_is_strict_json():
    report = check_gradients(jnp.sqrt, -1.0)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["components"][0]["fd"] is None
    assert data["components"][0]["ok"] is False


# --- properties ----------------------------------------------------------------------------------

coefficient = st.floats(-10.0, 10.0, allow_subnormal=False)
point = st.floats(-3.0, 3.0, allow_subnormal=False)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(
    coefficients=st.lists(coefficient, min_size=1, max_size=7),
    x=point,
    method=st.sampled_from(METHODS),
)
def test_random_polynomials(coefficients, x, method):
    """Right derivatives are never failed, and the estimated error covers the real one."""
    c = np.array(coefficients)
    exact = float(np.polyval(np.polyder(c), x)) if len(c) > 1 else 0.0
    report = check_gradients(lambda x: jnp.polyval(jnp.asarray(c), x), x, method=method)
    component = report.components[0]
    assert component.status == "ok", str(report)
    assert abs(component.fd - exact) <= 3.0 * component.fd_error + 1e-12 * abs(exact) + 1e-100


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(
    coefficients=st.lists(coefficient, min_size=2, max_size=7),
    x=point,
    error=st.sampled_from([1e-4, -1e-2, 3.0]),
    method=st.sampled_from(METHODS),
)
def test_wrong_polynomials_are_caught(coefficients, x, error, method):
    c = jnp.asarray(coefficients)

    @jax.custom_jvp
    def f(x):
        return jnp.polyval(c, x)

    f.defjvp(lambda p, t: (f(*p), (jnp.polyval(jnp.polyder(c), p[0]) + error) * t[0]))
    exact = float(jnp.polyval(jnp.polyder(c), x))
    hypothesis.assume(1e-6 * abs(exact) < 0.1 * abs(error))
    assert check_gradients(f, x, method=method).worst.status == "failed"
