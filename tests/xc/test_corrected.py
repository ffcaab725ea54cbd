"""Names that carry a dispersion correction give it or are refused; it is never left out."""

import dataclasses
import itertools
import re

import hypothesis.strategies as st
import pyscf.dft.libxc as libxc
import pyscf.scf.dispersion as pyscf_names
import pytest
from hypothesis import given, settings

import dqc_lite as dqc
from dqc_lite.errors import DqcLiteError, FunctionalError, InputError, MethodError
from dqc_lite.terms import Dispersion, NonlocalCorrelation
from dqc_lite.xc.names import functional, list_functionals

WATER = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"


def terms(method: dqc.KS) -> dict[type, object]:
    mol = dqc.Molecule.from_atoms(WATER, basis="sto-3g", charge=0, spin=0)
    return {type(term): term for term in method.hamiltonian(mol).terms}


# name -> (functional alone, model, whose damping), and what PySCF takes where it differs
GIVEN = {
    "pbe-d3bj": ("pbe", "d3bj", "pbe"),
    "PBE-D3(BJ)": ("pbe", "d3bj", "pbe"),
    "pbe_d3bj": ("pbe", "d3bj", "pbe"),
    "pbe - d4": ("pbe", "d4", "pbe"),
    "b3lyp-d3(0)": ("b3lyp", "d3zero", "b3lyp"),
    "b3lyp-d3zero": ("b3lyp", "d3zero", "b3lyp"),
    "cam-b3lyp-d3bj": ("cam-b3lyp", "d3bj", "cam-b3lyp"),
    "cam_b3lyp-d3bj": ("cam_b3lyp", "d3bj", "cam_b3lyp"),
    "m06-2x-d3zero": ("m06-2x", "d3zero", "m06-2x"),
    "r2scan-d4": ("r2scan", "d4", "r2scan"),
    "libxc:pbe-d3bj": ("libxc:pbe", "d3bj", "libxc:pbe"),
    "b97-d3bj": ("gga_xc_b97_d", "d3bj", "b97d"),
    "wb97x-d3": ("hyb_gga_xc_wb97x_d3", "d3zero", "wb97x"),
    "wb97xd3": ("hyb_gga_xc_wb97x_d3", "d3zero", "wb97x"),
    "cf22d": ("libxc:hyb_mgga_x_cf22d,mgga_c_cf22d", "d3zero", "cf22d"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_the_term_is_given(name):
    bare, model, damping = GIVEN[name]
    method = dqc.KS(name)
    assert str(method.xc) == str(functional(bare))
    assert terms(method)[Dispersion] == Dispersion(model, damping)
    assert dqc.KS(name, dispersion=method.dispersion).dispersion == method.dispersion
    assert dataclasses.replace(method, grid_level=1).dispersion == method.dispersion
    with pytest.raises(FunctionalError, match=r"dispersion.*KS\("):
        functional(name)


@pytest.mark.parametrize(
    "name", ["wb97m-d3bj", "wB97M-D3(BJ)", "b97m-d3bj", "wb97x-d3bj", "wb97m-d4", "b97m-d4"]
)
def test_the_correction_stands_in_place_of_vv10(name):
    """As in PySCF, whose table says which functional is meant and that VV10 is off."""
    bare, nonlocal_part, correction = pyscf_names._white_list[re.sub(r"[()]", "", name.lower())]
    model, _, damping = correction.partition(":")
    assert nonlocal_part is False
    method = dqc.KS(name)
    found = terms(method)
    assert NonlocalCorrelation not in found
    expected = functional(bare)
    assert method.xc.labels == expected.labels
    assert method.xc.long_range_exchange == expected.long_range_exchange
    damping = damping or pyscf_names.XC_MAP[bare]
    assert found[Dispersion] == Dispersion(model, damping)
    with pytest.raises(FunctionalError, match="nonlocal_correlation"):
        functional(name)


MODELS = ["-D", "-d2", "-D3", "-d3m", "-d3m(bj)", "-d3op", "-d3bjatm", "-d3cso", "-3c", "-d4s"]


@pytest.mark.parametrize(
    "name",
    [
        "wb97x-d", "wB97X-D", "wb97x_d", "wb97xd", "b97-d", "b97_d", "b97d", "b97-d2", "b97-3c",
        "b97_3c", "b973c", "pbeh-3c", "r2scan-3c", "hf-3c", "wb97x-d4", "wb97x-d3zero",
        "libxc:wb97x-d", "libxc:wb97x_d", "libxc:b97d", "libxc:opbe_d", "libxc:otpss_d",
        "libxc:wb97x_d3", "libxc:cf22d", "0.5*b97-d + 0.5*pbe", "pbe-d3bj + 0.1*hf",
        "0.5*pbe-d3bj", "pbe,pbe-d3bj", "hf+b97d", "b97-d-d3bj", "pbe-d3bj-d4",
        *(a + b for a, b in itertools.product(["pbe", "cam-b3lyp"], MODELS)),
    ],
)  # fmt: skip
def test_what_is_not_made_is_refused(name):
    if not name.startswith("libxc:wb97x_d3") and name != "libxc:cf22d":
        with pytest.raises(DqcLiteError, match="dispersion"):
            dqc.KS(name)
    with pytest.raises(FunctionalError, match="dispersion"):
        functional(name)


def test_every_name_of_libxc_with_a_dispersion_is_known():
    """The last part of its labels alone; in full they name what libxc has."""
    carried = [k for k in libxc.XC_CODES if re.search(r"_XC_.*(D|D[234]|3C)$", k)]
    assert len(carried) >= 7
    for label in carried:
        for prefix in ("", "libxc:"):
            with pytest.raises(FunctionalError, match="dispersion"):
                functional(prefix + label.split("_XC_")[1])
        assert functional(f"libxc:{label}").labels == (label.lower(),)
    for label in ("hyb_gga_xc_wb97x_d", "gga_xc_b97_d", "gga_xc_b97_3c"):
        assert functional(label).labels == (label,)


def test_listed_names_promise_no_dispersion():
    assert not {"wb97x_d", "wb97x_d3", "b97_d", "b97_3c"} & set(list_functionals())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(["pbe", "b3lyp", "tpss", "m06-2x", "wb97x", "b97", "scan0", "libxc:blyp"]),
    st.sampled_from(["-", "_", " - "]),
    st.from_regex(r"[dD][234]?(bj|BJ|\(bj\)|zero|\(0\)|m|op|atm|s|cso)?", fullmatch=True),
)
def test_no_functional_goes_by_the_name_of_a_corrected_one(name, hyphen, model):
    text = name + hyphen + model
    with pytest.raises(FunctionalError):
        functional(text)
    try:
        method = dqc.KS(text)
    except DqcLiteError:
        return
    assert Dispersion in terms(method)


@pytest.mark.parametrize("name", ["wb97m-v", "wb97x-v", "b97m-v", "libxc:wb97m_v", "libxc:vv10"])
@pytest.mark.parametrize("model", ["d3bj:wb97m", "d4:wb97m", "d3zero:pbe"])
def test_dispersion_is_not_added_to_vv10(name, model):
    with pytest.raises(MethodError, match="VV10"):
        dqc.KS(name, dispersion=model)


def test_two_corrections_are_refused():
    with pytest.raises(InputError, match="'d4'"):
        dqc.KS("pbe-d3bj", dispersion="d4")
    with pytest.raises(InputError, match="d3bj:b3lyp"):
        dqc.KS("pbe-d3bj", dispersion="d3bj:b3lyp")
