"""The page's side of the map: where images lie, and what separates a selection."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import InputError
from lfkit.studio.map_file import load_map
from lfkit.studio.studio_session import StudioSession
from lfkit.studio.voting_process import Message, VotingProcess

_PATIENCE_S = 600.0


class MapWorker:
    """Lays the map out when it is first asked for, away from the page.

    Attributes
    ----------
    places : (n, 2) float32 in [0, 1]; None until it is laid out.
    stage : what is being done, "" if nothing is.
    problem : why the last layout failed; "" if it did not.
    """

    def __init__(self, session: StudioSession) -> None:
        self._session = session
        self._folder = session.options.out / "studio"
        self._process = VotingProcess(session.asked)
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self.places: NDArray[np.float32] | None = load_map(self._folder, session.images)
        self.stage = self.problem = ""

    def ask(self, *, anew: bool = False) -> bool:
        """Tell whether the map is there; begin to lay it out if it is not.

        Parameters
        ----------
        anew : by the labels that there are now.
        """
        with self._lock:
            is_wanted = anew or (self.places is None and not self.problem)
            if not is_wanted or self._thread is not None or self._is_closed:
                return self.places is not None and self._thread is None
            if self._session.looks is None:
                self.stage = "waiting until every image has been looked at"
                return False
            self.problem = ""
            self._thread = threading.Thread(target=self._lay_out, daemon=True)
            self._thread.start()
            return False

    def separate(self, rows: Sequence[int], label: int) -> dict[str, Any]:
        """Find what tells some images from the others; see `map_jobs.separate`."""
        n, names = len(self._session.images), self._session.class_names
        if not rows or min(rows) < 0 or max(rows) >= n:
            raise InputError(f"images are numbered from 0 to {n - 1}; select some.")
        if not 0 <= label < len(names):
            raise InputError(f"there is no class number {label}.")
        if len(set(rows)) == n:
            raise InputError("every image is selected; leave some out to compare with.")
        found = self._run({"job": "separate", "rows": list(rows), "label": label})
        if found["event"] != "done":
            raise InputError(_why(found))
        return {name: found[name] for name in ("found", "n_selected", "n_others")}

    def close(self) -> None:
        """End what is being done."""
        with self._lock:
            self._is_closed = True
        self._process.close()

    def _lay_out(self) -> None:
        found = self._run({"job": "map"})
        with self._lock:
            self.stage, self._thread = "", None
            if found["event"] == "done":
                self.places = load_map(self._folder, self._session.images)
            else:
                self.problem = _why(found)

    def _run(self, job: Message) -> Message:
        with self._one_at_a_time:
            return self._process.run(
                job,
                patience_s=_PATIENCE_S,
                is_wanted=lambda: not self._is_closed,
                progress=self._show,
            )

    def _show(self, stage: str, done: int, total: int) -> None:
        share = f" {done:,} of {total:,}" if total > 1 else ""
        self.stage = f"{stage}{share}"


def _why(found: Message) -> str:
    if found["event"] == "failed":
        return str(found["message"])
    return f"the process that should have done it ended: {found.get('why', '')}."
