"""Coulomb and exchange by density fitting (resolution of the identity, Coulomb metric).

(mn|ls) ~ sum_PQ (mn|P) (P|Q)^-1 (Q|ls) = sum_P B_P,mn B_P,ls with B = L^-1 (P|mn), (P|Q) = L L^T
(Vahtras, Almlof, Feyereisen, Chem. Phys. Lett. 213, 514 (1993)).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dqc_lite import memory
from dqc_lite._pytree import pytree
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.basis import Layout, Orbitals
from dqc_lite.density import Density
from dqc_lite.integrals import differentials, operators
from dqc_lite.integrals.differentials import Scale
from dqc_lite.integrals.operators import Omega

METRIC_FLOOR = 1e-12
"""Relative ridge on the diagonal of a numerically singular metric."""


Response = Callable[[Float[Array, "spin ao occ"]], Float[Array, "spin ao occ"]]


@pytree
class DensityFitted:
    """Fitted integrals.

    Attributes:
        factor: (aux, ao, ao), B = L^-1 (P|mn).
        metric: (aux, aux), the lower Cholesky factor L of (P|Q).
        auxiliary: the auxiliary functions on the centres of the orbitals.
        omega: see `dqc_lite.jk`.
    """

    factor: Float[Array, "aux ao ao"]
    metric: Float[Array, "aux aux"]
    auxiliary: Orbitals
    omega: Omega

    @classmethod
    def build(cls, orbitals: Orbitals, auxiliary: Orbitals, omega: Omega = None) -> DensityFitted:
        """Raises MemoryBudgetError when the fitted integrals do not fit."""
        check_memory(orbitals.layout, auxiliary.layout)
        three = operators.three_center(orbitals, auxiliary, omega)
        two = operators.two_center(auxiliary, omega)
        factor, metric = fit_integrals(three, two, orbitals.layout.nao)
        return cls(factor, metric, auxiliary, omega)

    def at(self, orbitals: Orbitals, omega: Omega) -> DensityFitted:
        """The same integrals, to be differentiated along `orbitals` and omega."""
        moved = dataclasses.replace(self.auxiliary, centers=orbitals.centers)
        return dataclasses.replace(self, auxiliary=moved, omega=omega)

    def moving(self, orbitals: Orbitals, omega: Omega, density: Density) -> DensityFitted:
        """See `dqc_lite.jk`: integrals between the occupied orbitals only.

        They save most of the work of the fit, which grows with the square of the number of
        functions.
        """
        moved = self.at(orbitals, omega)
        q = _span(density)
        three = operators.unpack(
            operators.three_center(orbitals, moved.auxiliary, omega), orbitals.layout.nao
        )
        two = operators.two_center(moved.auxiliary, omega)
        occupied = operators.pack(q.T @ three @ q)
        factor, metric = fit_integrals(occupied, two, q.shape[1])
        return dataclasses.replace(moved, factor=q @ factor @ q.T, metric=metric)

    def coulomb(self, density: Density) -> Float[Array, "ao ao"]:
        """J = sum_P B_P tr(B_P P): two matrix-vector products."""
        flat = self.factor.reshape(len(self.factor), -1)
        total = density.total
        return ((flat @ total.ravel()) @ flat).reshape(total.shape)

    def exchange(self, density: Density) -> Float[Array, "spin ao ao"]:
        """K_s = sum_Pi X_Pi Y_Pi^T with X_P = B_P C, Y_P = B_P C': matrix products."""
        naux, nao, _ = self.factor.shape
        flat = self.factor.reshape(naux * nao, nao)

        def transformed(orbitals: Float[Array, "ao occ"]) -> Float[Array, "ao auxocc"]:
            half = (flat @ orbitals).reshape(naux, nao, -1)
            return half.swapaxes(0, 1).reshape(nao, -1)

        def one_spin(factors: tuple) -> Float[Array, "ao ao"]:
            left, *right = map(transformed, factors)
            return left @ (right[0] if right else left).T

        return jax.lax.map(one_spin, density.factors)

    def on_orbitals(
        self, density: Density, coulomb: Scale, exchange: Scale
    ) -> Float[Array, "spin ao occ"]:
        """See `dqc_lite.jk`. With X_P = B_P C and Z_P = C^T X_P: J C = sum_P X_P tr Z_P and
        K C = sum_P X_P Z_P, so that the orbitals meet all of B but once.
        """
        if exchange is None:
            assert coulomb is not None
            return coulomb * self.coulomb(density) @ density.factor
        naux, nao, _ = self.factor.shape
        flat = self.factor.reshape(naux * nao, nao)
        nocc = density.factor.shape[-1]
        half = [(c.T @ flat.T).reshape(nocc * naux, nao) for c in density.factor]
        pairs = [
            (x @ c).reshape(nocc, naux, nocc) for x, c in zip(half, density.factor, strict=True)
        ]
        weights = [-exchange * density.exchange_weight * z for z in pairs]
        if coulomb is not None:
            traces = coulomb * jnp.asarray(sum(jnp.einsum("ipi->p", z) for z in pairs))
            weights = [w + traces[:, None] * jnp.eye(nocc)[:, None] for w in weights]
        products = zip(weights, half, strict=True)
        return jnp.stack([x.T @ w.reshape(nocc * naux, nocc) for w, x in products])

    def response(self, density: Density, coulomb: Scale, exchange: Scale) -> Response:
        """See `dqc_lite.jk`. With X_P = B_P C and Z_P = C^T X_P, made once,
        dJ C = sum_P X_P 2 tr(X_P^T dC) and dK C = sum_P B_P dC Z_P + X_P dC^T X_P.
        """
        naux, nao, _ = self.factor.shape
        nocc, flat = density.factor.shape[-1], self.factor.reshape(naux * nao, nao)
        if exchange is None:
            return self._coulomb_response(density, coulomb)
        # (occ, aux, ao) of each spin
        half = [(c.T @ flat.T).reshape(nocc, naux, nao) for c in density.factor]
        pairs = [x @ c for x, c in zip(half, density.factor, strict=True)]
        weight = exchange * density.exchange_weight

        def along(change: Float[Array, "spin ao occ"]) -> Float[Array, "spin ao occ"]:
            found = []
            fitted = zip(half, change, strict=True)
            traces = 2.0 * jnp.asarray(sum(jnp.einsum("ipm,mi->p", x, d) for x, d in fitted))
            for x, z, d in zip(half, pairs, change, strict=True):
                moved = (d.T @ flat.T).reshape(nocc * naux, nao)
                weights = -weight * (x @ d).swapaxes(0, 2)
                if coulomb is not None:
                    weights += coulomb * traces[:, None] * jnp.eye(nocc)[:, None]
                # weights and Z are (j, aux, i) of sum_jP X_mj,P (...)_ji,P
                both = x.reshape(nocc * naux, nao).T @ weights.reshape(nocc * naux, nocc)
                found.append(both - weight * (moved.T @ z.reshape(nocc * naux, nocc)))
            return jnp.stack(found)

        return along

    def _coulomb_response(self, density: Density, coulomb: Scale) -> Response:
        assert coulomb is not None

        def along(change: Float[Array, "spin ao occ"]) -> Float[Array, "spin ao occ"]:
            half = change @ density.factor.swapaxes(-1, -2)
            moved = Density(half + half.swapaxes(-1, -2), density.factor)
            return coulomb * self.coulomb(moved) @ density.factor

        return along

    def differential(
        self, orbitals: Orbitals, density: Density, coulomb: Scale, exchange: Scale
    ) -> Float[Array, ""]:
        """See `dqc_lite.jk`. With y = (P|Q)^-1 t, E = t y / 2 has dE = y dt - y d(P|Q) y / 2."""
        three, two = _duals(self.factor, self.metric, density, coulomb, exchange)
        return differentials.three_center(
            orbitals, self.auxiliary, three, self.omega
        ) + differentials.two_center(self.auxiliary, two, self.omega)


def _span(density: Density) -> Float[Array, "ao any"]:
    """Orthonormal columns whose space holds the factors of the density matrix."""
    nao = density.matrix.shape[-1]
    columns = jnp.concatenate([c for factor in density.factors for c in factor], axis=1)
    if columns.shape[1] >= nao:
        return jnp.eye(nao)
    return jnp.linalg.qr(columns)[0]


AUXILIARY_BATCH = 32
"""Auxiliary functions whose square matrices are held at once."""


def check_memory(layout: Layout, auxiliary: Layout) -> None:
    """Integrals as they come, solved, and unpacked: what lives at once; forces need less."""
    nao, naux = layout.nao, auxiliary.nao
    memory.require(
        8 * naux * (2 * operators.npair(nao) + nao**2),
        f"density fitting of {nao} basis functions with {naux} auxiliary ones",
        "use a smaller basis",
    )


def _cholesky(two: Float[Array, "aux aux"]) -> Float[Array, "aux aux"]:
    """Cholesky factor; of a slightly raised diagonal where the metric is numerically singular."""
    ridge = METRIC_FLOOR * jnp.max(jnp.diagonal(two)) * jnp.eye(len(two))
    plain = jnp.linalg.cholesky(two)
    regular = jnp.isfinite(plain).all()
    return jax.lax.cond(regular, lambda: plain, lambda: jnp.linalg.cholesky(two + ridge))


@functools.partial(adaptive_jit, static_argnums=(2,))
def fit_integrals(three: Array, two: Array, nao: int) -> tuple[Array, Array]:
    """B = L^-1 (P|mn), unpacked, and L from packed integrals and metric."""
    metric = _cholesky(two)
    fitted = jax.scipy.linalg.solve_triangular(metric, three, lower=True)
    return operators.unpack(fitted, nao), metric


@adaptive_jit
def _duals(
    factor: Array, metric: Array, density: Density, coulomb: Scale, exchange: Scale
) -> tuple[Array, Array]:
    """Derivatives of the fitted energy with respect to (P|mn), (aux, pair), and (P|Q)."""
    naux, nao, _ = factor.shape
    total, c, other = density.total, density.factor, density.other
    y, two = jnp.zeros(naux), jnp.zeros((naux, naux))
    z = jnp.zeros((naux, len(c), 0, 0))

    def backsolve(t: Array) -> Array:
        return jax.scipy.linalg.solve_triangular(metric, t, lower=True, trans=1)

    def occupied_fit(factors: tuple) -> Float[Array, "aux occ occ"]:
        half = (factor.reshape(naux * nao, nao) @ factors[-1]).reshape(naux, nao, -1)
        pairs = jnp.einsum("pmi,mj->pij", half, factors[0])
        return backsolve(pairs.reshape(naux, -1)).reshape(pairs.shape)

    if coulomb is not None:
        y = backsolve(factor.reshape(naux, -1) @ total.ravel())
        two -= 0.5 * coulomb * jnp.outer(y, y)
    if exchange is not None:
        weight = exchange * density.exchange_weight
        fit = jax.lax.map(occupied_fit, density.factors)
        turned = fit if density.partner is None else fit.swapaxes(-1, -2)
        two += 0.5 * weight * jnp.einsum("spij,sqij->pq", fit, turned)
        z = fit.swapaxes(0, 1)
    twice = operators.pack(2.0 - jnp.eye(nao))  # a packed pair m > n stands for (m, n) and (n, m)

    def one_function(p: tuple[Array, Array]) -> Float[Array, " pair"]:
        y_p, z_p = p
        dual = jnp.zeros((nao, nao))
        if coulomb is not None:
            dual += coulomb * y_p * total
        if exchange is not None:
            dual -= weight * (c @ z_p @ other.swapaxes(-1, -2)).sum(0)
        return twice * operators.pack(dual)

    three = jax.lax.map(one_function, (y, z), batch_size=AUXILIARY_BATCH)
    return three, two
