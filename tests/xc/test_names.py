"""Names mean what they mean in PySCF."""

import contextlib
import functools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pyscf.dft.libxc as libxc
import pytest
from hypothesis import given, settings
from xc import libxc_oracle

from dqc_lite.errors import FunctionalError
from dqc_lite.xc import compounds
from dqc_lite.xc.components import COMPONENTS
from dqc_lite.xc.functional import Functional, exact_exchange
from dqc_lite.xc.names import (
    functional,
    list_components,
    list_fixed_functionals,
    list_functionals,
)

POINTS = libxc_oracle.NPOINT
DENSITY = {1: libxc_oracle.unpolarized, 2: libxc_oracle.polarized}


@functools.cache
def variables(spin):
    """Within the range where PySCF leaves no point out: (rho, sigma, tau)."""
    rng = np.random.default_rng(1)
    rho = 10.0 ** rng.uniform(-3, 2, (2, POINTS))
    size = 10.0 ** rng.uniform(-1, 0.8, (2, POINTS)) * rho ** (4 / 3)
    sigma = np.stack([size[0] ** 2, size[0] * size[1] * rng.uniform(-1, 1, POINTS), size[1] ** 2])
    tau = sigma[::2] / (8 * rho) + 3.0 * rho ** (5 / 3) * rng.uniform(0.1, 3, (2, POINTS))
    return (rho, sigma, tau) if spin == 2 else (2 * rho[0], 4 * sigma[0], 2 * tau[0])


@functools.cache
def density(spin):
    return DENSITY[spin](*map(jnp.asarray, variables(spin)))


def energies(f: Functional, spin):
    """Weighted energy densities of every component, (component, point)."""
    rows = [np.zeros(POINTS)]
    for weight, component in zip(f.weights, f.components, strict=True):
        omega = (f.omega,) if getattr(component, "attenuated", False) else ()
        rows.append(weight * np.asarray(component.energy_density(density(spin), *omega)))
    return np.array(rows)


def assert_same(f: Functional, name: str):
    """Energy and coefficients are PySCF's."""
    omega, alpha, beta = libxc.rsh_coeff(name)
    if not alpha and not beta:
        omega = 0.0  # M11-L: of semilocal exchange alone
    assert (f.omega or 0.0) == pytest.approx(omega, abs=1e-15)
    short = alpha + beta if omega else libxc.hybrid_coeff(name)
    assert (f.exact_exchange or 0.0) == pytest.approx(short, abs=1e-12)
    assert (f.long_range_exchange or 0.0) == pytest.approx(alpha - short, abs=1e-12)
    nonlocal_pairs = [(tuple(pair), weight) for pair, weight in libxc.nlc_coeff(name)]
    mine = [] if f.nonlocal_weight is None else [(f.nonlocal_correlation, f.nonlocal_weight)]
    assert mine == nonlocal_pairs
    level = libxc.xc_type(name).lower()
    assert f.level == (None if level == "hf" else level)
    if level == "hf":
        return
    for spin in (1, 2):
        expected = libxc_oracle.evaluate(name, *variables(spin), order=0)[0]
        rows = energies(f, spin)
        error = np.abs(rows.sum(0) - expected) / np.abs(rows).max(0)
        assert error.max() < 1e-10, f"spin {spin}"


@pytest.mark.parametrize("name", list_functionals())
def test_every_name_is_pyscfs(name):
    f = functional(name)
    assert f.name == name
    assert f.fixed == ()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(f))
    assert_same(f, compounds.OTHER_NAMES.get(name.upper(), name))


def test_what_a_functional_gives_is_the_sum_of_its_components():
    """`energies` looks at the components; this is the way users go."""
    for name in ("b3lyp", "hse06", "tpssh"):
        f = functional(name)
        density = DENSITY[2](*variables(2))
        found = jax.jit(lambda f, density=density: f.energy_density(density))(f)
        np.testing.assert_allclose(found, energies(f, 2).sum(0), rtol=1e-13)


@pytest.mark.parametrize(
    "text",
    [
        "LDA,VWN", "lda", "b88,lyp", "pbe,pbe", "PBE , pbe", "slater,", ",vwn5", ",vwn_rpa", "HF",
        "0.2*HF + 0.8*PBE, PBE", "HF*0.2 + PBE*0.8, PBE", "hf,", ",hf", "0.5*b3lyp",
        ".5*pbe+0.5*blyp", "pbe0 - 0.25*hf", "-0.5*pbe,", "1e-1*pbe,1.E0*lyp", "b3lyp,",
        "RSH(0.33, 0.65, -0.46) + 0.35*b88, 0.19*vwn5 + 0.81*lyp",
        "RSH(0.65;-0.46;0.33) + 0.35*b88, 0.19*vwn5 + 0.81*lyp",
        "RSH(0.33, 0.65, -0.46) + 0.46*ITYH + .35*B88, VWN5*0.19 + LYP*0.81",
        "SR_HF(0.11)*0.25 + pbe, pbe", "LR_HF(0.3)*0.6 + 0.4*HF + 0.5*pbe, pbe",
        "SR-HF(0.3)*0.2 + LR-HF*0.7 + pbe,", "gga_x_pbe,gga_c_pbe", "gga_x_pbe+gga_c_lyp",
        "GGA_X_PBESOL,PBE_SOL", "pbesol,", "cam_b3lyp", "CAM-B3LYP", "hyb_gga_xc_b3lyp",
        "hyb_gga_xc_camb3lyp", "m06-2x", "M06-L", "m06_l,", "wB97M-V", "wb97mv", "wb97x-v",
        "0.5*wb97m_v", "b97-1", "hcth-407", "hcth407", "lc_blyp", "tpss,pw91", "scan0,scan",
        "0.7*camb3lyp + 0.1*hf", "mn15-l", "MN15_L", "n12-sx", "lrc-wpbe", "LRC-wPBEh", "LC-VV10",
        "VV10", "M11-L", "sogga11_x",
        "n12,", "mn15,mn15", "0.5*pw6b95", "sb98_2c", "hyb_gga_xc_wb97x_d", "gga_xc_b97_3c",
    ],
)  # fmt: skip
def test_text_is_read_as_pyscf_reads_it(text):
    assert_same(functional(text), text)


SUM = st.floats(0.01, 3).map(lambda x: f"{x:.3f}")
EXCHANGE = ["pbe", "b88", "SLATER", "lda_x", "rpbe", "Pbe_Sol", "gga_x_pw91", "pbe0", "HF", "B3LYP"]
CORRELATION = ["lyp", "pbe", "VWN", "vwn_rpa", "pw", "gga_c_p86", "HF"]
WHOLE = ["pbe", "blyp", "b3lyp", "svwn", "tpss", "gga_x_pbe", "hcth_407", "hf"]
RANGE = ["SR_HF({0})", "LR_HF({0})", "rsh({0},0.6,-0.4)"]


@st.composite
def sums(draw, names):
    """A sum of scaled names, with blanks; the factor behind, where PySCF reads every sign."""
    blank = st.sampled_from(["", " "])
    text = ""
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)):
        text += draw(st.sampled_from("+-")) if text else draw(st.sampled_from(["", "-"]))
        text += f"{draw(blank)}{name}{draw(blank)}*{draw(blank)}{draw(SUM)}"
    return text


@st.composite
def texts(draw):
    omega = draw(st.sampled_from(["0.2", "0.33"]))
    # behind rsh(...) PySCF cannot read other parentheses
    separated = [term.format(omega) for term in draw(st.sampled_from([RANGE[:2], RANGE[2:]]))]
    if draw(st.booleans()):
        return draw(sums(EXCHANGE + separated)) + "," + draw(sums(CORRELATION))
    return draw(sums(WHOLE + separated))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(texts())
def test_sums_are_read_as_pyscf_reads_them(text):
    assert_same(functional(text), text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.text(max_size=12),
        st.text("pbe,+-*.0123()hfrs_; ", max_size=16),
        st.lists(st.sampled_from([*WHOLE, *RANGE, "+", "-", "*", ",", "0.5", "("])).map("".join),
    )
)
def test_any_text_is_a_functional_or_refused(text):
    """No other exception, whatever the text."""
    try:
        made = functional(text)
    except FunctionalError:
        return
    assert isinstance(made, Functional)
    assert len(made.weights) == len(made.components) == len(made.labels)


@pytest.mark.parametrize("name", list_fixed_functionals())
def test_what_libxc_evaluates_has_pyscfs_meaning_and_says_it_is_fixed(name):
    f = functional(name)
    assert f.name == name
    assert f.fixed == f.labels
    assert "not trainable" in repr(f)
    with contextlib.suppress(KeyError):  # REVM06 and its like have no name there
        libxc.parse_xc(name)
        assert_same(f, name)
    assert_same(f, compounds.HOSTED[name.upper()])


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("M11", "HYB_MGGA_X_M11,MGGA_C_M11"),
        ("bmk", "HYB_MGGA_X_BMK,GGA_C_BMK"),
        ("tHCTH", "MGGA_X_TAU_HCTH,GGA_C_TAU_HCTH"),
        ("tau-hcth", "MGGA_X_TAU_HCTH,GGA_C_TAU_HCTH"),
        ("tHCTHh", "HYB_MGGA_X_TAU_HCTH,GGA_C_HYB_TAU_HCTH"),
        ("CAM-QTP01", "cam_qtp_01"),
        ("CAM-QTP-01", "cam_qtp_01"),
        ("sogga11-x", "sogga11_x"),
        ("LC-wPBE", "lc_wpbe"),
        ("B98", "sb98_2c"),
    ],
)
def test_names_of_other_programs(name, meaning):
    assert_same(functional(name), meaning)


def test_pbe0_from_its_parts():
    made = 0.75 * functional("pbe,") + exact_exchange(0.25) + functional(",pbe")
    assert_same(made, "pbe0")


def test_mixing_weights_are_leaves():
    f = functional("b3lyp")
    assert dict(zip(f.labels, f.weights, strict=True)) == {
        "lda_x": 0.08, "gga_x_b88": 0.72, "lda_c_vwn_rpa": 0.19, "gga_c_lyp": 0.81,
    }  # fmt: skip
    assert f.exact_exchange == 0.2
    assert {0.08, 0.72, 0.19, 0.81, 0.2} <= {
        leaf for leaf in jax.tree.leaves(f) if isinstance(leaf, float)
    }
    for line in ("0.19 lda_c_vwn_rpa", "0.2 exact exchange"):
        assert line in repr(f)


def test_functionals_and_components_pass():
    f = functional("pbe")
    assert functional(f) is f
    component = f.components[0]
    assert functional(component).components == (component,)


def test_every_entry_of_the_tables_is_understood():
    for table in (compounds.MIXTURES, compounds.NICKNAMES):
        for name in table:
            functional(name)
    for name in compounds.ALIASES:
        functional(name)
    assert set(compounds.EXACT_EXCHANGE) <= set(COMPONENTS)
    assert {"b3lyp", "pbe0", "hse06", "r2scan", "m06_2x", "wb97m_v"} <= set(list_functionals())
    assert {"lda_x", "gga_c_lyp"} <= set(list_components())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (",", "empty"),
        ("pbee", "pbe"),
        ("b3lipp", "b3lyp"),
        ("lyp", "',lyp'"),
        ("vwn,", "correlation|exchange"),
        ("pbe,lypp", r"\blyp\b"),
        ("pbe,pbe,pbe", "comma"),
        ("pbe lyp", "unknown"),
        ("pbe++lyp", "cannot be read"),
        ("0.5*pbe*2", "cannot be read"),
        ("0.5*0.5*pbe", "cannot be read"),
        ("pbe/2", "cannot be read"),
        ("2", "cannot be read"),
        ("__import__('os').getcwd()", "cannot be read"),
        ("b3lyp-d3bj", "dispersion"),
        ("b97-3c", "dispersion"),
        ("RSH(0.3,1)", "RSH"),
        ("RSH(0,1,1)", "positive"),
        ("SR_HF(a)", "SR_HF"),
        ("0.2*SR_HF+pbe,", "omega"),
        ("ityh,", "omega"),
        ("pbe(0.3)", "arguments"),
        ("hse06+camb3lyp", "omega"),
        ("SR_HF(0.1)+LR_HF(0.2)", "omega"),
        ("mgga_x_br89,", "libxc:"),
        (None, "None"),
        (402, "402"),
    ],
)
def test_what_is_not_understood_is_refused(spec, message):
    with pytest.raises(FunctionalError, match=message):
        functional(spec)
