"""Where training stands, in an HDF5 file: enough to go on as if it had not stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dqc_lite.errors import CheckpointError
from dqc_lite.fit.dataset import ARRAYS, Row

FORMAT = "dqc_lite.training/1"


@dataclasses.dataclass
class Progressed:
    """What changes while training.

    Attributes:
        step: steps done.
        x: the point.
        memory: of the optimizer.
        best_x, best: the point of the lowest validation (or training) loss, and that loss.
        stale: validations since then.
        history: a record of each step.
        orbitals: warm starts by the name of the objective and of the row.
    """

    step: int
    x: np.ndarray
    memory: Any
    best_x: np.ndarray
    best: float
    stale: int
    history: list[dict]
    orbitals: dict[str, dict[str, np.ndarray]]


def fingerprint(*parts: Any) -> str:
    """Of what must not change between two runs."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def digest(row: Row) -> str:
    """Of the targets of a row and the positions."""
    found = hashlib.sha256(repr((row.energy, row.weight)).encode())
    for value in (row.mol.positions, *(getattr(row, name) for name in ARRAYS)):
        found.update(b"none" if value is None else np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


def save(path: str | os.PathLike, at: Progressed, identity: str) -> None:
    """Write a checkpoint: complete, or the old one stays."""
    import h5py

    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    except OSError as error:
        raise CheckpointError(f"checkpoint = {str(path)!r} cannot be written: {error}") from error
    os.close(handle)
    with h5py.File(name, "w") as file:
        file.attrs.update(
            format=FORMAT, identity=identity, step=at.step, best=at.best, stale=at.stale
        )
        file["x"], file["best_x"] = at.x, at.best_x
        file["history"] = json.dumps(at.history)
        for i, leaf in enumerate(jax.tree.leaves(at.memory)):
            file[f"memory/{i}"] = np.asarray(leaf)
        for objective, rows in at.orbitals.items():
            for row, coefficients in rows.items():
                file[f"orbitals/{objective}/{row}"] = coefficients
    os.replace(name, path)


def load(path: str | os.PathLike, identity: str, memory: Any) -> Progressed:
    """Read a checkpoint; `memory` gives the structure of the optimizer's.

    Raises:
        CheckpointError: damaged, or of another training.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise CheckpointError(f"{str(path)!r} is no checkpoint of training ({FORMAT}).")
            if file.attrs["identity"] != identity:
                raise CheckpointError(
                    f"checkpoint {str(path)!r} belongs to another training: data, method, "
                    "parameters, loss or optimizer differ. Name another file or delete it."
                )
            leaves, structure = jax.tree.flatten(memory)
            read = [file[f"memory/{i}"][()] for i in range(len(leaves))]
            filled = [jax.numpy.asarray(x) for x in read]
            orbitals = {
                name: {row: group[row][()] for row in group}
                for name, group in file.get("orbitals", {}).items()
            }
            return Progressed(
                step=int(file.attrs["step"]), x=file["x"][()],
                memory=jax.tree.unflatten(structure, filled), best_x=file["best_x"][()],
                best=float(file.attrs["best"]), stale=int(file.attrs["stale"]),
                history=json.loads(file["history"].asstr()[()]), orbitals=orbitals,
            )  # fmt: skip
    except (OSError, KeyError) as error:
        raise CheckpointError(
            f"checkpoint {str(path)!r} is damaged or no HDF5 file: {error}"
        ) from error
