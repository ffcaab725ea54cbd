"""Compiled functions under eager transformations, against the plain function."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dqc_lite.autodiff.jit import adaptive_jit


class Results(NamedTuple):
    solution: jax.Array
    count: jax.Array
    norm: jax.Array


def plain(power: int, a: jax.Array, b: dict) -> Results:
    """A solve, an integer, and something that does not depend on everything."""
    x = jnp.linalg.solve(a @ a.T + jnp.eye(3), b["right"] ** power)
    return Results(x, jnp.argmax(x), jnp.sin(b["left"]).sum())


compiled = adaptive_jit(plain, static_argnums=(0,))
A = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)))
B = {"right": jnp.array([0.3, 0.5, 0.7]), "left": jnp.array([1.0, 2.0])}


def _loss(function):
    def loss(a, b):
        found = function(3, a, b)
        return (found.solution**2).sum() * found.norm + found.count

    return loss


TRANSFORMATIONS = {
    "value": lambda f: f,
    "reverse": lambda f: jax.grad(f, (0, 1)),
    "forward": lambda f: jax.jacfwd(f, (0, 1)),
    "of one argument": lambda f: lambda a, b: jax.grad(lambda x: f(a, {**b, "left": x}))(b["left"]),
    "hessian": lambda f: jax.hessian(f, (0, 1)),
    "reverse over reverse": lambda f: jax.jacrev(jax.grad(f)),
    "third order": lambda f: jax.jacfwd(jax.jacrev(jax.grad(f))),
    "batched": lambda f: lambda a, b: jax.vmap(jax.grad(f), (0, None))(jnp.stack([a, 2 * a]), b),
    "of a batch": lambda f: jax.grad(
        lambda a, b: jax.vmap(f, (0, None))(jnp.stack([a, 2 * a]), b).sum()
    ),
    "inside of jit": lambda f: jax.jit(jax.grad(f)),
    "linearized, then compiled": lambda f: lambda a, b: jax.jit(
        jax.linearize(lambda a: f(a, b), a)[1]
    )(jnp.ones((3, 3))),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_as_the_plain_function(name: str) -> None:
    transformed = TRANSFORMATIONS[name]
    got, expected = transformed(_loss(compiled))(A, B), transformed(_loss(plain))(A, B)
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)


def test_compiled_once(compilations) -> None:
    gradient = jax.grad(_loss(compiled), (0, 1))
    jax.block_until_ready(gradient(A, B))
    with compilations() as count:
        jax.block_until_ready(gradient(A + 1.0, B))
    assert count() <= 1  # A + 1
