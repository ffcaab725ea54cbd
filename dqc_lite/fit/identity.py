"""What defines a training, part by part, as digests that are the same in every process."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite.fit.dataset import ARRAYS, Reaction, Row
from dqc_lite.fit.objective import Objective
from dqc_lite.fit.parameters import Parameters
from dqc_lite.scf.checkpoint import fingerprint
from dqc_lite.xc.functional import Functional

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PLAIN = (int, float, complex, str, bytes, bool, type(None), np.generic)

Identity = dict[str, str]
"""Digests by the name of the part."""


def of_objective(objective: Objective, prefix: str = "") -> Identity:
    """Rows, reactions, method, functional, parameters, loss and solver."""
    o = objective
    method = {f.name: getattr(o.method, f.name) for f in dataclasses.fields(o.method)}
    del method["xc"]  # that of the parameters
    found = {f"row {row.name!r}": _of_row(row) for row in o.rows}
    found |= {f"reaction {r.name!r}": _of_reaction(r) for r in o.reactions}
    found |= {f"method.{name}": digest(value) for name, value in method.items()}
    found |= _of_parameters(o.parameters)
    found |= {f"loss.{f.name}": digest(getattr(o.loss, f.name)) for f in dataclasses.fields(o.loss)}
    found["solver"] = digest(o.programs.solver)
    return {prefix + name: value for name, value in found.items()}


def differing(stored: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Names of the parts that are not the same."""
    names = [*present, *(name for name in stored if name not in present)]
    return [name for name in names if stored.get(name) != present.get(name)]


def of_functional(functional: Functional) -> str:
    """Of the structure and every number; not of the name."""
    nameless = dataclasses.replace(functional, name="")
    leaves, structure = jax.tree.flatten(nameless)
    return digest((_ADDRESS.sub("", str(structure)), [np.asarray(x, float) for x in leaves]))


def _of_row(row: Row) -> str:
    targets = [getattr(row, name) for name in ARRAYS]
    mol = fingerprint(row.mol, kind=repr(row.mol.layout.cartesian))
    return digest((mol, row.energy, row.weight, targets))


def _of_reaction(reaction: Reaction) -> str:
    return digest((sorted(reaction.stoichiometry.items()), reaction.energy, reaction.weight))


def _of_parameters(parameters: Parameters) -> Identity:
    p = parameters
    start = p.build(jnp.asarray(p.start))
    found = {
        "functional": digest((of_functional(start), start.name, p.build)),
        "parameters": digest(p.names), "start of the parameters": digest(p.start),
        "bounds": digest((p.lower, p.upper)),
    }  # fmt: skip
    return found


def digest(value: Any) -> str:
    """Of numbers, arrays, containers, dataclasses and functions with what they enclose."""
    return hashlib.sha256("\n".join(_pieces(value, frozenset())).encode()).hexdigest()


def _pieces(value: Any, within: frozenset[int]) -> Iterable[str]:
    """Depth first; `within`: the objects that hold this one, which may hold themselves."""
    if isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}"
        return
    if isinstance(value, np.ndarray | jax.Array):
        yield _of_array(value)
        return
    if id(value) in within:
        yield "itself"
        return
    yield _ADDRESS.sub("", type(value).__qualname__)
    for piece in _inside(value):
        yield from _pieces(piece, within | {id(value)})


def _of_array(value: Any) -> str:
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.ascontiguousarray(value)
    return f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"


def _inside(value: Any) -> list[Any]:
    """What an object is made of."""
    if isinstance(value, Mapping):
        return sorted(((str(k), v) for k, v in value.items()), key=lambda pair: pair[0])
    if isinstance(value, list | tuple):
        return [len(value), *value]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, types.FunctionType):
        return _of_function(value)
    if isinstance(value, type | types.ModuleType):
        return [value.__name__]
    if hasattr(value, "__wrapped__"):
        return [value.__wrapped__]
    if dataclasses.is_dataclass(value):
        return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
    if hasattr(value, "__dict__") and vars(value):
        return [vars(value)]
    return [_ADDRESS.sub("", repr(value))]


def _of_function(function: types.FunctionType) -> list[Any]:
    """Code, defaults, enclosed values, and global numbers, texts and arrays."""
    cells = [_content(cell) for cell in function.__closure__ or ()]
    world = (function.__globals__.get(name) for name in function.__code__.co_names)
    data = [value for value in world if isinstance(value, (*_PLAIN, np.ndarray, jax.Array))]
    named = [function.__module__, function.__qualname__]
    inside = [function.__defaults__, function.__kwdefaults__, cells, data]
    return [*named, *_of_code(function.__code__), *inside]


def _of_code(code: types.CodeType) -> list[Any]:
    constants = [
        _of_code(c) if isinstance(c, types.CodeType) else c for c in code.co_consts
    ]  # fmt: skip
    return [code.co_code, code.co_names, constants]


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None
