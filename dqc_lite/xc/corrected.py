"""Names of functionals that carry a dispersion correction, such as "pbe-d3bj" and "wb97x-d".

A functional holds no dispersion, which is a term of its own, so that such a name is either parted
into both (`parted`, for `dqc_lite.KS`) or refused: the bare functional never goes by it. libxc's
full labels, "hyb_gga_xc_wb97x_d", name what libxc has, without dispersion.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dqc_lite.errors import FunctionalError


class Parted(NamedTuple):
    """What a name stands for.

    Attributes:
        functional: the name of the functional alone.
        dispersion: as `dqc_lite.KS` takes it.
        nonlocal_correlation: whether the functional keeps its VV10; the correction is in its place
            where not.
    """

    functional: str
    dispersion: str
    nonlocal_correlation: bool = True


SPECIAL = {
    # Najibi, Goerigk, J. Chem. Theory Comput. 14, 5725 (2018) and J. Comput. Chem. 41, 2562 (2020)
    "WB97X-D3BJ": Parted("wb97x_v", "d3bj:wb97x", False),
    "WB97M-D3BJ": Parted("wb97m_v", "d3bj:wb97m", False),
    "B97M-D3BJ": Parted("b97m_v", "d3bj:b97m", False),
    "WB97M-D4": Parted("wb97m_v", "d4:wb97m", False),
    "B97M-D4": Parted("b97m_v", "d4:b97m", False),
    # Lin, Li, Mao, Chai, J. Chem. Theory Comput. 9, 263 (2013)
    "WB97X-D3": Parted("hyb_gga_xc_wb97x_d3", "d3zero:wb97x"),
    # the functional is that of B97-D, with newer corrections
    "B97-D3BJ": Parted("gga_xc_b97_d", "d3bj:b97d"),
    "B97-D3ZERO": Parted("gga_xc_b97_d", "d3zero:b97d"),
    # Liu et al., Nat. Comput. Sci. 3, 48 (2023): fitted together with its correction
    "CF22D": Parted("libxc:hyb_mgga_x_cf22d,mgga_c_cf22d", "d3zero:cf22d"),
}
"""Names whose parts are not the text before and after the hyphen."""

_WB97X = "take 'wb97x-v', 'wb97x-d3bj' or 'wb97x-d3' through KS"
REFUSED = {
    "WB97X-D": f"the damping of Chai and Head-Gordon is not at hand; {_WB97X}; "
    "'hyb_gga_xc_wb97x_d' is its functional without any dispersion",
    "WB97X-D3ZERO": f"the parameters belong to another functional; {_WB97X}",
    "WB97X-D4": "two functionals go by it; take 'wb97x' with dispersion='d4:wb97x-2008', or "
    "'wb97x-v' without its nonlocal_correlation with dispersion='d4:wb97x'",
    "B97-D": "D2 is not at hand; take KS('b97-d3bj'); 'gga_xc_b97_d' is its functional without "
    "any dispersion",
}
"""Why, and what to take instead."""

_MODELS = {"D3BJ": "d3bj", "D3ZERO": "d3zero", "D4": "d4"}
_WORDS = r"D(?:[2-9](?:[A-Z0-9]*(?:\((?:BJ|0|ZERO|OP)\))?)?)?|3C|TS|MBD|XDM|NL"
_LABEL = re.compile(r"(?<![A-Z0-9_])(?:HYB_)?(?:LDA|M?GGA)_(?:XC|X|C)_[A-Z0-9_]+")
_CARRIED = re.compile(rf"(?<=[A-Z0-9)])[-_](?:{_WORDS})(?![A-Z0-9_(.])")
_JOINED = re.compile(
    r"(?<![A-Z0-9_])(?:(?:WB97X|B97|OTPSS|OPBE|OPWLYP|OBLYP|SSB|REVSSB)D[2-4]?|B973C|CF22D)"
    r"(?![A-Z0-9_])"
)


def carries_dispersion(text: str) -> bool:
    """Whether a name, or one of a sum of names, is that of a functional with its dispersion."""
    bare = _LABEL.sub("LABEL", _compact(text))
    return bool(_CARRIED.search(bare) or _JOINED.search(bare))


def parted(text: str) -> Parted:
    """The functional and the correction of a name that `carries_dispersion`.

    Raises:
        FunctionalError: the correction is not at hand, or stands within a sum.
    """
    name = _spelled(text)
    if name in SPECIAL:
        return SPECIAL[name]
    if name in REFUSED:
        raise FunctionalError(
            f"functional = {text!r} names a dispersion correction that is not made: "
            f"{REFUSED[name]}."
        )
    model = name.rpartition("-")[2]
    if model in _MODELS and not carries_dispersion(_before(text)):
        return Parted(_before(text), _MODELS[model])
    raise FunctionalError(
        f"functional = {text!r} names a dispersion correction that is not made; those made are "
        f"{', '.join('-' + m.lower() for m in _MODELS)} behind one functional in KS, as in "
        f"KS('pbe-d3bj'). {_about(model)}libxc's full labels, such as 'gga_xc_b97_d', name "
        "functionals without any dispersion."
    )


def refusal(text: str) -> str:
    """The message where a functional alone is asked for by a name that `carries_dispersion`."""
    parts = parted(text)
    return (
        f"functional = {text!r} names a dispersion correction, which is no part of a functional: "
        f"give KS({text!r}), or KS({parts.functional!r}, dispersion={parts.dispersion!r})"
        + (" with nonlocal_correlation and nonlocal_weight of the functional None"
           if not parts.nonlocal_correlation else "")
        + "."
    )  # fmt: skip


def _about(model: str) -> str:
    """A word more on some of the models."""
    return {
        "D3": "'-d3' alone could be '-d3bj' or '-d3zero'. ",
        "3C": "The '3c' methods have basis sets and further corrections of their own. ",
    }.get(model, "")


def _compact(text: str) -> str:
    return "".join(text.split()).upper()


def _spelled(text: str) -> str:
    """In one spelling: hyphens, D3BJ for D3(BJ), D3ZERO for D3(0), WB97X-D for WB97XD."""
    name = re.sub(r"\(([A-Z0-9]+)\)$", r"\1", _compact(text)).replace("_", "-")
    name = re.sub(r"-D30$", "-D3ZERO", name)
    if _JOINED.fullmatch(name) and name != "CF22D":
        name = re.sub(r"(D[2-4]?|3C)$", r"-\1", name)
    return name


def _before(text: str) -> str:
    """The text before the correction."""
    compact = "".join(text.split())
    return compact[: list(re.finditer(r"[-_]", compact))[-1].start()].lower()
