"""Named arrays in a safetensors file, with a checksum; no code in it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from lfkit.runs.reading import reading

_CHECKSUM = "crc32"


def tensor_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write arrays as a safetensors file."""
    # `ascontiguousarray` would make rows of numbers: (1,) of ().
    whole = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    return save(whole, metadata={_CHECKSUM: str(_checksum(whole))})


def read_tensors(path: Path, remedy: str) -> dict[str, NDArray[Any]]:
    """Read what `tensor_bytes` made; numbers that are not finite are damage, too."""
    with reading(path, remedy):
        data = path.read_bytes()
        found = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        kept = header.get("__metadata__", {}).get(_CHECKSUM)
        if kept is not None and kept != str(_checksum(found)):
            raise ValueError("its checksum is wrong")
        for name, value in found.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ValueError(f"{name} holds numbers that are not finite")
    return found


def _checksum(arrays: Mapping[str, NDArray[Any]]) -> int:
    total = 0
    for name in sorted(arrays):
        value = arrays[name]
        total = zlib.crc32(f"{name} {value.dtype.str} {value.shape}".encode(), total)
        total = zlib.crc32(value.tobytes(), total)
    return total
