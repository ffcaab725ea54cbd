"""London dispersion by the packages dftd3 and dftd4 (optional dependencies, extra "chem")."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from dqc_lite.errors import FunctionalError, InputError, MethodError

MODELS = {
    "d3bj": ("dftd3", "RationalDampingParam", "D3(BJ), Grimme, Ehrlich, Goerigk (2011)"),
    "d3zero": ("dftd3", "ZeroDampingParam", "D3(0), Grimme, Antony, Ehrlich, Krieg (2010)"),
    "d4": ("dftd4", "DampingParam", "D4, Caldeweyher et al. (2019)"),
}
"""Package, class of the damping function, and reference of each model."""


def parse(spec: str, functional_name: str) -> tuple[str, str]:
    """Model and the functional whose damping it takes, from "d3bj", "d3zero", "d4" or "d3bj:pbe".

    Raises:
        InputError: unknown model. MethodError: its package is missing. FunctionalError: no damping
        parameters for the functional.
    """
    model, _, named = (part.strip().lower() for part in spec.partition(":"))
    if model not in MODELS:
        raise InputError(f"dispersion = {spec!r} is unknown; use one of {', '.join(MODELS)}.")
    functional = named or functional_name
    damping(model, functional)
    return model, functional


def _interface(model: str) -> ModuleType:
    package = MODELS[model][0]
    try:
        return importlib.import_module(f"{package}.interface")
    except ImportError:
        raise MethodError(
            f"dispersion = {model!r} needs the package {package}; install it with "
            f"pip install {package}."
        ) from None


def damping(model: str, functional: str) -> Any:
    """The package's damping parameters for a functional, in whichever spelling it knows it."""
    interface = _interface(model)
    for name in _spellings(functional):
        try:
            return getattr(interface, MODELS[model][1])(method=name)
        except (RuntimeError, TypeError):
            continue
    raise FunctionalError(
        f"{model} has no damping parameters for the functional {functional!r}; name one whose "
        f"parameters to take, as in dispersion='{model}:pbe'."
    )


def _spellings(functional: str) -> Iterator[str]:
    """"m06_2x" and "libxc:m06_2x" are "m06-2x" or "m062x"."""
    bare = functional.removeprefix("libxc:")
    yield from dict.fromkeys((bare, bare.replace("_", "-"), re.sub("[-_]", "", bare)))


def energy_and_gradient(
    positions: np.ndarray, numbers: tuple[int, ...], charge: int, model: str, functional: str
) -> tuple[float, np.ndarray]:
    """Energy in hartree and its gradient (atom, 3) in hartree/bohr; positions in bohr."""
    interface, parameters = _interface(model), damping(model, functional)
    positions = np.asarray(positions, float)
    arguments = {"charge": float(charge)} if model == "d4" else {}
    system = interface.DispersionModel(np.asarray(numbers), positions, **arguments)
    result = system.get_dispersion(parameters, grad=True)
    return float(result["energy"]), np.asarray(result["gradient"])
