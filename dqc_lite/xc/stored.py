"""Functionals in files, HDF5 or safetensors by the name's ending, read without running any code.

Stored are components by libxc's label, networks by their sizes, and every number. A network of
another kind than `eqx.nn.MLP` has no description: its numbers are read back into a functional of
the same structure, ``load(path, like=functional)``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite.errors import FunctionalError
from dqc_lite.xc import safetensors
from dqc_lite.xc.functional import Functional
from dqc_lite.xc.neural import Network, NeuralFunctional

FORMAT = "dqc_lite.functional/1"

_ACTIVATIONS = {
    "silu": jax.nn.silu, "tanh": jnp.tanh, "softplus": jax.nn.softplus, "gelu": jax.nn.gelu,
}  # fmt: skip


ENDINGS = (".h5", ".hdf5", ".safetensors")
"""Of file names."""


def save(functional: Functional, path: str | os.PathLike) -> None:
    """Write a functional: safetensors where `path` ends so, else HDF5."""
    description = {
        "name": functional.name,
        "labels": list(functional.labels),
        "components": [_describe(functional, i) for i in range(len(functional.components))],
        "scalars": [
            name for name in ("exact_exchange", "long_range_exchange", "omega")
            if getattr(functional, name) is not None
        ],
        "nonlocal": functional.nonlocal_correlation is not None,
    }  # fmt: skip
    leaves = enumerate(jax.tree.leaves(functional))
    numbers = {f"numbers/{i}": np.asarray(leaf, float) for i, leaf in leaves}
    texts = {"format": FORMAT, "description": json.dumps(description)}
    if _is_safetensors(path):
        safetensors.write(path, numbers, texts)
        return
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update(texts)
        for name, array in numbers.items():
            file[name] = array


def _is_safetensors(path: str | os.PathLike) -> bool:
    return Path(path).suffix.lower() == ".safetensors"


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and texts of a file."""
    if _is_safetensors(path):
        return safetensors.read(path)
    import h5py

    with h5py.File(path, "r") as file:
        arrays = {f"numbers/{key}": x[()] for key, x in file.get("numbers", {}).items()}
        return arrays, dict(file.attrs)


def load(path: str | os.PathLike, like: Functional | None = None) -> Functional:
    """Read a functional; `like` gives the structure where the file does not describe it.

    Raises:
        FunctionalError: no such file, no functional in it, or another structure.
    """
    if not Path(path).is_file():
        raise FunctionalError(f"functional file {str(path)!r} does not exist.")
    try:
        arrays, texts = _read(Path(path))
        if texts.get("format") != FORMAT:
            raise FunctionalError(f"file {str(path)!r} holds no functional ({FORMAT}).")
        description = json.loads(texts["description"])
        numbers = [arrays[f"numbers/{i}"] for i in range(len(arrays))]
    except (OSError, KeyError, ValueError) as error:
        kind = "safetensors" if _is_safetensors(path) else "HDF5"
        raise FunctionalError(
            f"functional file {str(path)!r} is damaged or no {kind} file: {error}"
        ) from error
    template = like if like is not None else _template(description)
    leaves, structure = jax.tree.flatten(template)
    shapes = [np.shape(leaf) for leaf in leaves]
    if shapes != [n.shape for n in numbers]:
        raise FunctionalError(
            f"functional file {str(path)!r} does not fit the structure of `like`: it holds "
            f"{len(numbers)} numbers or arrays, the functional {len(leaves)}, or shapes differ."
        )
    return jax.tree.unflatten(structure, [n if n.shape else float(n) for n in numbers])


def _describe(functional: Functional, i: int) -> dict[str, Any]:
    from dqc_lite.xc.components import COMPONENTS

    component = functional.components[i]
    if isinstance(component, NeuralFunctional):
        networks = {k: _sizes(getattr(component, k)) for k in ("exchange", "correlation")}
        settings = ("level", "uniform_gas", "spin_scaling", "lieb_oxford")
        return networks | {"settings": {k: getattr(component, k) for k in settings}}
    label = functional.labels[i] if functional.labels else None
    alike = label in COMPONENTS and _same_structure(COMPONENTS[label](), component)
    return {"label": label} if alike else {"other": type(component).__name__}


def _sizes(network: Network | None) -> dict[str, Any] | None:
    """Of a multilayer perceptron as the ready networks are; "other" for the rest."""
    if network is None:
        return None
    module = network.module
    names = [k for k, f in _ACTIVATIONS.items() if f is getattr(module, "activation", None)]
    if not isinstance(module, eqx.nn.MLP) or not names:
        return {"other": type(module).__name__}
    sizes = {k: getattr(module, k) for k in ("in_size", "out_size", "width_size", "depth")}
    made = _network(sizes | {"activation": names[0]})
    same = _same_structure(network, Network.of(made))
    return sizes | {"activation": names[0]} if same else {"other": type(module).__name__}


def _network(sizes: dict[str, Any] | None) -> Any:
    if sizes is None:
        return None
    if "other" in sizes:
        raise _undescribed(sizes["other"])
    settings = dict(sizes)
    activation = _ACTIVATIONS[settings.pop("activation")]
    return eqx.nn.MLP(**settings, activation=activation, key=jax.random.key(0))


def _same_structure(a: Any, b: Any) -> bool:
    trees = jax.tree.structure(a), jax.tree.structure(b)
    return trees[0] == trees[1]  # type: ignore[operator]  # JAX's stub leaves it out


def _template(description: dict[str, Any]) -> Functional:
    components = tuple(_component(c) for c in description["components"])
    numbers: dict[str, Any] = dict.fromkeys(description["scalars"], 0.0)
    if description.get("nonlocal"):
        numbers |= {"nonlocal_correlation": (0.0, 0.0), "nonlocal_weight": 0.0}
    return Functional(
        components=components, weights=(1.0,) * len(components),
        **numbers,
        labels=tuple(description["labels"]), name=description["name"],
    )  # fmt: skip


def _component(description: dict[str, Any]) -> Any:
    from dqc_lite.xc.components import COMPONENTS

    if "label" in description:
        return COMPONENTS[description["label"]]()
    if "other" in description:
        raise _undescribed(description["other"])
    networks = {k: _network(description[k]) for k in ("exchange", "correlation")}
    return NeuralFunctional(**networks, **description["settings"])


def _undescribed(name: str) -> FunctionalError:
    return FunctionalError(
        f"the file does not describe the structure of {name}; make the functional in Python and "
        "read its numbers by dqc_lite.xc.stored.load(path, like=functional)."
    )
