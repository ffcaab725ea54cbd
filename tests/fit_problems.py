"""Small data sets with known answers."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from systems import molecule

import dqc_lite as dqc
from dqc_lite import fit

TIGHT = dqc.DIIS(energy_tol=1e-12, gradient_tol=1e-10)
EIGHT = ("h2o", "n2", "ch4", "nh3", "hf", "co2", "c2h2", "h2")


@functools.cache
def targets(name: str, xc: str, kind: str) -> dict:
    """Energy or forces of a molecule in STO-3G on the coarsest grid."""
    mol, method = molecule(name, "sto-3g"), dqc.KS(xc, grid_level=0)
    if kind == "forces":
        return {"forces": np.asarray(dqc.forces(mol, method, solver=TIGHT))}
    return {"energy": float(dqc.energy(mol, method, solver=TIGHT))}


def made_by(xc: str, names: tuple[str, ...], kind: str = "energy") -> fit.Dataset:
    """Data that a functional itself has made."""
    return fit.Dataset(
        tuple(fit.Row(n, molecule(n, "sto-3g"), **targets(n, xc, kind)) for n in names)
    )


def shifted(parameters: fit.Parameters, *factors: float) -> fit.Parameters:
    """The same parameters, started elsewhere."""
    return dataclasses.replace(parameters, start=parameters.start * np.array(factors))
