"""Coulomb and exchange matrices against PySCF's, exact and fitted, and their memory checks."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pyscf.df
import pyscf.gto
import pyscf.scf
import pytest
from systems import mole, molecule

import dqc_lite as dqc
from dqc_lite.density import Density
from dqc_lite.jk import DensityFitted, Exact
from dqc_lite.terms import ElectronRepulsion


def _density(nao: int, nspin: int) -> Density:
    rng = np.random.default_rng(11)
    return Density.from_factor(jnp.asarray(rng.normal(size=(nspin, nao, 4))) / np.sqrt(nao))


@pytest.mark.parametrize("nspin", [1, 2])
@pytest.mark.parametrize("layout", ["square", "packed", "fitted"])
def test_against_pyscf(layout: str, nspin: int) -> None:
    mol = molecule("nh3 rotated", "6-31g*")
    density = _density(mol.nao, nspin)
    matrices, built = np.asarray(density.matrix), mole(mol, "6-31g*")
    if layout == "fitted":
        builder, _ = ElectronRepulsion(1.0, True).prepare(mol, mol.orbitals())
        assert isinstance(builder, DensityFitted)
        j, k = pyscf.df.DF(built).get_jk(matrices)
    else:
        builder = Exact.build(mol.orbitals())
        if layout == "packed":
            rows, columns = np.tril_indices(mol.nao)
            builder = dataclasses.replace(builder, eri=builder.eri[:, rows, columns])
        assert builder.eri.ndim == (2 if layout == "packed" else 3)
        j, k = pyscf.scf.hf.get_jk(built, matrices)
    np.testing.assert_allclose(builder.coulomb(density), np.sum(j, 0), rtol=0, atol=1e-11)
    np.testing.assert_allclose(builder.exchange(density), k, rtol=0, atol=1e-11)


def test_exact_integrals_beyond_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    mol = molecule("nh3", "6-31g*")
    monkeypatch.setenv("DQC_LITE_MEMORY_GB", "0.0001")
    with pytest.raises(dqc.errors.MemoryBudgetError, match=r"GiB.*density_fit=True"):
        dqc.energy(mol)
    with pytest.raises(dqc.errors.MemoryBudgetError, match="auxiliary"):
        dqc.energy(mol, dqc.HF(density_fit=True))


def test_packed_storage_when_the_square_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    mol = molecule("nh3", "6-31g*")
    expected = float(dqc.energy(mol))
    npair = mol.nao * (mol.nao + 1) // 2
    monkeypatch.setenv("DQC_LITE_MEMORY_GB", str(2.1 * 8 * npair**2 / 2**30))
    assert Exact.build(mol.orbitals()).eri.ndim == 2
    assert abs(float(dqc.energy(mol)) - expected) < 1e-10


def test_default_auxiliary_basis_follows_pyscf_and_not_the_history() -> None:
    """Names decide, also in a dict; functions given as numbers get the even-tempered rule."""
    text, name = "H 0 0 0; F 0 0 0.92", "6-31g*"
    named = {"H": name, "F": name}
    listed = {s: pyscf.gto.basis.load(name, s) for s in named}
    fitted = dqc.HF(density_fit=True)
    for basis in (listed, named, name, listed):
        built = pyscf.gto.M(atom=text, basis=basis, verbose=0)
        mf = pyscf.scf.RHF(built).density_fit()
        mf.conv_tol = 1e-12
        expected = mf.kernel()
        for mol in (dqc.Molecule.from_atoms(text, basis), dqc.Molecule.from_pyscf(built)):
            assert abs(float(dqc.energy(mol, fitted)) - expected) < 1e-9


def test_named_auxiliary_basis() -> None:
    mol = molecule("h2o", "6-31g")
    fitted = float(dqc.energy(mol, dqc.HF(density_fit="weigend")))
    mf = pyscf.scf.RHF(mole(mol, "6-31g")).density_fit(auxbasis="weigend")
    mf.verbose, mf.conv_tol = 0, 1e-12
    assert abs(fitted - mf.kernel()) < 1e-9
    with pytest.raises(dqc.errors.BasisError, match="no-such-set"):
        dqc.energy(mol, dqc.HF(density_fit="no-such-set"))
