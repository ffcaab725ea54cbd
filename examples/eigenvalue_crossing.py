"""Minimize the largest eigenvalue of a matrix through a crossing.

The minimum of a largest eigenvalue usually lies where eigenvalues meet. There the gradient of the
top eigenvalue belongs to one eigenvector, picked by rounding; steps along it raise the
other eigenvalue, the line search shrinks, and plain gradient descent stalls far from the minimum.
The least-norm element of the generalized gradient lowers both at once.

Here A(x) = Q (3 (x0 Z + x2 X) + (x1 - 1)^2/2 - ...) Q^T has the largest eigenvalue
3 sqrt(x0^2 + x2^2) + (x1 - 1)^2/2, with minimum 0 at x = (0, 1, 0).
"""

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite.linalg import minimal_norm_subgradient

jax.config.update("jax_enable_x64", True)

Q = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0])
Z = jnp.diag(jnp.array([1.0, -1.0, 0.0, 0.0]))
X = jnp.zeros((4, 4)).at[0, 1].set(1.0).at[1, 0].set(1.0)
FLOOR = jnp.diag(jnp.array([0.0, 0.0, 5.0, 6.0]))


def matrix(x):
    inner = 3 * (x[0] * Z + x[2] * X) + 0.5 * (x[1] - 1) ** 2 * jnp.eye(4) - FLOOR
    return Q @ inner @ Q.T


@jax.jit
def largest(x):
    return jnp.linalg.eigvalsh(matrix(x))[-1]


@jax.jit
def plain_gradient(x):
    return jax.grad(largest)(x)


@jax.jit
def through_the_crossing(x, width):
    """Eigenvalues closer than ``width`` (relative) count as met."""
    return minimal_norm_subgradient(matrix, x, rtol=width, steps=50).subgradient


def line_search(x, g):
    """Halve the step until the value falls by a tenth of what the gradient promises."""
    step, f0, slope = 1.0, largest(x), g @ g
    while largest(x - step * g) > f0 - 0.1 * step * slope:
        step /= 2
        if step < 1e-14:
            return None
    return x - step * g


def descend(x, width=None, iterations=60):
    """Gradient descent; with ``width``, on the generalized gradient, narrowing as it converges."""
    for _ in range(iterations):
        g = plain_gradient(x) if width is None else through_the_crossing(x, width)
        new = line_search(x, g)
        if new is None or jnp.linalg.norm(g) < 1e-10:
            if width is None or width < 1e-9:
                break
            width /= 10
            continue
        x = new
    return x


def main():
    start = jnp.array([0.02, -1.0, 0.01])
    plain, ours = descend(start), descend(start, width=0.1)
    print(f"start                  lambda_max = {largest(start):.6f}   x = {start}")
    print(f"plain gradient         lambda_max = {largest(plain):.6f}   x = {plain}")
    print(f"generalized gradient   lambda_max = {largest(ours):.2e}   x = {ours}")
    assert largest(plain) > 0.5, "plain gradient descent was expected to stall"
    assert largest(ours) < 1e-6, "the generalized gradient should reach the minimum, 0"


if __name__ == "__main__":
    main()
