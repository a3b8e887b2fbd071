"""What a function's code names: globals, imports, texts."""

from __future__ import annotations

import dis
import functools
import importlib.util
import os
import types
from collections.abc import Iterator
from typing import Any

from lfkit.runs.modules import is_library, origin_of, version_of

MISSING = object()  # stands for a global that is not defined
_MOST_FOLLOWED = 1000


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
        elif isinstance(value, types.FunctionType) and not is_library(value):
            for code in nested_code(value.__code__):
                waiting += code.co_consts
            waiting += map(cell_contents, value.__closure__ or ())
            waiting += [
                *(value.__defaults__ or ()),
                *(value.__kwdefaults__ or {}).values(),
            ]
            for name, attributes in global_names(value.__code__):
                held = value.__globals__.get(name, MISSING)
                if not isinstance(held, types.ModuleType) or attributes:
                    waiting.append(followed(held, attributes))
        elif isinstance(value, (tuple, list)) and len(value) <= _MOST_FOLLOWED:
            waiting += value
        elif hasattr(value, "__wrapped__"):
            waiting.append(value.__wrapped__)
    return found


@functools.lru_cache(maxsize=4096)
def global_names(code: types.CodeType) -> list[tuple[str, tuple[str, ...]]]:
    """List the globals a function reads, each with the attributes it takes of it."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for part in nested_code(code):
        name: str | None = None
        attributes: list[str] = []
        for step in steps_of(part):
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


def imported_names(code: types.CodeType, package: str | None) -> list[str]:
    """List the modules a function imports, `b` of `from a import b` among them."""
    found = set()
    for part in nested_code(code):
        steps = steps_of(part)
        for i, step in enumerate(steps):
            if step.opname != "IMPORT_NAME":
                continue
            level, names = int(steps[i - 2].argval or 0), steps[i - 1].argval
            module = str(step.argval)
            if level and package:
                module = importlib.util.resolve_name("." * level + module, package)
            found.add(module)
            if version_of(module) is None:
                parts = [f"{module}.{name}" for name in names or ()]
                found.update(name for name in parts if origin_of(name) is not None)
    return sorted(found)


def followed(found: Any, attributes: tuple[str, ...]) -> Any:
    """Follow `module.helper` to the helper, as far as modules go."""
    for attribute in attributes:
        if not isinstance(found, types.ModuleType):
            break
        if not hasattr(found, attribute):
            break
        found = getattr(found, attribute)
    return found


def cell_contents(cell: types.CellType) -> Any:
    """Return what a closure's cell holds."""
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled: a function that names itself
        return "empty cell"


def nested_code(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield code and the functions defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested_code(constant)


@functools.lru_cache(4096)
def steps_of(code: types.CodeType) -> tuple[dis.Instruction, ...]:
    """List the instructions of code."""
    return tuple(s for s in dis.get_instructions(code) if s.opname != "EXTENDED_ARG")
