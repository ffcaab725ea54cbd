"""Safetensors files of double-precision arrays, readable by every program that knows the format.

Eight bytes give the length n of the header (little-endian); n bytes of JSON name each array with
its type, shape and place among the bytes that follow; ``__metadata__`` holds texts. The format's
specification: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_TYPES = {"F64": "<f8", "F32": "<f4"}


def write(
    path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write arrays in double precision, in this order."""
    header: dict = {"__metadata__": dict(metadata)}
    data = b""
    for name, array in arrays.items():
        part = np.asarray(array, "<f8").tobytes()
        header[name] = {
            "dtype": "F64", "shape": list(np.shape(array)),
            "data_offsets": [len(data), len(data) + len(part)],
        }  # fmt: skip
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the numbers start at a multiple of eight bytes
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays by name, and the texts.

    Raises:
        ValueError: no such file, cut off, or types other than F64 and F32.
    """
    whole = Path(path).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    if not 2 <= length <= len(whole) - 8:
        raise ValueError("it has no header")
    header, data = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, entry in header.items():
        if entry["dtype"] not in _TYPES:
            raise ValueError(f"{name} has the type {entry['dtype']}, not F64 or F32")
        begin, end = entry["data_offsets"]
        flat = np.frombuffer(data[begin:end], _TYPES[entry["dtype"]])
        arrays[name] = flat.reshape(entry["shape"]).astype(float)
    return arrays, metadata
