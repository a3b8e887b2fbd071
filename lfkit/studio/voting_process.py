"""The page's side of the process that runs users' functions: jobs in, messages out."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import threading
from collections.abc import Callable
from typing import Any

from lfkit.studio import voting_host

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
        self._fork: _Fork | None = None
        self._lock = threading.Lock()
        self._number = 0
        self._is_closed = self._is_ready = False

    def start(self) -> None:
        """Start the process ahead of the first job: it opens the images."""
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
            fork = self._start()
            self._number += 1
            number = self._number
            fork.send({**job, "id": number})
        return self._watch(fork, number, patience_s, is_wanted, progress)

    def prepare(self, modules: list[str]) -> None:
        """Import modules ahead of the next job."""
        with self._lock:
            if self._fork is not None:
                self._fork.send({"job": "import", "modules": modules})

    def close(self) -> None:
        """End the process and the job that it may be doing."""
        with self._lock:
            self._is_closed = True
        self._end()

    def _watch(
        self,
        fork: _Fork,
        number: int,
        patience_s: float,
        is_wanted: Callable[[], bool],
        progress: Callable[[str, int, int], None] | None,
    ) -> Message:
        result: Message | None = None
        silent, code = 0.0, -signal.SIGKILL  # it has told any other end
        while True:
            try:
                message = fork.messages.get(timeout=_LONGEST_WAIT_S)
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
                self._end()
                return result or {"event": "ended", "why": "crashed", "code": code}
            if message.get("event") == "gone":
                code = message["code"]
                continue
            if message.get("event") == "ready":
                self._is_ready, silent = True, 0.0
                continue
            if message.get("id") != number:
                continue
            silent = 0.0
            kind = message["event"]
            if kind == "progress" and progress is not None:
                progress(message["stage"], message["done"], message["total"])
            elif kind in ("done", "failed"):
                result = message
                if not voting_host.CAN_FORK:  # the process does one job and ends
                    self._end()
                    return result
            elif kind == "ended":
                code = message["code"]
                return result or {"event": "ended", "why": "crashed", "code": code}

    def _start(self) -> _Fork:
        if self._fork is None or not self._fork.is_running:
            self._end()
            self._fork, self._is_ready = _Fork(self._asked), False
        return self._fork

    def _end(self) -> None:
        fork, self._fork = self._fork, None
        if fork is not None:
            fork.end()


class _Fork:
    """A process that waits for jobs; one thread writes to it, one reads what it says.

    Attributes
    ----------
    messages : what it says; None is the last.
    """

    def __init__(self, asked: Message) -> None:
        self.messages: queue.Queue[Message | None] = queue.Queue()
        self._lock = threading.Lock()
        self._voter = voting_host.fork()
        # Of those that are alive: whoever is dead may have lent its number to another.
        self._pid: int | None = None
        self._job_pid: int | None = None
        self._is_unwanted = False
        self._lines: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self.send({**self._voter.place, "asked": asked})
        # It may be long until it reads, and a pipe holds 64 KB.
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_running(self) -> bool:
        return self._reader.is_alive()

    def send(self, message: Message) -> None:
        """Give it a line of input, once it has read those before."""
        self._lines.put(message)

    def end(self) -> None:
        with self._lock:
            self._is_unwanted = True
            # First the one that could start another job.
            pids = [pid for pid in (self._pid, self._job_pid) if pid is not None]
            for pid in pids:
                _kill(pid)
        self._lines.put(None)
        if pids:
            # Its output ends with the last process that could write into it.
            self._reader.join(_GRACE_S)
            self._writer.join(_GRACE_S)

    def _write(self) -> None:
        with contextlib.suppress(OSError), self._voter.inlet as inlet:
            while (message := self._lines.get()) is not None:
                inlet.write(json.dumps(message).encode() + b"\n")
                inlet.flush()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._voter.answers as answers:
            for line in answers:
                with contextlib.suppress(json.JSONDecodeError):
                    message = json.loads(line)
                    self._note(message)
                    self.messages.put(message)
        with self._lock:
            self._pid = self._job_pid = None
        self._lines.put(None)
        if self._voter.process is not None:
            self._voter.process.kill()
            self._voter.process.wait()
        self.messages.put(None)

    def _note(self, message: Message) -> None:
        """Note which processes are alive, and end those that nobody wants any more."""
        event = message.get("event")
        if event not in ("begun", "started", "ended"):
            return
        with self._lock:
            if event == "begun":
                self._pid = message["pid"]
            else:
                self._job_pid = message.get("pid")
            if self._is_unwanted and "pid" in message:
                _kill(message["pid"])


def _kill(pid: int) -> None:
    """End a process and all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
