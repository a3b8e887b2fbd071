"""The studio's web server: pages, data and events, for this machine alone."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from lfkit.errors import InputError
from lfkit.studio.access import Access
from lfkit.studio.data_routes import DataRoutes
from lfkit.studio.live_events import LiveEvents
from lfkit.studio.studio_options import FIRST_PORT
from lfkit.studio.studio_session import StudioSession
from lfkit.studio.thumbnails import Thumbnails

PAGES = {
    "functions": "Functions",
    "function": "Function",
    "images": "Images",
    "next": "Next",
    "map": "Map",
    "report": "Report",
}
_HOST = "127.0.0.1"
_PORTS_TRIED = 50
_THUMB, _BIG = 96, 1024  # pixels, the longer side
_BIG_HELD_BYTES = 16 * 2**20
# The report is a page of its own with scripts in it: it runs as if from nowhere, sees
# no cookie and reaches nothing.
_REPORT_CSP = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
)


class StudioServer:
    """Serves one session on a port of this machine.

    Parameters
    ----------
    port : None takes the first free one from 8765 on; 0 any free one.

    Attributes
    ----------
    url : with the token, for the first visit.
    frame_url : with the token in its path, for a frame in a notebook.
    """

    def __init__(self, session: StudioSession, port: int | None = None) -> None:
        self.session = session
        self.socket = _bound(port)
        self.port: int = self.socket.getsockname()[1]
        self.token = secrets.token_urlsafe(24)
        self.events = LiveEvents(session)
        self.app = make_app(session, self.token, self.port, self.events)
        config = uvicorn.Config(
            self.app,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
            lifespan="on",
        )
        self._server = _Server(config, self.events)

    @property
    def url(self) -> str:
        """The address to open first."""
        return f"http://{_HOST}:{self.port}/?token={self.token}"

    @property
    def frame_url(self) -> str:
        """The address for a frame, which cookies do not reach."""
        return f"http://{_HOST}:{self.port}/t/{self.token}/functions"

    def run(self) -> None:
        """Serve until Ctrl-C or `stop`."""
        self._server.run(sockets=[self.socket])

    def stop(self) -> None:
        """Let `run` end."""
        self.events.stop()
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """Ends open event streams first: they would hold the server up."""

    def __init__(self, config: uvicorn.Config, events: LiveEvents) -> None:
        super().__init__(config)
        self._events = events

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._events.stop()
        super().handle_exit(sig, frame)


def make_app(
    session: StudioSession, token: str, port: int, events: LiveEvents | None = None
) -> ASGIApp:
    """Put the routes together; nothing passes without the token."""
    if events is None:
        events = LiveEvents(session)
    folder = session.folder
    thumbnails = Thumbnails(session.images, folder / "thumbnails", _THUMB)
    pictures = Thumbnails(
        session.images, folder / "pictures", _BIG, held_bytes=_BIG_HELD_BYTES
    )
    templates = Environment(
        loader=PackageLoader("lfkit.studio"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    data = DataRoutes(session, thumbnails, pictures, events)

    async def show(request: Request) -> Response:
        page = request.path_params["page"]
        if page not in PAGES:
            return HTMLResponse("There is no such page.", 404)
        text = templates.get_template(f"{page}.html").render(
            page=page, title=PAGES[page], pages=PAGES, data=_short(session.images.name)
        )
        return HTMLResponse(text, headers={"Cache-Control": "no-store"})

    async def first(request: Request) -> Response:
        return RedirectResponse("functions", 303)

    async def report(request: Request) -> Response:
        path = session.options.out / "report.html"
        if not path.is_file():
            return HTMLResponse("There is no report yet.", 404)
        headers = {"Content-Security-Policy": _REPORT_CSP, "Cache-Control": "no-store"}
        return FileResponse(path, media_type="text/html", headers=headers)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        events.start()
        yield
        events.stop()

    static = StaticFiles(directory=Path(__file__).parent / "static")
    routes = [
        Route("/", first, methods=["GET"]),
        *data.routes(),
        Route("/report.html", report, methods=["GET"]),
        Mount("/static", static),
        Route("/{page:str}", show, methods=["GET"]),
    ]
    return Access(Starlette(routes=routes, lifespan=lifespan), token=token, port=port)


def _short(name: str) -> str:
    """Give the last part of a path; names of data sets stay."""
    return name.rstrip("/").rpartition("/")[2] or name


def _bound(port: int | None) -> socket.socket:
    """Take a port of this machine; nothing outside can reach it."""
    wanted = range(FIRST_PORT, FIRST_PORT + _PORTS_TRIED) if port is None else (port,)
    for each in wanted:
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((_HOST, each))
            # Two sockets may be bound to a port with SO_REUSEADDR; one may listen.
            found.listen(128)
        except OSError as error:
            found.close()
            if error.errno == errno.EACCES:
                raise InputError(
                    f"port {each} is not yours to use; give --port a number from 1024 "
                    "on."
                ) from error
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        return found
    if port is None:
        raise InputError(
            f"ports {FIRST_PORT} to {FIRST_PORT + _PORTS_TRIED - 1} are all in use; "
            "give --port another one, or 0 for any."
        )
    raise InputError(
        f"port {port} is in use; give --port another one, or leave it out for the next "
        "free one."
    )
