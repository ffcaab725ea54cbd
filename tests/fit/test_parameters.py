"""Selection, bounds, ties; functionals in files."""

import itertools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dqc_lite as dqc
from dqc_lite import fit
from dqc_lite.errors import FunctionalError, InputError
from dqc_lite.fit.programs import quick_jit
from dqc_lite.xc import neural, stored
from dqc_lite.xc.density import LocalDensity


def _density(n: int = 40) -> LocalDensity:
    rng = np.random.default_rng(1)
    rho = rng.uniform(0.01, 2.0, (2, n))
    sigma = rng.uniform(0, 1.0, (2, n)) * rho**2
    total = sigma.sum(0) + 2 * rng.uniform(-1, 1, n) * np.sqrt(sigma[0] * sigma[1])
    tau = sigma / (8 * rho) + rng.uniform(0, 1, (2, n)) * rho ** (5 / 3)
    return LocalDensity(*map(jnp.asarray, (rho, sigma, total, tau)))


_compiled = quick_jit(lambda functional, density: functional.energy_density(density), effort=0)


def _energies(functional: dqc.Functional) -> np.ndarray:
    return np.asarray(_compiled(functional, _density()))


def test_selection_and_bounds() -> None:
    parameters = fit.Parameters.select(
        "pbe", ["gga_x_pbe.*", "gga_c_pbe.beta"],
        {"*.kappa": (0.1, 2.0), "*.mu": (0.0, None), "*.beta": (None, 1.0)},
    )  # fmt: skip
    assert parameters.names == ("gga_x_pbe.kappa", "gga_x_pbe.mu", "gga_c_pbe.beta")
    x = parameters.point()
    np.testing.assert_allclose(parameters.values(x), parameters.start, rtol=1e-14)
    for far in (-30.0, 30.0):
        values = np.asarray(parameters.values(x + far))
        assert (values >= parameters.lower).all()
        assert (values <= parameters.upper).all()
    made = parameters.functional(x + 0.1)
    assert made.components[0].kappa == parameters.values(x + 0.1)[0]
    same = parameters.functional(x)
    np.testing.assert_allclose(_energies(same), _energies(dqc.functional("pbe")))


def test_wrong_selection() -> None:
    with pytest.raises(InputError, match="matches nothing"):
        fit.Parameters.select("pbe", "gga_x_pbe.kapa")
    with pytest.raises(InputError, match="strictly between"):
        fit.Parameters.select("pbe", "*.kappa", {"*": (1.0, 2.0)})
    with pytest.raises(FunctionalError, match="form of B3LYP"):
        fit.three_parameters("pbe0")


def test_three_parameters_tie_the_weights() -> None:
    parameters = fit.three_parameters("b3lyp")
    np.testing.assert_allclose(parameters.start, [0.2, 0.72, 0.81])
    made = parameters.functional(jnp.array([0.3, 0.6, 0.5]))
    weights = dict(zip(made.labels, map(float, made.weights), strict=True))
    assert weights == pytest.approx(
        {"lda_x": 0.1, "gga_x_b88": 0.6, "lda_c_vwn_rpa": 0.5, "gga_c_lyp": 0.5}
    )
    assert made.exact_exchange == 0.3


def test_every_leaf_has_its_own_name() -> None:
    for name in ("r2scan", "b3lyp", "camb3lyp", "m06"):
        names = fit.list_parameters(name)
        assert len(names) == len(set(names)) == len(jax.tree.leaves(dqc.functional(name)))


def test_a_correction_starts_at_nothing_and_keeps_the_uniform_gas() -> None:
    for level in ("gga", "mgga"):
        plain = dqc.functional("pbe")
        functional = plain + neural.correction(jax.random.key(0), level)
        np.testing.assert_allclose(_energies(functional), _energies(plain), rtol=1e-13)
        parameters = fit.Parameters.select(functional, "neural.*")
        moved = parameters.functional(parameters.point() + 0.3)
        assert np.abs(_energies(moved) - _energies(plain)).max() > 1e-3
        rho = jnp.asarray([[0.3, 0.1], [0.3, 0.1]])
        tau = 0.3 * (6 * np.pi**2) ** (2 / 3) * rho ** (5 / 3)
        gas = LocalDensity(rho, 0 * rho, 0 * rho[0], tau)
        np.testing.assert_allclose(
            _compiled(moved, gas), _compiled(plain, gas), rtol=1e-12
        )


def test_functionals_in_files(tmp_path) -> None:
    moved = fit.Parameters.select("b3lyp", "*").functional(
        fit.Parameters.select("b3lyp", "*").point() * 1.01
    )
    network = dqc.functional("pbe") + neural.correction(jax.random.key(1), width=5)
    several = (moved, network, dqc.functional("camb3lyp"), dqc.functional("wb97m_v"))
    for functional, ending in itertools.product(several, stored.ENDINGS):
        path = tmp_path / f"f{ending}"
        stored.save(functional, path)
        back = dqc.functional(str(path))
        assert jax.tree.structure(back) == jax.tree.structure(functional)
        np.testing.assert_array_equal(
            np.concatenate([np.ravel(x) for x in jax.tree.leaves(back)]),
            np.concatenate([np.ravel(x) for x in jax.tree.leaves(functional)]),
        )


def test_networks_of_other_kinds_need_their_structure(tmp_path) -> None:
    class Own(eqx.Module):
        scale: jax.Array

        def __call__(self, u):
            return self.scale * jnp.sin(u)

    made = dqc.functional(neural.NeuralFunctional(exchange=Own(jnp.asarray([0.7]))))
    stored.save(made, tmp_path / "own.h5")
    with pytest.raises(FunctionalError, match="like=functional"):
        stored.load(tmp_path / "own.h5")
    other = dqc.functional(neural.NeuralFunctional(exchange=Own(jnp.asarray([0.0]))))
    back = stored.load(tmp_path / "own.h5", like=other)
    np.testing.assert_array_equal(_energies(back), _energies(made))
    with pytest.raises(FunctionalError, match="does not fit"):
        stored.load(tmp_path / "own.h5", like=dqc.functional("pbe"))
    for ending in stored.ENDINGS:
        (tmp_path / f"no{ending}").write_text("nothing at all")
        with pytest.raises(FunctionalError, match="damaged"):
            dqc.functional(str(tmp_path / f"no{ending}"))


def test_safetensors_by_the_specification(tmp_path) -> None:
    """Header length, header and bytes as other programs write and read them."""
    functional = dqc.functional("pbe")
    stored.save(functional, tmp_path / "f.safetensors")
    raw = (tmp_path / "f.safetensors").read_bytes()
    length = int(np.frombuffer(raw[:8], "<u8")[0])
    header = json.loads(raw[8 : 8 + length])
    assert json.loads(header.pop("__metadata__")["description"])["name"] == "pbe"
    leaves = jax.tree.leaves(functional)
    assert len(header) == len(leaves)
    stop = 0
    for entry, leaf in zip(header.values(), leaves, strict=True):
        (start, end), before = entry["data_offsets"], stop
        assert (entry["dtype"], start) == ("F64", before)
        value = np.frombuffer(raw[8 + length + start : 8 + length + end], "<f8")
        np.testing.assert_array_equal(value.reshape(entry["shape"]), leaf)
        stop = end
    assert 8 + length + stop == len(raw)
