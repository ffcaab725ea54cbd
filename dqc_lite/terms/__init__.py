"""Energy terms, one a file, and their sum. What a term offers is said by `Term`."""

from dqc_lite.terms.dispersion import Dispersion
from dqc_lite.terms.electron_repulsion import ElectronRepulsion
from dqc_lite.terms.exchange_correlation import ExchangeCorrelation
from dqc_lite.terms.field import ElectricField
from dqc_lite.terms.hamiltonian import Hamiltonian
from dqc_lite.terms.nonlocal_correlation import NonlocalCorrelation
from dqc_lite.terms.nuclear_repulsion import NuclearRepulsion
from dqc_lite.terms.one_electron import CorePotential, Kinetic, NuclearAttraction
from dqc_lite.terms.pcm import PCM
from dqc_lite.terms.point_charges import PointCharges
from dqc_lite.terms.term import LinearTerm, Term

__all__ = [
    "PCM",
    "CorePotential",
    "Dispersion",
    "ElectricField",
    "ElectronRepulsion",
    "ExchangeCorrelation",
    "Hamiltonian",
    "Kinetic",
    "LinearTerm",
    "NonlocalCorrelation",
    "NuclearAttraction",
    "NuclearRepulsion",
    "PointCharges",
    "Term",
]
