"""The pages on what can be added: their code runs as it stands, and what it makes is right."""

import functools
import pathlib
import re

import jax
import numpy as np
import pytest

import dqc_lite as dqc
from dqc_lite.errors import InputError

DOCS = pathlib.Path(__file__).parents[1] / "docs"


@functools.cache
def _page(name: str) -> dict:
    """What the code of a page leaves behind."""
    names: dict = {}
    text = (DOCS / name).read_text("utf-8")
    for block in re.findall(r"^```python\n(.*?)```$", text, re.M | re.S):
        exec(block, names)
    return names


def test_a_solver_of_ones_own_is_as_good_as_any() -> None:
    page = _page("add_a_solver.md")
    mol, solution = page["mol"], page["solution"]
    assert abs(float(solution.energy - dqc.energy(mol))) < 1e-10
    np.testing.assert_allclose(page["forces"], dqc.forces(mol), atol=1e-7)
    stages = solution.certificate.solver
    assert stages.solver == "Damped"
    assert int(stages.diis) == int(solution.iterations) > 10
    hessian = dqc.hessian(mol, solver=page["Damped"]())
    np.testing.assert_allclose(hessian, dqc.hessian(mol), atol=1e-6)


def test_a_solver_of_ones_own_writes_no_checkpoint(tmp_path) -> None:
    page = _page("add_a_solver.md")
    with pytest.raises(InputError, match="checkpoint: Damped writes and continues none"):
        dqc.energy(page["mol"], solver=page["Damped"](), checkpoint=tmp_path / "run.h5")
    with pytest.raises(InputError, match=r"solver = .*your own dqc_lite\.Solver"):  # a class
        dqc.energy(page["mol"], solver=page["Damped"])


def test_a_solver_of_ones_own_and_smeared_electrons() -> None:
    page = _page("add_a_solver.md")
    mol, method = page["mol"], dqc.HF(smearing=0.2)
    found = dqc.energy(mol, method, solver=page["Damped"]())
    assert abs(float(found - dqc.energy(mol, method, solver="diis"))) < 1e-8


def test_a_functional_of_ones_own() -> None:
    """With PBE's parameters it is PBE; its derivatives are those of finite differences."""
    page = _page("add_a_functional.md")
    mol, mine = page["mol"], page["mine"]
    own, pbe = page["MyExchange"], dqc.functional("pbe").components[0]
    same = dqc.Functional((own(pbe.kappa, pbe.mu),), (1.0,)) + dqc.functional(",pbe")
    expected = dqc.energy(mol, dqc.KS("pbe", grid_level=1))
    assert abs(float(dqc.energy(mol, dqc.KS(same, grid_level=1)) - expected)) < 1e-10

    def energy(kappa: float, mu: float) -> float:
        changed = dqc.Functional((own(kappa, mu), *mine.components[1:]), mine.weights)
        return float(dqc.energy(mol, dqc.KS(changed, grid_level=1)))

    step = 1e-3
    by_kappa = (energy(0.9 + step, 0.21) - energy(0.9 - step, 0.21)) / (2 * step)
    by_mu = (energy(0.9, 0.21 + step) - energy(0.9, 0.21 - step)) / (2 * step)
    slopes = page["slopes"]
    np.testing.assert_allclose([slopes.kappa, slopes.mu], [by_kappa, by_mu], rtol=1e-4)
    assert jax.tree.leaves(own()) == [0.9, 0.21]
