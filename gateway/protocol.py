"""HTTP/1.1 as uvicorn speaks it, with limits that hostile and slow clients cannot stretch."""

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.problems import CONTENT_TYPE, Problem

HEAD_S = 10.0  # for a request's line and headers
HEAD_BYTES_MAX = 16 * 1024
LINE_BYTES_MAX = 8_000  # of one header
HEADERS_MAX = 100
# What lies around the pieces of a chunked body, and behind it: a few bytes a piece, no more.
FRAME_BYTES_MAX = 16
AROUND_BYTES_MAX = 512 * 1024  # more than comes at once, which may begin with requests before
# What is read and thrown away of a body that was answered early: a client that sends all of it
# before it looks for an answer gets one. More than the longest body that a route takes.
LEFT_BYTES_MAX = 256 * 1024 * 1024
LEFT_S = 30.0
STUCK_MS = 30_000  # after which an answer that the client does not take is given up


class Protocol(HttpToolsProtocol):
    """One connection."""

    connections_max = 20_000

    def connection_made(self, transport: Any) -> None:
        """Begin, unless there are too many."""
        super().connection_made(transport)
        self._answering = _Answering(self)
        self._in_head = False
        self._in_body = False
        self._lingers = False  # answered for the last time, and closed once the body has come
        self._head_bytes = 0
        self._body_bytes = 0  # of the request under way
        self._around_bytes = 0  # what came with them and is no body
        self._piece_bytes = 0  # of any body in what came last, which may hold two requests
        self._timer: asyncio.TimerHandle | None = None
        if len(self.connections) > self.connections_max:
            transport.abort()
            return
        sock = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT") and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_MS)
        self._time(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, if it is not too much."""
        if self.transport.is_closing():
            return
        self._piece_bytes = 0
        was_in_head = self._in_head
        super().data_received(data)
        if self._in_head:
            # What a head began in may hold other requests before it.
            self._head_bytes += len(data) if was_in_head else 0
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse_head()
        elif self._in_body:
            self._around_bytes += len(data) - self._piece_bytes
            if self._around_bytes > AROUND_BYTES_MAX + self._body_bytes * FRAME_BYTES_MAX:
                self.transport.abort()
        if not self._in_body and self._is_untimed():
            self._time(HEAD_S)  # a head that is not whole, or nothing but line ends

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._body_bytes = self._around_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those that follow a body count for nothing."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the answer, unless the head is too long."""
        self._in_head, self._in_body = False, True
        if self.transport.is_closing():
            return
        self._stop_timer()
        lengths = [len(name) + len(value) for name, value in self.headers]
        if (
            sum(lengths) + len(self.url) > HEAD_BYTES_MAX
            or len(lengths) > HEADERS_MAX
            or max(lengths, default=0) > LINE_BYTES_MAX
            or len(self.url) > LINE_BYTES_MAX
        ):
            self._refuse_head()
            return
        super().on_headers_complete()
        if self.cycle is not None:  # no WebSocket
            self.cycle.transport = self._answering  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body_bytes += len(body)
        self._piece_bytes += len(body)
        if self.cycle is None or self.transport.is_closing():
            return
        if not self._lingers and not self.cycle.response_complete:
            super().on_body(body)
        elif self._body_bytes > LEFT_BYTES_MAX:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """End the request."""
        self._in_body = False
        self._stop_timer()
        if self.cycle is None or self.transport.is_closing():
            return
        if self._lingers:
            self.transport.close()
            return
        super().on_message_complete()
        if self.cycle.response_complete:  # the rest of a body that was answered early
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """End the answer; a body that is still coming gets some time to end."""
        if self._lingers:
            self.flow.resume_reading()
        else:
            super().on_response_complete()
        if self._in_body:
            self._time(LEFT_S)

    def close_answered(self) -> None:
        """Close once a body that is still coming has come: sooner, its sender would be reset."""
        self._lingers = self._in_body and self.cycle.response_complete
        if not self._lingers:
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that has nothing to do, or does not take its answer."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(Problem(400, "REQUEST_MALFORMED", msg))

    def _refuse_head(self) -> None:
        if not self.transport.is_closing():
            self._refuse(Problem(431, "HEADERS_TOO_LARGE", "The request's headers are too long."))

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, unless it has begun to, and close."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_started:
            cycle.disconnected = True  # it is not to answer any more
            cycle.message_event.set()
        if cycle is None or cycle.response_complete or (cycle.disconnected and not self.pipeline):
            body = problem.to_json("")
            head = b"content-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(
                STATUS_LINE[problem.status] + head % (CONTENT_TYPE, len(body)) + body
            )
        self.transport.close()

    def _is_untimed(self) -> bool:
        """Whether nothing is being answered, and nothing ends the connection in time."""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and self._timer is None
            and self.timeout_keep_alive_task is None
            and self.transport.get_protocol() is self  # no WebSocket by now
        )

    def _time(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.abort()


class _Answering:
    """The connection's transport as answers have it."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """End the connection, when that does no harm."""
        self._protocol.close_answered()
