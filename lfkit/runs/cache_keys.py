"""Content hashes of functions: what a result depends on, so that nothing stale is read.

A function's fingerprint covers its bytecode (comments, layout and docstrings do not
count), its defaults and closure, and every global it names: helpers are followed into
their own code, constants and arrays are hashed by value, libraries by version.
"""

from __future__ import annotations

import ast
import contextlib
import copyreg
import dis
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import signal
import site
import sys
import sysconfig
import threading
import types
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

_OWN = ("lfkit", "lf_library")  # installed like libraries, followed like user code
_LIBRARY_FOLDERS = tuple(
    Path(folder).resolve()
    for folder in (
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
)
_PYTHON = f"python {sys.version_info.major}.{sys.version_info.minor}"


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


def texts_of(function: Any) -> set[str]:
    """List the texts and paths that a function and its helpers hold."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting = [function]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (str, os.PathLike)):
            found.add(os.fsdecode(value))
            continue
        if id(value) in seen or len(seen) > _MOST_FOLLOWED:
            continue
        seen.add(id(value))
        if isinstance(value, functools.partial):
            waiting += [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, types.MethodType):
            waiting.append(value.__func__)
        elif isinstance(value, types.FunctionType) and not _is_library(value):
            for code in _nested(value.__code__):
                waiting += code.co_consts
            waiting += map(_cell_contents, value.__closure__ or ())
            waiting += [
                *(value.__defaults__ or ()),
                *(value.__kwdefaults__ or {}).values(),
            ]
            for name, attributes in _global_names(value.__code__):
                held = value.__globals__.get(name, _MISSING)
                if not isinstance(held, types.ModuleType) or attributes:
                    waiting.append(_follow(held, attributes))
        elif isinstance(value, (tuple, list)) and len(value) <= _MOST_FOLLOWED:
            waiting += value
        elif hasattr(value, "__wrapped__"):
            waiting.append(value.__wrapped__)
    return found


@contextlib.contextmanager
def unchanging() -> Iterator[None]:
    """Promise that no function changes meanwhile: each is looked at only once."""
    token = _SHARED.set(_Hasher())
    try:
        yield
    finally:
        _SHARED.reset(token)


@contextlib.contextmanager
def ctrl_c() -> Iterator[list[bool]]:
    """Tell a Ctrl-C from a KeyboardInterrupt that user code raises: what is yielded."""
    pressed: list[bool] = []
    before = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not callable(before):  # it cannot come, or ends the process
        yield pressed
        return

    def press(number: int, frame: types.FrameType | None) -> None:
        pressed.append(True)
        before(number, frame)

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


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
        elif callable(value) and _is_library(value):
            name = getattr(value, "__qualname__", type(value).__qualname__)
            yield f"library {value.__module__} {name}"
            yield _version_of(value.__module__) or ""
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
            yield self.digest(_cell_contents(cell))
        for name, attributes in _global_names(function.__code__):
            found = function.__globals__.get(name, _MISSING)
            if found is _MISSING:
                yield f"builtin {name}"
                continue
            yield f"global {name}"
            yield self.digest(_follow(found, attributes))
        package = function.__globals__.get("__package__")
        for name in _imported_names(function.__code__, package):
            yield from self._named_module_parts(name)

    def _code_parts(self, code: types.CodeType) -> Iterator[str | bytes]:
        yield _PYTHON
        yield code.co_exceptiontable
        flags = code.co_flags & ~_HAS_DOCSTRING
        yield repr((code.co_names, code.co_varnames, code.co_argcount, flags))
        # Constants count where they are used, not by position: a docstring is one that
        # is used nowhere, and moves the others.
        for step in _steps(code):
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
        for module, origin in _with_imports(name):
            yield f"module {module}"
            yield _version_of(module) or ""
            if origin is not None:
                yield hashlib.blake2b(origin.read_bytes()).digest()


_READ_AT_IMPORT: dict[str, dict[str, str]] = {}
_SHARED: ContextVar[_Hasher | None] = ContextVar("_SHARED", default=None)
_MISSING = object()
_MOST_FOLLOWED = 1000
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


def _is_library(value: Any) -> bool:
    """Tell a library's function or class; a wrapper has two modules, its own counts."""
    names = getattr(value, "__globals__", {})  # of types.FunctionType: a descriptor
    own = names.get("__name__", "builtins") if isinstance(names, dict) else "builtins"
    return bool(_version_of(getattr(value, "__module__", None)) and _version_of(own))


@functools.cache
def _has_identity(cls: Any) -> bool:
    """Tell lfkit's protocol from a user's method that happens to have the name."""
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


def _cell_contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled: a function that names itself
        return "empty cell"


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


@functools.lru_cache(4096)
def _steps(code: types.CodeType) -> tuple[dis.Instruction, ...]:
    return tuple(s for s in dis.get_instructions(code) if s.opname != "EXTENDED_ARG")


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


@functools.lru_cache(maxsize=4096)
def _global_names(code: types.CodeType) -> list[tuple[str, tuple[str, ...]]]:
    """List the globals a function reads, each with the attributes it takes of it."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for part in _nested(code):
        name: str | None = None
        attributes: list[str] = []
        for step in _steps(part):
            if name and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                attributes.append(str(step.argval))
                continue
            if step.opname in ("CACHE", "PRECALL"):
                continue
            if name:
                found[name, tuple(attributes)] = None
            is_global = step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
            name, attributes = (str(step.argval) if is_global else None), []
        if name:
            found[name, tuple(attributes)] = None
    return sorted(found)


def _imported_names(code: types.CodeType, package: str | None) -> list[str]:
    """List the modules a function imports, `b` of `from a import b` among them."""
    found = set()
    for part in _nested(code):
        steps = _steps(part)
        for i, step in enumerate(steps):
            if step.opname != "IMPORT_NAME":
                continue
            level, names = int(steps[i - 2].argval or 0), steps[i - 1].argval
            module = str(step.argval)
            if level and package:
                module = importlib.util.resolve_name("." * level + module, package)
            found.add(module)
            if _version_of(module) is None:
                parts = [f"{module}.{name}" for name in names or ()]
                found.update(name for name in parts if _origin(name) is not None)
    return sorted(found)


def _with_imports(name: str) -> list[tuple[str, Path | None]]:
    """List a module and all it imports; only a user's modules have a file here."""
    found: dict[str, Path | None] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        is_known = module.partition(".")[0] == "lfkit" or _version_of(module)
        origin = None if is_known else _origin(module)
        found[module] = origin
        if origin is not None and origin.suffix == ".py":
            waiting += _imports_of(origin, module)
    return sorted(found.items())


def _imports_of(origin: Path, module: str) -> list[str]:
    """List the modules that a file imports, by absolute names."""
    try:
        tree = ast.parse(origin.read_bytes())
    except (SyntaxError, ValueError):
        return []
    package = module if origin.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *([base] if base else [])])
            parts = [f"{base}.{alias.name}" for alias in node.names]
            found += [base, *(part for part in parts if _origin(part) is not None)]
    return [name for name in found if name]


def _follow(found: Any, attributes: tuple[str, ...]) -> Any:
    """Follow `module.helper` to the helper, as far as modules go."""
    for attribute in attributes:
        if not isinstance(found, types.ModuleType):
            break
        if not hasattr(found, attribute):
            break
        found = getattr(found, attribute)
    return found


@functools.cache
def _version_of(module: str | None) -> str | None:
    """Give a library's version; None for a user's module, hashed by content."""
    if not module or module == "__main__":
        return None
    top = module.partition(".")[0]
    if top in _OWN:
        return None
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return _PYTHON
    origin = _origin(top)
    if origin is not None and not any(
        origin.is_relative_to(folder) for folder in _LIBRARY_FOLDERS
    ):
        return None
    version = getattr(sys.modules.get(top), "__version__", None)
    if version is None:
        try:
            version = importlib.metadata.version(top)
        except importlib.metadata.PackageNotFoundError:
            return "library" if origin is not None else None
    return str(version)


def _origin(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    if loaded is not None:
        path = getattr(loaded, "__file__", None)
        return Path(path).resolve() if path else None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin in (None, "built-in", "frozen"):
        return None
    return Path(str(spec.origin)).resolve()
