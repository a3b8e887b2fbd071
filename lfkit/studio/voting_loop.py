"""Keeps votes up to date: notices edits and answers, votes anew, and tells of it."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lfkit.commands.active.asked_images import open_question
from lfkit.errors import LfkitError
from lfkit.studio import voting_host
from lfkit.studio.file_watch import FileWatch
from lfkit.studio.function_problems import Problem, broken_functions, problem_of
from lfkit.studio.outcome import Outcome
from lfkit.studio.same_images import ImagesChangedError
from lfkit.studio.saves import edited_functions
from lfkit.studio.session_state import SessionState
from lfkit.studio.voting_process import Message, VotingProcess

_POLL_S = 0.1
# Answers come one after the other: labels are made anew when there is a pause.
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 10.0
_AFTER_ERROR_S = 1.0
_PAUSE_BEFORE_ALL_S = 3.0
_PATIENCE_S = 20.0  # without a sign of life, a preview is taken to hang
_CAREFUL_PATIENCE_S = 120.0
_SLOW_PATIENCE_S = 1800.0
_RETRY_S, _LONGEST_RETRY_S = 5.0, 120.0


@dataclass(frozen=True, eq=False)
class _Request:
    """A job that a page has asked for, and where its result is waited for."""

    job: Message
    answer: Future[Message]


class VotingLoop:
    """Two threads: one tries each edit on a sample, one does all that takes long.

    Parameters
    ----------
    state : is kept up to date.
    asked : the data and options that a `VotingProcess` needs.
    files : the functions' files.
    timeout_s : for one call, where a preview hangs; None: patience for large ones.

    Attributes
    ----------
    quick, slow : the processes of the two threads.
    patience_s, careful_patience_s : without a sign of life, a preview is taken to hang.
    pause_before_all_s : after a preview, before all images vote.
    retry_s : until all images are voted on again, where that failed.
    """

    def __init__(
        self,
        state: SessionState,
        asked: Message,
        files: list[Path],
        timeout_s: float | None,
    ) -> None:
        self._state = state
        self.quick, self.slow = VotingProcess(asked), VotingProcess(asked)
        self.patience_s = _PATIENCE_S if timeout_s is None else 5 * timeout_s
        self.careful_patience_s = _CAREFUL_PATIENCE_S
        self.pause_before_all_s = _PAUSE_BEFORE_ALL_S
        self.retry_s = _RETRY_S
        self._full_after = 0.0
        self._asked: queue.Queue[_Request] = queue.Queue()
        self._watch = FileWatch()
        self._watch.follow(files)
        self._threads: list[threading.Thread] = []
        self._keeps_host = False

    def start(self) -> None:
        """Begin to watch the files and to vote."""
        voting_host.keep()
        self._keeps_host = True
        try:
            self.quick.start()
            for work in (self._keep_previewed, self._keep_full):
                thread = threading.Thread(target=work, daemon=True, name=work.__name__)
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End both threads and their processes."""
        self._state.is_closed = True
        self.quick.close()
        self.slow.close()
        for thread in self._threads:
            thread.join(5)
        self._threads.clear()
        if self._keeps_host:
            self._keeps_host = False
            voting_host.release()

    def ask(self, job: Message) -> Future[Message]:
        """Have a job done when votes on all images, and looks, are there."""
        request = _Request(job, Future())
        self._asked.put(request)
        return request.answer

    def _poll(self) -> None:
        """Notice edits, and answers that another program has written."""
        state = self._state
        if self._watch.changed():
            with state.lock:
                state.edits += 1
        answers, problem = state.answers, ""
        if answers is not None:
            try:
                if answers.reread():
                    state.note_answers([])
            except LfkitError as error:
                problem = f"Answers are not saved until this is mended: {error}"
        if problem != state.answers_problem:
            state.answers_problem = problem
            state.publish({"event": "functions"})
        asked = open_question(state.options.out)
        if asked != state.asked:
            state.asked = asked
            state.publish({"event": "asked"})

    def _wants_preview(self) -> bool:
        state = self._state
        if state.edits != state.previewed:
            return True
        if state.answer_number == state.preview_answers:
            return False
        now = time.monotonic()
        return (
            now - state.answered_at > _PAUSE_S
            or now - state.first_answered_at > _LONGEST_PAUSE_S
        )

    def _keep_previewed(self) -> None:
        state = self._state
        while not state.is_closed:
            with self._kept_going():
                self._poll()
                if self._wants_preview():
                    with state.lock:
                        edits, answers = state.edits, state.answer_number
                    self._make_preview(edits, answers)
                    continue
            time.sleep(_POLL_S)

    @contextlib.contextmanager
    def _kept_going(self) -> Iterator[None]:
        """Let a thread outlive an error, such as a full disk; the page tells it."""
        try:
            yield
        except Exception as error:  # whatever it is, the next edit is to be seen
            text = f"{error}" if isinstance(error, LfkitError) else repr(error)
            self._state.problem = Problem(
                f"what the functions said could not be taken over: {text}",
                "".join(traceback.format_exception(error)),
                {},
            )
            self._state.publish({"event": "functions"})
            time.sleep(_AFTER_ERROR_S)

    def _make_preview(self, edits: int, answers: int) -> None:
        state = self._state

        def is_wanted() -> bool:
            self._poll()
            return state.edits == edits and not state.is_closed

        for careful in (False, True):
            patience = self.careful_patience_s if careful else self.patience_s
            found = self._run(
                self.quick,
                {"job": "preview", "careful": careful},
                patience_s=patience,
                is_wanted=is_wanted,
            )
            if found["event"] != "ended" or found["why"] == "not wanted":
                break
            if not careful:
                hangs = found["why"] == "hangs"
                how = "takes long, or hangs" if hangs else "ends its process"
                text = f"a function {how}; it is being found out which one."
                state.problem = Problem(text, "", {})
                state.publish({"event": "functions"})
        if found.get("why") == "not wanted":
            return
        is_edit = edits != state.previewed
        with state.lock:
            state.previewed, state.preview_answers = edits, answers
        self._watch.follow(map(Path, found.get("files", ())))
        if found["event"] != "done":
            state.problem = problem_of(found)
            if state.preview is None and found.get("class_names"):
                # Images can be labeled before there is any function.
                with contextlib.suppress(LfkitError):
                    state.make_answers(tuple(found["class_names"]))
            state.publish({"event": "functions"})
            return
        if found.get("modules"):
            self.quick.prepare(found["modules"])
        outcome = Outcome.from_bytes(Path(found["outcome"]).read_bytes())
        self._adopt(outcome, is_edit, edits)

    def _adopt(self, outcome: Outcome, is_edit: bool, edits: int) -> None:
        """Take an outcome over, unless a function that ran before now fails."""
        state = self._state
        before = state.preview
        broken = broken_functions(outcome, () if before is None else before.names)
        if before is not None and is_edit and set(broken) & set(before.names):
            names = ", ".join(sorted(broken))
            state.problem = Problem(
                f"{names} fails on every image; what is shown is the version before.",
                "",
                broken,
            )
            state.publish({"event": "functions"})
            return
        with state.lock:
            edited = edited_functions(before, outcome)
            state.problem = None
            if broken:
                names = ", ".join(sorted(broken))
                state.problem = Problem(f"{names} fails on every image.", "", broken)
            state.preview, state.adopted = outcome, edits
            if state.full is not None and state.full.class_names != outcome.class_names:
                state.full = None  # its labels are numbers of other classes
            state.make_answers(outcome.class_names)
            if is_edit and (edited or before is None or before.names != outcome.names):
                now = datetime.now(UTC).isoformat(timespec="seconds")
                saved = state.saves.add(now, before, outcome, edited)
                state.last_change = saved.sentence
                state.is_full_old = state.full is not None
                state.share_voted = 0.0
            self._full_after = time.monotonic() + self.pause_before_all_s
        state.publish({"event": "functions"})

    @property
    def _is_idle(self) -> bool:
        """True where there is no function to vote on all images with."""
        return self._state.problem is not None and self._state.problem.is_beginning

    def _keep_full(self) -> None:
        while not self._state.is_closed:
            with self._kept_going():
                if self._do_next():
                    continue
            time.sleep(_POLL_S)

    def _do_next(self) -> bool:
        """Do what is most urgent of what takes long; False if there is nothing."""
        state = self._state
        with state.lock:
            wanted = (state.edits, state.preview_answers)
            is_due = (
                state.preview is not None
                and state.problem is None
                and wanted != state.full_of
                and not self._wants_preview()
                and time.monotonic() > self._full_after
            )
        if is_due:
            self._make_full(wanted)
        elif self._are_looks_old and (state.full is not None or self._is_idle):
            self._make_looks()
        elif not self._asked.empty():
            self._make_asked()
        else:
            return False
        return True

    def _make_full(self, wanted: tuple[int, int]) -> None:
        state = self._state

        def is_wanted() -> bool:
            return state.edits == wanted[0] and not state.is_closed

        state.share_voted = 0.0
        found = self._run(
            self.slow,
            {"job": "all"},
            patience_s=_SLOW_PATIENCE_S,
            is_wanted=is_wanted,
        )
        if found.get("why") == "not wanted":
            return
        if found.get("kind") == ImagesChangedError.__name__:
            state.problem = problem_of(found)
            state.publish({"event": "functions"})
            return
        if found["event"] != "done":
            # Another command may hold the run folder: it is tried again.
            self._full_after = time.monotonic() + self.retry_s
            self.retry_s = min(2 * self.retry_s, _LONGEST_RETRY_S)
            state.busy["all"] = {
                "stage": problem_of(found).message,
                "done": 0,
                "total": 0,
            }
            state.publish({"event": "busy"})
            return
        outcome = Outcome.from_bytes(Path(found["outcome"]).read_bytes())
        with state.lock:
            if state.edits != wanted[0]:
                return
            state.full, state.full_of = outcome, wanted
            state.is_full_old = False
            self.retry_s = _RETRY_S
        state.publish({"event": "full"})

    @property
    def _networks(self) -> dict[str, str]:
        return {} if self._state.full is None else dict(self._state.full.networks)

    @property
    def _are_looks_old(self) -> bool:
        """True where functions read other networks than when looks were made."""
        now = json.dumps(self._networks, sort_keys=True)
        return self._state.looks is None or self._state.looks_of != now

    def _make_looks(self) -> None:
        state = self._state
        networks = self._networks
        found = self._run(
            self.slow,
            {"job": "looks", "networks": networks},
            patience_s=_SLOW_PATIENCE_S,
            is_wanted=lambda: not state.is_closed,
        )
        if found["event"] != "done" or not state.load_looks():
            n = len(state.images)
            state.looks, state.twins = (
                np.zeros((n, 1), np.float32),
                np.arange(n),
            )
        state.looks_of = json.dumps(networks, sort_keys=True)
        state.publish({"event": "looks"})

    def _make_asked(self) -> None:
        """Do what pages have asked for."""
        request = self._asked.get()
        if not request.answer.set_running_or_notify_cancel():
            return  # nobody waits for it any more
        try:
            found = self._run(
                self.slow,
                request.job,
                patience_s=_SLOW_PATIENCE_S,
                is_wanted=lambda: not self._state.is_closed,
            )
        except Exception as error:
            request.answer.set_exception(error)
            raise
        request.answer.set_result(found)

    def _run(
        self,
        process: VotingProcess,
        job: Message,
        *,
        patience_s: float,
        is_wanted: Callable[[], bool],
    ) -> Message:
        state = self._state
        name = job["job"]

        def progress(stage: str, done: int, total: int) -> None:
            state.busy[name] = {"stage": stage, "done": done, "total": total}
            if name == "all" and stage == "voting":
                state.share_voted = done / max(1, total)
            state.publish({"event": "busy"})

        progress("starting", 0, 1)
        try:
            return process.run(
                job, patience_s=patience_s, is_wanted=is_wanted, progress=progress
            )
        finally:
            state.busy.pop(name, None)
            state.publish({"event": "busy"})
