"""A lean HTTP/1.1 client for load: one request at a time on each kept connection."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

REQUEST_S = 10.0


@dataclass
class Sample:
    """What a run saw: seconds of each answer, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def fail(self, what: str) -> None:
        """Count a failure."""
        self.errors[what] = self.errors.get(what, 0) + 1


class Connection(asyncio.Protocol):
    """Sends prepared bytes and waits for the whole answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, _: Exception | None) -> None:
        self.closed = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed by the server"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Httptools calls it at the end of an answer."""
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        if self._answer and not self._answer.done():
            self._answer.set_result(status)

    async def request(self, raw: bytes) -> int:
        """The status of the answer. ConnectionError, TimeoutError."""
        assert self._transport is not None, "connected before it is used"
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await asyncio.wait_for(self._answer, REQUEST_S)

    def close(self) -> None:
        """Let the connection go."""
        if self._transport:
            self._transport.close()


def request_bytes(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A whole request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method in ("POST", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def connect(port: int) -> Connection:
    """A new connection to the gateway."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


async def closed_loop(
    port: int, make: Callable[[], bytes], wanted: int, connections: int, seconds: float
) -> Sample:
    """Each connection asks again as soon as it has its answer."""
    sample, until = Sample(), time.perf_counter() + seconds

    async def ask_on() -> None:
        connection = await connect(port)
        while time.perf_counter() < until:
            if connection.closed:
                connection = await connect(port)
            await _ask(connection, make(), wanted, sample, time.perf_counter())
        connection.close()

    await asyncio.gather(*(ask_on() for _ in range(connections)))
    return sample


async def open_loop(
    port: int, make: Callable[[], bytes], wanted: int, rate: float, seconds: float
) -> Sample:
    """Requests start at their times, whether or not others have been answered.

    The time counts from when a request should have started, so that a server that stalls is not
    spared what would have come meanwhile (coordinated omission).
    """
    sample, idle = Sample(), deque[Connection]()
    begun, count = time.perf_counter(), int(rate * seconds)
    running: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        try:
            connection = idle.pop() if idle else await connect(port)
            if connection.closed:
                connection = await connect(port)
            await _ask(connection, make(), wanted, sample, due)
        except OSError as error:
            sample.fail(type(error).__name__)
        else:
            idle.append(connection)

    for number in range(count):
        due = begun + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(due))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running)
    for connection in idle:
        connection.close()
    return sample


async def _ask(
    connection: Connection, raw: bytes, wanted: int, sample: Sample, begun: float
) -> None:
    try:
        status = await connection.request(raw)
    except (ConnectionError, TimeoutError) as error:
        sample.fail(type(error).__name__)
        connection.close()
        return
    if status == wanted:
        sample.seconds.append(time.perf_counter() - begun)
    else:
        sample.fail(str(status))
