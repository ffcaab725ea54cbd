"""The state behind a solution: what solvers return before it is summarized."""

from __future__ import annotations

from typing import NamedTuple

import dqc_lite as dqc
from dqc_lite.integrals import operators
from dqc_lite.scf import guess as guesses
from dqc_lite.scf.self_consistency import SelfConsistency
from dqc_lite.scf.state import SCFState


class Prepared(NamedTuple):
    """Everything about a molecule and a method that does not depend on the solver."""

    problem: SelfConsistency
    beginnings: dict[str, guesses.Beginning]

    @classmethod
    def of(cls, mol: dqc.Molecule, method: dqc.HF) -> Prepared:
        orbitals = mol.orbitals()
        hamiltonian = method.hamiltonian(mol)
        integrals = hamiltonian.prepare(mol, orbitals)
        reference = method.reference(mol)
        beginnings = {
            name: guesses.begin(guesses.Start(name), mol, orbitals, reference)
            for name in ("minao", "core")
        }
        overlap = operators.overlap(orbitals)
        problem = SelfConsistency.build(hamiltonian, integrals, overlap, reference)
        return cls(problem, beginnings)

    def solve(self, solver: dqc.Solver, guess: str = "minao") -> SCFState:
        return solver.run(self.problem, self.beginnings[guess])


RESTRICTED = {"RHF": True, "UHF": False, "ROHF": "rohf"}


def from_row(row: dict) -> tuple[dqc.Molecule, dqc.HF]:
    """Molecule and method of a row of the reference data."""
    mol = dqc.Molecule.from_atoms(
        row["atoms"], row["basis"], ecp=row.get("ecp"), unit=row["unit"], charge=row["charge"],
        spin=row["spin"], cart=row.get("cart", False),
    )  # fmt: skip
    return mol, dqc.HF(restricted=RESTRICTED[row["method"]])
