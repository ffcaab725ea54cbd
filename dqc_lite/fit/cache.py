"""Integrals at fixed geometry on disk, so that a second process does not make them again.

A file holds the arrays of a `FixedRow`; its name is the SHA-256 of everything they depend on. What
is saved is mostly the compilation of programs for each molecule, which takes seconds; the integrals
of small molecules take milliseconds. Those of range-separated functionals and of nonlocal
correlation are not cached.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite import __version__
from dqc_lite.errors import InputError
from dqc_lite.fit.fixed import FixedRow, Prepared
from dqc_lite.fit.fixed import prepare as make
from dqc_lite.fit.padding import placeholder
from dqc_lite.grid.quadrature import Quadrature
from dqc_lite.jk import DensityFitted, Exact
from dqc_lite.method import KS
from dqc_lite.molecule import Molecule
from dqc_lite.scf.checkpoint import fingerprint

VERSION = 1

_PLAIN = (
    "constant", "core", "overlap", "x", "kept", "guess", "dipole", "nuclear_dipole", "electrons",
)  # fmt: skip


def prepare(
    mol: Molecule, method: KS, folder: str | os.PathLike | None, whole: bool = False
) -> Prepared:
    """`fixed.prepare` with a cache; `whole` when derivatives along positions are needed, for which
    integrals are always made.
    """
    more = (method.xc.long_range_exchange, method.xc.nonlocal_correlation)
    if folder is None or whole or any(part is not None for part in more):
        return make(mol, method)
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cache_folder = {str(folder)!r} cannot be made: {error}") from error
    file = path / f"{key(mol, method)}.npz"
    row = _read(file, mol, method)
    if row is not None:
        return Prepared(mol, row, ())
    made = make(mol, method)
    if made.row.grid is None or made.row.grid.values is not None:
        _write(file, made.row)
    return made


def key(mol: Molecule, method: KS) -> str:
    """What the integrals depend on, hashed."""
    xc = method.xc
    reference = method.reference(mol)
    text = repr((
        VERSION, __version__, mol.layout.name, mol.layout.cartesian, mol.symbols, mol.charge,
        mol.spin, reference.kind, method.density_fit, method.grid_level, method.dispersion,
        xc.level, xc.exact_exchange is None,
        xc.name if method.dispersion else None,
    ))  # fmt: skip
    digest = hashlib.sha256(text.encode())
    for leaf in jax.tree.leaves(mol):
        digest.update(np.ascontiguousarray(np.asarray(leaf)).tobytes())
    digest.update(fingerprint(method.extra_terms, kind="extra terms").encode())
    return digest.hexdigest()


def _write(path: Path, row: FixedRow) -> None:
    """Complete or not at all."""
    whole, _ = row.repulsion
    arrays = {name: getattr(row, name) for name in _PLAIN}
    fitted = isinstance(whole, DensityFitted)
    arrays["fitted" if fitted else "exact"] = whole.factor if fitted else whole.eri
    if row.grid is not None:
        arrays |= {"points": row.grid.points, "weights": row.grid.weights}
        arrays |= {"values": row.grid.values, "order": row.grid.order}
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "wb") as file:
        np.savez(file, **{k: np.asarray(a) for k, a in arrays.items()})
    os.replace(name, path)


def _read(path: Path, mol: Molecule, method: KS) -> FixedRow | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: jnp.asarray(file[name]) for name in file.files}
        return _row(arrays, mol, method)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # damaged: made again and replaced


def _row(arrays: dict, mol: Molecule, method: KS) -> FixedRow:
    if "fitted" in arrays:
        nothing = jnp.zeros((len(arrays["fitted"]),) * 2)
        builder = DensityFitted(arrays["fitted"], nothing, placeholder(), None)
    else:
        builder = Exact(arrays["exact"], None, mol.nao)
    grid = None
    if "values" in arrays:
        grid = Quadrature(
            arrays["points"], arrays["weights"], None, arrays["values"], int(arrays["order"])
        )
    reference = method.reference(mol)
    return FixedRow(
        **{name: arrays[name] for name in _PLAIN}, repulsion=(builder, None), grid=grid,
        nonlocal_grid=None, kind=reference.kind, nocc=reference.nocc,
    )  # fmt: skip
