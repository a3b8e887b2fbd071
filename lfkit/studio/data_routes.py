"""Routes that give data: state, lists of images, pictures, answers."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lfkit.errors import InputError, LfkitError
from lfkit.studio.access import browser_of
from lfkit.studio.array_files import as_text, load_arrays
from lfkit.studio.image_lists import (
    browse,
    details,
    labels_of,
    of_function,
    some_images,
)
from lfkit.studio.live_events import LiveEvents
from lfkit.studio.next_page import next_list
from lfkit.studio.page_state import page_state
from lfkit.studio.studio_session import StudioSession
from lfkit.studio.thumbnails import Thumbnails, pack

_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_NOT_KEPT = {"Cache-Control": "no-store"}
_MOST_BODY = 4 * 2**20
_MOST_ROWS = 200_000  # images of one answer
_MOST_WHY = 200
_MOST_PICTURES = 500  # in one answer
_LONGEST_JOB_S = 600.0

Handler = Callable[[Request], Awaitable[Response]]


def guarded(handler: Handler) -> Handler:
    """Turn an error about what was asked into an answer with its sentence."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except LfkitError as error:
            return JSONResponse({"error": str(error)}, 400, headers=_NOT_KEPT)

    return answer


class DataRoutes:
    """Gives and takes the data of one session.

    Parameters
    ----------
    thumbnails, pictures : of the session's images, small and large.
    events : of the session.
    """

    def __init__(
        self,
        session: StudioSession,
        thumbnails: Thumbnails,
        pictures: Thumbnails,
        events: LiveEvents,
    ) -> None:
        self.session, self.events = session, events
        self.thumbnails, self.pictures = thumbnails, pictures

    def routes(self) -> list[Route]:
        """List the routes."""
        gets: dict[str, Handler] = {
            "/api/state": self.state,
            "/api/list": self.list_images,
            "/api/function": self.function,
            "/api/function-images": self.function_images,
            "/api/next": self.next_images,
            "/api/image": self.image,
            "/api/map": self.map,
            "/api/some": self.some,
            "/thumb/{row:int}.webp": self.thumb,
            "/thumbs": self.thumbs,
            "/big/{row:int}.webp": self.big,
            "/events": self.stream,
        }
        posts: dict[str, Handler] = {
            "/api/answer": self.answer,
            "/api/undo": self.undo,
            "/api/apart": self.apart,
            "/api/report": self.report,
        }
        return [
            *(
                Route(path, guarded(call), methods=["GET"])
                for path, call in gets.items()
            ),
            *(
                Route(path, guarded(call), methods=["POST"])
                for path, call in posts.items()
            ),
        ]

    async def state(self, request: Request) -> Response:
        """Give everything but images."""
        return _json(await _apart(page_state, self.session))

    async def list_images(self, request: Request) -> Response:
        """List images by filter, in an order."""
        asked = dict(request.query_params)
        return await self._listed(browse, self.session, asked)

    async def function_images(self, request: Request) -> Response:
        """List images that show what one function does."""
        name = request.query_params.get("name", "")
        return await self._listed(of_function, self.session, name)

    async def next_images(self, request: Request) -> Response:
        """List images to look at next."""
        return await self._listed(next_list, self.session)

    async def some(self, request: Request) -> Response:
        """List images by number."""
        text = request.query_params.get("rows", "")
        rows = [_whole(part) for part in text.split(",") if part][:5000]
        return await self._listed(some_images, self.session, rows)

    async def function(self, request: Request) -> Response:
        """Give one function's text and figures."""
        name = request.query_params.get("name", "")
        found = self.session.function(name)
        if found is None:
            raise InputError(f"there is no function {name!r}.")
        rest = {"accuracy": found.accuracy, "interval": found.interval}
        return _json({**vars(found), **rest})

    async def image(self, request: Request) -> Response:
        """Tell all that is known of one image."""
        row = _whole(request.query_params.get("row", ""))
        return _json(await _apart(details, self.session, row))

    async def thumb(self, request: Request) -> Response:
        """Draw one image, small."""
        data = await _apart(self.thumbnails.webp, request.path_params["row"])
        return Response(data, media_type="image/webp", headers=_FOREVER)

    async def thumbs(self, request: Request) -> Response:
        """Draw many images, small, in one answer; see `thumbnails.pack`."""
        text = request.query_params.get("rows", "")
        rows = [_whole(part) for part in text.split(",") if part][:_MOST_PICTURES]
        data = pack(await _apart(self.thumbnails.webps, rows))
        return Response(data, media_type="application/octet-stream", headers=_FOREVER)

    async def big(self, request: Request) -> Response:
        """Draw one image, large."""
        data = await _apart(self.pictures.webp, request.path_params["row"])
        return Response(data, media_type="image/webp", headers=_FOREVER)

    async def map(self, request: Request) -> Response:
        """Give every image's place in a plane, (n, 2) float32, and labels as in lists.

        After a JSON head as in `ImageList.to_bytes`: x and y float32 in [0, 1], label
        int16, answer int16, confidence uint8. Asked "by" labels, those of one label
        lie together; "anew" by the labels that there are now.
        """
        by = request.query_params.get("by", "look")
        if by not in ("look", "labels"):
            raise InputError(f"by is {by[:20]!r}; choose look or labels.")
        if self.session.looks is None:
            return _json({"waiting": "looks of all images"}, 202)
        place = self.session.folder / "map.npz"
        arrays = await _apart(load_arrays, place)
        made_of = arrays.get("of", np.zeros(0, np.uint8))
        is_there = len(arrays.get(by, ())) == len(self.session.images)
        is_there &= np.array_equal(made_of, as_text(self.session.looks_of))
        if not is_there or "anew" in request.query_params:
            await self._job({"job": "map", "by": by})
            arrays = await _apart(load_arrays, place)
        places = arrays[by].astype("<f4")
        labels, confidence, answered = await _apart(labels_of, self.session)
        body = b"".join(
            [
                np.asarray([4, len(places)], "<i4").tobytes(),
                b"{}  ",
                places.tobytes(),
                labels.astype("<i2").tobytes(),
                answered.astype("<i2").tobytes(),
                confidence.tobytes(),
            ]
        )
        return Response(body, media_type="application/octet-stream", headers=_NOT_KEPT)

    async def answer(self, request: Request) -> Response:
        """Label images, or take their labels back."""
        asked = await _body(request)
        rows = _rows(asked.get("rows"))
        label = asked.get("label")
        if label is not None and not isinstance(label, str):
            raise InputError("label must be the name of a class, or null.")
        why = asked.get("why", "")
        if not isinstance(why, str):
            raise InputError("why must be text.")
        why = " ".join(why.split())[:_MOST_WHY]
        await _apart(self.session.answer, rows, label, why, browser_of(request))
        return _json({"answers": len(self.session.answers or ())})

    async def undo(self, request: Request) -> Response:
        """Take the last answer of this browser back."""
        await _body(request)
        rows = await _apart(self.session.undo, browser_of(request))
        return _json({"rows": rows, "answers": len(self.session.answers or ())})

    async def apart(self, request: Request) -> Response:
        """Rank what tells selected images from others, with rules to copy."""
        asked = await _body(request)
        rows, name = _rows(asked.get("rows")), asked.get("label")
        n, names = len(self.session.images), self.session.class_names
        if not isinstance(name, str) or name not in names:
            raise InputError("label must be the name of a class; load the page again.")
        label = names.index(name)
        if min(rows) < 0 or max(rows) >= n:
            raise InputError(f"images are numbered from 0 to {n - 1}.")
        job = {"job": "apart", "rows": sorted(set(rows)), "label": label}
        found = await self._job({**job, "class_name": names[label]})
        return _json({"ranked": found["ranked"]})

    async def report(self, request: Request) -> Response:
        """Write the report of the run as it is now."""
        await _body(request)
        if self.session.full is None:
            raise InputError("the report needs labels of all images; wait for them.")
        await self._job({"job": "report"})
        return _json({"done": True})

    async def stream(self, request: Request) -> Response:
        """Send changes as they happen."""
        if self.events.is_full:
            return _json({"error": "too many pages are open; close some."}, 503)
        return StreamingResponse(
            self.events.stream(),
            media_type="text/event-stream",
            headers={**_NOT_KEPT, "X-Accel-Buffering": "no"},
        )

    async def _listed(self, make: Callable[..., Any], *given: Any) -> Response:
        def work() -> bytes:
            return bytes(make(*given).to_bytes(self.session))

        return Response(
            await _apart(work),
            media_type="application/octet-stream",
            headers=_NOT_KEPT,
        )

    async def _job(self, job: dict[str, Any]) -> dict[str, Any]:
        future = self.session.ask(job)
        try:
            found = await asyncio.wait_for(asyncio.wrap_future(future), _LONGEST_JOB_S)
        except TimeoutError as error:
            raise InputError("this takes too long; try fewer images.") from error
        if found["event"] != "done":
            why = found.get("message") or "the process that computes it has ended"
            raise InputError(why)
        return found


async def _apart(call: Callable[..., Any], *given: Any) -> Any:
    """Call something that takes a while in a thread."""
    return await asyncio.to_thread(call, *given)


def _json(found: Any, status: int = 200) -> Response:
    # In ASCII: a docstring may hold what UTF-8 cannot write.
    text = json.dumps(found, allow_nan=False)
    return Response(text, status, _NOT_KEPT, "application/json")


async def _body(request: Request) -> dict[str, Any]:
    """Read a JSON object; other sites cannot send one without being asked first."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise InputError("send JSON.")
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _MOST_BODY:
            raise InputError("this is too much at once.")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError("this is no JSON.") from error
    if not isinstance(found, dict):
        raise InputError("send a JSON object.")
    return found


def _rows(value: Any) -> list[int]:
    if isinstance(value, list) and len(value) > _MOST_ROWS:
        raise InputError(
            f"these are {len(value):,} images; choose {_MOST_ROWS:,} at most at a time."
        )
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(row, int) and not isinstance(row, bool) for row in value)
    ):
        raise InputError("rows must be a list of image numbers, at least one.")
    if max(map(abs, value)) >= 2**31:
        raise InputError("there is no such image.")
    return value


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise InputError(f"{text[:20]!r} is not the number of an image.")
    return int(text)
