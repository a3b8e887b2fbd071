"""Runs users' functions away from the page: `python -m lfkit.studio.voting_child`.

The process imports what every job needs once, then waits. For each pair of pipes that
it is sent, a fork of it serves jobs: lines of JSON go in (the first says which data,
each other one is a job) and come out. Each job runs in a fork again, in which nothing
of an earlier version of a file is left, and which may crash, hang or exit: it takes
milliseconds to start. Where a process cannot fork, it starts with its pipes, does one
job and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from lfkit.errors import LfkitError

_PACKAGE = str(Path(__file__).parents[1])
_LOOK_S = 0.5  # between two looks at whether the page is still there


def main(link: socket.socket) -> int:
    """Fork for each pair of pipes, until the page's end of the socket is closed."""
    page = os.getppid()
    from lfkit.studio import voting_jobs as voting_jobs  # the imports that take time

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while os.getppid() == page:
        if not select.select([link], [], [], _LOOK_S)[0]:
            continue
        _, pipes, _, _ = socket.recv_fds(link, 1, 3)
        if not pipes:
            return 0
        if os.fork() != 0:
            for pipe in pipes:
                os.close(pipe)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()  # so that it can be ended
        link.close()
        return _begin(*pipes, is_fork=True)
    return 0


def _begin(inlet: int, outlet: int, errors: int, *, is_fork: bool) -> int:
    """Serve jobs; what functions print goes where errors go."""
    for pipe in (inlet, outlet):  # not for what functions start
        os.set_inheritable(pipe, False)
    for place in (1, 2):
        os.dup2(errors, place)
    os.close(errors)
    messages = os.fdopen(outlet, "wb", buffering=0)
    _tell(messages, {"event": "begun", "pid": os.getpid()})
    code = 1
    try:
        code = _serve(os.fdopen(inlet, "rb"), messages, is_fork)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(OSError):
        _tell(messages, {"event": "gone", "code": code})
    sys.stderr.flush()
    os._exit(code)  # whoever was forked leaves the end of the process to the first


def _serve(inlet: IO[bytes], outlet: IO[bytes], is_fork: bool) -> int:
    """Serve jobs until the input ends: each in a fork, or only one."""
    from lfkit.studio import voting_jobs

    line = inlet.readline()
    if not line:  # nobody wants it any more
        return 0
    first = json.loads(line)
    os.environ.clear()
    os.environ.update(first["environment"])
    if "folder" in first:
        os.chdir(first["folder"])
    asked = first["asked"]
    images = voting_jobs.open_data(asked)
    change: LfkitError | None = None
    try:
        voting_jobs.check_data(asked, images)
    except LfkitError as error:
        change = error  # told as the answer to each job
    _tell(outlet, {"event": "ready"})
    if is_fork:
        # Held back, the signal that a job has ended can be waited for.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for line in inlet:
        job = json.loads(line)
        if job.get("job") == "import":
            for name in job["modules"]:
                __import__(name)
            continue
        if not is_fork:
            _work(job, asked, images, outlet, change)
            return 0
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            os.setsid()  # so that it can be ended with all that it has started
            # Told by itself: it can be ended even if the one that forked it is not.
            _tell(outlet, {"event": "started", "id": job["id"], "pid": os.getpid()})
            _work(job, asked, images, outlet, change)
            os._exit(0)
        status = _waited_for(pid, outlet)
        if status is None:
            return 0
        code = os.waitstatus_to_exitcode(status)
        _tell(outlet, {"event": "ended", "id": job["id"], "code": code})
    return 0


def _waited_for(pid: int, outlet: IO[bytes]) -> int | None:
    """Wait for the end of a job; None where the page is gone before it.

    Whoever is killed cannot end what it has started: the job would go on for ever.
    """
    page = select.poll()
    page.register(outlet, 0)  # an error: nobody reads any more
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if page.poll(0):
            for end in (os.kill, os.killpg):  # in its first moments it leads no group
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    end(pid, signal.SIGKILL)
            return None
        signal.sigtimedwait({signal.SIGCHLD}, _LOOK_S)


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
    files = [int(number) for number in sys.argv[1:]]
    if len(files) == 2:
        os._exit(_begin(files[0], files[1], os.dup(2), is_fork=False))
    os._exit(main(socket.socket(fileno=files[0])))  # torch takes its time to go
