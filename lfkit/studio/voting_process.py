"""The page's side of the process that runs users' functions: jobs in, messages out."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from lfkit.studio.voting_child import CAN_FORK

_GRACE_S = 5.0
_START_S = 120.0  # for the imports, on a machine that is busy
_LONGEST_WAIT_S = 0.1

Message = dict[str, Any]


class VotingProcess:
    """Runs one job at a time in a process of its own; survives whatever it does.

    Parameters
    ----------
    asked : the data and options, sent first; plain JSON values.
    """

    def __init__(self, asked: Message) -> None:
        self._asked = asked
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: queue.Queue[Message | None] = queue.Queue()
        self._lock = threading.Lock()
        self._number = 0
        self._job_pid: int | None = None
        self._is_closed = self._is_ready = False

    def start(self) -> None:
        """Start the process ahead of the first job: its imports take seconds."""
        with self._lock:
            self._start()

    def run(
        self,
        job: Message,
        *,
        patience_s: float,
        is_wanted: Callable[[], bool] = lambda: True,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Message:
        """Do a job and wait for its end.

        Parameters
        ----------
        patience_s : without any message for so long, the job is killed.
        is_wanted : asked several times a second; False ends the job.

        Returns
        -------
        The message "done" or "failed" of the job itself, or one of this class: event
        "ended" with `why`: "hangs", "crashed" (with `code`), "not wanted".
        """
        with self._lock:
            if self._is_closed:
                return {"event": "ended", "why": "not wanted"}
            self._start()
            self._number += 1
            number = self._number
            assert self._process is not None, "it was started"
            assert self._process.stdin is not None, "it is a pipe"
            line = json.dumps({**job, "id": number}).encode() + b"\n"
            with contextlib.suppress(OSError):  # it has ended: told below
                self._process.stdin.write(line)
                self._process.stdin.flush()
        return self._watch(number, patience_s, is_wanted, progress)

    def prepare(self, modules: list[str]) -> None:
        """Import modules ahead of the next job."""
        with self._lock:
            if self._process is None or self._process.stdin is None:
                return
            line = json.dumps({"job": "import", "modules": modules}).encode() + b"\n"
            with contextlib.suppress(OSError):
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def close(self) -> None:
        """End the process and the job that it may be doing."""
        with self._lock:
            self._is_closed = True
        self._end()

    def _watch(
        self,
        number: int,
        patience_s: float,
        is_wanted: Callable[[], bool],
        progress: Callable[[str, int, int], None] | None,
    ) -> Message:
        result: Message | None = None
        silent = 0.0
        while True:
            try:
                message = self._messages.get(timeout=_LONGEST_WAIT_S)
            except queue.Empty:
                silent += _LONGEST_WAIT_S
                if not is_wanted():
                    self._end()
                    return {"event": "ended", "why": "not wanted"}
                if silent > (patience_s if self._is_ready else _START_S):
                    self._end()
                    return {"event": "ended", "why": "hangs"}
                continue
            if message is None:  # the process itself is gone
                code = self._gone()
                return result or {"event": "ended", "why": "crashed", "code": code}
            if message.get("event") == "ready":
                self._is_ready, silent = True, 0.0
                continue
            if message.get("id") != number:
                continue
            silent = 0.0
            kind = message["event"]
            if kind == "started":
                self._job_pid = message["pid"]
            elif kind == "progress" and progress is not None:
                progress(message["stage"], message["done"], message["total"])
            elif kind in ("done", "failed"):
                result = message
                if not CAN_FORK:  # the process does one job and ends
                    self._gone()
                    return result
            elif kind == "ended":
                self._job_pid = None
                code = message["code"]
                return result or {"event": "ended", "why": "crashed", "code": code}

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._messages, self._is_ready = queue.Queue(), False
        threads = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lfkit.studio.voting_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads},
            start_new_session=True,  # a Ctrl-C in the terminal is the page's to handle
        )
        assert self._process.stdin is not None, "it is a pipe"
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(self._asked).encode() + b"\n")
            self._process.stdin.flush()
        reader = threading.Thread(
            target=_read, args=(self._process, self._messages), daemon=True
        )
        reader.start()

    def _gone(self) -> int:
        """Forget the process that has ended; gives its exit code."""
        process, self._process = self._process, None
        return 0 if process is None else _reaped(process)

    def _end(self) -> None:
        pid, self._job_pid = self._job_pid, None
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        _reaped(process)


def _reaped(process: subprocess.Popen[bytes]) -> int:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        return process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _read(
    process: subprocess.Popen[bytes], messages: queue.Queue[Message | None]
) -> None:
    """Turn lines into messages until the process ends."""
    assert process.stdout is not None, "it is a pipe"
    with contextlib.suppress(OSError, ValueError):
        for line in process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                messages.put(json.loads(line))
    messages.put(None)
