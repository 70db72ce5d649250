"""Answers that go on: files, and messages by SSE or WebSocket."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import orjson
from prometheus_client import Gauge

from gateway.asgi import Disconnected, Exchange, Header, Send
from gateway.encoding import to_json
from gateway.identity import Identity
from gateway.problems import Problem, of_error
from libs.rpc import Caller, reason_of

READ_S = 65.0  # between two messages of a service; its own limit is 60 s
BEAT_S = 15.0  # so often a stream says that it lives, and the token is looked at
PATIENCE_S = 1.0  # for a stream's first message or failure before the answer begins
SEND_S = 30.0  # a reader that is stuck for so long is given up

_STREAMS = Gauge("auditron_gateway_streams", "Streams of messages and events that are open.")
# A file name of 255 characters, of which each may be four bytes and a byte "%F0", fits in.
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,4000}")
_DOWNLOAD_HEADERS: Sequence[Header] = (
    # Whatever is in the file, it must not run as a page of ours.
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"same-site"),
)
_CLOSE = {401: 4401, 403: 4403, 404: 4404, 429: 4429, 503: 1012}  # HTTP status → WebSocket code


async def download(exchange: Exchange, call: Any) -> None:
    """Send what a call streams as one file. Raises AioRpcError before and after its beginning."""
    gone = asyncio.ensure_future(exchange.gone())
    gone.add_done_callback(lambda _: call.cancel())
    try:
        message = await _read(call)
        said = {str(key): str(value) for key, value in await call.initial_metadata() or ()}
        await exchange.start(200, _content_type(message), _download_headers(said))
        while message is not grpc.aio.EOF:
            await exchange.piece(message.data)
            message = await _read(call)
        await exchange.piece(b"", more=False)
    except asyncio.CancelledError:
        if gone.done() and not gone.cancelled():
            raise Disconnected from None
        raise
    finally:
        gone.cancel()
        call.cancel()


async def _read(call: Any) -> Any:
    try:
        async with asyncio.timeout(READ_S):
            return await call.read()
    except TimeoutError:
        raise Problem(504, "DEADLINE_EXCEEDED", "The service took too long.") from None


def _content_type(message: Any) -> bytes:
    found = getattr(message, "content_type", "")
    return found.encode() if _PRINTABLE.fullmatch(found) else b"application/octet-stream"


def _download_headers(said: dict[str, str]) -> list[Header]:
    # gRPC keeps "content-length" for itself.
    disposition = said.get("content-disposition", "")
    disposition = disposition if _PRINTABLE.fullmatch(disposition) else "attachment"
    found = [*_DOWNLOAD_HEADERS, (b"content-disposition", disposition.encode())]
    if (length := said.get("x-content-length", "")).isdecimal():
        found.append((b"content-length", length.encode()))
    return found


@dataclass(frozen=True, slots=True)
class Item:
    """One message of a stream; data is JSON."""

    id: str
    event: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Beat:
    """Nothing to tell; whoever comes back goes on after this id."""

    id: str


class Sink(Protocol):
    """Where a stream's messages go."""

    async def open(self) -> None:
        """Begin the answer."""

    async def send(self, item: Item) -> None:
        """Send one message."""

    async def beat(self, last_id: str) -> None:
        """Say that the stream lives."""

    async def end(self, problem: Problem | None, request_id: str) -> None:
        """Say how it ended and close."""


class Sse:
    """Server-sent events over HTTP."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def open(self) -> None:
        """Send the headers."""
        headers = [(b"x-accel-buffering", b"no")]
        await self._exchange.start(200, b"text/event-stream", headers)

    async def send(self, item: Item) -> None:
        """Send one event."""
        await self._exchange.piece(
            b"id: %s\nevent: %s\ndata: %s\n\n" % (item.id.encode(), item.event.encode(), item.data)
        )

    async def beat(self, last_id: str) -> None:
        """Send a comment, and the id to come back with."""
        await self._exchange.piece(b"id: %s\n:\n\n" % last_id.encode() if last_id else b":\n\n")

    async def end(self, problem: Problem | None, request_id: str) -> None:
        """Send the event `error` with a problem, or `end`: there will be no more."""
        event, data = (b"error", problem.to_json(request_id)) if problem else (b"end", b"{}")
        await self._exchange.piece(b"event: %s\ndata: %s\n\n" % (event, data), more=False)


class WebSocket:
    """JSON messages {"id", "event", "data"} over a WebSocket."""

    def __init__(self, exchange: Exchange, send: Send, subprotocol: str | None) -> None:
        self._exchange = exchange
        self._send = send
        self._subprotocol = subprotocol

    async def open(self) -> None:
        """Accept the handshake."""
        self._exchange.started = True
        self._exchange.status = 101
        await self._put({"type": "websocket.accept", "subprotocol": self._subprotocol})

    async def send(self, item: Item) -> None:
        """Send one message."""
        head = orjson.dumps({"id": item.id, "event": item.event})
        await self._put({"type": "websocket.send", "text": _joined(head, item.data)})

    async def beat(self, last_id: str) -> None:
        """Send the id to come back with; the server's own pings say that the stream lives."""
        text = orjson.dumps({"id": last_id, "event": "beat"}).decode()
        await self._put({"type": "websocket.send", "text": text})

    async def end(self, problem: Problem | None, request_id: str) -> None:
        """Send the message `error` or `end`, and close with a code that tells them apart."""
        head = orjson.dumps({"id": "", "event": "error" if problem else "end"})
        data = problem.to_json(request_id) if problem else b"{}"
        await self._put({"type": "websocket.send", "text": _joined(head, data)})
        code = _CLOSE.get(problem.status, 1011) if problem else 1000
        reason = problem.reason if problem else ""
        await self._put({"type": "websocket.close", "code": code, "reason": reason})

    async def _put(self, event: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                await self._send(event)
        except (TimeoutError, OSError):
            raise Disconnected from None


def _joined(head: bytes, data: bytes) -> str:
    return f'{head[:-1].decode()},"data":{data.decode()}}}'


async def messages(call_again: Callable[[], Any], name: str) -> AsyncGenerator[Item | Beat]:
    """Give the messages of a call; one that was idle for too long is made again."""
    last, number = b"", 0
    while True:
        call = call_again()
        try:
            async for message in call:
                data = to_json(message)
                if data != last:
                    number += 1
                    yield Item(str(number), name, data)
                last = data
        except grpc.aio.AioRpcError as error:
            if reason_of(error) != "STREAM_IDLE":
                raise
        else:
            return
        finally:
            call.cancel()


class Streams:
    """Keeps streams going until they end, the client goes, the token ends, or we do."""

    def __init__(self, identity: Identity, connections_max: int) -> None:
        self._identity = identity
        self._connections_max = connections_max  # of one organization
        self._connections: Counter[str] = Counter()
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(
        self, exchange: Exchange, sink: Sink, items: AsyncGenerator[Item | Beat], who: Caller | None
    ) -> None:
        """Send every item. What fails before the answer has begun is raised."""
        organization_id = who.organization_id if who else ""
        if self._connections[organization_id] >= self._connections_max:
            detail = f"An organization has at most {self._connections_max} streams here."
            raise Problem(429, "TOO_MANY_STREAMS", detail, retry_after_s=10)
        self._connections[organization_id] += 1
        _STREAMS.inc()
        gone = asyncio.ensure_future(exchange.gone())
        coming = _Coming(items)
        try:
            await coming.wait(PATIENCE_S, gone)
            coming.raise_failure()
            await sink.open()
            try:
                await self._send_all(sink, coming, gone, who)
                problem = None
            except Exception as error:  # noqa: BLE001  # told to the client, who is reading
                problem = of_error(error)
            if not gone.done():
                await sink.end(problem, exchange.request_id)
        except Disconnected:
            pass
        finally:
            _STREAMS.dec()
            self._connections[organization_id] -= 1
            self._connections += Counter()  # forgets who has none
            gone.cancel()
            await coming.close()

    async def _send_all(
        self, sink: Sink, coming: "_Coming", gone: "asyncio.Future[None]", who: Caller | None
    ) -> None:
        last_id = ""
        beat_at = time.monotonic() + BEAT_S
        while not gone.done():
            if self.closing.done():
                raise Problem(503, "GATEWAY_ENDING", "Connect again.", retry_after_s=1)
            if time.monotonic() >= beat_at:
                if who:
                    await self._identity.check(who)
                await sink.beat(last_id)
                beat_at = time.monotonic() + BEAT_S
            await coming.wait(beat_at - time.monotonic(), gone, self.closing)
            if not coming.ready:
                continue
            item = coming.take()
            if item is None:
                return
            if isinstance(item, Item):
                await sink.send(item)
            elif not last_id:
                await sink.beat(item.id)
            last_id = item.id


class _Coming:
    """The next item of a generator, waited for without ending the generator."""

    def __init__(self, items: AsyncGenerator[Item | Beat]) -> None:
        self._items = items
        self._next = asyncio.ensure_future(self._ask())

    @property
    def ready(self) -> bool:
        return self._next.done()

    async def _ask(self) -> Item | Beat | None:
        return await anext(self._items, None)

    async def wait(self, timeout_s: float, *others: "asyncio.Future[None]") -> None:
        waited: list[asyncio.Future[Any]] = [self._next, *others]
        await asyncio.wait(waited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    def raise_failure(self) -> None:
        if self._next.done():
            self._next.result()

    def take(self) -> Item | Beat | None:
        """Return the item, None at the end, and ask for the next. Raises what the items raise."""
        found = self._next.result()
        if found is not None:
            self._next = asyncio.ensure_future(self._ask())
        return found

    async def close(self) -> None:
        self._next.cancel()
        await asyncio.wait((self._next,))
        if not self._next.cancelled():
            self._next.exception()  # seen, whether or not it was told
        await self._items.aclose()
