"""One HTTP request and its answer: headers, client, body within limits, what goes back."""

import asyncio
import ipaddress
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from gateway.problems import CONTENT_TYPE, Problem
from gateway.settings import Network, Settings
from libs.rpc import Caller

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"
BODY_S = 10.0  # for a whole body that is kept in memory
IDLE_S = 30.0  # between two pieces of a stream, in either direction
BYTES_PER_S_MIN = 1_024  # of an upload, on average; a slower one holds its place for nothing
QUERY_FIELDS_MAX = 100

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}", re.ASCII)
# A second one of these could mean something else to whoever stands before or behind us.
_ONCE = (b"authorization", b"x-api-key", b"content-type", b"idempotency-key", b"host")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


class Disconnected(Exception):  # noqa: N818  # says what happened
    """The client has gone; nobody is left to answer."""


class Exchange:
    """A request and the way to answer it."""

    __slots__ = (
        "_kind",
        "_receive",
        "_scope",
        "_send",
        "cache_control",
        "client_ip",
        "extra",
        "headers",
        "limits",
        "method",
        "path",
        "request_id",
        "route",
        "started",
        "status",
        "who",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        is_websocket = scope["type"] == "websocket"  # which may be refused as HTTP is
        self._kind = "websocket.http.response" if is_websocket else "http.response"
        self.method: str = scope.get("method", "GET")  # a WebSocket's handshake is a GET
        self.path: str = scope["raw_path"].decode("latin-1")
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = (
            given.decode() if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        )
        self.client_ip = client_address(scope, settings.trusted_proxies)
        self.extra: list[Header] = []  # of the answer, whatever it will be
        self.limits: list[Header] = []  # what the last limit that was asked says
        self.cache_control = b"no-store"
        self.route = ""  # its template, for metrics
        self.who: Caller | None = None
        self.started = False
        self.status = 0

    def check_headers(self) -> None:
        """Raise Problem for a header that stands twice and must not."""
        names = [name for name, _ in self._scope["headers"]]
        if len(names) == len(self.headers):
            return
        for name in _ONCE:
            if names.count(name) > 1:
                raise Problem(400, "HEADER_REPEATED", f"The header {name.decode()} stands twice.")

    def header(self, name: bytes) -> str:
        """Return a header as text, '' if it is absent."""
        return self.headers.get(name, b"").decode("latin-1")

    def user_agent(self) -> str:
        """Return who the client says it is, in at most 200 printable characters."""
        return _UNPRINTABLE.sub("?", self.header(b"user-agent")[:200]).strip()

    def content_type(self) -> str:
        """Return the media type of the body without its parameters, in lower case."""
        return self.header(b"content-type").partition(";")[0].strip().lower()

    def query(self) -> list[tuple[str, str]]:
        """Return the query's names and values. Raises Problem if it is no UTF-8 or too long."""
        raw = self._scope["query_string"]
        if not raw:
            return []
        try:
            return parse_qsl(
                raw.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=QUERY_FIELDS_MAX,
            )
        except ValueError:
            raise Problem(
                400, "QUERY_MALFORMED", "The query is not URL-encoded UTF-8, or too long."
            ) from None

    def check_length(self, limit: int) -> None:
        """Raise Problem if the body says itself that it is longer."""
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > limit:
            raise too_large(limit)

    async def body(self, limit: int) -> bytes:
        """Return the whole body. Raises Problem if it is too long or too slow, Disconnected."""
        self.check_length(limit)
        found = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                async for piece in self._pieces():
                    found += piece
                    if len(found) > limit:
                        raise too_large(limit)
        except TimeoutError:
            raise _too_slow() from None
        return bytes(found)

    async def stream(self, limit: int) -> AsyncIterator[bytes]:
        """Give the body piece by piece, each when asked for. Raises as `body` does."""
        self.check_length(limit)
        waited, received = 0.0, 0
        pieces = self._pieces()
        while True:
            asked = time.monotonic()
            try:
                async with asyncio.timeout(IDLE_S):
                    piece = await anext(pieces, None)
            except TimeoutError:
                raise _too_slow() from None
            if piece is None:
                return
            received += len(piece)
            waited += time.monotonic() - asked
            if received > limit:
                raise too_large(limit)
            if waited > IDLE_S and received < waited * BYTES_PER_S_MIN:
                raise _too_slow()
            yield piece

    async def _pieces(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise Disconnected
            more = event.get("more_body", False)
            if piece := event.get("body"):
                yield piece

    async def gone(self) -> None:
        """Return when the client has gone, or has our whole answer."""
        while (await self._receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
            pass

    async def answer(
        self,
        status: int,
        body: bytes,
        content_type: bytes = JSON,
        headers: Sequence[Header] = (),
    ) -> None:
        """Send an answer whole."""
        if body:
            length = (b"content-length", b"%d" % len(body))
            await self.start(status, content_type, [length, *headers])
        else:  # 204 and 304 have none
            await self.start(status, b"", headers)
        await self._send({"type": f"{self._kind}.body", "body": body})

    async def start(self, status: int, content_type: bytes, headers: Sequence[Header]) -> None:
        """Send status and headers; pieces follow. The content type is absent where it is empty."""
        self.started = True
        self.status = status
        sent = [
            (b"cache-control", self.cache_control),
            (b"x-request-id", self.request_id.encode()),
            *headers,
            *self.limits,
            *self.extra,
        ]
        if content_type:
            sent.append((b"content-type", content_type))
        await self._send({"type": f"{self._kind}.start", "status": status, "headers": sent})

    async def piece(self, data: bytes, *, more: bool = True) -> None:
        """Send a piece of the body once there is room. Raises Disconnected for a stuck reader."""
        try:
            async with asyncio.timeout(IDLE_S):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            raise Disconnected from None

    async def refuse(self, problem: Problem) -> None:
        """Answer with a problem."""
        await self.answer(
            problem.status, problem.to_json(self.request_id), CONTENT_TYPE, problem.headers
        )


def too_large(limit: int) -> Problem:
    """Return the problem of a body that is longer than the route takes."""
    return Problem(413, "BODY_TOO_LARGE", f"The body may have at most {limit} bytes.")


def _too_slow() -> Problem:
    return Problem(408, "BODY_TOO_SLOW", "The body came too slowly.")


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """Return the client's address; what proxies say of it counts only if they are trusted."""
    peer = scope["client"]
    address = peer[0] if peer else ""
    if not trusted or not _is_in(address, trusted):
        return address
    forwarded = b",".join(
        value for name, value in scope["headers"] if name == b"x-forwarded-for"
    ).decode("latin-1")
    for hop in reversed(forwarded.split(",")):
        candidate = hop.strip()
        try:
            ipaddress.ip_address(candidate)
        except ValueError:
            return address
        address = candidate
        if not _is_in(address, trusted):
            return address
    return address


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)
