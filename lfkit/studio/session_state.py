"""What a session knows: read by pages, kept up to date by the voting loop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lfkit.commands.active.asked_images import AskedImages, open_question
from lfkit.data.image_source import ImageSource
from lfkit.studio.answers import SeedAnswers
from lfkit.studio.array_files import load_arrays
from lfkit.studio.existing_run import add_seeds
from lfkit.studio.fair_answers import fair_facts
from lfkit.studio.function_problems import Problem
from lfkit.studio.outcome import FunctionFacts, Outcome
from lfkit.studio.saves import Saves
from lfkit.studio.studio_options import StudioOptions

Event = dict[str, Any]


class SessionState:
    """Votes, labels and answers as they are now, and who listens to their changes.

    Attributes
    ----------
    images : the data.
    folder : where the studio keeps what it has made.
    preview, full : what the functions said of a sample, and of all images; None until
        it is known. The last version that runs stays while a newer one is broken.
    problem : why the newest version does not run; None if it does.
    answers_problem : why the file of answers cannot be read; "" if it can.
    looks : (n, d) how images look; `twins` (n,) the first of the images that are nearly
        the same. None until it is known.
    looks_of : the networks that `looks` were made of, as JSON.
    asked : what a round of `lfkit active` asks about; None while none does.
    busy : what is being done: job → {"stage", "done", "total"}.
    version : counts changes.
    lock : held while several of these change together.
    edits, previewed, adopted : versions of the functions: saved, tried, taken over.
    answer_number, preview_answers : answers given, and those that `preview` knows.
    full_of : the edits and answers that `full` knows; None if an earlier session's.
    is_full_old, share_voted : functions have changed since `full`, and how many of the
        images have voted anew.
    """

    def __init__(
        self, options: StudioOptions, images: ImageSource, folder: Path
    ) -> None:
        self.options, self.images, self.folder = options, images, folder
        self.preview: Outcome | None = None
        self.full: Outcome | None = None
        self.looks: NDArray[np.float32] | None = None
        self.twins: NDArray[np.int64] | None = None
        self.looks_of = ""
        self.problem: Problem | None = None
        self.answers_problem = ""
        self.asked: AskedImages | None = open_question(options.out)
        self.busy: dict[str, Event] = {}
        self.answers: SeedAnswers | None = None
        self.saves = Saves(folder / "saves.json")
        self.last_change = ""
        self.version = 0
        self.lock = threading.RLock()
        self.edits = 1  # the first version is an edit, too
        self.previewed = self.adopted = 0
        self.answer_number = self.preview_answers = 0
        self.answered_at = self.first_answered_at = 0.0
        self.full_of: tuple[int, int] | None = None
        self.is_full_old, self.share_voted = False, 0.0
        self.is_closed = False
        self._changed = threading.Condition(self.lock)
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call a function at each change; gives what ends that."""
        with self.lock:
            self._listeners.append(listener)

        def forget() -> None:
            with self.lock, contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return forget

    def wait_for(self, condition: Callable[[Self], bool], timeout_s: float) -> bool:
        """Wait until something is so; False if it is not in time."""
        end = time.monotonic() + timeout_s
        with self.lock:
            while not condition(self):
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.5))
            return True

    def publish(self, event: Event) -> None:
        """Tell all listeners of a change."""
        with self.lock:
            self.version += 1
            event = {**event, "version": self.version}
            listeners = [*self._listeners]
            self._changed.notify_all()
        for listener in listeners:
            listener(event)

    def note_answers(self, rows: list[int]) -> None:
        """Tell that images have been answered; [] where it is not known which."""
        now = time.monotonic()
        with self.lock:
            if self.answer_number == self.preview_answers:
                self.first_answered_at = now
            self.answered_at = now
            self.answer_number += 1
        self.publish({"event": "answers", "rows": rows[:1000]})

    def make_answers(self, class_names: tuple[str, ...]) -> None:
        """Read the file of answers, now that the classes are known."""
        if self.answers is None or self.answers.class_names != class_names:
            add_seeds(self.options, self.images.ids, class_names)
            self.answers = SeedAnswers(
                self.options.answers, self.images.ids, class_names
            )

    def load_looks(self) -> bool:
        """Read how images look, if that is kept for these images."""
        arrays = load_arrays(self.folder / "looks.npz")
        held = {"looks", "twins", "of"}
        if held - set(arrays) or len(arrays["looks"]) != len(self.images):
            return False
        self.looks, self.twins = arrays["looks"], arrays["twins"]
        self.looks_of = arrays["of"].tobytes().decode("utf-8", "surrogatepass")
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
        return self.full_of is not None and self.full_of[0] == self.edits

    @property
    def newest(self) -> Outcome | None:
        """The outcome of the functions as they are now, of all images if possible."""
        # While an edit is tried, or is broken, the version before stays, on all images.
        is_same = self.full_of is not None and self.full_of[0] >= self.adopted
        return self.full if self.full is not None and is_same else self.preview

    @property
    def voted_anew(self) -> float | None:
        """The share of the images that have voted since functions changed.

        None where labels of all images are of the functions as they are, or where there
        are none.
        """
        if self.full is None or not self.is_full_old:
            return None
        return self.share_voted

    def function(self, name: str) -> FunctionFacts | None:
        """Give what is known of a function; None if there is none of that name."""
        if self.newest is None:
            return None
        found = (one for one in self.newest.functions if one.name == name)
        one = next(found, None)
        return None if one is None else fair_facts(one, self.newest, self.twins)
