"""Calls user code so that it ends nothing but itself, and notices the files it opens.

A function may call sys.exit, fork, leave the working folder, close what lfkit has open
or raise what cannot be printed. What Python lets us refuse becomes an error in that
function; what it changed for everybody is put back after the call.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from lfkit.features.user_code.files import (
    MOST_READS,
    WRITTEN,
    digest_of,
    is_code,
)

_T = TypeVar("_T")
_LONGEST_MESSAGE = 2000
_LONGEST_TRACEBACK = 10_000
_REFUSED = {
    "os.fork": "forks the process (os.fork)",
    "os.forkpty": "forks the process (os.forkpty)",
    "os.exec": "replaces the process (os.exec)",
    "os.chdir": "leaves the working folder (os.chdir), which all functions share; "
    "use absolute paths",
    "os.killpg": "kills processes (os.killpg)",
    "signal.pthread_kill": "sends a signal to a thread (signal.pthread_kill)",
}


class Refused(RuntimeError):
    """A function tried what would end or change all others."""


class UserCodeEnded(Exception):
    """User code raised what would have ended the program, such as SystemExit."""


class _Here(threading.local):
    call: Calling | None = None


class _Process:
    """What the whole process has one of: changed by the first call in any thread.

    The end of the last call puts it back. What user code prints goes to stderr: stdout
    is for a command's result. What it imports leaves no bytecode: Python knows a
    changed file by its second and its length, and of two saves within a second, .5 and
    .6, it would run the first again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_calls = 0
        self._before = sys.stdout, sys.stderr
        self._wrote_none = sys.dont_write_bytecode

    def enter(self) -> None:
        with self._lock:
            if not self._n_calls:
                self._before = sys.stdout, sys.stderr
                sys.stdout = sys.stderr or sys.stdout
                self._wrote_none = sys.dont_write_bytecode
                sys.dont_write_bytecode = True
            self._n_calls += 1

    def leave(self) -> None:
        with self._lock:
            self._n_calls -= 1
            if not self._n_calls:
                sys.stdout, sys.stderr = self._before
                sys.dont_write_bytecode = self._wrote_none


_here = _Here()
_process = _Process()
_installed = False
_is_worker = False


class Calling:
    """A context in which user code runs, in this thread.

    Parameters
    ----------
    keeps_environment : changes of environment variables are left as they are.

    Attributes
    ----------
    reads : path → digest of each file it opened to read, MISSING, or WRITTEN.
    """

    def __init__(self, *, keeps_environment: bool = False) -> None:
        _install()
        self._keeps_environment = keeps_environment
        self.reads: dict[str, str] = {}
        self._opened: dict[str, None] = {}
        self._written: set[str] = set()
        self._environment: dict[str, str] | None = None

    def __enter__(self) -> Calling:
        _process.enter()
        self._outer, _here.call = _here.call, self
        self._filters = warnings.filters[:]
        self._recursion = sys.getrecursionlimit()
        self._numpy = np.geterr()
        self._torch = _torch_settings()
        return self

    def __exit__(self, *_: object) -> None:
        _here.call = self._outer
        _process.leave()
        if warnings.filters[:] != self._filters:
            warnings.filters[:] = self._filters  # type: ignore[index]
            warnings._filters_mutated()  # type: ignore[attr-defined]
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        if np.geterr() != self._numpy:
            np.seterr(**self._numpy)
        if self._torch is not None and _torch_settings() != self._torch:
            _set_torch(self._torch)
        if self._environment is not None:
            for name in os.environ.keys() - self._environment.keys():
                del os.environ[name]
            os.environ.update(self._environment)
        self.look_at_files()

    def look_at_files(self) -> None:
        """Hash the files that were opened since."""
        for path in self._opened:
            if path not in self.reads:
                self.reads[path] = digest_of(path)
        self._opened.clear()
        for path in sorted(self._written)[:MOST_READS]:
            self.reads[path] = WRITTEN

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at what Python is about to do; an error raised here prevents it."""
        if event == "open":
            self._note_open(*arguments)
        elif event in ("os.putenv", "os.unsetenv"):
            if self._environment is None and not self._keeps_environment:
                self._environment = dict(os.environ)
        elif event in _REFUSED:
            raise Refused(f"{_REFUSED[event]}; labeling functions may not")
        elif event == "os.kill" and arguments[0] in (os.getpid(), os.getppid(), 0, -1):
            raise Refused("kills the process (os.kill); labeling functions may not")

    def _note_open(self, path: Any, mode: str | None, flags: int) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, (str, os.PathLike)):
            return
        path = os.path.abspath(path)
        writes = flags & (os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        if (mode and mode[0] in "wxa") or (mode is None and writes):
            self._written.add(path)
        else:
            self._note_read(path)

    def _note_read(self, path: str) -> None:
        # One more than are followed tells that there are too many.
        if len(self._opened) + len(self.reads) <= MOST_READS and not is_code(path):
            self._opened[path] = None


def be_worker() -> None:
    """Let this process end with the user code that it runs."""
    global _is_worker
    _is_worker = True


def call_apart(call: Callable[[], _T]) -> _T:
    """Call user code in a thread of its own; what would end the program is an error.

    That is UserCodeEnded. A KeyboardInterrupt stays one: who raises it wants to stop.
    """
    found: list[_T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:  # user code may raise anything
            raised.append(error)

    thread = threading.Thread(target=run, name="lfkit-apart", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)  # a Ctrl-C is seen only between two waits
    if not raised:
        return found[0]
    if isinstance(raised[0], (Exception, KeyboardInterrupt)):
        raise raised[0]
    raise UserCodeEnded(kind_of(raised[0])) from raised[0]


def kind_of(error: BaseException) -> str:
    """Name what was raised: a kind of fault."""
    return f"raised {type(error).__name__[:80]}"


def text_of(error: BaseException) -> str:
    """Give an error's message, whatever its `__str__` does, and not too long."""
    try:
        text = str(error)
    except BaseException:  # user code again
        return f"{type(error).__name__[:80]}, whose text cannot be made"
    return shortened(text or type(error).__name__, _LONGEST_MESSAGE)


def traceback_of(error: BaseException) -> str:
    """Give an error's traceback, whatever its `__str__` does, and not too long."""
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException:  # likewise
        text = "".join(traceback.format_tb(error.__traceback__))
    return shortened(text, _LONGEST_TRACEBACK)


def shortened(text: str, most: int) -> str:
    """Keep the beginning and the end of a long text; all of it can be encoded."""
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]} … {len(text) - most} characters … {text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _torch_settings() -> tuple[Any, ...] | None:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_default_dtype"):  # half imported
        return None
    return (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.get_default_device(),
    )


def _set_torch(settings: tuple[Any, ...]) -> None:
    torch = sys.modules["torch"]
    dtype, n_threads, grad, device = settings
    torch.set_default_dtype(dtype)
    torch.set_num_threads(n_threads)
    torch.set_grad_enabled(grad)
    torch.set_default_device(None if device.type == "cpu" else device)


def _install() -> None:
    """Look at Python's audit events; refuse what raises none."""
    global _installed
    if _installed:
        return
    _installed = True
    sys.addaudithook(_audit)
    refused = {"closerange": "closes files that are not its own (os.closerange)"}
    if not _is_worker:  # a worker that ends is counted, and another is started
        refused["_exit"] = "ends the process (os._exit)"
        refused["abort"] = "ends the process (os.abort)"
    _start_as_daemons()
    for name, what in refused.items():
        guarded = _guarded(getattr(os, name), what)
        for module in (os, sys.modules.get("posix"), sys.modules.get("nt")):
            if module is not None:
                setattr(module, name, guarded)


def _start_as_daemons() -> None:
    """Let no thread that user code leaves running keep Python from ending."""
    original = threading.Thread.start

    @functools.wraps(original)
    def start(thread: threading.Thread) -> None:
        if _here.call is not None and not thread.is_alive():
            thread.daemon = True
        original(thread)

    threading.Thread.start = start  # type: ignore[method-assign, assignment]


def _guarded(original: Callable[..., Any], what: str) -> Callable[..., Any]:
    @functools.wraps(original)  # so that it is pickled by name
    def call(*arguments: Any, **keywords: Any) -> Any:
        if _here.call is not None:
            raise Refused(f"{what}; labeling functions may not")
        return original(*arguments, **keywords)

    return call


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    call = _here.call
    if call is not None:
        _here.call = None  # what we do about it is not user code
        try:
            call.note(event, arguments)
        finally:
            _here.call = call
