"""Where training stands, in an HDF5 file: enough to go on as if it had not stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dqc_lite.errors import CheckpointError
from dqc_lite.fit.identity import Identity, differing

Orbitals = dict[str, dict[str, np.ndarray]]

FORMAT = "dqc_lite.training/2"


@dataclasses.dataclass
class Progressed:
    """What changes while training.

    Attributes:
        step: steps done.
        x: the point.
        memory: of the optimizer.
        best_x, best: the point of the lowest loss of a complete set, and that loss.
        dropped: rows that this loss lacks.
        compared: step whose point was compared last, if `x` was.
        stale: complete evaluations since then.
        history: a record of each step.
        orbitals: accepted ones by the name of the objective and of the row.
        best_orbitals: the same at `best_x`.
    """

    step: int
    x: np.ndarray
    memory: Any
    best_x: np.ndarray
    best: float
    dropped: int
    compared: int
    stale: int
    history: list[dict]
    orbitals: Orbitals
    best_orbitals: Orbitals


def save(path: str | os.PathLike, at: Progressed, identity: Identity) -> None:
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
            format=FORMAT,
            step=at.step,
            best=at.best,
            dropped=at.dropped,
            compared=at.compared,
            stale=at.stale,
        )
        file["identity"] = json.dumps(identity)
        file["x"], file["best_x"] = at.x, at.best_x
        file["history"] = json.dumps(at.history)
        for i, leaf in enumerate(jax.tree.leaves(at.memory)):
            file[f"memory/{i}"] = np.asarray(leaf)
        for kind in ("orbitals", "best_orbitals"):
            for objective, rows in getattr(at, kind).items():
                for i, (row, coefficients) in enumerate(rows.items()):
                    data = file.create_dataset(f"{kind}/{objective}/{i}", data=coefficients)
                    data.attrs["row"] = row  # which may hold a slash
    os.replace(name, path)


def load(path: str | os.PathLike, identity: Identity, memory: Any) -> Progressed:
    """Read a checkpoint; `memory` gives the structure of the optimizer's.

    Raises:
        CheckpointError: damaged, or of another training.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise CheckpointError(f"{str(path)!r} is no checkpoint of training ({FORMAT}).")
            _check(path, json.loads(file["identity"].asstr()[()]), identity)
            leaves, structure = jax.tree.flatten(memory)
            read = [file[f"memory/{i}"][()] for i in range(len(leaves))]
            filled = [jax.numpy.asarray(x) for x in read]
            return Progressed(
                step=int(file.attrs["step"]), x=file["x"][()],
                memory=jax.tree.unflatten(structure, filled), best_x=file["best_x"][()],
                best=float(file.attrs["best"]), dropped=int(file.attrs["dropped"]),
                compared=int(file.attrs["compared"]), stale=int(file.attrs["stale"]),
                history=json.loads(file["history"].asstr()[()]),
                orbitals=_orbitals(file, "orbitals"),
                best_orbitals=_orbitals(file, "best_orbitals"),
            )  # fmt: skip
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"checkpoint {str(path)!r} is damaged or no HDF5 file: {error}"
        ) from error


def _check(path: str | os.PathLike, stored: Identity, present: Identity) -> None:
    """Raise `CheckpointError` unless the checkpoint is of this training."""
    names = differing(stored, present)
    if names:
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise CheckpointError(
            f"checkpoint {str(path)!r} belongs to another training: {', '.join(names[:8])}{more} "
            "differ. Undo the change, name another file, or start anew (fresh=True, --fresh)."
        )


def _orbitals(file: Any, kind: str) -> Orbitals:
    return {
        name: {str(data.attrs["row"]): data[()] for data in group.values()}
        for name, group in file.get(kind, {}).items()
    }
