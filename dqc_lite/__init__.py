"""dqc_lite: a quantum-chemistry SCF engine with differentiable diagonalization.

Names are imported when first used, so that ``import dqc_lite`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dqc_lite import errors, fit, linalg, terms
    from dqc_lite.basis import Basis
    from dqc_lite.gradcheck import check_gradients
    from dqc_lite.grid.atomic import Grid
    from dqc_lite.method import HF, KS
    from dqc_lite.molecule import Molecule, enable_x64
    from dqc_lite.properties.alchemical import alchemical_derivatives
    from dqc_lite.properties.electric import (
        dipole,
        dipole_derivatives,
        hyperpolarizability,
        polarizability,
        quadrupole,
    )
    from dqc_lite.properties.hessian import hessian
    from dqc_lite.properties.population import loewdin_charges, mulliken_charges
    from dqc_lite.properties.response import ResponseCertificate, response_certificate
    from dqc_lite.properties.thermochemistry import Thermochemistry, thermochemistry
    from dqc_lite.properties.vibrations import Vibrations, vibrations
    from dqc_lite.scf.checkpoint import load_checkpoint
    from dqc_lite.scf.guess import Guess
    from dqc_lite.scf.solution import Solution
    from dqc_lite.scf.solver import Solver
    from dqc_lite.scf.solvers import DIIS, Auto, SecondOrder
    from dqc_lite.singlepoint import (
        density_matrix,
        energy,
        energy_and_forces,
        forces,
        solve,
        solve_with_forces,
    )
    from dqc_lite.xc.functional import Functional
    from dqc_lite.xc.names import functional, list_functionals
    from dqc_lite.xc.neural import NeuralFunctional

_HOME = {
    "Auto": "dqc_lite.scf.solvers",
    "Basis": "dqc_lite.basis",
    "DIIS": "dqc_lite.scf.solvers",
    "Functional": "dqc_lite.xc.functional",
    "Grid": "dqc_lite.grid.atomic",
    "Guess": "dqc_lite.scf.guess",
    "HF": "dqc_lite.method",
    "KS": "dqc_lite.method",
    "Molecule": "dqc_lite.molecule",
    "NeuralFunctional": "dqc_lite.xc.neural",
    "SecondOrder": "dqc_lite.scf.solvers",
    "ResponseCertificate": "dqc_lite.properties.response",
    "Solution": "dqc_lite.scf.solution",
    "Solver": "dqc_lite.scf.solver",
    "Thermochemistry": "dqc_lite.properties.thermochemistry",
    "Vibrations": "dqc_lite.properties.vibrations",
    "alchemical_derivatives": "dqc_lite.properties.alchemical",
    "check_gradients": "dqc_lite.gradcheck",
    "density_matrix": "dqc_lite.singlepoint",
    "dipole": "dqc_lite.properties.electric",
    "dipole_derivatives": "dqc_lite.properties.electric",
    "enable_x64": "dqc_lite.molecule",
    "energy": "dqc_lite.singlepoint",
    "energy_and_forces": "dqc_lite.singlepoint",
    "forces": "dqc_lite.singlepoint",
    "functional": "dqc_lite.xc.names",
    "hessian": "dqc_lite.properties.hessian",
    "hyperpolarizability": "dqc_lite.properties.electric",
    "list_functionals": "dqc_lite.xc.names",
    "load_checkpoint": "dqc_lite.scf.checkpoint",
    "loewdin_charges": "dqc_lite.properties.population",
    "mulliken_charges": "dqc_lite.properties.population",
    "polarizability": "dqc_lite.properties.electric",
    "quadrupole": "dqc_lite.properties.electric",
    "response_certificate": "dqc_lite.properties.response",
    "solve": "dqc_lite.singlepoint",
    "solve_with_forces": "dqc_lite.singlepoint",
    "thermochemistry": "dqc_lite.properties.thermochemistry",
    "vibrations": "dqc_lite.properties.vibrations",
}
_MODULES = ("errors", "fit", "linalg", "terms", "units")

__version__ = "0.1.0"
__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"dqc_lite.{name}")
    else:
        raise AttributeError(f"module 'dqc_lite' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
