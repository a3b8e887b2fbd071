"""Content hashes of functions: what a result depends on, so that nothing stale is read.

A function's fingerprint covers its bytecode (comments, layout and docstrings do not
count), its defaults and closure, and every global it names: helpers are followed into
their own code, constants and arrays are hashed by value, libraries by version.

Pickles do not serve: by cloudpickle, equal functions have other bytes in the next
process (sets, memo order, class ids), methods are left out and locks refused; 48 of the
90 tests of this file failed by it, and 71 by joblib.hash. A key also seeds what is
fitted under it, so another digest means other random draws.
"""

from __future__ import annotations

import contextlib
import copyreg
import dis
import functools
import hashlib
import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from lfkit.data.interrupts import ctrl_c
from lfkit.runs.code_names import (
    MISSING,
    cell_contents,
    followed,
    global_names,
    imported_names,
    steps_of,
)
from lfkit.runs.modules import PYTHON, is_library, version_of, with_imports


def fingerprint(value: Any) -> str:
    """Hash any value by content: 32 hex digits, equal in every process.

    Objects may define `identity()`, whose result then stands for them.

    >>> fingerprint([1, 2.0, "a"]) == fingerprint([1, 2.0, "a"])
    True
    >>> fingerprint(1) == fingerprint(True)
    False
    """
    return (_SHARED.get() or _Hasher()).digest(value).hex()


def note_import(module: str, files: Mapping[str, str]) -> None:
    """Note path → digest of what a user's module read while it was imported.

    Objects that cannot be hashed are taken to depend on all of it.
    """
    _READ_AT_IMPORT[module] = dict(files)


@contextlib.contextmanager
def unchanging() -> Iterator[None]:
    """Promise that no function changes meanwhile: each is looked at only once."""
    token = _SHARED.set(_Hasher())
    try:
        yield
    finally:
        _SHARED.reset(token)


class _Hasher:
    """One traversal of everything a value refers to.

    A reference back to something still being hashed counts as a number of steps up.
    What was hashed in the light of such a reference is remembered only once its cycle
    is closed, and is not used inside of that cycle, so that a digest never depends on
    where a traversal began.
    """

    def __init__(self) -> None:
        self._known: dict[int, bytes] = {}
        self._open: dict[int, int] = {}  # id → depth of what is being hashed
        self._reached = sys.maxsize  # the least depth that a cycle led back to
        self._loose: list[int] = []  # ids hashed in the light of an open reference
        self._cycles: dict[int, frozenset[int]] = {}  # id → what it shares cycles with
        self._module = ""  # of the user's function that is being hashed
        self._alive: list[Any] = []  # keeps ids from being reused while we hash

    def digest(self, value: Any) -> bytes:
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            return _hash(type(value).__name__, repr(value).encode())
        name = id(value)
        depth, outer = len(self._open), self._reached
        if name in self._open:
            self._reached = min(outer, self._open[name])
            return _hash("cycle", str(depth - self._open[name]))
        known = self._known.get(name) or _LASTING.get(name, (None, b""))[1]
        if known and self._cycles.get(name, frozenset()).isdisjoint(self._open):
            return known
        self._alive.append(value)
        n_loose = len(self._loose)
        self._open[name], self._reached = depth, sys.maxsize
        result = _hash(*self._parts(value))
        del self._open[name]
        if self._reached < depth:
            self._loose.append(name)
            self._reached = min(outer, self._reached)
            return result
        self._known[name] = result
        if self._reached == depth:
            self._cycles[name] = frozenset(self._loose[n_loose:])
        elif _is_own(value):
            _LASTING[name] = (value, result)
        del self._loose[n_loose:]
        self._reached = outer
        return result

    def _parts(self, value: Any) -> Iterator[str | bytes]:
        if _has_identity(type(value)):  # type: ignore[arg-type]
            yield "identity"
            yield self.digest(value.identity())
        elif isinstance(value, np.ndarray) and value.dtype != object:
            yield f"array {value.dtype.str} {value.shape}"
            yield np.ascontiguousarray(value).tobytes()
        elif isinstance(value, (list, tuple)):
            yield type(value).__name__
            yield from (self.digest(item) for item in value)
        elif isinstance(value, (set, frozenset)):
            yield "set"
            yield from sorted(self.digest(item) for item in value)
        elif isinstance(value, (dict, types.MappingProxyType)) and (
            type(value).__module__ == "builtins"
        ):
            yield "dict"
            yield from sorted(
                self.digest(key) + self.digest(item) for key, item in value.items()
            )
        elif isinstance(value, types.ModuleType):
            yield from self._module_parts(value)
        elif isinstance(value, types.MethodType):
            yield "method"
            yield self.digest(value.__func__)
            yield self.digest(value.__self__)
        elif isinstance(value, functools.partial):
            yield "partial"
            yield self.digest((value.func, value.args, value.keywords))
        elif isinstance(value, types.CodeType):
            yield from self._code_parts(value)
        elif callable(value) and is_library(value):
            name = getattr(value, "__qualname__", type(value).__qualname__)
            yield f"library {value.__module__} {name}"
            yield version_of(value.__module__) or ""
            if not isinstance(value, (type, types.FunctionType)):
                yield from self._state_parts(value)
        elif isinstance(value, types.FunctionType):
            yield from self._function_parts(value)
        elif isinstance(value, type):
            yield from self._class_parts(value)
        else:
            yield f"object {type(value).__module__} {type(value).__qualname__}"
            yield self.digest(type(value))
            yield from self._state_parts(value)
        # What a decorator wraps: functools.cache, for one, hides it from pickling.
        wrapped = getattr(value, "__dict__", {}).get("__wrapped__")
        if wrapped is not None:
            yield self.digest(wrapped)

    def _function_parts(self, function: types.FunctionType) -> Iterator[str | bytes]:
        yield "function"
        self._module = str(function.__globals__.get("__name__"))
        yield self.digest(function.__code__)
        yield self.digest((function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():
            yield self.digest(cell_contents(cell))
        for name, attributes in global_names(function.__code__):
            found = function.__globals__.get(name, MISSING)
            if found is MISSING:
                yield f"builtin {name}"
                continue
            yield f"global {name}"
            yield self.digest(followed(found, attributes))
        package = function.__globals__.get("__package__")
        for name in imported_names(function.__code__, package):
            yield from self._named_module_parts(name)

    def _code_parts(self, code: types.CodeType) -> Iterator[str | bytes]:
        yield PYTHON
        yield code.co_exceptiontable
        flags = code.co_flags & ~_HAS_DOCSTRING
        yield repr((code.co_names, code.co_varnames, code.co_argcount, flags))
        # Constants count where they are used, not by position: a docstring is one that
        # is used nowhere, and moves the others.
        for step in steps_of(code):
            is_constant = step.opcode in dis.hasconst
            yield f"{step.opname} {'' if is_constant else step.arg}"
            if is_constant:
                yield self.digest(step.argval)

    def _class_parts(self, cls: type) -> Iterator[str | bytes]:
        yield f"class {cls.__qualname__}"
        yield from (self.digest(base) for base in cls.__bases__)
        for name, member in sorted(vars(cls).items()):
            if name in _CLASS_PLUMBING:
                continue
            yield name
            yield self.digest(_unwrap_member(member))

    def _state_parts(self, value: Any) -> Iterator[str | bytes]:
        """Hash what pickling would store; an object that cannot be counts by type."""
        tensor = sys.modules.get("torch")
        if tensor is not None and isinstance(value, tensor.Tensor):
            plain = value.detach().cpu().contiguous().reshape(-1)
            yield f"tensor {value.dtype} {tuple(value.shape)}"
            yield self.digest(plain.view(tensor.uint8).numpy())
            return
        if tensor is not None and isinstance(value, tensor.nn.Module):
            yield from (self.digest(item) for item in value.state_dict().items())
            # Two networks of equal weights may differ in their layers and settings.
            plumbing = set(vars(tensor.nn.Module())) - {"training"}
            for name, part in value.named_modules():
                settings = {k: v for k, v in vars(part).items() if k not in plumbing}
                yield self.digest((name, type(part), settings))
            return
        try:
            with ctrl_c() as pressed:
                registered = copyreg.dispatch_table.get(type(value))
                reduced = registered(value) if registered else value.__reduce_ex__(4)
        except BaseException:  # any object may refuse, each in its own way
            if pressed:
                raise
            yield "opaque"
            # A loaded model, say: it may have been any of the files read meanwhile.
            files = _READ_AT_IMPORT.get(self._module)
            every = [*_READ_AT_IMPORT.values()]
            yield repr(
                [sorted(f.items()) for f in (every if files is None else [files])]
            )
            return
        if isinstance(reduced, str):
            yield reduced
            return
        for part in reduced[1:3]:
            yield self.digest(part)
        for items in reduced[3:5]:
            yield from (self.digest(item) for item in items or ())

    def _module_parts(self, module: types.ModuleType) -> Iterator[str | bytes]:
        yield from self._named_module_parts(module.__name__)

    def _named_module_parts(self, name: str) -> Iterator[str | bytes]:
        """Count a library by version, a user's module by its file and its imports."""
        for module, origin in with_imports(name):
            yield f"module {module}"
            yield version_of(module) or ""
            if origin is not None:
                yield hashlib.blake2b(origin.read_bytes()).digest()


_READ_AT_IMPORT: dict[str, dict[str, str]] = {}
_SHARED: ContextVar[_Hasher | None] = ContextVar("_SHARED", default=None)
_HAS_DOCSTRING = 0x4000000  # a code flag since Python 3.14
# lfkit's own functions and classes do not change while a process runs: id → the object
# itself, which keeps the id from being reused, and its digest.
_LASTING: dict[int, tuple[Any, bytes]] = {}
_CLASS_PLUMBING = {
    "__module__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__annotations__",
    "__abstractmethods__",
    "_abc_impl",
    "__slotnames__",
    "__parameters__",
    "__orig_bases__",
    "__firstlineno__",
    "__static_attributes__",
}


def _is_own(value: Any) -> bool:
    return (
        isinstance(value, (type, types.FunctionType))
        and (value.__module__ or "").partition(".")[0] == "lfkit"
        and "<locals>" not in value.__qualname__
    )


@functools.cache
def _has_identity(cls: Any) -> bool:
    """Whether a class has lfkit's `identity`, not a user's method of that name."""
    method = inspect.getattr_static(cls, "identity", None)
    return isinstance(method, types.FunctionType) and (
        method.__code__.co_argcount - len(method.__defaults__ or ()) == 1
    )


def _hash(*parts: str | bytes) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.digest()


def _unwrap_member(member: Any) -> Any:
    if isinstance(member, (staticmethod, classmethod)):
        return member.__func__
    if isinstance(member, property):
        return (member.fget, member.fset, member.fdel)
    if isinstance(member, functools.cached_property):
        return member.func  # the property holds a lock, which cannot be hashed
    if isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType)):
        return "descriptor"
    return member
