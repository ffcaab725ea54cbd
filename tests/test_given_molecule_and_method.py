"""What users give for a molecule and for a method: names, functionals, and what is neither."""

import inspect
import pathlib

import ase
import jax
import numpy as np
import pyscf.dft
import pyscf.gto
import pyscf.scf
import pytest

import dqc_lite as dqc
from dqc_lite import errors, fit
from dqc_lite._pytree import pytree
from dqc_lite.method import method_of
from dqc_lite.xc.components import COMPONENTS

TEXT = "H 0 0 0; H 0 0 0.7414"


def _takes(function, *names):
    return not isinstance(function, type) and set(names) <= set(
        inspect.signature(function).parameters
    )


FUNCTIONS = sorted(
    name for name in dqc.__all__ if callable(getattr(dqc, name))
    and _takes(getattr(dqc, name), "mol", "method")
)  # fmt: skip
"""All public functions of a molecule and a method; new ones are tested without being named."""

LONG = ("alchemical_derivatives", "dipole_derivatives", "hyperpolarizability", "vibrations")
"""To compile."""


@pytest.fixture(scope="module")
def mol():
    return dqc.Molecule.from_atoms(TEXT, "sto-3g")


@pytest.fixture(scope="module")
def mole():
    return pyscf.gto.M(atom=TEXT, basis="sto-3g", verbose=0)


def call(name, *args):
    """The function, behind the loss that one of them takes."""
    function = getattr(dqc, name)
    first = next(iter(inspect.signature(function).parameters))
    return function(*args) if first == "mol" else function(lambda p: (p**2).sum(), *args)


def test_functions():
    assert {"energy", "solve", "forces", "vibrations", "response_certificate"} < set(FUNCTIONS)
    assert len(FUNCTIONS) >= 17


# --- methods by name -----------------------------------------------------------------------------


def _numbers(result):
    leaves = vars(result).values() if hasattr(result, "frequencies") else jax.tree.leaves(result)
    return [np.asarray(x) for x in leaves if not isinstance(x, str)]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in FUNCTIONS]
)
def test_every_function_takes_a_name(mol, name):
    named, made = _numbers(call(name, mol, "uhf")), _numbers(call(name, mol, dqc.HF(False)))
    assert len(named) == len(made) > 0
    for one, other in zip(named, made, strict=True):
        np.testing.assert_array_equal(one, other)


def test_names_against_pyscf(mol, mole):
    hf = pyscf.scf.RHF(mole).run(conv_tol=1e-12)
    assert float(dqc.energy(mol, "hf")) == pytest.approx(hf.e_tot, abs=1e-9)
    for name in ("pbe", "LDA,VWN"):
        peer = pyscf.dft.RKS(mole, xc=name).run(conv_tol=1e-12)
        assert float(dqc.energy(mol, name)) == pytest.approx(peer.e_tot, abs=1e-8)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, dqc.HF()), ("hf", dqc.HF()), (" HF ", dqc.HF()), ("rhf", dqc.HF(True)),
        ("UHF", dqc.HF(False)), ("rohf", dqc.HF("rohf")), (dqc.HF(False), dqc.HF(False)),
    ],
)  # fmt: skip
def test_hartree_fock(given, expected):
    assert method_of(given) == expected


@pytest.mark.parametrize("name", ["pbe", "B3LYP", "0.2*HF + 0.8*PBE, PBE", "r2scan", "libxc:pbe"])
def test_functionals(name):
    made, expected = method_of(name), dqc.KS(name)
    assert jax.tree.structure(made) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(made), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("given", [dqc.functional("pbe"), COMPONENTS["lda_x"]()], ids=["sum", "x"])
def test_a_functional_itself(mol, given):
    assert float(dqc.energy(mol, given)) == float(dqc.energy(mol, dqc.KS(dqc.functional(given))))


def test_the_derivative_along_a_functional(mol):
    functional = dqc.functional("pbe")
    got = jax.grad(dqc.energy, argnums=1)(mol, functional)
    expected = jax.grad(dqc.energy, argnums=1)(mol, dqc.KS(functional)).xc
    assert jax.tree.structure(got) == jax.tree.structure(functional)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def test_names_and_transformations(mol):
    got = jax.grad(dqc.energy)(mol, "hf").positions
    np.testing.assert_allclose(got, -dqc.forces(mol, "hf"), atol=1e-12)
    with jax.ensure_compile_time_eval():
        compiled = jax.jit(dqc.energy, static_argnums=1)(mol, "hf")
    assert float(compiled) == pytest.approx(float(dqc.energy(mol)), abs=1e-10)


def test_a_method_of_ones_own(mol):
    """Anything with a Hamiltonian and a reference is a method."""

    @pytree
    class Own:
        inner: dqc.HF

        def hamiltonian(self, mol):
            return self.inner.hamiltonian(mol)

        def reference(self, mol):
            return self.inner.reference(mol)

    assert float(dqc.energy(mol, Own(dqc.HF()))) == float(dqc.energy(mol))


def test_fits_take_names(mol):
    parameters = fit.Parameters.select("lda,vwn", "weight.lda_x")
    data = fit.Dataset((fit.Row("h2", mol, energy=-1.1),))
    for given in ("lda,vwn", dqc.functional("lda,vwn")):
        objective = fit.Objective(data, given, parameters)
        assert objective.method.xc.name == "lda,vwn"
    for given, names in (("hf", "no functional to fit"), ("ldaa", "'ldaa'"), (3, "method = 3")):
        with pytest.raises(errors.MethodError, match=names):
            fit.Objective(data, given, parameters)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("pbee", ["'pbee'", "'hf'", "did you mean pbe"]),
        ("rhff", ["'rhff'", "did you mean 'rhf'"]), ("hff", ["did you mean 'hf'"]),
        ("mp2", ["'mp2'"]), ("", ["''"]), ("ks", ["'ks'", "'pbe'"]), ("uks", ["KS('pbe')"]),
        ("pbe-d3", ["'pbe-d3'", "dispersion"]), (3, ["method = 3", "'hf'"]), (0, ["method = 0"]),
        (False, ["method = False"]), ([], ["method = []"]), (np.zeros(2), ["method = array"]),
        (dqc.HF, ["HF", "a class", "HF()"]), (dqc.KS, ["KS", "a class"]),
        (dqc.DIIS(), ["method = DIIS("]), (b"hf", ["method = b'hf'"]),
    ],
    ids=str,
)  # fmt: skip
def test_no_methods(mol, given, names):
    with pytest.raises(errors.MethodError) as caught:
        dqc.energy(mol, given)
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_refuses_what_is_no_method(mol, name):
    for given in (3, "nope", mol):
        with pytest.raises(errors.MethodError, match="method = "):
            call(name, mol, given)


# --- molecules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_refuses_what_is_no_molecule(mol, mole, name):
    given = {
        "from_atoms": TEXT, "from_xyz": pathlib.Path("water.xyz"), "from_ase": ase.Atoms("H2"),
        "from_pyscf": mole, "comes first": dqc.HF(), "mol = 42": 42, "mol = None": None,
    }  # fmt: skip
    for remedy, value in given.items():
        with pytest.raises(errors.InputError, match=remedy):
            call(name, value, "hf")
    with pytest.raises(errors.InputError, match="the molecule comes first"):
        call(name, dqc.HF(), mol)


class OwnAtoms(ase.Atoms):
    """As users derive them."""


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda mol, mole: [("H", (0, 0, 0))], ["from_atoms"]),
        (lambda mol, mole: "2\n\nH 0 0 0\nH 0 0 1\n", ["from_atoms"]),
        (lambda mol, mole: "water.xyz", ["'water.xyz'", "from_xyz"]),
        (lambda mol, mole: "hf", ["'hf'", "from_atoms"]),
        (lambda mol, mole: OwnAtoms("H2"), ["from_ase"]),
        (lambda mol, mole: pyscf.scf.RHF(mole), ["from_pyscf(method.mol)"]),
        (lambda mol, mole: dqc.KS("pbe"), ["comes first"]),
        (lambda mol, mole: dqc.functional("pbe"), ["comes first"]),
        (lambda mol, mole: dqc.Molecule, ["a class", "from_atoms"]),
        (lambda mol, mole: dqc.solve(mol), ["Solution", ".mol"]),
        (lambda mol, mole: mol.positions, ["from_atoms"]),
        (lambda mol, mole: {"H": (0, 0, 0)}, ["dict", "from_atoms"]),
    ],
)
def test_no_molecules(mol, mole, make, names):
    with pytest.raises(errors.InputError) as caught:
        dqc.energy(make(mol, mole))
    message = str(caught.value)
    assert message.startswith("mol = ")
    assert all(name in message for name in names)
    assert len(message) < 300
