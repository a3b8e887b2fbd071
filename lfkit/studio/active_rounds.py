"""Rounds of `lfkit active`, answered on the studio's page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lfkit.commands.active.asked_images import AskedImages, open_question
from lfkit.data.progress import Progress
from lfkit.errors import LfkitError, RunError
from lfkit.runs.run_config import RunConfig, load_config
from lfkit.runs.run_files import known_images
from lfkit.studio.answer_table import read_table
from lfkit.studio.notebook import Frame, serve_beside
from lfkit.studio.studio_lock import StudioOpenError, living_studio
from lfkit.studio.studio_options import StudioOptions

_POLL_S = 0.3


class ActiveRounds:
    """Asks in the studio that is open on a run, or in one of its own.

    Parameters
    ----------
    lfs : the functions' files, if others than those that the run names.
    say : takes the address, and where it changes.
    """

    def __init__(
        self, run: Path, lfs: Sequence[str], say: Callable[[str], None]
    ) -> None:
        self._run, self._say = run, say
        config: RunConfig = load_config(run)
        self._names = config.class_names
        self._options = StudioOptions(
            config.options.data, lfs=tuple(lfs) or config.options.lfs, out=run
        )
        index = known_images(run)
        if index is None:
            raise RunError(f"{run} has lost its images.parquet; run lfkit apply again.")
        self._ids: list[str] = index.column("image_id").to_pylist()
        self._frame: Frame | None = None
        self._told: set[str] = set()

    def take_answers(self, progress: Progress) -> None:
        """Wait until every image of the open round has an answer, and pass them on.

        Answers that were given before, for whatever reason, count.
        """
        asked = open_question(self._run)
        if asked is None:
            raise RunError(
                f"what {self._run / 'active'} asks about cannot be read; delete the "
                "asked.json of its last round: it is made anew."
            )
        seen: object = None
        while True:
            answers = self._page()
            stamp = _stamp(answers)
            try:
                if stamp != seen and self._are_taken(asked, answers, progress):
                    return
            except LfkitError as error:  # such as an answer that is no class of the run
                self._tell(f"Waiting until this is mended: {error}")
            seen = stamp
            time.sleep(_POLL_S)

    def _are_taken(self, asked: AskedImages, answers: Path, progress: Progress) -> bool:
        known = read_table(answers, self._ids, self._names).label_of
        label_of = {i: self._names[known[i]] for i in asked.ids if i in known}
        stage = f"round {asked.number}: answers in the studio"
        progress(stage, len(label_of), len(asked.ids))
        if len(label_of) < len(asked.ids):
            return False
        asked.answer(label_of)
        return True

    def _page(self) -> Path:
        """See that a studio is open; gives the file of answers."""
        living = living_studio(self._run)
        if living is None:
            with contextlib.suppress(StudioOpenError):  # it is just starting
                self._frame = serve_beside(self._options)
            living = living_studio(self._run)
        if living is None:
            return self._options.answers
        self._tell(f"Answer on the page Next of the studio: {living.url}")
        return living.answers

    def _tell(self, text: str) -> None:
        """Say something once."""
        if text not in self._told:
            self._told.add(text)
            self._say(text)

    def close(self) -> None:
        """End the studio if it is one of its own."""
        if self._frame is not None:
            self._frame.close()


@contextlib.contextmanager
def active_rounds(
    run: Path, lfs: Sequence[str], say: Callable[[str], None]
) -> Iterator[ActiveRounds]:
    """Ask rounds in the studio until the block ends; see `ActiveRounds`."""
    made = ActiveRounds(run, lfs, say)
    try:
        yield made
    finally:
        made.close()


def _stamp(path: Path) -> tuple[object, ...]:
    """Tell one content of a file from another without reading it."""
    try:
        status = path.stat()
    except OSError:
        return (path,)
    return path, status.st_mtime_ns, status.st_size, status.st_ino
