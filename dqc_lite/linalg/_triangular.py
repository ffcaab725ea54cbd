"""Values (no derivatives) of functions of complex upper triangular matrices."""

from __future__ import annotations

from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.jet import jet
from jax.lax.linalg import triangular_solve

from dqc_lite._types import Array, Complex, Float, Int
from dqc_lite.linalg._common import adjoint, eps_of, matmul, real_dtype
from dqc_lite.linalg.schur import ordered_schur

__all__ = [
    "funm_triangular",
    "logm_triangular",
    "real_part",
    "signm_triangular",
    "sqrtm_triangular",
    "uncertainty",
]

CLUSTER_RTOL = 0.05
CLUSTER_ATOL = 0.01
REFINEMENTS = 5
TAYLOR_ORDER = 16
LEGENDRE_NODES = 8
MOST_ROOTS = 1000
SCALED_NORM = 0.25  # 8 nodes reach rounding error for |X - I| below this


def uncertainty(t: Complex[Array, "m m"], u: Complex[Array, "m m"]) -> Float[Array, " m"]:
    """What rounding may move each eigenvalue of ``u t u^H``, t upper triangular.

    10 m eps |y|^T G |t| G |x| with left and right eigenvectors, y^H x = 1, and G = |u|^T |u|: the
    entries of t where the matrix was triangular already, its norm where u mixes them.
    """
    m, eps = t.shape[0], eps_of(t.dtype)
    size = jnp.max(jnp.abs(t))
    t = t / jnp.where(size > 0, size, 1)
    w, rows, identity = jnp.diagonal(t), jnp.arange(m), jnp.eye(m, dtype=t.dtype)
    mixing = matmul(jnp.abs(u).T, jnp.abs(u))
    spread = matmul(mixing, jnp.abs(t), mixing)

    def condition(i):
        gap = w - w[i]
        gap = jnp.where(jnp.abs(gap) < eps, eps, gap)  # equal ones: infinite only if coupled
        shifted = jnp.where(identity == 1, gap, t)
        above, below = rows < i, rows > i
        right = _inner(shifted, above, jnp.where(above, -t[:, i], rows == i))
        left = _inner(shifted, below, jnp.where(below, -t[i], rows == i), transpose_a=True)
        return jnp.abs(left) @ spread @ jnp.abs(right)

    bound = 10 * m * eps * size * jax.lax.map(condition, rows)
    return jnp.where(jnp.isnan(bound), jnp.inf, bound)


def _inner(t, inside, rhs, **options):
    """Solve with the rows and columns ``inside`` of t, an identity elsewhere."""
    system = jnp.where(inside[:, None] & inside[None, :], t, jnp.eye(t.shape[0], dtype=t.dtype))
    rhs = rhs.astype(t.dtype)[:, None]
    return triangular_solve(system, rhs, left_side=True, lower=False, **options)[:, 0]


def real_part(x, f, t: Complex[Array, "m m"], u: Complex[Array, "m m"], *consts) -> Array:
    """Re f(A) of a real matrix with eigenvalues diag(t); NaN where f(A) is not real.

    f(A) is real iff f is real at the real eigenvalues and takes conjugate values at conjugate
    ones. Asking f itself, not the imaginary part of the result, keeps logarithms near the
    identity, which are as small as the rounding of A. An eigenvalue is real when its imaginary
    part is within its own rounding error, however large the others are.
    """
    w = jnp.diagonal(t)
    limit = eps_of(t.dtype) ** 0.5
    on_axis = jnp.abs(w.imag) <= uncertainty(t, u)
    w = jnp.where(on_axis, w.real, w)
    g = jax.vmap(lambda z: jnp.asarray(f(z, *consts)).astype(t.dtype))
    value = g(w)
    defect = jnp.where(on_axis, jnp.abs(value.imag), jnp.abs(g(jnp.conj(w)) - jnp.conj(value)))
    return x.real * jnp.where(jnp.any(defect > limit * jnp.abs(value)), jnp.nan, 1.0)


def signm_triangular(t: Complex[Array, "m m"]) -> Complex[Array, "m m"]:
    """Sign of an upper triangular matrix without eigenvalues on the imaginary axis.

    Between equal signs from S^2 = 1, between opposite ones from S T = T S: no difference of close
    eigenvalues divides. Source: N. Higham, Functions of Matrices (2008), algorithm 5.2.
    """
    m = t.shape[0]
    signs = jnp.where(jnp.diagonal(t).real < 0, -1, 1).astype(t.dtype)
    rows, identity = jnp.arange(m), jnp.eye(m, dtype=bool)

    def column(j, s):
        above, equal = rows < j, signs == signs[j]
        diagonal = jnp.where(equal, 2 * signs[j], jnp.diagonal(t) - t[j, j])
        system = jnp.where(identity, diagonal, jnp.where(equal[:, None], s, t))
        moved = matmul(s, t[:, j, None])[:, 0] - t[:, j] * signs[j]
        target = jnp.where(above, jnp.where(equal, 0, moved), jnp.where(rows == j, signs[j], 0))
        new = _inner(system, above, target)
        return jax.lax.dynamic_update_slice_in_dim(s, new[:, None], j, axis=1)

    return jax.lax.fori_loop(0, m, column, jnp.zeros_like(t))


def sqrtm_triangular(t: Complex[Array, "n n"]) -> Complex[Array, "n n"]:
    """Principal square root of an upper triangular matrix, column by column."""
    n = t.shape[0]
    roots = jnp.sqrt(jnp.diagonal(t))
    rows = jnp.arange(n)

    def column(j, r):
        # (R[:j, :j] + r_jj I) x = t[:j, j]; rows >= j are an identity with right side r_jj e_j
        above = rows < j
        system = jnp.where(above[:, None] & above[None, :], r, 0.0)
        system = system + jnp.diag(jnp.where(above, roots[j], 1.0))
        target = jnp.where(above, t[:, j], jnp.where(rows == j, roots[j], 0.0))
        # 0 = (0 + 0) x: a zero column above a zero eigenvalue has the root 0
        diagonal = jnp.diagonal(system)
        fixed = (diagonal == 0) & (target == 0)
        system = system + jnp.diag(jnp.where(fixed, 1.0, 0.0).astype(t.dtype))
        new = triangular_solve(system, target[:, None], left_side=True, lower=False)
        return jax.lax.dynamic_update_slice_in_dim(r, new, j, axis=1)

    return jax.lax.fori_loop(0, n, column, jnp.zeros_like(t))


def logm_triangular(t: Complex[Array, "m m"]) -> Complex[Array, "m m"]:
    """Principal logarithm of an upper triangular matrix.

    Roots are taken until they are close to 1. Their diagonal keeps its distance from 1, halved
    without cancellation (Briggs), so that large entries above it cost it no digits.
    """
    m = t.shape[0]
    identity = jnp.eye(m, dtype=bool)
    start = jnp.diagonal(t)
    regular = jnp.all(start != 0) & jnp.all(jnp.isfinite(t))

    def shifted(root, distance):
        return jnp.where(identity, distance, root)

    def far(state):
        root, distance, count = state
        large = jnp.linalg.norm(shifted(root, distance), 1) > SCALED_NORM
        return large & (count < MOST_ROOTS) & regular

    def halve(state):
        root, distance, count = state
        root = sqrtm_triangular(root)
        return root, distance / (1 + jnp.diagonal(root)), count + 1

    root, distance, count = jax.lax.while_loop(far, halve, (t, start - 1, jnp.int32(0)))
    near = shifted(root, distance)
    nodes, weights = np.polynomial.legendre.leggauss(LEGENDRE_NODES)
    total = jnp.zeros_like(t)
    for node, weight in zip((nodes + 1).tolist(), weights.tolist(), strict=True):
        solved = triangular_solve(identity + 0.5 * node * near, near, left_side=True, lower=False)
        total = total + 0.5 * weight * solved
    total = total * jnp.where((count < MOST_ROOTS) & regular, 1.0, jnp.nan).astype(t.dtype)
    total = total * (2.0 ** count.astype(real_dtype(t.dtype))).astype(t.dtype)
    # near 1 the quadrature is the more accurate: log(start) would see only the rounded 1 + distance
    return jnp.where(identity & (count > 0), jnp.log(start), total)


def funm_triangular(f, t: Complex[Array, "m m"], *consts) -> Complex[Array, "m m"]:
    """f of an upper triangular matrix: Taylor series in clusters, commutation outside.

    Clusters are gathered generously, against the rounding that splits Jordan blocks, and refined
    tenfold while some series does not converge (a singularity of f near the cluster, or an f that
    varies fast on the scale of T). NaN when the finest clusters fail too.
    """

    def attempt(level):
        shrink = 0.1**level
        (ordered, q), ids = ordered_schur(t, CLUSTER_RTOL * shrink, CLUSTER_ATOL * shrink)
        inside, converged = _cluster_taylor(f, ordered, ids, consts)
        return level + 1, converged, ordered, q, ids, inside

    def unfinished(state):
        return ~state[1] & (state[0] < REFINEMENTS)

    # the loop always runs once; its first state only gives the shapes, so f is traced once
    ids = jnp.zeros(t.shape[:1], jnp.int32)
    start = (jnp.zeros((), real_dtype(t.dtype)), jnp.array(False), t, t, ids, t)
    state = jax.lax.while_loop(unfinished, lambda state: attempt(state[0]), start)
    _, converged, ordered, q, ids, inside = state
    value = matmul(q, _parlett(ordered, ids, inside), adjoint(q))
    return value * jnp.where(converged, 1.0, jnp.nan).astype(t.dtype)


def _cluster_taylor(f, t: Complex[Array, "m m"], ids: Int[Array, " m"], consts):
    """f of the block diagonal part: sum_k f^(k)(mean)/k! (T - mean)^k, all clusters at once.

    Returns the value and whether the last two terms are down to rounding in every cluster.
    """
    same = ids[:, None] == ids[None, :]
    share = same / jnp.sum(same, axis=1, keepdims=True)
    mean = matmul(share.astype(t.dtype), jnp.diagonal(t)[:, None])[:, 0]
    step = jnp.where(same, t, 0.0) - jnp.diag(mean)
    power, total = jnp.eye(t.shape[0], dtype=t.dtype), jnp.zeros_like(t)
    terms = []
    for coefficient in _taylor(lambda z: f(z, *consts), mean):
        terms.append(coefficient[:, None] * power)
        total = total + terms[-1]
        power = matmul(power, step)
    tail = jnp.max(jnp.abs(terms[-1]) + jnp.abs(terms[-2]), axis=1)
    size = jnp.max(jnp.where(same, jnp.max(jnp.abs(total), axis=1), 0.0), axis=1)
    return total, jnp.all(tail <= 1e2 * eps_of(t.dtype) * size)


def _taylor(f, z: Complex[Array, " m"]) -> list[Array]:
    """f^(k)(z)/k! for k = 0..TAYLOR_ORDER."""

    def series(z):
        seeds = [jnp.ones_like(z)] + [jnp.zeros_like(z)] * (TAYLOR_ORDER - 1)
        value, derivatives = jet(f, (z,), (seeds,))
        return [jnp.asarray(x).astype(z.dtype) for x in (value, *derivatives)]

    return [x / float(factorial(k)) for k, x in enumerate(jax.vmap(series)(z))]


def _parlett(t, ids, inside):
    """Fill the entries between clusters from F T = T F, one column at a time."""
    n = t.shape[0]
    identity = jnp.eye(n, dtype=t.dtype)

    def column(j, f):
        other = (jnp.arange(n) < j) & (ids != ids[j])
        known = matmul(f, jax.lax.dynamic_slice_in_dim(t, j, 1, axis=1))[:, 0]
        known = known - f[:, j] * t[j, j]
        system = jnp.where(other[:, None], t - t[j, j] * identity, identity)
        target = jnp.where(other, known, inside[:, j])[:, None]
        new = triangular_solve(system, target, left_side=True, lower=False)
        return jax.lax.dynamic_update_slice_in_dim(f, new, j, axis=1)

    return jax.lax.fori_loop(0, n, column, inside)
