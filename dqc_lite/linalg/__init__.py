"""Differentiable diagonalization and matrix functions, right at repeated eigenvalues.

    import jax, jax.numpy as jnp
    from dqc_lite.linalg import eigh                 # instead of jnp.linalg.eigh
    jax.grad(lambda a: eigh(a)[1][0, :2] @ eigh(a)[1][2, :2])(jnp.diag(jnp.array([1., 1, 2])))

Contract. Derivatives of every order, forward, reverse and mixed, under ``jit`` and ``vmap``, in
float32, float64 and complex, with any leading batch axes:

====================================  ========================================================
``spectral_projector``,               projector on the lowest k states. No tolerance: only the
``density_matrix``                    gap across the cut enters; NaN and a status without one
``funm``, ``expm``, ``logm``,         f(A) for any smooth f, exact at equal and near-equal
``sqrtm``, ``invsqrtm``, ``powm``,    eigenvalues. Traces of functions: ``trace_funm``
``signm``, ``trace_funm``
``fermi_density_matrix``              occupations at a temperature, chemical potential included
``eigh``, ``eigvalsh``                exact for functions that ignore the choice of vectors inside
                                      a level. Levels are declared (``blocks=(nocc, nvir)``,
                                      exact at every gap) or found with a relative tolerance
                                      (error epsilon/gap^k at order k just above it).
                                      ``check=True``: reverse derivatives are correct or NaN
``eigh_block``                        vectors and the block matrix V_c^H A V_c, for code that
                                      works inside a level (canonical perturbation theory)
``gauge_check``                       which of these a function of (w, V) needs
``spectral_value_and_grad``           exact gradient of (w, V) code that is smooth in the matrix
``eigenvalue_subgradient``,           generalized gradients and descent directions where
``minimal_norm_subgradient``, ...     eigenvalues cross
====================================  ========================================================

Outside the contract of ``eigh``: V f(w) V^H with f varying inside a level (use ``funm``), single
vectors of a level (they have no derivative), second derivatives of sum f(w) (use ``trace_funm``).
Nothing here knows any chemistry.
"""

from dqc_lite.linalg.crossing import (
    EigenvalueSubgradient,
    MinimalNorm,
    eigenvalue_directional_derivatives,
    eigenvalue_subgradient,
    minimal_norm_subgradient,
)
from dqc_lite.linalg.divided_differences import divided_difference
from dqc_lite.linalg.eig import EigResult, EigTwoSidedResult, eig, eigenvalue_condition, eigvals
from dqc_lite.linalg.eigh import EighResult, eigh, eigvalsh
from dqc_lite.linalg.eigh_block import EighBlockResult, eigh_block
from dqc_lite.linalg.fermi import FermiResult, fermi_density_matrix
from dqc_lite.linalg.funm import expm, funm, invsqrtm, logm, powm, signm, sqrtm, trace_funm
from dqc_lite.linalg.gauge import GaugeReport, gauge_check, spectral_value_and_grad
from dqc_lite.linalg.general_funm import (
    expm_general,
    funm_general,
    logm_general,
    sqrtm_general,
    trace_funm_general,
)
from dqc_lite.linalg.partial import EigshResult, eigsh
from dqc_lite.linalg.projector import (
    ProjectorStatus,
    density_matrix,
    spectral_gap,
    spectral_projector,
)
from dqc_lite.linalg.schur import SchurResult, schur
from dqc_lite.linalg.svd import PolarResult, SVDResult, pinv, polar, svd
from dqc_lite.linalg.sylvester import solve_lyapunov, solve_sylvester

__all__ = [
    "EigResult",
    "EigTwoSidedResult",
    "EigenvalueSubgradient",
    "EighBlockResult",
    "EighResult",
    "EigshResult",
    "FermiResult",
    "GaugeReport",
    "MinimalNorm",
    "PolarResult",
    "ProjectorStatus",
    "SVDResult",
    "SchurResult",
    "density_matrix",
    "divided_difference",
    "eig",
    "eigenvalue_condition",
    "eigenvalue_directional_derivatives",
    "eigenvalue_subgradient",
    "eigh",
    "eigh_block",
    "eigsh",
    "eigvals",
    "eigvalsh",
    "expm",
    "expm_general",
    "fermi_density_matrix",
    "funm",
    "funm_general",
    "gauge_check",
    "invsqrtm",
    "logm",
    "logm_general",
    "minimal_norm_subgradient",
    "pinv",
    "polar",
    "powm",
    "schur",
    "signm",
    "solve_lyapunov",
    "solve_sylvester",
    "spectral_gap",
    "spectral_projector",
    "spectral_value_and_grad",
    "sqrtm",
    "sqrtm_general",
    "svd",
    "trace_funm",
    "trace_funm_general",
]
