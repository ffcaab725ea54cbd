"""One state, whatever the transformation: eager, `jit`, `vmap`, loops, and derivatives of each.

The molecules are those for which DIIS alone ends at a saddle point, or not at all, and ordinary
ones. One of them stands for all in the default set; `pytest -m slow` takes every one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dqc_lite as dqc

PAIR = "{0} 0 0 0; {1} 0 0 {2}"
HARD = {  # atoms, charge, spin, restricted
    "o2": (PAIR.format("O", "O", 1.25), 0, 2, None),
    "c2": (PAIR.format("C", "C", 1.25), 0, 0, None),
    "n2 at 1.5": (PAIR.format("N", "N", 1.5), 0, 0, None),
    "f2+": (PAIR.format("F", "F", 1.4), 1, 1, None),
    "b2": (PAIR.format("B", "B", 1.6), 0, 2, None),
    "cn": (PAIR.format("C", "N", 1.17), 0, 1, None),
    "ho3": ("O 0 0 0; O 0 0 1.2; O 0 1.3 -0.6; H 0 1.0 -1.5", 0, 1, None),
    "h2o stretched": ("O 0 0 0; H 0 1.5 1.2; H 0 -1.5 1.2", 0, 0, False),
    "h2 unrestricted": (PAIR.format("H", "H", 2.0), 0, 0, False),
    "o2 rohf": (PAIR.format("O", "O", 1.25), 0, 2, "rohf"),
    "no": (PAIR.format("N", "O", 1.15), 0, 1, None),
    "lif at 3": (PAIR.format("Li", "F", 3.0), 0, 0, None),
}
ORDINARY = {
    "h2o": ("O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", 0, 0, None),
    "n2": (PAIR.format("N", "N", 1.1), 0, 0, None),
    "hf": (PAIR.format("H", "F", 0.92), 0, 0, None),
    "nh3": ("N 0 0 0; H 0 0.94 0.38; H 0.81 -0.47 0.38; H -0.81 -0.47 0.38", 0, 0, None),
    "ch3": ("C 0 0 0; H 0 1.08 0; H 0.935 -0.54 0; H -0.935 -0.54 0", 0, 1, None),
    "co": (PAIR.format("C", "O", 1.13), 0, 0, None),
    "lih": (PAIR.format("Li", "H", 1.6), 0, 0, None),
    "oh-": (PAIR.format("O", "H", 0.97), -1, 0, None),
    "h2o+": ("O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", 1, 1, None),
    "ch2": ("C 0 0 0; H 0 0.99 0.41; H 0 -0.99 0.41", 0, 2, None),
    "he": ("He 0 0 0", 0, 0, None),
    "hcn": ("C 0 0 0; H 0 0 -1.07; N 0 0 1.16", 0, 0, None),
}
METHODS = {"HF": dqc.HF, "PBE": lambda kind: dqc.KS("pbe", kind, grid_level=0)}
QUICK = [("o2", "HF")]
ALL = [(name, method) for name in (HARD | ORDINARY) for method in METHODS]
CASES = [case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow) for case in ALL]


def _given(name: str, method: str) -> tuple[dqc.Molecule, dqc.HF | dqc.KS]:
    atoms, charge, spin, kind = (HARD | ORDINARY)[name]
    # atoms off their symmetry, so that no derivative is that of a degenerate state
    mol = dqc.Molecule.from_atoms(atoms, "sto-3g" if method == "PBE" else "6-31g",
                                  charge=charge, spin=spin)  # fmt: skip
    noise = 0.02 * np.random.default_rng(1).normal(size=mol.positions.shape)
    return mol.with_positions(mol.positions + noise), METHODS[method](kind)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_energy_forces_and_a_hessian_product(name: str, method: str) -> None:
    mol, m = _given(name, method)
    direction = jnp.asarray(np.random.default_rng(2).normal(size=mol.positions.shape))

    def everything(r: jax.Array) -> tuple:
        def energy(r: jax.Array) -> jax.Array:
            return dqc.energy(mol.with_positions(r), m, throw=False)

        gradient = jax.grad(energy)
        return energy(r), *jax.jvp(gradient, (r,), (direction,))

    def told(r: jax.Array) -> tuple:
        found = dqc.solve(mol.with_positions(r), m, throw=False)
        certificate = found.certificate
        stable = certificate.stable
        return found.converged, False if stable is None else stable, certificate.solver

    r = mol.positions
    eager = everything(r)
    mapped = jax.vmap(everything)(jnp.stack([r, r + 0.01 * direction]))
    for other in (jax.jit(everything)(r), jax.tree.map(lambda x: x[0], mapped)):
        np.testing.assert_allclose(other[0], eager[0], rtol=0, atol=1e-9)
        np.testing.assert_allclose(other[1], eager[1], rtol=0, atol=1e-7)
        np.testing.assert_allclose(other[2], eager[2], rtol=1e-6, atol=1e-6)
    outside, inside = told(r), jax.jit(told)(r)
    assert [bool(x) for x in outside[:2]] == [bool(x) for x in inside[:2]]
    assert str(outside[2]) == str(inside[2])


def test_rows_that_need_help_beside_rows_that_do_not() -> None:
    """H2 from its minimum to pieces, unrestricted: broken symmetry in the far rows."""
    mol = dqc.Molecule.from_atoms(PAIR.format("H", "H", 0.74), "6-31g")
    axis = jnp.zeros_like(mol.positions).at[1, 2].set(1.0)
    apart = jnp.array([0.0, 0.5, 2.0, 4.0])

    def energy(t: jax.Array) -> jax.Array:
        return dqc.energy(mol.with_positions(mol.positions + t * axis), dqc.HF(False))

    single = np.array([float(energy(t)) for t in apart])
    restricted = np.array(
        [float(dqc.energy(mol.with_positions(mol.positions + t * axis))) for t in apart]
    )
    assert (single < restricted - 0.02).tolist() == [False, False, True, True]
    np.testing.assert_allclose(jax.vmap(energy)(apart), single, rtol=0, atol=1e-9)
    np.testing.assert_allclose(jax.jit(jax.vmap(energy))(apart), single, rtol=0, atol=1e-9)
    scanned = jax.lax.scan(lambda c, t: (c, jax.checkpoint(energy)(t)), 0.0, apart)[1]
    np.testing.assert_allclose(scanned, single, rtol=0, atol=1e-9)
    slopes = jax.vmap(jax.grad(energy))(apart)
    np.testing.assert_allclose(slopes, [jax.grad(energy)(t) for t in apart], rtol=0, atol=1e-7)
