"""A GPU's place taken by the CPU: tensors of their own device, waits of the host seen.

A tensor of the device "meta" holds one of the CPU, and every operation is computed on
that one. So a training runs as on a GPU: what was forgotten to be moved is an error,
and what makes the host wait for the device is counted.
"""

import contextlib
import traceback
from collections import Counter
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = "meta"
_GENERATOR = torch.Generator

# What CUDA's kernels read on the host: sizes that depend on values, or their checks.
_READ_BACK = {
    "_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero",
    "bincount", "_unique", "_unique2", "unique_dim", "unique_consecutive",
    "unique_dim_consecutive", "histc", "isin",
}  # fmt: skip


class OnDevice(torch.Tensor):
    """A tensor of the stand-in device."""

    @staticmethod
    def __new__(cls, inner):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    def __repr__(self):
        return f"OnDevice({self.inner!r})"

    def __getitem__(self, places):
        return super().__getitem__(_as_tensors(places))

    def __setitem__(self, places, value):
        super().__setitem__(_as_tensors(places), value)

    def new_tensor(self, data, dtype=None):
        return torch.tensor(data, dtype=dtype or self.dtype, device=DEVICE)

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of a StandInGpu")


class DrawnOnDevice(_GENERATOR):
    """A generator that says it is of the stand-in device."""

    @property
    def device(self):
        return torch.device(DEVICE)


class _Generators(_GENERATOR):
    """Makes generators as `torch.Generator` does."""

    def __new__(cls, device="cpu"):
        on_device = torch.device(device).type == DEVICE
        return DrawnOnDevice() if on_device else _GENERATOR(device)


class StandInGpu(TorchDispatchMode):
    """Computes what is on the device "meta", and counts where the host waits for it.

    Attributes
    ----------
    waits : what waited → how often; with the line of lfkit that did.
    """

    def __init__(self):
        super().__init__()
        self.waits = Counter()

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        for name, stand_in in (
            ("optim.optimizer._get_fused_kernels_supported_devices", _fused),
            ("autocast", _autocast),
            ("Generator", _Generators),
            ("tensor", _made_by(torch.tensor)),
            ("as_tensor", _made_by(torch.as_tensor)),
        ):
            self._stack.enter_context(mock.patch(f"torch.{name}", stand_in))
        return super().__enter__()

    def __exit__(self, *error):
        self._stack.close()
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        leaves = [v for v in tree_flatten((args, kwargs))[0] if torch.is_tensor(v)]
        ours = [value for value in leaves if isinstance(value, OnDevice)]
        asked = kwargs.get("device")
        on_device = bool(ours) if asked is None else torch.device(asked).type == DEVICE
        if name in ("_to_copy", "copy_"):
            source = args[0] if name == "_to_copy" else args[1]
            if name == "copy_":
                on_device = isinstance(args[0], OnDevice)
            self._note_copy(isinstance(source, OnDevice), on_device, args, kwargs)
        elif ours:
            self._note(name, args, leaves)
        if not ours and not on_device:
            return func(*args, **kwargs)
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        known = {id(value.inner): value for value in ours}
        inner_args, kwargs = tree_map(_inner, (args, kwargs))
        found = func(*inner_args, **kwargs)
        if name == "copy_":
            return args[0]

        def put(value):
            if not torch.is_tensor(value) or not on_device:
                return value
            return known[id(value)] if id(value) in known else OnDevice(value)

        return tree_map(put, found)

    def _note_copy(self, from_device, to_device, args, kwargs):
        """Count copies to the other side; from the device all wait for it."""
        no_wait = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
        if from_device and not to_device:
            self._waited("copy to the host")
        elif to_device and not from_device and not no_wait:
            self._waited("copy to the device")

    def _note(self, name, args, leaves):
        """Count what waits besides, and refuse what a GPU would refuse."""
        indexing = name in ("index", "index_put", "index_put_", "_index_put_impl_")
        for value in args[1] if indexing else ():
            if value is not None and value.dtype in (torch.bool, torch.uint8):
                self._waited("a mask as an index")
            elif value is not None and not isinstance(value, OnDevice):
                self._waited("an index from the host")
        few = name == "multinomial" and (args[1] == 1 or not args[2])
        # Without a size, `repeat_interleave` of a tensor asks for its sum.
        if few or name in _READ_BACK or (name == "repeat_interleave" and len(args) < 2):
            self._waited(name)
        mixed = any(not isinstance(value, OnDevice) and value.ndim for value in leaves)
        if mixed and not indexing:
            raise RuntimeError(f"{name} of tensors on two devices")

    def _waited(self, why):
        lines = [
            line for line in traceback.extract_stack() if "/lfkit/" in line.filename
        ]
        place = ""
        if lines:
            last = lines[-1]
            place = f" in {last.filename.rpartition('/lfkit/')[2]}: {last.line}"
        self.waits[f"{why}{place}"] += 1


def _as_tensors(places):
    """Make tensors of the host of lists in an index, as torch does on a GPU."""
    if isinstance(places, list):
        return torch.tensor(places)
    if isinstance(places, tuple):
        return tuple(map(_as_tensors, places))
    return places


def _inner(value):
    return value.inner if isinstance(value, OnDevice) else value


def _fused():
    return [DEVICE, "cpu"]


def _autocast(device, *args, **kwargs):
    """Compute in full precision: no processor is told what to do on this device."""
    return contextlib.nullcontext()


def _made_by(function):
    """Make tensors of Python's numbers on the host, and send them: so torch does."""

    def made(*args, device=None, **kwargs):
        found = function(*args, **kwargs)
        return found if device is None else found.to(device)

    return made
