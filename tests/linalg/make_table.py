"""Measure case x implementation and write docs/linalg_table.md.

    python tests/linalg/make_table.py

Errors are relative, against 50-digit arithmetic, along symmetry-breaking directions: order 1 in
reverse mode, order 2 forward over reverse. The other rules are written here from their formulas.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import hermitian_reference as ref
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

from dqc_lite import linalg

PAGE = Path(__file__).parents[2] / "docs" / "linalg_table.md"
TOLERANCE = {np.float64: (1e-9, 1e-7), np.float32: (3e-5, 1e-3)}


# --- other people's rules ----------------------------------------------------------------------


def eigh_with(quotient):
    """eigh whose derivative replaces 1/(w_j - w_i) by ``quotient(w_j - w_i)``."""

    @jax.custom_jvp
    def solver(a):
        return tuple(jnp.linalg.eigh(a))

    @solver.defjvp
    def rule(primals, tangents):
        w, v = solver(primals[0])
        k = v.T @ tangents[0] @ v
        return (w, v), (jnp.diagonal(k), v @ (quotient(w[None, :] - w[:, None]) * k))

    return solver


def masked(gap):
    """1/gap, 0 where |gap| <= 1e-9: the form of xitorch and pyscfad."""
    far = jnp.abs(gap) > 1e-9
    return jnp.where(far, 1 / jnp.where(far, gap, 1), 0)


def lorentzian(gap):
    """gap/(gap^2 + 1e-12): the form of GradDFT and of differentiable tensor networks."""
    return gap / (gap**2 + jnp.asarray(1e-12, gap.dtype))


RULES = {
    "stock JAX": lambda a: tuple(jnp.linalg.eigh(a)),
    "mask rule": eigh_with(masked),
    "Lorentzian": eigh_with(lorentzian),
}


# --- cases -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """``ours(a)`` and ``generic(solver)(a)`` are the same scalar; ``exact`` in 50 digits."""

    name: str
    function: str
    a: np.ndarray
    ours: Callable
    generic: Callable
    exact: Callable
    dtype: type = np.float64
    directions: tuple | None = None

    def direction(self, i):
        if self.directions is not None:
            return self.directions[i]
        return ref.hermitian(len(self.a), 20 + i) * max(1.0, np.abs(self.a).max() / 10)


def b_of(n):
    return ref.hermitian(n, 11)


def projector_case(name, a, k, dtype=np.float64):
    b = jnp.asarray(b_of(len(a)), dtype)
    exact_p = ref.projector_exact(k)

    def generic(solver):
        def loss(x):
            v = solver(x)[1][:, :k]
            return jnp.sum(b * (v @ v.T))

        return loss

    return Case(
        name,
        "`spectral_projector`",
        a,
        lambda x: jnp.sum(b * linalg.spectral_projector(x, k)),
        generic,
        lambda x: ref.trace_exact(ref.exact(b), exact_p(x)),
        dtype,
    )


def function_case(name, label, a, ours, scalar, exact):
    b = b_of(len(a))

    def generic(solver):
        def loss(x):
            w, v = solver(x)
            return jnp.sum(b * ((v * scalar(w)) @ v.T))

        return loss

    f = ref.function_exact(exact)
    return Case(
        name,
        label,
        a,
        lambda x: jnp.sum(b * ours(x)),
        generic,
        lambda x: ref.trace_exact(ref.exact(b), f(x)),
    )


def eigh_blocks_case(gap):
    case = projector_case(f"pairs of states {gap:g} apart", ref.pairs(gap), 3)
    ours = case.generic(lambda x: linalg.eigh(x, blocks=(3, 3)))
    return dataclasses.replace(case, function="`eigh(blocks=...)`", ours=ours)


def eigh_levels_case(name, a, k):
    case = projector_case(name, a, k)
    return dataclasses.replace(case, function="`eigh`", ours=case.generic(linalg.eigh))


def fermi_case():
    b, n, t = b_of(6), 2.5, 0.2

    def generic(solver):
        def loss(x):
            w, v = solver(x)
            mu = w[1]
            for _ in range(60):  # Newton, differentiated through
                occ = jax.nn.sigmoid((mu - w) / t)
                mu = mu + (n - occ.sum()) / (occ * (1 - occ) / t).sum()
            return jnp.sum(b * ((v * jax.nn.sigmoid((mu - w) / t)) @ v.T))

        return loss

    def exact(x):
        w, v = ref.eigh_exact(x)
        mu = mp.findroot(
            lambda m: mp.fsum(1 / (1 + mp.exp((e - m) / mp.mpf(t))) for e in w) - n, -1.0, tol=1e-90
        )
        occ = mp.diag([1 / (1 + mp.exp((e - mu) / mp.mpf(t))) for e in w])
        return ref.trace_exact(ref.exact(b), v * occ * v.H)

    return Case(
        "Fermi level inside a level",
        "`fermi_density_matrix`",
        ref.pairs(0.0),
        lambda x: jnp.sum(b * linalg.fermi_density_matrix(x, n, t).density_matrix),
        generic,
        exact,
    )


def trace_case():
    return Case(
        "tr a^4, degenerate pairs",
        "`trace_funm`",
        ref.pairs(0.0),
        lambda x: linalg.trace_funm(x, lambda y: y**4),
        lambda solver: lambda x: jnp.sum(solver(x)[0] ** 4),
        lambda x: mp.fsum((x**4)[i, i] for i in range(x.rows)),
    )


def overlap_case():
    """Density matrix of degenerate F in the direction of the overlap, at S = 1."""
    b, f = b_of(6), ref.pairs(0.0)

    def generic(solver):
        def loss(s):
            w, v = solver(s)
            half = (v / jnp.sqrt(w)) @ v.T
            u = half @ solver(half @ f @ half)[1][:, :3]
            return jnp.sum(b * (u @ u.T))

        return loss

    def exact(s):
        half = ref.function_exact(lambda x: 1 / mp.sqrt(x))(s)
        return ref.trace_exact(
            ref.exact(b), half * ref.projector_exact(3)(half * ref.exact(f) * half) * half
        )

    return Case(
        "density matrix along S, at S = 1",
        "`density_matrix`",
        np.eye(6),
        lambda s: jnp.sum(b * linalg.density_matrix(jnp.asarray(f), s, 3)),
        generic,
        exact,
    )


def cases():
    pair = ref.pairs(0.0)
    return [
        eigh_levels_case("ring of 6", ref.ring(), 3),
        eigh_levels_case("cube graph", ref.cube(), 4),
        projector_case("complete graph K6", ref.complete(), 1),
        projector_case("3 x 3 grid Laplacian", ref.grid(), 3),
        eigh_levels_case("pairs of states, exact", pair, 3),
        eigh_blocks_case(1e-10),
        eigh_blocks_case(1e-8),
        eigh_blocks_case(1e-4),
        projector_case("exact pairs, times 1e8", pair * 1e8, 3),
        projector_case("float32, pairs 2e-6 apart", ref.pairs(2e-6), 3, np.float32),
        function_case(
            "a^2 at a = 1",
            "`powm`",
            np.eye(4),
            lambda x: linalg.powm(x, 2),
            lambda w: w * w,
            lambda x: x * x,
        ),
        function_case("exp at a = 1", "`expm`", np.eye(4), linalg.expm, jnp.exp, mp.exp),
        function_case(
            "S^(-1/2) at S = 1",
            "`invsqrtm`",
            np.eye(4),
            linalg.invsqrtm,
            lambda w: 1 / jnp.sqrt(w),
            lambda x: 1 / mp.sqrt(x),
        ),
        overlap_case(),
        fermi_case(),
        trace_case(),
    ]


# --- measuring ---------------------------------------------------------------------------------


def errors(case: Case, loss: Callable) -> tuple[float, float]:
    """Relative errors at orders 1 and 2; infinity for NaN."""
    a = case.a.astype(case.dtype)
    es = [case.direction(i).astype(case.dtype) for i in range(2)]
    out = []
    for m in (1, 2):
        expected = ref.derivative_exact(ref.along(a, es[:m], case.exact), m)
        out.append(ref.relative(ref.mixed(loss, m)(jnp.asarray(a), *es[:m]), expected))
    return out[0], out[1]


def symmetric(loss):
    return lambda x: loss((x + x.T) / 2)


def show(error):
    return "NaN" if error == float("inf") else f"{error:.0e}"


def rows():
    for case in cases():
        cells = [case.name, case.function, " / ".join(show(e) for e in errors(case, case.ours))]
        for solver in RULES.values():
            pair = errors(case, symmetric(case.generic(solver)))
            cells.append(" / ".join(show(e) for e in pair))
        yield cells


HEADER = """# Measured errors

Relative errors of the first / second derivative along symmetry-breaking directions, against
50-digit arithmetic. Written by `tests/linalg/make_table.py`; the test suite checks the column
"ours". The other columns differentiate the same loss, written with eigenvalues and eigenvectors.

"""


def main():
    table = [
        "| case | our function | ours | " + " | ".join(RULES) + " |",
        "|---|---|---|---|---|---|",
    ]
    for cells in rows():
        table.append("| " + " | ".join(cells) + " |")
        print(table[-1], flush=True)
    PAGE.write_text(HEADER + "\n".join(table) + "\n")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
