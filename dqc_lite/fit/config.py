"""A training described by a TOML file; see ``docs/fitting.md`` for every key."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dqc_lite.errors import FunctionalError, InputError
from dqc_lite.fit import hdf5, sources
from dqc_lite.fit.checks import require_count, require_flag, require_number, require_text
from dqc_lite.fit.dataset import Dataset
from dqc_lite.fit.losses import Loss
from dqc_lite.fit.objective import Objective
from dqc_lite.fit.optimizers import Optimizer, named
from dqc_lite.fit.parameters import Parameters, three_parameters
from dqc_lite.method import KS
from dqc_lite.scf.solvers import DIIS
from dqc_lite.xc.functional import Functional

_KEYS = {
    "data": {"source", "file", "basis", "names", "max_heavy", "energy_unit", "force_unit",
             "dipole_unit", "train", "seed"},
    "method": {"xc", "density_fit", "grid_level", "restricted", "dispersion"},
    "parameters": {"form", "select", "bounds"},
    "network": {"level", "width", "depth", "seed", "base", "correlation"},
    "loss": {"energy", "reaction", "forces", "dipole", "density", "orbital_energies",
             "density_metric", "ridge", "self_consistent"},
    "optimizer": {"name", "settings", "steps", "batch_size", "seed", "patience", "loss_tol",
                  "gradient_tol", "checkpoint_every"},
    "scf": {"max_cycle", "energy_tol", "gradient_tol", "space"},
    "run": {"folder", "cache", "max_buckets"},
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Training:
    """Everything that a file asks for.

    Attributes:
        parts: the training set, and the test set if there is one, by name.
        folder: for the results.
        steps: arguments of `dqc_lite.fit.train`.
    """

    parts: dict[str, Dataset]
    method: KS
    parameters: Parameters
    loss: Loss
    optimizer: Optimizer
    solver: DIIS
    folder: Path
    cache: Path | None
    max_buckets: int
    steps: dict[str, Any]

    def objective(self, part: str, progress: bool = False) -> Objective:
        """The loss over a part of the data."""
        return Objective(
            self.parts[part], self.method, self.parameters, self.loss, solver=self.solver,
            max_buckets=self.max_buckets, cache_folder=self.cache, progress=progress,
        )  # fmt: skip


def read(path: str | os.PathLike) -> Training:
    """Raises InputError and its subclasses, naming the table and key that are wrong."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        config = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"config = {str(path)!r} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"config = {str(path)!r} is no TOML file: {error}") from error
    return from_dict(config, path.parent)


def from_dict(config: Mapping[str, Any], base: Path = Path()) -> Training:
    """The same from a dictionary; relative file names start from `base`."""
    tables = {name: _table(config, name) for name in _KEYS}
    unknown = sorted(set(config) - set(_KEYS))
    if unknown:
        raise InputError(f"config: tables {unknown} are unknown; there are {sorted(_KEYS)}.")
    run, scf = tables["run"], tables["scf"]
    for key in run.keys() & {"folder", "cache"}:
        require_text(f"config: [run] {key}", run[key])
    optimizer = dict(tables["optimizer"])
    name, settings = optimizer.pop("name", "lm"), optimizer.pop("settings", {})
    functional = _functional(tables["method"], tables["network"])
    cache = run.get("cache")
    return Training(
        parts=_parts(tables["data"], base),
        method=_method(tables["method"], functional),
        parameters=_parameters(tables["parameters"], functional),
        loss=_made(Loss, "loss", tables["loss"]), optimizer=_optimizer(name, settings),
        solver=_made(DIIS, "scf", scf), folder=base / run.get("folder", "fit"),
        cache=None if cache is None else base / cache,
        max_buckets=require_count("config: [run] max_buckets", run.get("max_buckets", 8), 1),
        steps=optimizer,
    )  # fmt: skip


def _table(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = config.get(name, {})
    if not isinstance(table, Mapping):
        raise InputError(f"config: {name!r} must be a table, [{name}].")
    unknown = sorted(set(table) - _KEYS[name])
    if unknown:
        raise InputError(
            f"config: [{name}] has unknown keys {unknown}; there are {sorted(_KEYS[name])}."
        )
    return dict(table)


def _made(make: Any, name: str, settings: Mapping[str, Any]) -> Any:
    try:
        return make(**settings)
    except TypeError as error:
        raise InputError(f"config: [{name}]: {error}") from error


def _parts(data: dict[str, Any], base: Path) -> dict[str, Dataset]:
    seed = require_count("config: [data] seed", data.pop("seed", 0), 0)
    train = require_number("config: [data] train", data.pop("train", 1.0), positive=True)
    if train > 1.0:
        raise InputError(f"config: [data] train = {train:g} must be a share, 1 at most.")
    whole = _dataset(data, base)
    if train == 1.0:
        return {"train": whole}
    try:
        first, second = whole.split(train, seed=seed)
    except InputError as error:
        raise InputError(f"config: [data] train = {train:g}: {error}") from error
    return {"train": first, "test": second}


def _dataset(data: dict[str, Any], base: Path) -> Dataset:
    source, file = data.pop("source", None), data.pop("file", None)
    readers = {
        "g2": sources.g2, "s22": sources.s22, "extxyz": sources.from_extxyz,
        "hdf5": hdf5.from_hdf5,
    }  # fmt: skip
    for key in data.keys() & {"energy_unit", "force_unit", "dipole_unit"}:
        require_text(f"config: [data] {key}", data[key])
    names = data.get("names", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"config: [data] names = {names!r} must be a list of texts.")
    if "max_heavy" in data:
        require_count("config: [data] max_heavy", data["max_heavy"], 1)
    if not isinstance(source, str) or source not in readers:
        raise InputError(f"config: [data] source = {source!r}; use one of {sorted(readers)}.")
    of_file = source in ("extxyz", "hdf5")
    if of_file and file is None:
        raise InputError(f"config: [data] source = {source!r} needs file = 'NAME'.")
    if file is not None:
        require_text("config: [data] file", file)
        if not of_file:
            raise InputError(
                f"config: [data] file = {file!r} does not go with source = "
                f"{source!r}; leave it out."
            )
    arguments = (base / file,) if of_file else ()
    try:
        return readers[source](*arguments, **data)
    except TypeError as error:
        raise InputError(f"config: [data]: {error}") from error


def _optimizer(name: Any, settings: Any) -> Optimizer:
    if not isinstance(settings, Mapping):
        raise InputError(
            f"config: [optimizer] settings = {settings!r} must be a table, such as "
            "{learning_rate = 1e-3}."
        )
    if "name" in settings:
        raise InputError("config: [optimizer] settings has no key 'name'; it stands beside it.")
    return named(require_text("config: [optimizer] name", name), **settings)


def _functional(method: dict[str, Any], network: dict[str, Any]) -> Functional:
    from dqc_lite.xc.names import functional

    if not network:
        if "xc" not in method:
            raise InputError("config: [method] needs xc = 'NAME', or a table [network].")
        return functional(method["xc"])
    if "xc" in method:
        raise InputError("config: [method] xc and [network] exclude each other; base is in both.")
    return corrected(**network)


def corrected(
    base: str = "pbe", level: str = "gga", width: int = 8, depth: int = 2, seed: int = 0,
    correlation: bool = True,
) -> Functional:  # fmt: skip
    """A functional plus a neural correction that is zero to start with; see
    `dqc_lite.xc.neural.correction`.
    """
    import jax

    from dqc_lite.xc.names import functional
    from dqc_lite.xc.neural import correction

    require_count("network: width", width, 1)
    require_count("network: depth", depth, 0)
    require_count("network: seed", seed, 0)
    require_flag("network: correlation", correlation)
    if level not in ("gga", "mgga"):
        raise FunctionalError(f"level = {level!r} is not understood; use 'gga' or 'mgga'.")
    made = correction(jax.random.key(seed), level, width, depth, with_correlation=correlation)
    return functional(base) + made


def _method(table: dict[str, Any], functional: Functional) -> KS:
    settings = {k: v for k, v in table.items() if k != "xc"}
    if settings.get("restricted") == "auto":
        settings.pop("restricted")
    return _made(KS, "method", {"xc": functional, **settings})


def _parameters(table: dict[str, Any], functional: Functional) -> Parameters:
    form = table.get("form")
    if form is not None:
        if form != "three-parameter" or "select" in table or "bounds" in table:
            raise InputError(
                f"config: [parameters] form = {form!r}: 'three-parameter' stands alone; or give "
                "select = ['PATTERN', ...]."
            )
        return three_parameters(functional)
    bounds = table.get("bounds", {})
    if not isinstance(bounds, Mapping):
        raise InputError(
            f"config: [parameters] bounds = {bounds!r} must be a table, such as "
            '{"*.kappa" = [0.1, 2.0]}.'
        )
    given = {k: _unbounded(pair) for k, pair in bounds.items()}
    return Parameters.select(functional, table.get("select", "*"), given)


def _unbounded(pair: Any) -> Any:
    """TOML has no None: "none" stands for it."""
    return [None if v == "none" else v for v in pair] if isinstance(pair, list) else pair
