"""How well the response equations behind a derivative are solved, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dqc_lite import convergence
from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Bool, Float, Int
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.implicit import Converged, relaxed
from dqc_lite.implicit.coordinates import ResponseEquation
from dqc_lite.linalg.krylov import minres
from dqc_lite.method import MethodLike
from dqc_lite.molecule import Molecule
from dqc_lite.problem import problem_of
from dqc_lite.terms import Hamiltonian


@pytree
class ResponseCertificate:
    """The solution of the response equations of one derivative.

    Attributes:
        residual: relative, in the norm of the preconditioner.
        smallest_eigenvalue: smallest modulus of those met of the preconditioned operator; near 0
            the density has no derivative: an instability, or an orbitally degenerate open shell.
        products: Hessian-vector products, each about a Fock build.
        accepted: whether the derivative is a number; if not it is NaN, or `ResponseError`.
    """

    residual: Float[Array, ""]
    smallest_eigenvalue: Float[Array, ""]
    products: Int[Array, ""]
    accepted: Bool[Array, ""]


def response_certificate(
    loss: Callable[[Float[Array, "spin ao ao"]], Float[Array, ""]],
    mol: Molecule,
    method: MethodLike | None = None,
    **options: Any,
) -> ResponseCertificate:
    """That of the gradient of ``loss(dqc.density_matrix(mol, method, **options))``.

    A derivative returns nothing but the derivative. Here its equations, which do not depend on
    what the loss is differentiated with respect to, are solved once more and what the solver
    found is returned. To be used inside of `jax.jit` too. Arguments and errors as in
    `density_matrix`; `ResponseError` only for occupations out of order.
    """
    problem = problem_of(mol, method, **options)
    converged, state = convergence.converge_or_raise(problem)
    relaxed.coordinates(converged).check()
    dual = jax.grad(loss)(converged.density.matrix)
    found = _found(converged, problem.hamiltonian(), dual)
    return ResponseCertificate(
        residual=found.residual * state.poison,
        smallest_eigenvalue=found.smallest * state.poison,
        products=found.products,
        accepted=found.solved() & state.converged,
    )


@adaptive_jit
def _found(converged: Converged, hamiltonian: Hamiltonian, dual: Array) -> minres.Response:
    at, s = relaxed.coordinates(converged), converged.overlap
    z = jnp.asarray(at.unmoved())
    equation = ResponseEquation(at, hamiltonian, converged.integrals, s, z)
    _, pull = jax.vjp(lambda z: at.density_at(s, at.variable(z)).matrix, z)
    return equation.reverse(pull(dual)[0])
