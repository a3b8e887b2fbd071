"""`lfkit studio`: a page that shows what labeling functions do, as they are written."""

from __future__ import annotations

import shlex
import signal
import threading
from typing import TYPE_CHECKING

from lfkit.cli.console import echo
from lfkit.cli.options import with_options
from lfkit.studio.studio_options import StudioOptions

if TYPE_CHECKING:
    from lfkit.studio.server import StudioServer
    from lfkit.studio.studio_session import StudioSession


@with_options(StudioOptions)
def studio(options: StudioOptions) -> None:
    """Open a page that shows what labeling functions do to DATA as you edit them.

    Save the functions' file in your editor, and the page changes. Answers given there
    go to RUN/seeds.csv at once. Ctrl-C ends it; nothing is lost.
    """
    from lfkit.studio import check_installed

    check_installed()
    from lfkit.studio.server import StudioServer
    from lfkit.studio.studio_lock import StudioLock
    from lfkit.studio.studio_session import StudioSession

    lock = StudioLock(options.out)
    try:
        session = StudioSession(options)
        server = StudioServer(session, options.port)
        lock.tell(server.url, server.port, session.options.answers)
        # Ctrl-C is how the studio ends: whenever it comes, it is no error. While the
        # server starts, an interrupt as an exception would be lost.
        before = signal.signal(signal.SIGINT, lambda number, frame: server.stop())
        try:
            _serve(options, session, server)
        finally:
            signal.signal(signal.SIGINT, before)
        session.close()
    finally:
        lock.release()
    n = 0 if session.answers is None else len(session.answers)
    echo(f"\n{n:,} answers are in {session.options.answers}")
    if n:
        echo(f"Next: {_apply_command(session.options)}")


def _apply_command(options: StudioOptions) -> str:
    """Give the command that labels with what was written and answered."""
    words = ["lfkit", "apply", options.data]
    for spec in options.lfs:
        words += ["--lfs", spec]
    if options.size is not None:
        words += ["--size", "x".join(map(str, options.size))]
    if options.color is not None:
        words += ["--color", options.color]
    words += ["--seed-labels", str(options.answers), "--out", str(options.out)]
    return shlex.join(words)


def _serve(
    options: StudioOptions, session: StudioSession, server: StudioServer
) -> None:
    session.start()
    echo(f"{len(session.images):,} images of {options.data}")
    echo(f"Open  {server.url}")
    echo(f"Edit  {', '.join(options.lfs)}: the page changes when you save")
    echo("Ctrl-C ends the studio; answers and what is computed are kept.")
    if options.browser:
        import webbrowser

        # Beside the server: a browser of the terminal ends when it is left.
        threading.Thread(
            target=webbrowser.open, args=(server.url,), daemon=True
        ).start()
    server.run()
