"""The page's side of a process that has made the imports, and is forked to vote.

The imports take seconds. All that votes for a page, now and after each function that
hangs, is a fork of one process that has made them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import IO, Any

from lfkit.labeling.engine.worker_pool import python_path

CAN_FORK = sys.platform == "linux"
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Voter:
    """A process that votes.

    Attributes
    ----------
    inlet, answers : its input and its output, lines of JSON.
    place : the folder and the environment of the moment when it was asked for: it
        waits for them, with the data that it opens, as the first line.
    process : itself, where it is not a fork of the shared one.
    """

    inlet: IO[bytes]
    answers: IO[bytes]
    place: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None


class _Host:
    """The process, and the socket that it is asked by; it ends with the socket."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.path = environment["PYTHONPATH"]
        self._link, theirs = socket.socketpair()
        with theirs:
            self._process = _started([theirs.fileno()], environment)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def send(self, inlet: int, outlet: int) -> None:
        """Have it fork; where it has just ended, the pipes end with their copies."""
        with contextlib.suppress(OSError):
            socket.send_fds(self._link, [b"f"], [inlet, outlet, 2])

    def end(self) -> None:
        self._link.close()
        self._process.kill()
        self._process.wait()


def _started(files: list[int], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # With -P the current folder may hold a module that nobody asked for; with -B no
        # bytecode outlives the file that it was made of.
        [
            *(sys.executable, "-P", "-B", "-m", "lfkit.studio.voting_child"),
            *map(str, files),
        ],
        pass_fds=files,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment,
        # A Ctrl-C in the terminal is the page's to handle.
        start_new_session=True,
    )


class _Shared:
    host: _Host | None = None
    users = 0


def keep() -> None:
    """Keep the process, once it is needed, until as many calls of `release`."""
    with _LOCK:
        _Shared.users += 1


def release() -> None:
    """Let the process end when nobody else keeps it."""
    with _LOCK:
        _Shared.users -= 1
        host = _Shared.host
        if _Shared.users == 0 and host is not None:
            _Shared.host = None
            host.end()


def fork() -> Voter:
    """Start a process that votes, with the imports made where processes can fork."""
    environment = _environment()
    place: dict[str, Any] = {"environment": environment}
    with contextlib.suppress(FileNotFoundError):  # the folder has been removed
        place["folder"] = os.getcwd()
    inlet, ours = os.pipe()
    answers, outlet = os.pipe()
    pipes = os.fdopen(ours, "wb"), os.fdopen(answers, "rb")
    try:
        if not CAN_FORK:
            # Inherited, not sent: a copy that is under way may be lost with its sender.
            return Voter(*pipes, place, _started([inlet, outlet], environment))
        with _LOCK:
            _running(environment).send(inlet, outlet)
        return Voter(*pipes, place)
    except BaseException:
        for pipe in pipes:
            pipe.close()
        raise
    finally:
        os.close(inlet)
        os.close(outlet)


def _running(environment: dict[str, str]) -> _Host:
    host = _Shared.host
    if host is None or not host.is_running or host.path != environment["PYTHONPATH"]:
        if host is not None:
            host.end()
        host = _Shared.host = _Host(environment)
    return host


def _environment() -> dict[str, str]:
    threads = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, **threads, **python_path()}
