"""Energy terms, one a file, and their sum.

A term is a pytree. It offers

- ``prepare(mol, orbitals)``: the integrals it needs, as a pytree of arrays;
- ``evaluate(integrals, density)``: its named energies (hartree) and its Fock matrix, the derivative
  of their sum with respect to the density matrix, (spin, ao, ao) or broadcastable to it;
- ``on_orbitals(integrals, density)``, where that and its derivative cost less than the Fock matrix:
  the latter times the factor of the density, (spin, ao, occ);
- ``differential(mol, orbitals, integrals, density)``: a zero-valued scalar whose derivative is that
  of the energy with respect to nuclei and basis at fixed density matrix.
"""

from dqc_lite.terms.dispersion import Dispersion
from dqc_lite.terms.electron_repulsion import ElectronRepulsion
from dqc_lite.terms.exchange_correlation import ExchangeCorrelation
from dqc_lite.terms.field import ElectricField
from dqc_lite.terms.hamiltonian import Hamiltonian
from dqc_lite.terms.nonlocal_correlation import NonlocalCorrelation
from dqc_lite.terms.nuclear_repulsion import NuclearRepulsion
from dqc_lite.terms.one_electron import CorePotential, Kinetic, NuclearAttraction

__all__ = [
    "CorePotential",
    "Dispersion",
    "ElectricField",
    "ElectronRepulsion",
    "ExchangeCorrelation",
    "Hamiltonian",
    "Kinetic",
    "NonlocalCorrelation",
    "NuclearAttraction",
    "NuclearRepulsion",
]
