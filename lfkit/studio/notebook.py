"""The studio in a notebook: the same page, in a frame."""

from __future__ import annotations

import html
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfkit.errors import RunError
from lfkit.labeling.trusted_code import strange_code
from lfkit.runs.run_config import load_config
from lfkit.studio.server import StudioServer
from lfkit.studio.studio_lock import StudioLock
from lfkit.studio.studio_options import StudioOptions
from lfkit.studio.studio_session import StudioSession


@dataclass(frozen=True, eq=False)
class Frame:
    """A studio that runs beside a notebook; a notebook shows it as its page.

    Attributes
    ----------
    url : the address, for a browser of this machine.
    height : of the frame, in pixels.
    """

    server: StudioServer
    thread: threading.Thread
    lock: StudioLock
    place: Path
    height: int

    @property
    def url(self) -> str:
        """The address of the page."""
        return self.server.url

    def _repr_html_(self) -> str:
        address = html.escape(self.server.frame_url, quote=True)
        return (
            f'<iframe src="{address}" width="100%" height="{self.height}" '
            'style="border: 0; border-radius: 12px" title="lfkit studio"></iframe>'
        )

    def close(self) -> None:
        """End the studio; answers and what is computed are kept."""
        self.server.stop()
        self.thread.join(10)
        self.server.session.close()
        self.lock.release()
        _OPEN.pop(self.place, None)


_OPEN: dict[Path, Frame] = {}  # by run folder, those of this process


def show(
    run: str | Path = "run",
    *,
    data: str | None = None,
    lfs: tuple[str, ...] | list[str] | str = (),
    height: int = 900,
    **options: Any,
) -> Frame:
    """Open the studio of a run folder beside a notebook.

    Parameters
    ----------
    run : a run folder of `lfkit apply` or `lfkit studio`; with `data` and `lfs`, a new
        one.
    data, lfs : as `lfkit studio` takes them; those of the run by default.
    height : of the frame, in pixels.
    options : other fields of `StudioOptions`, such as `size`.

    Raises
    ------
    RunError : the run names functions that you have not run on this machine, or another
        process has opened a studio on it.
    """
    folder = Path(run)
    given: dict[str, Any] = dict(options)
    if data is None:
        config = load_config(folder)
        known = config.options
        data = known.data
        if not lfs:
            lfs = known.lfs
            strange = strange_code(lfs)
            if strange is not None:
                raise RunError(
                    f"{folder} names the functions of {strange[0]}, which you have not "
                    "run here as they are now; give them with lfs=[...] if you trust "
                    "them."
                )
    chosen = (lfs,) if isinstance(lfs, str) else tuple(lfs)
    return serve_beside(StudioOptions(data, lfs=chosen, out=folder, **given), height)


def serve_beside(options: StudioOptions, height: int = 900) -> Frame:
    """Open the studio of a run in a thread; one that this process has open ends first.

    A cell of a notebook may run twice, with other options.
    """
    place = Path(os.path.realpath(options.out))
    if place in _OPEN:
        _OPEN[place].close()
    lock = StudioLock(options.out)
    try:
        session = StudioSession(options)
        server = StudioServer(session, session.options.port)
    except BaseException:
        lock.release()
        raise
    lock.tell(server.url, server.port, session.options.answers)
    session.start()
    thread = threading.Thread(target=server.run, daemon=True, name="lfkit-studio")
    thread.start()
    frame = _OPEN[place] = Frame(server, thread, lock, place, height)
    return frame
