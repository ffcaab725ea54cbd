"""Names of functionals, with PySCF's meaning.

The grammar is that of ``pyscf.dft.libxc.parse_xc``: exchange and correlation stand before and
after a comma, without a comma a name means a whole functional; terms are added and scaled as in
``"0.2*HF + 0.8*PBE, PBE"``; ``HF`` is exact exchange, ``RSH(omega, alpha, beta)``,
``SR_HF(omega)`` and ``LR_HF(omega)`` are range-separated exchange. Case and blanks do not matter.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from typing import Any

from dqc_lite.errors import FunctionalError
from dqc_lite.xc.components import COMPONENTS, FAMILIES
from dqc_lite.xc.compounds import (
    ALIASES,
    EXACT_EXCHANGE,
    HOSTED,
    HYPHENATED,
    MIXTURES,
    NICKNAMES,
    OTHER_NAMES,
)
from dqc_lite.xc.corrected import carries_dispersion, parted, refusal
from dqc_lite.xc.functional import (
    Functional,
    exact_exchange,
    long_range_exchange,
    of_component,
)
from dqc_lite.xc.libxc import libxc_functional

_WHOLE = OTHER_NAMES | ALIASES

RANGE_SEPARATED: dict[str, dict[str, Any]] = {}
for _family in FAMILIES:
    RANGE_SEPARATED |= getattr(_family, "FUNCTIONALS", {})

_PREFIXES = {
    "exchange": ("LDA_X_", "GGA_X_", "MGGA_X_", "HYB_GGA_X_", "HYB_MGGA_X_"),
    "correlation": ("LDA_C_", "GGA_C_", "MGGA_C_"),
    "whole": (
        "LDA_XC_", "GGA_XC_", "MGGA_XC_", "HYB_LDA_XC_", "HYB_GGA_XC_", "HYB_MGGA_XC_",
    ),
}  # fmt: skip
"""Of libxc's labels, by the place in the text where a name stands."""


def functional(spec: str | Functional | Any) -> Functional:
    """The functional of this name; a `Functional` is returned as it is, a component wrapped.

    Args:
        spec: a name or sum of names as PySCF reads them ("pbe", "b3lyp", "b88,lyp",
            "0.2*HF + 0.8*PBE, PBE"), without dispersion
            corrections (see `parted_functional`), or "libxc:" and any name that PySCF knows, which
            is then evaluated by libxc and not trainable (some go without the prefix; see
            `list_fixed_functionals`), or an .h5 or .safetensors file of
            `dqc_lite.xc.stored.save`.

    Raises:
        FunctionalError: unknown, empty or ambiguous, or with a dispersion correction.
    """
    if isinstance(spec, Functional):
        return spec
    if hasattr(spec, "energy_density") and hasattr(spec, "level"):
        return of_component(spec)
    if not isinstance(spec, str):
        raise FunctionalError(
            f"functional = {spec!r} is not understood; use a name such as 'pbe0', or a Functional."
        )
    if _is_file(spec):
        from dqc_lite.xc.stored import load  # networks, for this alone

        return load(spec.strip())
    if carries_dispersion(spec):
        raise FunctionalError(refusal(spec))
    if spec.strip().lower().startswith("libxc:"):
        return libxc_functional(spec.strip()[len("libxc:") :])
    made = read(spec)
    _check_range(made, spec)
    return dataclasses.replace(made, name=" ".join(spec.lower().split()))


def _is_file(spec: str) -> bool:
    return spec.strip().lower().endswith((".h5", ".hdf5", ".safetensors"))


def parted_functional(spec: str) -> tuple[Functional, str | None]:
    """The functional of a name and the dispersion correction that the name carries, or None.

    "pbe-d3bj" is PBE with "d3bj"; see `dqc_lite.xc.corrected`.

    Raises:
        FunctionalError: as `functional`, or the correction is not made.
    """
    if _is_file(spec) or not carries_dispersion(spec):
        return functional(spec), None
    name, dispersion, keeps_nonlocal = parted(spec)
    made = functional(name)
    if not keeps_nonlocal:
        made = dataclasses.replace(
            made, nonlocal_correlation=None, nonlocal_weight=None, name=f"{name} without VV10"
        )
    return made, dispersion


def list_functionals() -> list[str]:
    """Names of functionals that are made in JAX, every parameter of them trainable, sorted.

    Sums of them, and of the components named by `list_components`, are understood as well.
    """
    labels = (*COMPONENTS, *MIXTURES, *RANGE_SEPARATED)
    tails = (label.split("_xc_")[1] for label in labels if "_xc_" in label)
    names = {*tails, *(n.lower() for n in (*NICKNAMES, *ALIASES, *OTHER_NAMES))}
    return sorted(name for name in names if not carries_dispersion(name))


def list_fixed_functionals() -> list[str]:
    """Names of functionals that libxc evaluates, without trainable parameters, sorted.

    ``functional(name).fixed`` names what is not trainable in any functional.
    """
    return sorted(name.lower() for name in HOSTED)


def list_components() -> list[str]:
    """libxc's labels of the components that functionals are made of, sorted."""
    return sorted(COMPONENTS)


def read(text: str) -> Functional:
    """Text in PySCF's grammar."""
    compact = _underscored("".join(text.split()).upper())
    parts = re.split(r",(?![^(]*\))", compact)
    if not any(parts):
        raise FunctionalError(f"functional = {text!r} is empty; name one, such as 'pbe'.")
    if len(parts) > 2:
        raise FunctionalError(
            f"functional = {text!r} has {len(parts) - 1} commas; one separates exchange from "
            "correlation."
        )
    places = ("whole",) if len(parts) == 1 else ("exchange", "correlation")
    made = [
        factor * _term(name, arguments, place, text)
        for place, part in zip(places, parts, strict=True)
        for factor, name, arguments in _terms(part, text)
    ]
    return sum(made[1:], made[0])


_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:E[+-]?[0-9]{1,2})?"
_TERM = re.compile(
    rf"(?P<sign>\+?-?)(?:(?P<before>{_NUMBER})\*)?(?P<name>[A-Z][A-Z0-9_]*)"
    rf"(?:\((?P<arguments>[^()]*)\))?(?:\*(?P<after>{_NUMBER}))?(?=[+-]|$)"
)
_HYPHENATED = re.compile(
    rf"(?<![A-Z0-9_])({'|'.join(sorted(HYPHENATED, key=len, reverse=True))})(?![A-Z0-9_])"
)


def _underscored(compact: str) -> str:
    """Hyphens inside names made underscores."""
    return _HYPHENATED.sub(lambda match: match[0].replace("-", "_"), compact)


def _terms(part: str, text: str) -> Iterator[tuple[float, str, str | None]]:
    """(factor, name, arguments) of each term of a sum."""
    at = 0
    while at < len(part):
        match = _TERM.match(part, at)
        if match is None or (at > 0 and not match["sign"]) or (match["before"] and match["after"]):
            raise FunctionalError(
                f"functional = {text!r} cannot be read at {part[at:].lower()!r}; terms look like "
                "0.75*pbe and are separated by + or -."
            )
        factor = float(match["before"] or match["after"] or 1.0)
        yield (-factor if "-" in match["sign"] else factor), match["name"], match["arguments"]
        at = match.end()


def _term(name: str, arguments: str | None, place: str, text: str) -> Functional:
    if name == "HF" and arguments is None:
        return exact_exchange(1.0)
    if name in ("RSH", "SR_HF", "LR_HF"):
        return _range_separated(name, arguments, text)
    if arguments is not None:
        raise FunctionalError(
            f"functional = {text!r}: {name.lower()!r} takes no arguments; only RSH(omega, alpha, "
            "beta), SR_HF(omega) and LR_HF(omega) do."
        )
    return _named(name, place, text)


def _range_separated(name: str, arguments: str | None, text: str) -> Functional:
    """alpha K + beta K_erfc = (alpha + beta) K - beta K_erf; SR_HF is K_erfc, LR_HF is K_erf."""
    if name == "RSH":
        if arguments and ";" in arguments:
            alpha, beta, omega = _numbers(arguments, ";", 3, text)
        else:
            omega, alpha, beta = _numbers(arguments or "", ",", 3, text)
        return exact_exchange(alpha + beta) + long_range_exchange(-beta, omega)
    given = None if arguments is None else _numbers(arguments, ",", 1, text)[0]
    if name == "LR_HF":
        return Functional(long_range_exchange=1.0, omega=given)
    return Functional(exact_exchange=1.0, long_range_exchange=-1.0, omega=given)


def _numbers(arguments: str, separator: str, count: int, text: str) -> list[float]:
    """The numbers in parentheses; omega must be positive."""
    fields = arguments.split(separator)
    if len(fields) != count or not all(re.fullmatch(rf"[+-]?{_NUMBER}", f) for f in fields):
        raise FunctionalError(
            f"functional = {text!r}: ({arguments.lower()}) cannot be read; write "
            "RSH(omega, alpha, beta), SR_HF(omega) or LR_HF(omega) with numbers."
        )
    numbers = [float(f) for f in fields]
    omega = numbers[-1] if separator == ";" or count == 1 else numbers[0]
    if omega <= 0:
        raise FunctionalError(
            f"functional = {text!r}: omega = {omega} must be positive (1 / bohr); without range "
            "separation use HF."
        )
    return numbers


def _named(name: str, place: str, text: str) -> Functional:
    """The order in which PySCF looks a name up."""
    if place == "whole" and name in _WHOLE:
        return read(_WHOLE[name])
    if place == "whole" and name in HOSTED:
        return libxc_functional(HOSTED[name])
    if name in NICKNAMES:
        return read(NICKNAMES[name])
    candidates = (name, *(prefix + name for prefix in _PREFIXES[place]))
    labels = {_LABELS[c] for c in candidates if c in _LABELS}
    if len(labels) > 1:
        raise FunctionalError(
            f"functional = {text!r}: {name.lower()!r} is ambiguous; write one of "
            f"{', '.join(sorted(labels))}."
        )
    if not labels:
        raise FunctionalError(_unknown(name, place, text))
    return _labelled(labels.pop())


def _labelled(label: str) -> Functional:
    """By libxc's label."""
    if label in RANGE_SEPARATED:
        return _from_table(**RANGE_SEPARATED[label])
    if label in MIXTURES:
        return read(MIXTURES[label])
    made = of_component(COMPONENTS[label](), label)
    if label in EXACT_EXCHANGE:
        made = made + exact_exchange(EXACT_EXCHANGE[label])
    return made


def _from_table(
    components: list[tuple[float, str]],
    exact_exchange: float | None = None,
    long_range_exchange: float | None = None,
    omega: float | None = None,
    vv10: tuple[float, float] | None = None,
) -> Functional:
    weights, labels = zip(*components, strict=True)
    return Functional(
        components=tuple(COMPONENTS[label]() for label in labels),
        weights=weights,
        exact_exchange=exact_exchange,
        long_range_exchange=long_range_exchange,
        omega=omega,
        nonlocal_correlation=vv10,
        nonlocal_weight=None if vv10 is None else 1.0,
        labels=labels,
    )


def _joined(label: str) -> str:
    """The label without underscores in its last part, which PySCF understands too."""
    parted = re.fullmatch(r"(.*?)(_XC_|_X_|_C_|$)(.*)", label)
    assert parted is not None  # all of its parts may be empty
    head, kind, tail = parted.groups()
    return head + kind + tail.replace("_", "")


_LABELS: dict[str, str] = {}
for _label in (*COMPONENTS, *MIXTURES, *RANGE_SEPARATED):
    _LABELS.setdefault(_joined(_label.upper()), _label)
    _LABELS[_label.upper()] = _label


def _check_range(made: Functional, text: str) -> None:
    """Whatever is attenuated needs omega."""
    if made.omega is not None:
        return
    attenuated = [
        label
        for label, component in zip(made.labels, made.components, strict=True)
        if getattr(component, "attenuated", False)
    ]
    if made.long_range_exchange is not None:
        attenuated.append("SR_HF or LR_HF")
    if attenuated:
        raise FunctionalError(
            f"functional = {text!r}: {', '.join(attenuated)} needs omega; write SR_HF(omega), "
            "LR_HF(omega) or RSH(omega, alpha, beta) once, or name a whole functional."
        )


def _unknown(name: str, place: str, text: str) -> str:
    known = {n.lower(): n for n in (*NICKNAMES, *_LABELS)}
    known |= {label[len(p) :].lower(): label for p in _PREFIXES[place] for label in _LABELS
              if label.startswith(p)}  # fmt: skip
    if place == "whole":
        known |= {n.lower(): n for n in (*_WHOLE, *HOSTED)}
    near = difflib.get_close_matches(name.lower(), known, n=3)
    message = f"functional = {text!r}: {name.lower()!r} is unknown"
    message += {
        "whole": " as a whole functional",
        "exchange": " as exchange (before the comma)",
        "correlation": " as correlation (after the comma)",
    }[place]
    message += f"; did you mean {' or '.join(near)}?" if near else "."
    elsewhere = [
        {"exchange": f"'{name.lower()},'", "correlation": f"',{name.lower()}'"}[other]
        for other in ("exchange", "correlation")
        if place == "whole" and any(p + name in _LABELS for p in _PREFIXES[other])
    ]
    if elsewhere:
        message += f" Alone it is written {' or '.join(elsewhere)}."
    return message + (
        " dqc_lite.list_functionals() has all names; 'libxc:...' evaluates any other functional "
        "that PySCF knows, with fixed parameters."
    )
