"""What user code is given to read: nobody can change what others read."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_OWN = ("lfkit", "lf_library")


def is_own(fn: Any) -> bool:
    """Tell lfkit's own functions, which change nothing they are given.

    One that holds a user's function (a wrapper of Snorkel's, say) is not its own.
    """
    if (getattr(fn, "__module__", None) or "").partition(".")[0] not in _OWN:
        return False
    held = [] if isinstance(fn, type) else [*getattr(fn, "__dict__", {}).values()]
    for cell in getattr(fn, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # not yet filled
            held.append(cell.cell_contents)
    functions = [value for value in held if isinstance(value, types.FunctionType)]
    return all(f.__module__.partition(".")[0] in _OWN for f in functions)


def sealed(array: NDArray[Any]) -> NDArray[Any]:
    """Copy an array into memory that numpy never lets anyone write to.

    A flag can be set back; an array over `bytes` refuses it.
    """
    if array.dtype.hasobject or not array.size:
        copy = array.copy()
        copy.flags.writeable = False
        return copy
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)


def sealed_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Seal the arrays among keyword arguments."""
    return {
        name: sealed(value) if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }


class Rows:
    """One value per image, as functions see it: a float or a read-only array, or None.

    What numpy protects can still be written to by other means (torch.from_numpy), so
    `restore` looks for changes after each function.

    Parameters
    ----------
    values : (b, ...) what was computed; never handed out itself.
    usable : (b,) False where there is no value.
    """

    def __init__(self, values: NDArray[Any], usable: NDArray[np.bool_]) -> None:
        self._values, self._usable = np.ascontiguousarray(values), usable
        self._shown: NDArray[Any] | None = None
        self.rows: list[Any]
        if values.ndim == 1:
            self.rows = [
                value if good else None
                for value, good in zip(values.tolist(), usable.tolist(), strict=True)
            ]
            return
        self._show()

    def restore(self) -> NDArray[np.int64]:
        """Undo what the last function changed; returns the rows it was on."""
        if self._shown is None or not self._shown.size:
            return np.zeros(0, np.int64)
        if _are_same(self._values, self._shown):
            return np.zeros(0, np.int64)
        before, after = _as_bytes(self._values), _as_bytes(self._shown)
        changed = np.flatnonzero((before != after).any(axis=1))
        self._show()
        return changed

    def _show(self) -> None:
        shown = self._shown = sealed(self._values)
        self.rows = [
            shown[i] if good else None for i, good in enumerate(self._usable.tolist())
        ]


def _are_same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Compare bytes, eight at a time: every function waits for it."""
    a, b = (array.reshape(-1).view(np.uint8) for array in (one, other))
    whole = len(a) // 8 * 8
    words = np.array_equal(a[:whole].view(np.uint64), b[:whole].view(np.uint64))
    return words and np.array_equal(a[whole:], b[whole:])


def _as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """View rows as bytes, (b, bytes): NaN equals itself."""
    return array.reshape(len(array), -1).view(np.uint8)


class Kept:
    """Copies of the tensors that a batched function reads, to undo its changes.

    Neither `x.data` nor `x.numpy()` leaves a trace in the tensor's version.
    """

    def __init__(self) -> None:
        self._copies: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def show(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Keep copies of tensors; returns others, over the same memory, to hand out."""
        for tensor in tensors:
            if id(tensor) not in self._copies:
                self._copies[id(tensor)] = (tensor, tensor.clone())
        return [tensor.detach() for tensor in tensors]

    def restore(self, tensors: Sequence[torch.Tensor]) -> list[int]:
        """Write back what differs from its copy; returns the positions of those."""
        return [i for i, tensor in enumerate(tensors) if self._restored(tensor)]

    def _restored(self, tensor: torch.Tensor) -> bool:
        import torch

        copy = self._copies[id(tensor)][1]
        # As whole numbers: NaN equals itself.
        if torch.equal(tensor.view(torch.int32), copy.view(torch.int32)):
            return False
        tensor.copy_(copy)
        return True


def as_plain(value: torch.Tensor, device: str) -> torch.Tensor:
    """Check that a tensor holds plain numbers, and bring it to the device."""
    import torch

    if value.dtype.is_complex:
        raise TypeError(f"returned complex numbers ({value.dtype})")
    if value.layout != torch.strided:
        raise TypeError(
            f"returned a tensor of layout {value.layout}; end with .to_dense()"
        )
    return value.detach().to(device)
