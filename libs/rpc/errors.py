"""Failures a caller can act on, as google.rpc.Status, and back again on the calling side."""

from collections.abc import Sequence
from contextlib import suppress

import asyncpg  # type: ignore[import-untyped]
import grpc
import redis.exceptions
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from libs import pg
from libs.blobs import BlobsUnavailable

DOMAIN = "auditron"
STATUS_KEY = "grpc-status-details-bin"
# A client takes 8 KiB of metadata: the status in base64, and once more its message, in percents.
STATUS_BYTES_MAX = 4_000
MESSAGE_BYTES_MAX = 600
Violation = tuple[str, str]  # field path, what is wrong with it

CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Fault(Exception):  # noqa: N818  # the house's word
    """An expected failure the caller can act on. Anything else that escapes is a bug: INTERNAL."""

    code: int = code_pb2.INTERNAL
    reason: str = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
        **metadata: str,
    ) -> None:
        super().__init__(message)
        self.violations = violations
        self.retry_after_s = retry_after_s
        self.metadata = metadata

    def to_status(self) -> status_pb2.Status:
        """Return the status with ErrorInfo, BadRequest, RetryInfo; what does not fit is cut."""
        text = str(self).encode("utf-8", "replace")[:MESSAGE_BYTES_MAX].decode("utf-8", "ignore")
        status = status_pb2.Status(code=self.code, message=text)
        _pack(
            status,
            error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata),
        )
        if self.retry_after_s is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(round(self.retry_after_s * 1_000))
            _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
        if self.violations:
            _pack(status, self._bad_request(STATUS_BYTES_MAX - status.ByteSize()))
        if status.ByteSize() > STATUS_BYTES_MAX:
            del status.details[:]
            _pack(status, error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN))
        return status

    def _bad_request(self, room: int) -> error_details_pb2.BadRequest:
        found = error_details_pb2.BadRequest()
        for field, description in self.violations:
            found.field_violations.add(field=field, description=description)
            if found.ByteSize() > room - 100:  # the Any around it
                del found.field_violations[-1]
                break
        return found


class InvalidArgument(Fault):
    """The request is wrong whatever the state."""

    code, reason = code_pb2.INVALID_ARGUMENT, "INVALID_ARGUMENT"


class MalformedRequest(InvalidArgument):
    """The request's bytes are not the message that the contract names."""

    reason = "MALFORMED_REQUEST"


class RequestIdReused(InvalidArgument):
    """The request id was used before, for another request."""

    reason = "REQUEST_ID_REUSED"


class Unauthenticated(Fault):
    """We do not know who calls."""

    code, reason = code_pb2.UNAUTHENTICATED, "UNAUTHENTICATED"


class PermissionDenied(Fault):
    """We know who calls, and that they may not."""

    code, reason = code_pb2.PERMISSION_DENIED, "PERMISSION_DENIED"


class Unavailable(Fault):
    """Something that we need is down; the same request may succeed later."""

    code, reason = code_pb2.UNAVAILABLE, "UNAVAILABLE"


class ConcurrentChange(Fault):
    """Another transaction changed the same rows first; read again, then try again."""

    code, reason = code_pb2.ABORTED, "CONCURRENT_CHANGE"


class DeadlineExceeded(Fault):
    """The work took longer than the caller waits, or too little time was left to begin it."""

    code, reason = code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"


class StreamIdle(DeadlineExceeded):
    """Neither side sent a message for too long."""

    reason = "STREAM_IDLE"


class OutcomeUnknown(DeadlineExceeded):
    """The work may have been done; as with every deadline, nobody here can tell."""

    reason = "OUTCOME_UNKNOWN"


class Forwarded(Fault):
    """A failure that another service stated about what our caller asked for."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.code = status.code
        self.reason = reason_in(status)
        self.status = status

    def to_status(self) -> status_pb2.Status:
        """Return the other service's status as it came."""
        return self.status


_ABOUT_THE_REQUEST = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


_UNREACHABLE = Unavailable("A store is not reachable.", retry_after_s=1)
_TOO_LONG = DeadlineExceeded("The work took too long.")
_WRONG_VALUE = InvalidArgument("A value of the request is out of range or has a wrong form.")
_FOREIGN: tuple[tuple[type[BaseException], Fault], ...] = (
    (pg.RequestIdReused, RequestIdReused("The request id was used for another request.")),
    (
        pg.InvalidRequestId,
        InvalidArgument("The request id is no UUID.", violations=[("request_id", "no UUID")]),
    ),
    (pg.DatabaseUnavailable, _UNREACHABLE),
    (BlobsUnavailable, _UNREACHABLE),
    (redis.exceptions.TimeoutError, _UNREACHABLE),
    (redis.exceptions.ConnectionError, _UNREACHABLE),
    (pg.CommitUncertain, OutcomeUnknown("It was done or not; repeat it with its request id.")),
    (asyncpg.SerializationError, ConcurrentChange("Another change came first.")),
    (asyncpg.DeadlockDetectedError, ConcurrentChange("Another change came first.")),
    (asyncpg.DataError, _WRONG_VALUE),  # by the server
    (asyncpg.exceptions._base.DataError, _WRONG_VALUE),  # noqa: SLF001  # by the client
    (asyncpg.QueryCanceledError, _TOO_LONG),
    (TimeoutError, _TOO_LONG),
)


def as_fault(error: BaseException) -> Fault | None:
    """Return what the caller may be told about an error that escaped a handler; None: a bug."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        return _of_a_call(error)
    return next((fault for kind, fault in _FOREIGN if isinstance(error, kind)), None)


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Return the status of a failed call, made from code and message if it carried none."""
    trailing = error.trailing_metadata() or ()
    raw = next((value for key, value in trailing if key == STATUS_KEY), None)
    if isinstance(raw, bytes):
        with suppress(message.DecodeError):  # not ours: code and message are still true
            return status_pb2.Status.FromString(raw)
    return status_pb2.Status(code=error.code().value[0], message=error.details() or "")


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the reason that a failed call stated, as "INVOICE_NOT_FOUND"; '' if it stated none."""
    return reason_in(status_of(error))


def reason_in(status: status_pb2.Status) -> str:
    """Return the reason in a status' ErrorInfo; '' if there is none."""
    info = error_details_pb2.ErrorInfo()
    return next((info.reason for detail in status.details if detail.Unpack(info)), "")


def _of_a_call(error: grpc.aio.AioRpcError) -> Fault | None:
    code = error.code()
    if code in _ABOUT_THE_REQUEST:
        return Forwarded(status_of(error))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("Another service took too long.")
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unavailable("Another service is not reachable.", retry_after_s=1)
    return None


def _pack(status: status_pb2.Status, detail: message.Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
