"""One studio per run: two that write the same files would undo each other's work."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfkit.data.files import make_folder
from lfkit.errors import RunError, storage_error
from lfkit.runs.run_files import check_folder

_NAME = "studio.lock"
_MOST_BYTES = 4096


class StudioOpenError(RunError):
    """Another studio is open on the run."""


@dataclass(frozen=True)
class LivingStudio:
    """A studio that is open: its address, and the file that it adds answers to."""

    url: str
    answers: Path


class StudioLock:
    """Held by the studio of a run as long as it lives.

    The system frees the lock when a process ends, however it ends: what the file of a
    studio that was killed says is not believed.

    Parameters
    ----------
    run : the run folder.

    Raises
    ------
    StudioOpenError : another studio is open on the run; the message has its address.
    RunError : the folder holds something else than a run.
    """

    def __init__(self, run: Path) -> None:
        check_folder(run)
        folder = run / "studio"
        make_folder(folder)
        handle = _opened(folder / _NAME)
        if not _taken(handle):
            held = _read(handle)
            os.close(handle)
            raise StudioOpenError(
                f"a studio of {run} is open already (process {held.get('pid', '?')}): "
                f"{held.get('url') or 'it is just starting'}"
            )
        self._handle: int | None = handle
        self._write({"pid": os.getpid()})

    def tell(self, url: str, port: int, answers: Path) -> None:
        """Note the address and the file of answers, for who would open another."""
        place = os.path.abspath(answers)
        self._write({"pid": os.getpid(), "port": port, "url": url, "answers": place})

    def release(self) -> None:
        """Let others open a studio on the run."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None

    def _write(self, told: dict[str, Any]) -> None:
        assert self._handle is not None, "it is not released yet"
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(told).encode(), 0)


def living_studio(run: Path) -> LivingStudio | None:
    """Find the studio that is open on a run; None without one, or while it starts."""
    path = run / "studio" / _NAME
    if not path.is_file():
        return None
    handle = _opened(path)
    try:
        if _taken(handle):
            return None
        held = _read(handle)
    finally:
        os.close(handle)
    if "url" not in held or "answers" not in held:
        return None
    return LivingStudio(str(held["url"]), Path(held["answers"]))


def _opened(path: Path) -> int:
    # The address holds the token: nobody else may read it.
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise storage_error(error, path) from error


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network drives know no locks
        return True
    return True


def _read(handle: int) -> dict[str, Any]:
    try:
        held = json.loads(os.pread(handle, _MOST_BYTES, 0))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
