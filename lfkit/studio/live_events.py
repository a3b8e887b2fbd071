"""Changes of the session, sent to every open page as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from lfkit.studio.studio_session import StudioSession

MOST_PAGES = 64
_WAITING = 32  # events that a slow page may have before it
_BEAT_S = 15.0


class LiveEvents:
    """Passes the session's events, which come from threads, to all open pages.

    A page that does not keep up loses events in between; the next one it gets tells it
    to read the whole state again. Nothing grows without bound.
    """

    def __init__(self, session: StudioSession) -> None:
        self._session = session
        self._queues: set[asyncio.Queue[dict[str, Any]]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forget: Callable[[], None] | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._queues)

    def start(self) -> None:
        """Begin to listen; to be called in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._forget = self._session.listen(self._from_thread)

    def stop(self) -> None:
        """Let every open page end; from any thread."""
        self._is_closed = True
        if self._forget is not None:
            self._forget()
        self._from_thread({"event": "closed"})

    @property
    def is_full(self) -> bool:
        """True while no further page can listen."""
        return len(self._queues) >= MOST_PAGES

    async def stream(self) -> AsyncIterator[bytes]:
        """Give events as a browser's EventSource reads them."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING)
        self._queues.add(queue)
        try:
            yield b"retry: 1000\n\n"
            while not self._is_closed:
                try:
                    event = await asyncio.wait_for(queue.get(), _BEAT_S)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if event["event"] == "closed":
                    return
                yield b"data: " + json.dumps(event).encode() + b"\n\n"
        finally:
            self._queues.discard(queue)

    def _from_thread(self, event: dict[str, Any]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._spread, event)

    def _spread(self, event: dict[str, Any]) -> None:
        for queue in self._queues:
            _put(queue, event)


def _put(queue: asyncio.Queue[dict[str, Any]], event: dict[str, Any]) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        event = {**event, "event": event["event"], "lost": True}
    queue.put_nowait(event)
