"""Training density functionals through the self-consistent solution.

A `Dataset` of molecules with targets, `Parameters` of a functional, a `Loss`, together an
`Objective` with exact derivatives, and `train`. Integrals are made once; energies cost no response
solve, forces, dipoles and densities one for each row and step.
"""

from dqc_lite.fit.assessment import Statistics, assess, of_evaluation, table
from dqc_lite.fit.dataset import Dataset, Problem, Reaction, Row
from dqc_lite.fit.hdf5 import from_hdf5, to_hdf5
from dqc_lite.fit.losses import Loss
from dqc_lite.fit.objective import Evaluation, Objective
from dqc_lite.fit.optimizers import LBFGS, LevenbergMarquardt, Optax
from dqc_lite.fit.parameters import Parameters, list_parameters, three_parameters
from dqc_lite.fit.sources import from_extxyz, g2, s22
from dqc_lite.fit.train import Result, train

__all__ = [
    "LBFGS", "Dataset", "Evaluation", "LevenbergMarquardt", "Loss", "Objective", "Optax",
    "Parameters", "Problem", "Reaction", "Result", "Row", "Statistics", "assess", "from_extxyz",
    "from_hdf5", "g2", "list_parameters", "of_evaluation", "s22", "table", "three_parameters",
    "to_hdf5", "train",
]  # fmt: skip
