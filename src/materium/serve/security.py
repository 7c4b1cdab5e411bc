"""Who may ask: the address that was called, the site that a browser comes from, the token; and how much may come.

A page of another site must not reach this server through the browser of its user. It cannot ask under its own name
(CORS stays closed, and `Origin` is looked at), nor under a name that suddenly points here (`Host` is looked at).
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response

from materium.serve.errors import ApiError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from materium.serve.limits import Limits

COOKIE = "materium_token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_DIGITS = 18
"""Of a length; Python reads no integer of 5,000 digits."""
OPEN_PATHS = ("/static/",)
"""The page's files, which hold nothing but the page; `/` is open too, since it is where a token is brought."""


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Parameters
    ----------
    token
        What every request for the API must bring; None where only this machine can ask.
    hosts
        Names under which the server may be called, besides those of this machine and, where there is a token, plain
        addresses: those cannot be made to point elsewhere.
    """

    token: str | None = None
    hosts: frozenset[str] = frozenset()

    def knows_host(self, host: str) -> bool:
        """Return whether the server may be called so."""
        name = _name(host)
        return name in LOCAL or name in self.hosts or (self.token is not None and _is_address(name))

    def accepts(self, given: str) -> bool:
        """Return whether this is the token, in a time that tells nothing of it."""
        return self.token is None or secrets.compare_digest(given.encode(), self.token.encode())


class Guard:
    """The outermost layer: refuses before anything is read, bounds what is read, and adds the headers."""

    def __init__(self, app: ASGIApp, access: Access, limits: Limits) -> None:
        self.app, self.access, self.limits = app, access, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        guarded = _with_headers(send)
        answer: Response | None
        body = None
        try:
            answer = self._answer(scope)
            if answer is None:
                body = await _whole_body(receive, self.limits)
        except ApiError as error:
            answer = JSONResponse(error.content(), error.status_code, error.headers)
        if answer is not None:
            await answer(scope, receive, guarded)
        elif body is not None:
            await self.app(scope, _replayed(body, receive), guarded)

    def _answer(self, scope: Scope) -> Response | None:
        """What is said without asking the application, if anything; raises `ApiError`."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self.access.knows_host(host):
            raise ApiError("host", "this server is not called so; use the address that it printed")
        origin = headers.get("origin")
        if origin is not None and _site(origin) != host:
            raise ApiError("origin", "requests from pages of other sites are refused")
        if headers.get("sec-fetch-site") == "cross-site" and scope["path"] != "/":
            raise ApiError("origin", "requests from pages of other sites are refused")
        _check_length(headers.get("content-length"), self.limits.body_bytes)
        return self._without_token(scope, headers)

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        if self.access.token is None:
            return None
        if scope["path"] == "/":
            return self._entrance(scope["query_string"].decode("latin-1"))
        if not scope["path"].startswith(OPEN_PATHS) and not self.access.accepts(_token_of(headers)):
            message = "a token is needed: open the address that materium serve printed, or send Authorization: Bearer"
            raise ApiError("unauthorized", message)
        return None

    def _entrance(self, query: str) -> Response | None:
        """A token in the address becomes a cookie, so that it does not stay where it can be seen."""
        given = parse_qs(query).get("token")
        if given is None:
            return None
        if not self.access.accepts(given[0]):
            raise ApiError("unauthorized", "the token is wrong; open the address that materium serve printed")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, given[0], httponly=True, samesite="strict")
        return answer


def _name(host: str) -> str:
    """The host without its port and without the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def _site(origin: str) -> str | None:
    """The host and port of an origin; None for what is no address, such as `http://[`."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _token_of(headers: Headers) -> str:
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return given.strip()
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _check_length(length: str | None, most: int) -> None:
    if length is not None and (not length.isdecimal() or len(length) > MAX_DIGITS or int(length) > most):
        raise ApiError("too_large", f"the body has {length[:MAX_DIGITS]} bytes; at most {most} are taken")


async def _whole_body(receive: Receive, limits: Limits) -> bytes | None:
    """Return the body of a request, or None if the client has gone; a length that was announced is not believed.

    It is read before anybody looks at the request, so that time and size hold for the whole of it, and a refusal meets
    no answer that has begun.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if len(body) > limits.body_bytes:
                    raise ApiError("too_large", f"the body has more than {limits.body_bytes} bytes")
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError as error:
        raise ApiError("timeout", f"the request did not arrive within {limits.body_seconds:g} seconds") from error


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give on the body that was read, then whatever comes."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def take() -> Message:
        return left.pop() if left else await receive()

    return take


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sent
