"""Starting points: named guesses, densities and solutions that are given, restarts.

A density P = L L^T enters the loop by the dual of its factor, ``S L``: the loop projects it on its
orthonormal functions X, X X^T = S^-1, and of functions of another basis or geometry ``S L`` is the
overlap of both sets times the old factor.
"""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._call_errors import named_arguments
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.errors import CheckpointError, InputError, MethodError, NonFiniteError
from dqc_lite.integrals.callback import host_call
from dqc_lite.integrals.host import minimal_basis as minao_basis
from dqc_lite.molecule import Molecule
from dqc_lite.scf import projection
from dqc_lite.scf.checkpoint import Checkpoint, load_checkpoint
from dqc_lite.scf.reference import Reference
from dqc_lite.scf.solution import Solution

GUESSES = ("minao", "atom", "huckel", "sap", "core")

FILE_SUFFIXES = (".h5", ".hdf5", ".chk")
"""Names with these are checkpoint files."""


@named_arguments
@dataclasses.dataclass(frozen=True)
class Guess:
    """What to start from, and whether to break the symmetry between the spins.

    Attributes:
        start: "minao", "atom", "huckel", "sap", "core", a density matrix (spin, ao, ao), a
            `Solution`, a `Checkpoint` or the name of its file: see `dqc_lite.solve`.
        mix: angle (radian) by which the highest occupied and the lowest virtual alpha orbital of
            the first cycle are turned into each other; of unrestricted determinants. pi/4 mixes
            them in equal parts.
    """

    start: Any = "minao"
    mix: float = 0.0

    def __post_init__(self) -> None:
        real = isinstance(self.mix, (int, float)) and not isinstance(self.mix, bool)
        if not (real and math.isfinite(self.mix)):
            raise InputError(f"mix = {self.mix!r} must be an angle in radian, such as 0.8.")


@pytree
class Start:
    """A guess that has been read and checked.

    JAX fills it with tangents too, hence the loose types.

    Attributes:
        name: one of `GUESSES`, or what was given: "density" or "orbitals".
        mix: see `Guess`.
        density: (spin, ao, ao) over the present functions.
        mo_coeff, mo_occ: (set, ao, mo) and (set, mo), orbitals over `source`, the `Orbitals` that
            are the functions of a solution.
        checkpoint: that everything came from, for an exact continuation.
    """

    name: str = static()
    mix: float = static(default=0.0)
    density: Any = None
    mo_coeff: Any = None
    mo_occ: Any = None
    source: Any = None
    checkpoint: Checkpoint | None = static(default=None)


@pytree
class Beginning:
    """A start in the form that the loop takes: the dual factor of a density, or a potential.

    Attributes:
        factor: (1 or spin, ao, any), see above; one channel is shared evenly between the spins.
        potential: (ao, ao) hartree; with the core Hamiltonian it makes the first orbitals.
        mix: see `Guess`.
    """

    factor: Float[Array, "channel ao any"] | None
    potential: Float[Array, "ao ao"] | None
    mix: float = static(default=0.0)


def read(guess: Any, mol: Molecule) -> Start:
    """Understand and check what a user gave.

    Raises:
        InputError, NonFiniteError, CheckpointError.
    """
    if isinstance(guess, Guess):
        return dataclasses.replace(read(guess.start, mol), mix=float(guess.mix))
    if isinstance(guess, str | os.PathLike) and is_file(guess):
        guess = load_checkpoint(guess)
    if isinstance(guess, Checkpoint):
        _check_atoms(guess.mol, mol, CheckpointError, f"checkpoint {guess.path!r}")
        mo_coeff, mo_occ = jax.device_put((guess.mo_coeff, guess.mo_occ))
        return _of_orbitals(guess.mol, mo_coeff, mo_occ, guess)
    if isinstance(guess, Solution):
        if guess.mol is None:
            raise InputError("guess: the solution has mol = None; give one with its molecule.")
        _check_atoms(guess.mol, mol, InputError, "guess: the solution")
        return _of_orbitals(guess.mol, guess.mo_coeff, guess.mo_occ)
    if isinstance(guess, str):
        check(guess)
        return Start(guess)
    return Start("density", density=_given_density(guess, mol))


def check(guess: Any) -> None:
    """Raise `InputError` for a name that is unknown."""
    if guess not in GUESSES:
        raise InputError(
            f"guess = {guess!r} is unknown; use one of {', '.join(GUESSES)}, the name of a "
            f"checkpoint file ({', '.join(FILE_SUFFIXES)}), a density matrix or a Solution."
        )


def is_file(guess: str | os.PathLike) -> bool:
    """Whether this names a file and no guess."""
    return not isinstance(guess, str) or guess.lower().endswith(FILE_SUFFIXES)


def _check_atoms(theirs: Molecule, ours: Molecule, error: type, what: str) -> None:
    if theirs.symbols == ours.symbols:
        return
    raise error(
        f"{what} is of the atoms {' '.join(theirs.symbols)} and the molecule has "
        f"{' '.join(ours.symbols)}; the elements and their order must be the same."
    )


def _of_orbitals(
    mol: Molecule, mo_coeff: Array, mo_occ: Array, checkpoint: Checkpoint | None = None
) -> Start:
    for name, value in (("mo_coeff", mo_coeff), ("mo_occ", mo_occ)):
        _require_finite(value, f"{name} of the guess")
    return Start(
        "orbitals", mo_coeff=mo_coeff, mo_occ=mo_occ, source=mol.orbitals(), checkpoint=checkpoint
    )


def _given_density(guess: Any, mol: Molecule) -> Float[Array, "spin ao ao"]:
    try:
        density = jnp.asarray(guess, float)
    except (TypeError, ValueError):
        raise InputError(
            f"guess of type {type(guess).__name__} is not understood; give one of "
            f"{', '.join(GUESSES)}, a density matrix, a Solution or a checkpoint."
        ) from None
    density = density[None] if density.ndim == 2 else density
    nao = mol.nao
    if density.ndim != 3 or density.shape[0] not in (1, 2) or density.shape[1:] != (nao, nao):
        raise InputError(
            f"guess: the density matrix has shape {np.shape(guess)}; need (1, {nao}, {nao}) of all "
            f"electrons or (2, {nao}, {nao}) of alpha and beta. For another basis give the "
            "Solution, which is projected."
        )
    _require_finite(density, "the density matrix of the guess")
    return density


def _require_finite(values: Array, what: str) -> None:
    if isinstance(values, jax.core.Tracer):
        return
    bad = ~np.isfinite(np.asarray(values))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise NonFiniteError(
            f"{what} holds {np.asarray(values)[where]} at {where}; give finite numbers."
        )


def begin(start: Start, mol: Molecule, orbitals: Orbitals, reference: Reference) -> Beginning:
    """Evaluate a start for a molecule.

    Raises:
        InputError: an element that the guess has no data for.
        MethodError: `mix` for one set of orbitals.
    """
    check_mix(start, reference)
    if start.name in _POTENTIALS:
        return Beginning(None, _POTENTIALS[start.name](mol, orbitals), start.mix)
    if start.name in _FACTORS:
        factor = _FACTORS[start.name](mol, orbitals, reference)
    elif start.density is not None:
        factor = projection.of_density(start.density, orbitals, reference)
    else:
        factor = projection.of_orbitals(
            start.mo_coeff, start.mo_occ, start.source, orbitals, reference
        )
    return Beginning(factor, None, start.mix)


def check_mix(start: Start, reference: Reference) -> None:
    """Raise `MethodError` for a `mix` of one set of orbitals."""
    if start.mix and reference.nset == 1:
        raise MethodError(
            f"guess mix = {start.mix} makes alpha and beta orbitals different and the determinant "
            f"is {reference.kind}; use restricted=False."
        )


def minao(
    mol: Molecule, orbitals: Orbitals, leading: tuple[int, ...] = ()
) -> Float[Array, "*leading ao minimal"]:
    """``<m|k> sqrt(n_k)`` of minimal free-atom orbitals k of occupation n_k.

    `leading` are axes of length 1.
    """
    nao = mol.nao
    if not any(mol.layout.numbers):
        return jnp.zeros((*leading, nao, 1))
    atoms, layout, (exponents, coefficients), occupations = minao_basis.minimal_basis(mol.layout)
    centers = mol.positions if len(atoms) == mol.natm else mol.positions[np.asarray(atoms)]
    minimal = Orbitals(centers, exponents, coefficients, layout)
    shape = (*leading, nao, layout.nao)
    return host_call(minao_basis.weighted_overlap, shape, orbitals, minimal, np.sqrt(occupations))


def _minao(
    mol: Molecule, orbitals: Orbitals, reference: Reference
) -> Float[Array, "1 ao minimal"]:
    return minao(mol, orbitals, (1,))


def _atom(mol: Molecule, orbitals: Orbitals, reference: Reference) -> Float[Array, "1 ao any"]:
    """Densities of free atoms in the basis of the molecule."""
    from dqc_lite.integrals import operators
    from dqc_lite.integrals.host import free_atoms

    columns = free_atoms.atomic_orbital_count(mol.layout)
    if not columns:
        return jnp.zeros((1, mol.nao, 1))
    table = host_call(free_atoms.atomic_orbitals, (mol.nao + 2, columns), orbitals)
    return _atomic_factor(operators.overlap(orbitals), table)


@adaptive_jit
def _atomic_factor(overlap: Array, table: Array) -> Array:
    return (overlap @ (table[2:] * jnp.sqrt(table[1])))[None]


def _huckel(
    mol: Molecule, orbitals: Orbitals, reference: Reference
) -> Float[Array, "channel ao any"]:
    """The lowest combinations of atomic orbitals, as far as there are that many."""
    from dqc_lite.integrals import operators
    from dqc_lite.integrals.host import free_atoms

    columns = free_atoms.atomic_orbital_count(mol.layout)
    if not columns:
        return jnp.zeros((1, mol.nao, 1))
    made = host_call(free_atoms.hueckel_orbitals, (mol.nao, columns), orbitals)
    return projection.filled(operators.overlap(orbitals), made, reference)


def _core(mol: Molecule, orbitals: Orbitals) -> Float[Array, "ao ao"]:
    """No electron repulsion."""
    return jnp.zeros((mol.nao, mol.nao))


def _sap(mol: Molecule, orbitals: Orbitals) -> Float[Array, "ao ao"]:
    """The potentials of the electrons of free atoms."""
    from dqc_lite.integrals.host import free_atoms

    free_atoms.check_atomic_potentials(mol.layout)
    return host_call(free_atoms.atomic_potentials, (mol.nao, mol.nao), orbitals)


_FACTORS = {"minao": _minao, "atom": _atom, "huckel": _huckel}
_POTENTIALS = {"core": _core, "sap": _sap}


def density_of(
    factor: Float[Array, "channel ao any"], x: Float[Array, "ao mo"], reference: Reference
) -> Density:
    """The density of a dual factor, X X^T = S^-1."""
    primal = x @ (x.T @ factor)
    if len(primal) == reference.nspin:
        return Density.from_factor(primal)
    if len(primal) == 1:
        return reference.from_total(primal[0])
    # alpha and beta beside each other hold all electrons
    return Density.from_factor(jnp.concatenate([*primal], axis=-1)[None])
