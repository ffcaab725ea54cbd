"""Checkpoints: a solution, or the state of its iteration, in an HDF5 file.

A file holds the molecule, the orbitals and, until the end, every array of the loop that wrote it.
The same calculation goes on from there as if it had never stopped; another geometry, basis or
method starts from the orbitals. Files are written beside their name and then moved there, so that
a process that is killed leaves the last complete one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from dqc_lite._call_errors import named_arguments
from dqc_lite._types import Array
from dqc_lite.basis import Basis, Layout
from dqc_lite.errors import CheckpointError
from dqc_lite.molecule import Molecule

T = TypeVar("T")

FORMAT = "dqc_lite.checkpoint/1"

_LOG = ".log"
"""The only array whose size is a setting."""

_LATER = (".descent", ".here.lowest", ".here.stable")
"""Arrays of stages that a solver need not have."""

_LAYOUT_ARRAYS = (
    "atom", "l", "nprim", "nctr", "ecp_rows", "ecp_parameters", "reference_exponents",
)  # fmt: skip
_LAYOUT_TUPLES = ("numbers", "core_electrons")
_LAYOUT_NAMES = ("symbols", "names")


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds.

    Attributes:
        path: of the file.
        mol: the molecule.
        mo_coeff: (set, ao, mo); mo_occ: (set, mo) electrons.
        energy: of the last cycle, hartree.
        iterations: cycles so far.
        converged: whether the calculation was finished.
        stage: the loop that wrote it, "diis" or "second-order".
        fingerprint: of everything that determines the solution.
        arrays: of the loop, by name.
    """

    path: str
    mol: Molecule
    mo_coeff: np.ndarray
    mo_occ: np.ndarray
    energy: float
    iterations: int
    converged: bool
    stage: str
    fingerprint: str
    arrays: dict[str, np.ndarray]

    def restored(self, fresh: T) -> T | None:
        """`fresh`, the state of a loop, with the arrays of the file; None where it is of another.

        The log of the cycles keeps its number of rows. What a solver of fewer stages did not write
        stays as it is; what one of more stages wrote is left out.
        """
        wanted = named(fresh)
        arrays = dict(self.arrays)
        if _LOG not in arrays or wanted.keys().isdisjoint(arrays):
            return None
        arrays[_LOG] = _with_rows(arrays[_LOG], wanted[_LOG].shape[0])
        for name, array in wanted.items():
            if name not in arrays:
                if not name.startswith(_LATER):
                    return None
                arrays[name] = np.asarray(array)
            if arrays[name].shape != array.shape or arrays[name].dtype != array.dtype:
                return None
        leaves = jax.device_put([arrays[name] for name in wanted])
        return jax.tree.unflatten(jax.tree.structure(fresh), leaves)


def _with_rows(log: np.ndarray, rows: int) -> np.ndarray:
    made = np.full((rows, *log.shape[1:]), np.nan)
    made[: min(rows, len(log))] = log[:rows]
    return made


@dataclasses.dataclass(frozen=True)
class Files:
    """What writes the checkpoints of a calculation, and the one to go on from, if any."""

    recorder: Recorder | None = None
    checkpoint: Checkpoint | None = None


@dataclasses.dataclass(frozen=True)
class Recorder:
    """Writes the checkpoints of one calculation."""

    path: str
    mol: Molecule
    fingerprint: str

    def write(
        self,
        stage: str,
        mo_coeff: Array,
        mo_occ: Array | np.ndarray,
        energy: Array,
        iterations: Array,
        converged: bool,
        state: Any,
    ) -> None:
        """Replace the file.

        Raises:
            CheckpointError: it cannot be written.
        """
        arrays = {name: np.asarray(leaf) for name, leaf in named(state).items()}
        attributes = {
            "format": FORMAT, "fingerprint": self.fingerprint, "stage": stage,
            "energy": float(energy), "iterations": int(iterations), "converged": converged,
        }  # fmt: skip
        partial = f"{self.path}.{os.getpid()}.partial"
        try:
            with _h5py().File(partial, "w") as file:
                file.attrs.update(attributes)
                file["mo_coeff"], file["mo_occ"] = np.asarray(mo_coeff), np.asarray(mo_occ)
                _write_molecule(file.create_group("molecule"), self.mol)
                group = file.create_group("state")
                for name, array in arrays.items():
                    group[name] = array
            os.replace(partial, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.remove(partial)
            reason = error.strerror or str(error)
            raise CheckpointError(
                f"checkpoint = {self.path!r} cannot be written: {reason}; choose another place."
            ) from error


def named(state: Any) -> dict[str, Array]:
    """The arrays of a pytree by their places in it."""
    leaves, _ = jax.tree.flatten_with_path(state)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


@named_arguments
def load_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint, to look at it or to start from it: ``guess=load_checkpoint(path)``.

    Raises:
        CheckpointError: missing, truncated, or not written by this package.
    """
    name = os.fspath(path)
    if not Path(name).is_file():
        raise CheckpointError(f"checkpoint {name!r} does not exist; check the name.")
    with _reading(name), _h5py().File(name, "r") as file:
        found = _text(file.attrs.get("format", ""))
        if found != FORMAT:
            raise CheckpointError(
                f"checkpoint {name!r} has format {found!r} and not {FORMAT!r}; give a file that "
                "checkpoint= has written."
            )
        made = Checkpoint(
            path=name, mol=_read_molecule(file["molecule"]),
            mo_coeff=file["mo_coeff"][()], mo_occ=file["mo_occ"][()],
            energy=float(file.attrs["energy"]), iterations=int(file.attrs["iterations"]),
            converged=bool(file.attrs["converged"]), stage=_text(file.attrs["stage"]),
            fingerprint=_text(file.attrs["fingerprint"]),
            arrays={key: np.asarray(value) for key, value in file["state"].items()},
        )  # fmt: skip
    _check(made)
    return made


def _check(made: Checkpoint) -> None:
    nao, c, n = made.mol.nao, made.mo_coeff, made.mo_occ
    if c.ndim != 3 or c.shape[1] != nao or n.shape != (c.shape[0], c.shape[2]):
        raise CheckpointError(
            f"checkpoint {made.path!r}: orbitals of shape {c.shape} and occupations of shape "
            f"{n.shape} do not fit its molecule of {nao} basis functions; the file is damaged."
        )


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise CheckpointError(
            f"checkpoint {name!r} lacks an entry ({error.args[0]}); the file is damaged."
        ) from error
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"checkpoint {name!r} is truncated or no HDF5 file ({error}); start without it."
        ) from error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _h5py() -> Any:
    import h5py  # only those who write or read files pay for it

    return h5py


def _write_molecule(group: Any, mol: Molecule) -> None:
    layout = mol.layout
    group.attrs.update(
        charge=mol.charge, spin=mol.spin, cartesian=layout.cartesian,
        **{name: list(getattr(layout, name)) for name in _LAYOUT_NAMES},
    )  # fmt: skip
    for name in (*_LAYOUT_ARRAYS, *_LAYOUT_TUPLES):
        group[name] = np.asarray(getattr(layout, name))
    if mol.isotope_masses:  # None as NaN
        group["isotope_masses"] = np.array(mol.isotope_masses, float)
    for name, leaf in _leaves(mol).items():
        group[name] = np.asarray(leaf)


def _leaves(mol: Molecule) -> dict[str, Array]:
    return {
        "positions": mol.positions, "charges": mol.charges,
        "exponents": mol.basis.exponents, "coefficients": mol.basis.coefficients,
    }  # fmt: skip


def _read_molecule(group: Any) -> Molecule:
    fields: dict[str, Any] = {n: tuple(map(_text, group.attrs[n])) for n in _LAYOUT_NAMES}
    fields |= {name: tuple(map(int, group[name][()])) for name in _LAYOUT_TUPLES}
    fields |= {name: group[name][()] for name in _LAYOUT_ARRAYS}
    layout = Layout(
        **fields,
        cartesian=bool(group.attrs["cartesian"]),
    )
    names = ("positions", "charges", "exponents", "coefficients")
    positions, charges, exponents, coefficients = jax.device_put([group[n][()] for n in names])
    basis = Basis(exponents, coefficients, layout)
    masses = group["isotope_masses"][()] if "isotope_masses" in group else ()
    return Molecule(
        positions, charges, basis, int(group.attrs["charge"]), int(group.attrs["spin"]),
        tuple(None if np.isnan(m) else float(m) for m in masses),
    )  # fmt: skip


def fingerprint(*parts: Any, kind: str) -> str:
    """A digest of pytrees of arrays: their structure, with all that is static, and their numbers;
    `kind` names what is in none of them.
    """
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        leaves, treedef = jax.tree.flatten(part)
        digest.update(str(treedef).encode())
        if isinstance(part, Molecule):
            digest.update(repr(part.layout._key).encode())
        for leaf in leaves:
            digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
