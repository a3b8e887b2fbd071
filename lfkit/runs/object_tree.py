"""Objects as JSON and named arrays: no pickle, and only classes of a given table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import InputError

Classes = Mapping[str, type[Any]]
_PLAIN = (bool, int, str, type(None))


class TreeWriter:
    """Turns objects into JSON, whose arrays lie apart.

    Arrays, numbers, texts, tuples, lists and dicts are taken, and objects of the given
    classes, by their fields.

    Parameters
    ----------
    classes : name → class.

    Attributes
    ----------
    arrays : name → array, what `TreeReader` needs beside the JSON.
    """

    def __init__(self, classes: Classes) -> None:
        self._names = {kind: name for name, kind in classes.items()}
        self.arrays: dict[str, NDArray[Any]] = {}

    def write(self, value: Any, place: str) -> Any:
        """Give a value as JSON.

        Parameters
        ----------
        place : where it stands; names its arrays.

        Raises
        ------
        InputError
            If something is neither plain nor of a known class.
        """
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, np.ndarray):
            return self._array(value, place)
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, (tuple, list)):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {kind: [self.write(v, f"{place}.{j}") for j, v in enumerate(value)]}
        if isinstance(value, Mapping):
            pairs = value.items()
            return {"dict": [[k, self.write(v, f"{place}.{k}")] for k, v in pairs]}
        name = self._names.get(type(value))
        if name is None:
            raise InputError(
                f"{place} holds a {type(value).__name__}, which cannot be frozen; "
                "only numbers, texts and arrays can."
            )
        fields = vars(value).items()
        held = {k: self.write(v, f"{place}.{k}") for k, v in fields}
        return {"object": name, "fields": held}

    def _array(self, value: NDArray[Any], place: str) -> Any:
        if value.dtype.kind in "US":  # safetensors has numbers only
            return {"texts": value.tolist(), "dtype": value.dtype.str}
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise InputError(
                f"{place} is an array of {value.dtype}, which cannot be frozen; only "
                "numbers and texts can."
            )
        name = f"{len(self.arrays)}:{place}"
        self.arrays[name] = np.array(value, order="C")
        return {"array": name}


class TreeReader:
    """Makes the objects that `TreeWriter` wrote.

    Parameters
    ----------
    classes : name → class, the only ones that are made; no initialiser is called.
    """

    def __init__(self, classes: Classes, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._classes, self._arrays = classes, arrays

    def read(self, found: Any) -> Any:
        """Give the value; whatever a parser raises means that the file is damaged."""
        if not isinstance(found, dict):
            return found
        if "array" in found:
            return self._arrays[found["array"]]
        if "texts" in found:
            return np.asarray(found["texts"], found["dtype"])
        if "float" in found:
            return float(found["float"])
        if "tuple" in found:
            return tuple(map(self.read, found["tuple"]))
        if "list" in found:
            return list(map(self.read, found["list"]))
        if "dict" in found:
            return {key: self.read(value) for key, value in found["dict"]}
        kind = self._classes[found["object"]]
        fields = {key: self.read(value) for key, value in found["fields"].items()}
        if dataclasses.is_dataclass(kind):
            return kind(**fields)
        made = object.__new__(kind)
        vars(made).update(fields)
        return made
