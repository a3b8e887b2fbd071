"""A session: images, functions that are being edited, answers; no web in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lfkit.commands.active.asked_images import AskedImages, open_question
from lfkit.data.datasets import open_images
from lfkit.data.files import make_folder, write_atomically
from lfkit.data.image_source import ImageSource
from lfkit.errors import InputError, LfkitError, RunError
from lfkit.labeling.loading import split_spec
from lfkit.runs.run_files import check_folder, known_images, write_table
from lfkit.studio.answers import SeedAnswers
from lfkit.studio.array_files import UNREADABLE, load_arrays
from lfkit.studio.existing_run import add_seeds, taken_over
from lfkit.studio.fair_answers import fair_facts
from lfkit.studio.file_watch import FileWatch
from lfkit.studio.next_images import RANDOM
from lfkit.studio.outcome import FunctionFacts, Outcome
from lfkit.studio.random_sample import random_order, to_ask
from lfkit.studio.same_images import ImagesChangedError, key_of_images
from lfkit.studio.saves import Saves, edited_functions
from lfkit.studio.studio_options import StudioOptions
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
_CALL_TIMEOUT_S = 2.0  # for one call, where a preview hangs
_RETRY_S, _LONGEST_RETRY_S = 5.0, 120.0

# What else depends on the images: it is made when a page asks for it.
_LATER = ("map.npz", "measured.npz")

# What is shown where there is no function yet.
_BEGINNING = """\
from lfkit import ABSTAIN, labeling_function

CLASSES = {names}  # images can be labeled as soon as this is saved


@labeling_function(classes=[1])
def dark_is_{last}(image):
    # An example: write here what tells your classes apart.
    # image: (height, width, colors), each number from 0 to 255.
    return 1 if image.mean() < 60 else ABSTAIN
"""

Event = dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Request:
    """A job that a page has asked for, and where its result is waited for."""

    job: Message
    answer: Future[Message]


@dataclass(frozen=True)
class Problem:
    """Why the functions as they are saved now do not run.

    Attributes
    ----------
    message : one sentence.
    traceback : of the user's code, "" where there is none.
    functions : name → traceback, if it is single functions that fail.
    is_beginning : there is no function yet; `traceback` holds one to begin with.
    """

    message: str
    traceback: str
    functions: dict[str, str]
    is_beginning: bool = False


class StudioSession:
    """Keeps votes, labels and answers up to date with the files they come from.

    Attributes
    ----------
    images : the data.
    preview, full : what the functions said of a sample, and of all images; None until
        it is known. The last version that runs stays while a newer one is broken.
    problem : why the newest version does not run; None if it does.
    answers_problem : why the file of answers cannot be read; "" if it can.
    looks : (n, d) how images look; `twins` (n,) the first of the images that are nearly
        the same. None until it is known.
    asked : what a round of `lfkit active` asks about; None while none does.
    busy : what is being done: job → {"stage", "done", "total"}.
    version : counts changes.
    """

    def __init__(
        self, options: StudioOptions, *, timeout_s: float | None = None
    ) -> None:
        check_folder(options.out)
        self.options = options = taken_over(options)
        self._folder = options.out / "studio"
        make_folder(self._folder)
        # An image folder that holds the run must not take the studio's pictures for
        # its own: the scan leaves out folders that hold one of the run's files.
        index = self._folder / "images.parquet"
        self.images: ImageSource = _open(options, index)
        # Names the pictures of these images in browsers' caches.
        digest = hashlib.blake2b(self.images.keys.tobytes(), digest_size=16)
        self.images_key = digest.hexdigest()
        self._call_timeout_s = timeout_s or _CALL_TIMEOUT_S
        self._patience_s = _PATIENCE_S if timeout_s is None else 5 * timeout_s
        self._careful_patience_s = _CAREFUL_PATIENCE_S
        self.preview: Outcome | None = None
        self.full: Outcome | None = None
        self.looks: NDArray[np.float32] | None = None
        self.twins: NDArray[np.int64] | None = None
        self.looks_of = ""  # the networks that `looks` were made of, as JSON
        self._asked: queue.Queue[_Request] = queue.Queue()
        self.problem: Problem | None = None
        self.answers_problem = ""
        self.asked: AskedImages | None = open_question(options.out)
        self.busy: dict[str, Event] = {}
        self.answers: SeedAnswers | None = None
        self.saves = Saves(self._folder / "saves.json")
        self.version = 0
        self.last_change = ""
        self._listeners: list[Callable[[Event], None]] = []
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._watch = FileWatch()
        self._edits = 1  # the first version is an edit, too
        self._previewed = self._adopted = 0  # edits tried, and the last one taken over
        self._answered_at = self._first_answered_at = 0.0
        self._answer_number = self._preview_answers = 0
        self._full_of: tuple[int, int] | None = None
        self._full_after = 0.0
        self._is_full_old = False
        self._share_voted = 0.0
        self._pause_before_all_s = _PAUSE_BEFORE_ALL_S
        self._retry_s = _RETRY_S
        self._is_closed = False
        self._threads: list[threading.Thread] = []
        asked = {
            "options": _plain(options),
            "lfs": list(options.lfs),
            "index": str(index),
            "images": key_of_images(self.images),
            "n": len(self.images),
            "timeout": self._call_timeout_s,
        }
        self._quick, self._slow = VotingProcess(asked), VotingProcess(asked)
        self._watch.follow(_given_files(options.lfs))
        self._restore()

    def start(self) -> None:
        """Begin to watch the files and to vote, in the background."""
        self._quick.start()
        for work in (self._keep_previewed, self._keep_full):
            thread = threading.Thread(target=work, daemon=True, name=work.__name__)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """End all work; answers and what is computed are on disk already."""
        with self._lock:
            self._is_closed = True
            self._changed.notify_all()
        self._quick.close()
        self._slow.close()
        for thread in self._threads:
            thread.join(5)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call a function at each change; gives what ends that."""
        with self._lock:
            self._listeners.append(listener)

        def forget() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return forget

    def wait_for(
        self, condition: Callable[[StudioSession], bool], timeout_s: float
    ) -> bool:
        """Wait until something is so; False if it is not in time."""
        end = time.monotonic() + timeout_s
        with self._lock:
            while not condition(self):
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.5))
            return True

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes; empty until the functions' file has named them."""
        return () if self.answers is None else self.answers.class_names

    @property
    def shown(self) -> Outcome | None:
        """The outcome that covers most images."""
        return self.full or self.preview

    @property
    def is_full_current(self) -> bool:
        """True where `full` is of the functions as they are saved now."""
        return self._full_of is not None and self._full_of[0] == self._edits

    @property
    def newest(self) -> Outcome | None:
        """The outcome of the functions as they are now, of all images if possible."""
        # While an edit is tried, or is broken, the version before stays, on all images.
        is_same = self._full_of is not None and self._full_of[0] >= self._adopted
        return self.full if self.full is not None and is_same else self.preview

    @property
    def voted_anew(self) -> float | None:
        """The share of the images that have voted since functions changed.

        None where labels of all images are of the functions as they are, or where there
        are none.
        """
        if self.full is None or not self._is_full_old:
            return None
        return self._share_voted

    def function(self, name: str) -> FunctionFacts | None:
        """Give what is known of a function; None if there is none of that name."""
        if self.newest is None:
            return None
        found = (one for one in self.newest.functions if one.name == name)
        one = next(found, None)
        return None if one is None else fair_facts(one, self.newest, self.twins)

    def answer(
        self, rows: list[int], label: int | str | None, why: str, by: str = ""
    ) -> None:
        """Give images an answer, in the file at once; None takes it back.

        Parameters
        ----------
        label : a class, by its number or name.
        why : why they were asked. Only an image whose turn it is was drawn at random,
            and it stays so when its answer changes.
        by : who gives it: each browser undoes its own answers.
        """
        n = len(self.images)
        if not rows or min(rows) < 0 or max(rows) >= n:
            raise InputError(f"images are numbered from 0 to {n - 1}; got {rows[:3]}.")
        with self._lock:
            answers = self._need_answers()
            names = answers.class_names
            if isinstance(label, str):
                if label not in names:
                    raise InputError(
                        f"there is no class {label!r} any more; load the page again."
                    )
                label = names.index(label)
            if label is not None and not 0 <= label < len(names):
                raise InputError(f"there is no class number {label}.")
            answers.give(rows, label, self._reasons(answers, rows, why), by)
        self._note_answers(rows)

    def _reasons(self, answers: SeedAnswers, rows: list[int], why: str) -> list[str]:
        """Tell of each image why it is answered: what was drawn at random stays so."""
        known = answers.why()
        order = random_order(len(self.images), self.options.seed)
        asked = set(to_ask(order, np.asarray([*known], np.int64)).tolist())
        other = "chosen" if why == RANDOM else why
        return [
            RANDOM
            if known.get(row) == RANDOM or (why == RANDOM and row in asked)
            else other
            for row in rows
        ]

    def undo(self, by: str | None = None) -> list[int]:
        """Take the last answer back, of one browser or of all; gives its images."""
        with self._lock:
            rows = self._need_answers().undo(by)
        if rows:
            self._note_answers(rows)
        return rows

    def ask(self, job: Message) -> Future[Message]:
        """Have a job done that takes a while: "map", "apart" or "report".

        It begins after what is needed for it: votes on all images, and looks.
        """
        request = _Request(job, Future())
        self._asked.put(request)
        return request.answer

    @property
    def folder(self) -> Path:
        """Where the studio keeps what it has made."""
        return self._folder

    def _need_answers(self) -> SeedAnswers:
        if self.answers is None:
            raise InputError(
                "the classes are not known yet: write CLASSES = [...] in the file of "
                "functions, one name per class."
            )
        return self.answers

    def _note_answers(self, rows: list[int]) -> None:
        now = time.monotonic()
        with self._lock:
            if self._answer_number == self._preview_answers:
                self._first_answered_at = now
            self._answered_at = now
            self._answer_number += 1
        self._publish({"event": "answers", "rows": rows[:1000]})

    def _publish(self, event: Event) -> None:
        with self._lock:
            self.version += 1
            event = {**event, "version": self.version}
            listeners = [*self._listeners]
            self._changed.notify_all()
        for listener in listeners:
            listener(event)

    # What follows runs in the two threads of `start`.

    def _poll(self) -> None:
        """Notice edits, and answers that another program has written."""
        if self._watch.changed():
            with self._lock:
                self._edits += 1
        answers, problem = self.answers, ""
        if answers is not None:
            try:
                if answers.reread():
                    self._note_answers([])
            except LfkitError as error:
                problem = f"Answers are not saved until this is mended: {error}"
        if problem != self.answers_problem:
            self.answers_problem = problem
            self._publish({"event": "functions"})
        asked = open_question(self.options.out)
        if asked != self.asked:
            self.asked = asked
            self._publish({"event": "asked"})

    def _wants_preview(self) -> bool:
        if self._edits != self._previewed:
            return True
        if self._answer_number == self._preview_answers:
            return False
        now = time.monotonic()
        return (
            now - self._answered_at > _PAUSE_S
            or now - self._first_answered_at > _LONGEST_PAUSE_S
        )

    def _keep_previewed(self) -> None:
        while not self._is_closed:
            with self._kept_going():
                self._poll()
                if self._wants_preview():
                    with self._lock:
                        edits, answers = self._edits, self._answer_number
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
            self.problem = Problem(
                f"what the functions said could not be taken over: {text}",
                "".join(traceback.format_exception(error)),
                {},
            )
            self._publish({"event": "functions"})
            time.sleep(_AFTER_ERROR_S)

    def _make_preview(self, edits: int, answers: int) -> None:
        def is_wanted() -> bool:
            self._poll()
            return self._edits == edits and not self._is_closed

        for careful in (False, True):
            patience = self._careful_patience_s if careful else self._patience_s
            found = self._run(
                self._quick,
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
                self.problem = Problem(text, "", {})
                self._publish({"event": "functions"})
        if found.get("why") == "not wanted":
            return
        is_edit = edits != self._previewed
        with self._lock:
            self._previewed, self._preview_answers = edits, answers
        self._watch.follow(map(Path, found.get("files", ())))
        if found["event"] != "done":
            self.problem = _problem(found)
            if self.preview is None and found.get("class_names"):
                # Images can be labeled before there is any function.
                with contextlib.suppress(LfkitError):
                    self._make_answers(tuple(found["class_names"]))
            self._publish({"event": "functions"})
            return
        if found.get("modules"):
            self._quick.prepare(found["modules"])
        outcome = Outcome.from_bytes(Path(found["outcome"]).read_bytes())
        self._adopt(outcome, is_edit, edits)

    def _adopt(self, outcome: Outcome, is_edit: bool, edits: int) -> None:
        """Take an outcome over, unless a function that ran before now fails."""
        before = self.preview
        broken = _broken(outcome, () if before is None else before.names)
        if before is not None and is_edit and set(broken) & set(before.names):
            names = ", ".join(sorted(broken))
            self.problem = Problem(
                f"{names} fails on every image; what is shown is the version before.",
                "",
                broken,
            )
            self._publish({"event": "functions"})
            return
        with self._lock:
            edited = edited_functions(before, outcome)
            self.problem = None
            if broken:
                names = ", ".join(sorted(broken))
                self.problem = Problem(f"{names} fails on every image.", "", broken)
            self.preview, self._adopted = outcome, edits
            if self.full is not None and self.full.class_names != outcome.class_names:
                self.full = None  # its labels are numbers of other classes
            self._make_answers(outcome.class_names)
            if is_edit and (edited or before is None or before.names != outcome.names):
                now = datetime.now(UTC).isoformat(timespec="seconds")
                saved = self.saves.add(now, before, outcome, edited)
                self.last_change = saved.sentence
                self._is_full_old = self.full is not None
                self._share_voted = 0.0
            self._full_after = time.monotonic() + self._pause_before_all_s
        self._publish({"event": "functions"})

    def _make_answers(self, class_names: tuple[str, ...]) -> None:
        if self.answers is None or self.answers.class_names != class_names:
            add_seeds(self.options, self.images.ids, class_names)
            self.answers = SeedAnswers(
                self.options.answers, self.images.ids, class_names
            )

    @property
    def _is_idle(self) -> bool:
        """True where there is no function to vote on all images with."""
        return self.problem is not None and self.problem.is_beginning

    def _keep_full(self) -> None:
        while not self._is_closed:
            with self._kept_going():
                if self._do_next():
                    continue
            time.sleep(_POLL_S)

    def _do_next(self) -> bool:
        """Do what is most urgent of what takes long; False if there is nothing."""
        with self._lock:
            wanted = (self._edits, self._preview_answers)
            is_due = (
                self.preview is not None
                and self.problem is None
                and wanted != self._full_of
                and not self._wants_preview()
                and time.monotonic() > self._full_after
            )
        if is_due:
            self._make_full(wanted)
        elif self._are_looks_old and (self.full is not None or self._is_idle):
            self._make_looks()
        elif not self._asked.empty():
            self._make_asked()
        else:
            return False
        return True

    def _make_full(self, wanted: tuple[int, int]) -> None:
        def is_wanted() -> bool:
            return self._edits == wanted[0] and not self._is_closed

        self._share_voted = 0.0
        found = self._run(
            self._slow,
            {"job": "all"},
            patience_s=_SLOW_PATIENCE_S,
            is_wanted=is_wanted,
        )
        if found.get("why") == "not wanted":
            return
        if found.get("kind") == ImagesChangedError.__name__:
            self.problem = _problem(found)
            self._publish({"event": "functions"})
            return
        if found["event"] != "done":
            # Another command may hold the run folder: it is tried again.
            self._full_after = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
            self.busy["all"] = {"stage": _problem(found).message, "done": 0, "total": 0}
            self._publish({"event": "busy"})
            return
        outcome = Outcome.from_bytes(Path(found["outcome"]).read_bytes())
        with self._lock:
            if self._edits != wanted[0]:
                return
            self.full, self._full_of = outcome, wanted
            self._is_full_old = False
            self._retry_s = _RETRY_S
        self._publish({"event": "full"})

    @property
    def _networks(self) -> dict[str, str]:
        return {} if self.full is None else dict(self.full.networks)

    @property
    def _are_looks_old(self) -> bool:
        """True where functions read other networks than when looks were made."""
        now = json.dumps(self._networks, sort_keys=True)
        return self.looks is None or self.looks_of != now

    def _make_looks(self) -> None:
        networks = self._networks
        found = self._run(
            self._slow,
            {"job": "looks", "networks": networks},
            patience_s=_SLOW_PATIENCE_S,
            is_wanted=lambda: not self._is_closed,
        )
        if found["event"] != "done" or not self._load_looks():
            n = len(self.images)
            self.looks, self.twins = np.zeros((n, 1), np.float32), np.arange(n)
        self.looks_of = json.dumps(networks, sort_keys=True)
        self._publish({"event": "looks"})

    def _make_asked(self) -> None:
        """Do what pages have asked for."""
        request = self._asked.get()
        if not request.answer.set_running_or_notify_cancel():
            return  # nobody waits for it any more
        try:
            found = self._run(
                self._slow,
                request.job,
                patience_s=_SLOW_PATIENCE_S,
                is_wanted=lambda: not self._is_closed,
            )
        except Exception as error:
            request.answer.set_exception(error)
            raise
        request.answer.set_result(found)

    def _load_looks(self) -> bool:
        arrays = load_arrays(self._folder / "looks.npz")
        held = {"looks", "twins", "of"}
        if held - set(arrays) or len(arrays["looks"]) != len(self.images):
            return False
        self.looks, self.twins = arrays["looks"], arrays["twins"]
        self.looks_of = arrays["of"].tobytes().decode("utf-8", "surrogatepass")
        return True

    def _run(
        self,
        process: VotingProcess,
        job: Message,
        *,
        patience_s: float,
        is_wanted: Callable[[], bool],
    ) -> Message:
        name = job["job"]

        def progress(stage: str, done: int, total: int) -> None:
            self.busy[name] = {"stage": stage, "done": done, "total": total}
            if name == "all" and stage == "voting":
                self._share_voted = done / max(1, total)
            self._publish({"event": "busy"})

        progress("starting", 0, 1)
        try:
            return process.run(
                job, patience_s=patience_s, is_wanted=is_wanted, progress=progress
            )
        finally:
            self.busy.pop(name, None)
            self._publish({"event": "busy"})

    def _restore(self) -> None:
        """Show at once what an earlier session on the same images has left."""
        state = self._folder / "studio-session.json"
        known = {
            "data": os.path.realpath(os.path.expanduser(self.options.data)),
            "images": self.images_key,
            "decoding": self.images.decoding,
            "preview": [self.options.preview, self.options.seed],
        }
        is_same = False
        with contextlib.suppress(OSError, ValueError):
            is_same = json.loads(state.read_bytes()) == known
        places = {
            name: self._folder / name
            for name in ("preview.npz", "all.npz", "looks.npz", "saves.json", *_LATER)
        }
        if not is_same:
            for place in places.values():
                place.unlink(missing_ok=True)
            write_atomically(state, json.dumps(known).encode())
            self.saves = Saves(places["saves.json"])
            return
        with contextlib.suppress(*UNREADABLE):
            self.preview = Outcome.from_bytes(places["preview.npz"].read_bytes())
            self._make_answers(self.preview.class_names)
            full = Outcome.from_bytes(places["all.npz"].read_bytes())
            if full.class_names == self.preview.class_names:
                self.full = full
        self._load_looks()


def _open(options: StudioOptions, index: Path) -> ImageSource:
    known = known_images(options.out)
    if known is None and index.exists():
        with contextlib.suppress(OSError, ValueError):
            known = pq.read_table(index)
    try:
        images = open_images(
            options.data, size=options.size, color=options.color, known=known
        )
    except RunError:
        images = open_images(options.data, size=options.size, color=options.color)
    write_table(index, images.table())
    return images


def _given_files(specs: tuple[str, ...]) -> list[Path]:
    names = [split_spec(spec)[0] for spec in specs]
    return [
        Path(os.path.expanduser(name)).resolve()
        for name in names
        if name.endswith(".py")
    ]


def _plain(options: StudioOptions) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(options).items()
    }


def _broken(outcome: Outcome, before: Sequence[str]) -> dict[str, str]:
    """Name the functions that fail wherever they are called, and where or why.

    Parameters
    ----------
    before : names of functions that ran in the last version.
    """
    found = {
        one.name: one.traceback
        for one in outcome.functions
        if one.failed and one.coverage == 0
    }
    lost = {
        name: why
        for name, why in outcome.left_out.items()
        if name in before and not why.startswith("needs seed")
    }
    return {**found, **lost, **outcome.tracebacks}


def _problem(found: Message) -> Problem:
    if found["event"] == "failed":
        text, trace = found["message"], found["traceback"]
        if "defines no labeling function" in text or "there is no file" in text:
            text = "There is no labeling function yet. Save one in your file, such as"
            names = found.get("class_names") or ["day", "night"]
            word = "".join(c if c.isalnum() else "_" for c in (*names, "it")[1])
            first = _BEGINNING.format(names=json.dumps(names), last=word)
            return Problem(text, first, {}, is_beginning=True)
        return Problem(text, trace, {})
    if found["why"] == "hangs":
        text = "the functions do not end: look for an endless loop as they are read."
    else:
        code = found.get("code", 0)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        text = f"the functions ended the process that runs them ({how})."
    return Problem(text, "", {})
