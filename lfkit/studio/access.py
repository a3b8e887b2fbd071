"""Who may see the studio: this machine, whoever has the token.

A page of another site that the user has open can send requests to this port too: its
requests carry another Origin, and after DNS rebinding another Host.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request, cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FRAME_PREFIX = "/t/"
_BROWSER = "lfkit-studio-browser"  # the same for all studios: it opens nothing
_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?")
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self' http://127.0.0.1:* http://localhost:*"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def browser_of(request: Request) -> str:
    """Tell browsers apart by a cookie; "" for frames in notebooks, which have none."""
    return request.cookies.get(_BROWSER, "")[:64]


class Access:
    """Lets requests through that come from the studio's own pages.

    Parameters
    ----------
    token : a random text; in the URL of the first visit, then in a cookie. A frame in a
        notebook, which no cookie reaches, has it in the path: /t/TOKEN/functions.
    port : where the page is served.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        self._app, self._token = app, token
        self.cookie = f"lfkit-studio-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                held = [*message.get("headers", [])]
                names = {name.lower() for name, _ in held}
                held += [
                    (name.lower().encode(), value.encode())
                    for name, value in _HEADERS.items()
                    if name.lower().encode() not in names
                ]
                message = {**message, "headers": held}
            await send(message)

        headers = _headers(scope)
        refusal = self._refusal(headers)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        inner = self._without_prefix(scope)
        if inner is None and self._has_cookie(headers):
            inner = scope
        if inner is not None:
            await self._app(inner, receive, send_with_headers)
            return
        answer = self._first_visit(scope, headers)
        await answer(scope, receive, send_with_headers)

    def _refusal(self, headers: Mapping[str, str]) -> Response | None:
        host = headers.get("host", "").lower()
        # Whatever the port: a tunnel may end at another one. After DNS rebinding it is
        # the name that differs.
        if _HOST.fullmatch(host) is None:
            return PlainTextResponse("This is not the address of the studio.", 403)
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse("Another site has sent this request.", 403)
        if headers.get("sec-fetch-site", "same-origin") == "cross-site" and (
            headers.get("sec-fetch-mode") != "navigate"
        ):
            return PlainTextResponse("Another site has sent this request.", 403)
        return None

    def _without_prefix(self, scope: Scope) -> Scope | None:
        """Take /t/TOKEN from the path, if the token is right."""
        path: str = scope["path"]
        if not path.startswith(_FRAME_PREFIX):
            return None
        token, slash, rest = path.removeprefix(_FRAME_PREFIX).partition("/")
        if not slash or not self._is_token(token):
            return None
        inner = "/" + rest
        return {**scope, "path": inner, "raw_path": inner.encode(), "root_path": ""}

    def _has_cookie(self, headers: Mapping[str, str]) -> bool:
        # Those of all servers of this machine are in it, of any form.
        given = cookie_parser(headers.get("cookie", "")).get(self.cookie)
        return given is not None and self._is_token(given)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(
            text.encode("utf-8", "replace"), self._token.encode()
        )

    def _first_visit(self, scope: Scope, headers: Mapping[str, str]) -> Response:
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
        given = next((value for name, value in query if name == "token"), None)
        if given is None or not self._is_token(given) or scope["method"] != "GET":
            return PlainTextResponse(
                "This page needs the address that `lfkit studio` has printed, with its "
                "token.",
                403,
            )
        rest = [(name, value) for name, value in query if name != "token"]
        # A path that begins with two slashes would be another host's address.
        path = "/" + scope["path"].lstrip("/")
        answer = RedirectResponse(path + ("?" + urlencode(rest) if rest else ""), 303)
        values = {self.cookie: self._token}
        if _BROWSER not in cookie_parser(headers.get("cookie", "")):
            values[_BROWSER] = secrets.token_hex(8)
        for name, value in values.items():
            answer.set_cookie(name, value, httponly=True, samesite="strict", path="/")
        return answer


def _headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in scope["headers"]
    }
