"""Pickles functions for worker processes by value: a worker imports what they use."""

from __future__ import annotations

import functools
import io
import sys
import threading
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

from lfkit.errors import DeclarationError
from lfkit.features.user_code.calling import text_of

_registering = threading.Lock()  # what is pickled by value is known to all threads


def pickled(content: Any, functions: Iterable[Any]) -> bytes:
    """Pickle what holds functions; raise a DeclarationError if that cannot be done."""
    import cloudpickle

    modules = {
        sys.modules[name]
        for fn in functions
        if (name := getattr(fn, "__module__", None)) in sys.modules
        and name not in ("__main__", "builtins")
        and not name.startswith("lfkit.")
        and hasattr(sys.modules[name], "__file__")
        and "site-packages" not in str(sys.modules[name].__file__)
    }

    class Pickler(cloudpickle.Pickler):
        def reducer_override(self, found: Any) -> Any:
            # Pickled by name, a cached function could not be found by a worker.
            parameters = getattr(found, "cache_parameters", None)
            own = getattr(found, "__module__", None) in {m.__name__ for m in modules}
            if parameters and own and hasattr(found, "__wrapped__"):
                return cached_again, (found.__wrapped__, *parameters().values())
            if isinstance(found, CodeType):
                # Tracebacks show lines of the user's file, which cloudpickle forgets.
                make, parts = self.dispatch_table[CodeType](found)
                return code_of, (found.co_filename, make, *parts)
            return super().reducer_override(found)

    buffer = io.BytesIO()
    with _registering:
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
        try:
            Pickler(buffer).dump(content)
            return buffer.getvalue()
        except BaseException as error:  # user code: __reduce__ may raise anything
            raise DeclarationError(
                f"cannot be sent to worker processes: {text_of(error)}; create such "
                "objects inside the function, or use batched=True"
            ) from error
        finally:
            for module in modules:
                cloudpickle.unregister_pickle_by_value(module)


def code_of(filename: str, make: Callable[..., CodeType], *parts: Any) -> CodeType:
    """Make a function's code anew in a worker, with the file that it comes from."""
    return make(*parts).replace(co_filename=filename)


def cached_again(fn: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """Make a function that remembers its results, as functools.lru_cache did."""
    return functools.lru_cache(maxsize, typed)(fn)
