"""A session: images, functions that are being edited, answers; no web in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from lfkit.data.datasets import open_images
from lfkit.data.files import make_folder, write_atomically
from lfkit.data.image_source import ImageSource
from lfkit.errors import InputError, RunError
from lfkit.labeling.loading import split_spec
from lfkit.runs.run_files import check_folder, known_images, write_tables
from lfkit.studio.answers import SeedAnswers
from lfkit.studio.array_files import UNREADABLE
from lfkit.studio.existing_run import taken_over
from lfkit.studio.next_images import RANDOM
from lfkit.studio.outcome import Outcome
from lfkit.studio.random_sample import random_order, to_ask
from lfkit.studio.same_images import key_of_images
from lfkit.studio.saves import Saves
from lfkit.studio.session_state import SessionState
from lfkit.studio.studio_options import StudioOptions
from lfkit.studio.voting_loop import VotingLoop
from lfkit.studio.voting_process import Message

_CALL_TIMEOUT_S = 2.0  # for one call, where a preview hangs
# What else depends on the images: it is made when a page asks for it.
_LATER = ("map.npz", "measured.npz")


class StudioSession(SessionState):
    """A session as pages use it: what it knows, answers, and jobs that take a while.

    Parameters
    ----------
    timeout_s : for one call of a function that may hang; None: as for large images.

    Attributes
    ----------
    images_key : names the pictures of these images in browsers' caches.
    voting : keeps votes up to date.
    """

    def __init__(
        self, options: StudioOptions, *, timeout_s: float | None = None
    ) -> None:
        check_folder(options.out)
        options = taken_over(options)
        folder = options.out / "studio"
        make_folder(folder)
        # An image folder that holds the run must not take the studio's pictures for
        # its own: the scan leaves out folders that hold one of the run's files.
        index = folder / "images.parquet"
        super().__init__(options, _open(options, index), folder)
        digest = hashlib.blake2b(self.images.keys.tobytes(), digest_size=16)
        self.images_key = digest.hexdigest()
        asked = {
            "options": _plain(options),
            "lfs": list(options.lfs),
            "index": str(index),
            "images": key_of_images(self.images),
            "n": len(self.images),
            "timeout": timeout_s or _CALL_TIMEOUT_S,
        }
        self.voting = VotingLoop(self, asked, _given_files(options.lfs), timeout_s)
        self._restore()

    def start(self) -> None:
        """Begin to watch the files and to vote, in the background."""
        self.voting.start()

    def close(self) -> None:
        """End all work; answers and what is computed are on disk already."""
        self.voting.close()

    def ask(self, job: Message) -> Future[Message]:
        """Have a job done that takes a while: "map", "apart" or "report".

        It begins after what is needed for it: votes on all images, and looks.
        """
        return self.voting.ask(job)

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
        with self.lock:
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
        self.note_answers(rows)

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
        with self.lock:
            rows = self._need_answers().undo(by)
        if rows:
            self.note_answers(rows)
        return rows

    def _need_answers(self) -> SeedAnswers:
        if self.answers is None:
            raise InputError(
                "the classes are not known yet: write CLASSES = [...] in the file of "
                "functions, one name per class."
            )
        return self.answers

    def _restore(self) -> None:
        """Show at once what an earlier session on the same images has left."""
        state = self.folder / "studio-session.json"
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
            name: self.folder / name
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
            self.make_answers(self.preview.class_names)
            full = Outcome.from_bytes(places["all.npz"].read_bytes())
            if full.class_names == self.preview.class_names:
                self.full = full
        self.load_looks()


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
    write_tables(index, [images.table()])
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
