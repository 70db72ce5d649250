"""What happens around a handler: who calls, may they, how long may it take, and how did it end."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError, Message
from opentelemetry.trace import StatusCode

from libs import telemetry
from libs.rpc import deadline, permissions
from libs.rpc.credentials import TLS_VERSION
from libs.rpc.errors import (
    CODES,
    STATUS_KEY,
    DeadlineExceeded,
    Fault,
    MalformedRequest,
    StreamIdle,
    Unauthenticated,
    as_fault,
)
from libs.rpc.identity import Caller, set_caller
from libs.rpc.tokens import TokenMissing

log = logging.getLogger(__name__)

UNARY_S = 2.0  # for a call that names no deadline
UNARY_MAX_S = 10.0  # for one that names a longer one
LEAST_S = 0.005  # with less left there is no use in beginning
IDLE_S = 60.0  # without a message in either direction a stream ends

NOBODY = Caller()
_INTERNAL = Fault("Internal error.")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)

Context = grpc.aio.ServicerContext[Any, Any]


class Verifier(Protocol):
    """Says who a token stands for; see identity.TokenVerifier."""

    async def verify(self, token: str) -> Caller:
        """Return the caller or raise a Fault."""


class InsecureTransport(Unauthenticated):
    """The connection is encrypted with something older than TLS 1.3."""

    reason = "INSECURE_TRANSPORT"


@dataclass(frozen=True)
class Method:
    """One RPC of a contract, and the handler that answers it."""

    service: str  # who serves it: "invoice"
    name: str  # "InvoiceService/GetInvoice"
    permission: str
    parse: Callable[[bytes], Message]
    handler: Callable[[Any, Context], Any]
    streams_in: bool
    streams_out: bool


class Calls:
    """Answers the calls of one method."""

    def __init__(self, method: Method, verifier: Verifier, *, secure: bool) -> None:
        self.method = method
        self._verifier = verifier
        self._secure = secure
        labels = (method.service, method.name)
        self._seconds = telemetry.metrics.RPC_SECONDS.labels(*labels)
        self._answered = telemetry.metrics.RPC_REQUESTS.labels(*labels, "OK")

    async def answer(self, incoming: Any, context: Context) -> bytes | None:
        """Answer one call: bytes in, bytes out, every failure as a status."""
        begun = time.perf_counter()
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        who = await self._identify(metadata, context)
        named = NOBODY if isinstance(who, Exception) else who
        with (
            telemetry.bind(
                request_id=_request_id(metadata),
                organization_id=named.organization_id,
                user_id=named.user_id,
            ),
            telemetry.remote_span(self.method.name, metadata.get("traceparent", "")) as span,
        ):
            try:
                answer = await self._perform(incoming, context, who)
            except asyncio.CancelledError:
                self._observe(begun, _end_of_waiting(context))
                raise
            except Exception as error:  # noqa: BLE001  # the one place that answers for bugs
                fault = self._explain(error)
                span.set_status(StatusCode.ERROR, fault.reason)
                self._observe(begun, CODES[fault.code].name, fault.reason)
            else:
                self._observe(begun)
                return answer
        status = fault.to_status()
        details = ((STATUS_KEY, status.SerializeToString()),)
        return await context.abort(CODES[status.code], status.message, details)

    async def _identify(self, metadata: dict[str, Any], context: Context) -> Caller | Exception:
        """Return who calls, or what speaks against the call before its handler is asked."""
        try:
            if self._secure:
                _check_transport(context)
            left = context.time_remaining()
            if left is not None and left < LEAST_S:
                return DeadlineExceeded("Too little time is left.")
            if self.method.permission == permissions.PUBLIC:
                return NOBODY
            kind, _, token = metadata.get("authorization", "").partition(" ")
            if kind.lower() != "bearer":
                return TokenMissing("This call needs a bearer token.")
            return await self._verifier.verify(token)
        except Exception as error:  # noqa: BLE001  # told once the request's ids are bound
            return error

    async def _perform(
        self, incoming: Any, context: Context, who: Caller | Exception
    ) -> bytes | None:
        method = self.method
        if isinstance(who, Exception):
            raise who
        if who is not NOBODY:
            permissions.check(who, method.permission)
        # Whatever was set where the server was started would be seen here otherwise.
        set_caller(None if who is NOBODY else who)
        left = context.time_remaining()
        if method.streams_in or method.streams_out:
            deadline.set_remaining(left)
            return await _stream(method, incoming, context)
        left = UNARY_S if left is None else min(left, UNARY_MAX_S)
        deadline.set_remaining(left)
        request = _parse(method, incoming)
        async with asyncio.timeout(left):
            return _bytes(await method.handler(request, context))

    def _explain(self, error: Exception) -> Fault:
        fault = as_fault(error)
        if fault is None:
            log.error("call failed", exc_info=error, extra={"method": self.method.name})
            return _INTERNAL
        if not isinstance(error, Fault):
            log.warning("call not possible", exc_info=error, extra={"method": self.method.name})
        return fault

    def _observe(self, begun: float, code: str = "OK", reason: str = "") -> None:
        seconds = time.perf_counter() - begun
        self._seconds.observe(seconds)
        method = self.method
        if code == "OK":
            self._answered.inc()
        else:
            telemetry.metrics.RPC_REQUESTS.labels(method.service, method.name, code).inc()
        level = logging.DEBUG if code == "OK" else logging.INFO
        if log.isEnabledFor(level):
            fields = {"method": method.name, "code": code, "reason": reason}
            log.log(level, "call", extra=fields | {"duration_ms": round(seconds * 1_000, 3)})


async def _stream(method: Method, incoming: Any, context: Context) -> bytes | None:
    try:
        async with asyncio.timeout(IDLE_S) as idle:
            request = (
                _messages(method, incoming, idle) if method.streams_in else _parse(method, incoming)
            )
            if not method.streams_out:
                return _bytes(await method.handler(request, context))
            async with aclosing(method.handler(request, context)) as answers:
                async for answer in answers:
                    await context.write(answer.SerializeToString())
                    _rearm(idle)
    except TimeoutError:
        if idle.expired():
            raise StreamIdle("No message came for too long.") from None
        raise
    return None


async def _messages(
    method: Method, incoming: AsyncIterator[bytes], idle: asyncio.Timeout
) -> AsyncIterator[Message]:
    async for data in incoming:
        _rearm(idle)
        yield _parse(method, data)
    # When the caller is gone the stream just ends, and the cancellation comes with the next wait:
    # without one here, half a file would be taken for the whole.
    await asyncio.sleep(0)


def _rearm(idle: asyncio.Timeout) -> None:
    if not idle.expired():
        idle.reschedule(asyncio.get_running_loop().time() + IDLE_S)


def _parse(method: Method, data: bytes) -> Message:
    try:
        return method.parse(data)
    except DecodeError:
        raise MalformedRequest("The request is not the message that the contract names.") from None


def _bytes(answer: Message) -> bytes:
    return answer.SerializeToString()


def _check_transport(context: Context) -> None:
    if context.auth_context().get("ssl_tls_version") != [TLS_VERSION]:
        raise InsecureTransport("TLS 1.3 is needed.")


def _end_of_waiting(context: Context) -> str:
    left = context.time_remaining()
    return "CANCELLED" if left is None or left > 0 else "DEADLINE_EXCEEDED"


def _request_id(metadata: dict[str, Any]) -> str:
    given = metadata.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
