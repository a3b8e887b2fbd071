"""Runs users' functions away from the page: `python -m lfkit.studio.voting_child`.

The process imports what every job needs once, then waits. Each job runs in a fork of
it, in which nothing of an earlier version of a file is left, and which may crash, hang
or exit: it takes milliseconds to start. Where a process cannot fork, it does one job
and ends.

Lines of JSON go in (the first says which data, each other one is a job) and come out.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from lfkit.errors import LfkitError

_PACKAGE = str(Path(__file__).parents[1])
_LOOK_S = 0.5  # between two looks at whether the page is still there
CAN_FORK = sys.platform == "linux"


def main() -> int:
    """Serve jobs until the input ends."""
    page = os.getppid()
    inlet, outlet = sys.stdin.buffer, _own_output()
    asked = json.loads(inlet.readline())
    from lfkit.studio import voting_jobs  # the imports that take time

    images = voting_jobs.open_data(asked)
    change: LfkitError | None = None
    try:
        voting_jobs.check_data(asked, images)
    except LfkitError as error:
        change = error  # told as the answer to each job
    _tell(outlet, {"event": "ready"})
    if CAN_FORK:
        # Held back, the signal that a job has ended can be waited for.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for line in inlet:
        job = json.loads(line)
        if job.get("job") == "import":
            for name in job["modules"]:
                __import__(name)
            continue
        if not CAN_FORK:
            _work(job, asked, images, outlet, change)
            return 0
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            _work(job, asked, images, outlet, change)
            os._exit(0)
        _tell(outlet, {"event": "started", "id": job["id"], "pid": pid})
        status = _waited_for(pid, page)
        if status is None:
            return 0
        code = os.waitstatus_to_exitcode(status)
        _tell(outlet, {"event": "ended", "id": job["id"], "code": code})
    return 0


def _waited_for(pid: int, page: int) -> int | None:
    """Wait for the end of a job; None where the page's process has gone before it.

    Whoever is killed cannot end what it has started: the job would go on for ever.
    """
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if os.getppid() != page:
            for end in (os.kill, os.killpg):  # in its first moments it leads no group
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    end(pid, signal.SIGKILL)
            return None
        signal.sigtimedwait({signal.SIGCHLD}, _LOOK_S)


def _own_output() -> IO[bytes]:
    """Keep standard output for messages: what functions print goes elsewhere."""
    outlet = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return outlet


def _tell(outlet: IO[bytes], message: dict[str, Any]) -> None:
    outlet.write(json.dumps(message).encode() + b"\n")


def _work(
    job: dict[str, Any],
    asked: dict[str, Any],
    images: Any,
    outlet: IO[bytes],
    change: LfkitError | None,
) -> None:
    """Do one job; whatever happens becomes a message.

    Parameters
    ----------
    change : why no job can be done with the images as they are now.
    """
    from lfkit.studio import function_files, voting_jobs

    if CAN_FORK:
        os.setsid()  # so that it can be ended with all that it has started
    told = 0.0

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told > 0.1 or done == total:
            told = now
            message = {"event": "progress", "stage": stage, "done": done}
            _tell(outlet, {**message, "id": job["id"], "total": total})

    jobs: dict[str, Callable[..., dict[str, Any]]] = {
        "preview": voting_jobs.vote_on_preview,
        "all": voting_jobs.vote_on_all,
        "looks": voting_jobs.see_looks,
        "map": voting_jobs.lay_out_map,
        "apart": voting_jobs.rank_features,
        "report": voting_jobs.write_page,
    }
    try:
        if change is not None:
            raise change
        found = jobs[job["job"]](asked, job, images, progress)
        _tell(outlet, {"event": "done", "id": job["id"], **found})
    except BaseException as error:  # a user's file may raise anything
        cause = error.__cause__ or error
        message = {
            "event": "failed",
            "id": job["id"],
            "kind": type(error).__name__,
            "message": str(error),
            "traceback": _own_lines(cause),
            "files": function_files.files_behind(asked["lfs"], cause),
            "class_names": function_files.named_classes(asked["lfs"]),
        }
        _tell(outlet, message)
    sys.stderr.flush()


def _own_lines(error: BaseException) -> str:
    """Write a traceback from the first line of the user's own code on."""
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith(("<frozen", _PACKAGE)):
            break
        trace = trace.tb_next
    return "".join(
        traceback.format_exception(type(error), error, trace or error.__traceback__)
    )


if __name__ == "__main__":
    sys.path[:] = [place for place in sys.path if place != str(Path(__file__).parent)]
    sys.exit(main())
