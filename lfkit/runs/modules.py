"""Which modules are libraries, known by version, and which a user wrote."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import site
import sys
import sysconfig
from pathlib import Path
from typing import Any

_OWN = ("lfkit", "lf_library")  # installed like libraries, followed like user code
_LIBRARY_FOLDERS = tuple(
    Path(folder).resolve()
    for folder in (
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
)
# Of another Python too, as by PYTHONPATH: to read all of torch would take minutes.
_PACKAGE_FOLDERS = {"site-packages", "dist-packages"}
PYTHON = f"python {sys.version_info.major}.{sys.version_info.minor}"


@functools.cache
def version_of(module: str | None) -> str | None:
    """Give a library's version; None for a user's module, hashed by content."""
    if not module or module == "__main__":
        return None
    top = module.partition(".")[0]
    if top in _OWN:
        return None
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return PYTHON
    origin = origin_of(top)
    if origin is not None and not _is_installed(origin):
        return None
    version = getattr(sys.modules.get(top), "__version__", None)
    if version is None:
        try:
            version = importlib.metadata.version(top)
        except importlib.metadata.PackageNotFoundError:
            return "library" if origin is not None else None
    return str(version)


def _is_installed(origin: Path) -> bool:
    if not _PACKAGE_FOLDERS.isdisjoint(origin.parts):
        return True
    return any(origin.is_relative_to(folder) for folder in _LIBRARY_FOLDERS)


def is_library(value: Any) -> bool:
    """Whether a function or class is a library's; a wrapper counts by its module."""
    names = getattr(value, "__globals__", {})  # of types.FunctionType: a descriptor
    own = names.get("__name__", "builtins") if isinstance(names, dict) else "builtins"
    return bool(version_of(getattr(value, "__module__", None)) and version_of(own))


def with_imports(name: str) -> list[tuple[str, Path | None]]:
    """List a module and all it imports; only a user's modules have a file here."""
    found: dict[str, Path | None] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        is_known = module.partition(".")[0] == "lfkit" or version_of(module)
        origin = None if is_known else origin_of(module)
        found[module] = origin
        if origin is not None and origin.suffix == ".py":
            waiting += _imports_of(origin, module)
    return sorted(found.items())


def imported_files(path: Path) -> list[Path]:
    """List the files of a user's modules that a file imports, directly or not."""
    found: dict[Path, None] = {}
    for name in _imports_of(path, path.stem):
        if name.partition(".")[0] == "lfkit" or version_of(name):
            continue
        parts = name.split(".")
        for count in range(1, len(parts) + 1):  # the packages around it, too
            for _, origin in with_imports(".".join(parts[:count])):
                if origin is not None and origin.suffix == ".py":
                    found[origin] = None
    return list(found)


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
            found += [base, *(part for part in parts if origin_of(part) is not None)]
    return [name for name in found if name]


def origin_of(module: str) -> Path | None:
    """Find the file of a module; None for a built-in one."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        path = getattr(loaded, "__file__", None)
        return Path(path).resolve() if path else None
    # To look for a part, Python runs what holds it: a file that is no package has none.
    within = origin_of(module.rpartition(".")[0]) if "." in module else None
    if within is not None and within.stem.partition(".")[0] != "__init__":
        return None
    wrote_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    finally:
        sys.dont_write_bytecode = wrote_none
    if spec is None or spec.origin in (None, "built-in", "frozen"):
        return None
    return Path(str(spec.origin)).resolve()
