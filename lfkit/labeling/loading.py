"""Loads labeling functions from a module, a file, or a file and a name."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from lfkit.data.class_names import checked_names
from lfkit.data.interrupts import ctrl_c
from lfkit.errors import DataError, DeclarationError
from lfkit.features.user_code.calling import Calling, text_of
from lfkit.features.user_code.files import named_files
from lfkit.labeling.labeling_function import (
    KINDS,
    LabelingFunction,
    from_snorkel,
    is_snorkel,
)
from lfkit.labeling.module_files import came_with_lfkit, folder_to_add, module_files
from lfkit.runs.cache_keys import note_import

_FORMS = (
    "a module (lf_library.fashion), a file (my_lfs.py) or one name (my_lfs.py:name)"
)


@dataclass(frozen=True)
class LoadedLFs:
    """What the specs gave.

    Attributes
    ----------
    lfs : labeling functions, in the order they were written.
    class_names : the module's CLASSES, or None if it does not say.
    data : the module's DATA, the images that the functions were written for; None if
        it does not say, or if several modules say different things.
    outside : spec of a module with a list LFS → names of functions that it defines and
        does not list.
    """

    lfs: list[LabelingFunction]
    class_names: tuple[str, ...] | None
    data: str | None = None
    outside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def load_lfs(specs: Sequence[str], *, kinds: Sequence[str] | None = None) -> LoadedLFs:
    """Load labeling functions.

    Parameters
    ----------
    specs : modules, files, or `file.py:name` of one function or list of functions. A
        module's functions are those in its list LFS, else all it defines; its list
        CLASSES names the classes, its text DATA the images they were written for.
    kinds : keep only these kinds.
    """
    found: dict[str, LabelingFunction] = {}
    modules: dict[str, ModuleType] = {}
    class_names: tuple[str, ...] | None = None
    named: set[str] = set()
    outside: dict[str, tuple[str, ...]] = {}
    for spec in specs:
        where, name = split_spec(spec)
        place = str(Path(os.path.expanduser(where)).resolve())
        if place not in modules:  # a file runs once, or its features would be two
            modules[place] = _load(where)
        module = modules[place]
        for lf in _functions(module, where, name):
            if found.setdefault(lf.name, lf) is not lf:
                raise DeclarationError(
                    f"two labeling functions are named {lf.name!r} (one in {where}); "
                    "rename one of them."
                )
        if name is None and (others := _outside(module)):
            outside[where] = others
        names = _class_names(module, where)
        if names is not None and class_names not in (None, names):
            raise DeclarationError(
                f"CLASSES of {where} is {list(names)}, but an earlier --lfs has "
                f"{list(class_names or ())}; both must name the same classes."
            )
        class_names = names or class_names
        named |= _data(module, where)
    lfs = _of_kinds(list(found.values()), kinds)
    if class_names is not None:
        _check_named(lfs, class_names)
    data = named.pop() if len(named) == 1 else None
    return LoadedLFs(lfs, class_names, data, outside)


def _check_named(lfs: Sequence[LabelingFunction], class_names: tuple[str, ...]) -> None:
    for lf in lfs:
        highest = max(lf.classes or (0,))
        if highest >= len(class_names):
            raise DeclarationError(
                f"labeling function {lf.name!r} declares class {highest}, but CLASSES "
                f"has {len(class_names)} names ({', '.join(class_names)}), for classes "
                f"0..{len(class_names) - 1}; add the name or correct classes=[...]."
            )


def _of_kinds(
    lfs: list[LabelingFunction], kinds: Sequence[str] | None
) -> list[LabelingFunction]:
    if not kinds:
        return lfs
    for kind in kinds:
        if kind not in KINDS:
            raise DeclarationError(
                f"there is no kind {kind!r}; choose from {', '.join(KINDS)}."
            )
    chosen = [lf for lf in lfs if lf.kind in kinds]
    if not chosen:
        raise DeclarationError(
            f"there is no labeling function of kind {' or '.join(kinds)}."
        )
    return chosen


def split_spec(spec: str) -> tuple[str, str | None]:
    """Part a spec into the module or file, and the name in it, if it gives one."""
    head, colon, tail = spec.rpartition(":")
    if colon and (head.endswith(".py") or "/" not in tail) and not spec.endswith(".py"):
        return head, tail
    return spec, None


def _load(where: str) -> ModuleType:
    return _load_file(where) if where.endswith(".py") else _load_module(where)


def _load_file(where: str) -> ModuleType:
    path = Path(os.path.expanduser(where)).resolve()
    if not path.is_file():
        raise DeclarationError(f"there is no file {where}; --lfs takes {_FORMS}.")
    digest = hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()
    name = f"lfs_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DeclarationError(f"{where} is not a Python file; --lfs takes {_FORMS}.")
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # as `python my_lfs.py` would have it
    sys.modules[name] = module
    with ctrl_c() as pressed:
        try:
            with Calling(keeps_environment=True) as calling:
                spec.loader.exec_module(module)
        except BaseException as error:  # a user's file may raise anything
            del sys.modules[name]
            if pressed:
                raise
            raise _import_error(where, path, error) from error
    note_import(name, calling.reads | _named_files(path))
    return module


def _load_module(where: str) -> ModuleType:
    here = folder_to_add()
    # Functions that came with lfkit are run untrusted: the current folder may be a
    # labeler from elsewhere, with a torch.py of its own.
    if here is not None and not came_with_lfkit(module_files(where, here)):
        sys.path.insert(0, here)
    with ctrl_c() as pressed:
        try:
            with Calling(keeps_environment=True) as calling:
                module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{where}.".startswith(f"{error.name}."):
                there = _modules_beside(where)
                raise DeclarationError(
                    f"there is no module {where!r}; --lfs takes {_FORMS}.{there}"
                ) from error
            raise _import_error(where, None, error) from error
        except BaseException as error:  # a user's module may raise anything
            if pressed:
                raise
            raise _import_error(where, None, error) from error
    if where.partition(".")[0] not in ("lfkit", "lf_library"):
        origin = getattr(module, "__file__", None)
        named = _named_files(Path(origin)) if origin else {}
        note_import(where, calling.reads | named)
    return module


def _modules_beside(where: str) -> str:
    """Say what there is in the package of a module that is missing."""
    package = where.rpartition(".")[0]
    places = getattr(sys.modules.get(package), "__path__", None)
    found = [each.name for each in pkgutil.iter_modules(places)] if places else []
    shown = [name for name in found if not name.startswith("_")]
    return f" {package} has {', '.join(shown)}." if shown else ""


def _named_files(path: Path) -> dict[str, str]:
    """Hash the files that a Python file names: libraries open some without a word."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    return named_files((t for t in texts if isinstance(t, str)), path.parent)


def _import_error(
    where: str, path: Path | None, error: BaseException
) -> DeclarationError:
    """Explain why a user's code does not import, and in which of its lines."""
    line = ""
    if isinstance(error, SyntaxError) and path and error.filename == str(path):
        line = f" (line {error.lineno})"
    elif path is not None:
        own = [
            f
            for f in traceback.extract_tb(error.__traceback__)
            if f.filename == str(path)
        ]
        line = f" (line {own[-1].lineno})" if own else ""
    if isinstance(error, DeclarationError):
        return DeclarationError(f"{where}{line}: {error}")
    return DeclarationError(
        f"{where} cannot be imported{line}: {type(error).__name__}: {text_of(error)}"
    )


def _functions(
    module: ModuleType, where: str, name: str | None
) -> list[LabelingFunction]:
    if name is not None:
        if not hasattr(module, name):
            raise DeclarationError(f"{where} has no {name!r}.")
        found = getattr(module, name)
        candidates = list(found) if isinstance(found, (list, tuple)) else [found]
    elif hasattr(module, "LFS"):
        name, candidates = "LFS", list(module.LFS)
    else:
        candidates = list(
            {id(v): v for v in vars(module).values() if _is_function(v)}.values()
        )
    for candidate in candidates:
        if not _is_function(candidate):
            raise DeclarationError(
                f"{where}:{name} is {candidate!r}, not a labeling function; "
                "decorate it with @labeling_function(classes=[...])."
            )
    lfs = [
        lf if isinstance(lf, LabelingFunction) else from_snorkel(lf)
        for lf in candidates
    ]
    if not lfs:
        raise DeclarationError(
            f"{where} defines no labeling function; decorate one with "
            "@labeling_function(classes=[...])."
        )
    return lfs


def _outside(module: ModuleType) -> tuple[str, ...]:
    """Name the functions that a module makes and leaves out of its list LFS."""
    if not hasattr(module, "LFS"):
        return ()
    listed = {id(each) for each in module.LFS}
    made_here = (module.__name__, "lfkit")
    return tuple(
        one.name
        for one in {id(v): v for v in vars(module).values()}.values()
        if isinstance(one, LabelingFunction)
        and id(one) not in listed
        and (one.fn.__module__ or "").startswith(made_here)
    )


def _is_function(candidate: Any) -> bool:
    return isinstance(candidate, LabelingFunction) or is_snorkel(candidate)


def _class_names(module: ModuleType, where: str) -> tuple[str, ...] | None:
    names = getattr(module, "CLASSES", None)
    if names is None:
        return None
    if (
        not isinstance(names, (list, tuple))
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) != len(names)
    ):
        raise DeclarationError(
            f"CLASSES of {where} must be a list of different names, one per class; "
            f"got {names!r}."
        )
    try:
        return checked_names(names, f"CLASSES of {where}")
    except DataError as error:
        raise DeclarationError(str(error)) from error


def _data(module: ModuleType, where: str) -> set[str]:
    """Give what DATA names, if the module has one."""
    data = getattr(module, "DATA", None)
    if data is None:
        return set()
    if not isinstance(data, (str, Path)) or not str(data):
        raise DeclarationError(
            f"DATA of {where} must name the images that its functions were written "
            f"for, a data set or a path; got {data!r}."
        )
    return {str(data)}
