"""Failures as clients see them: RFC 9457 problem details, each with its HTTP status."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import grpc
import orjson
from google.rpc import error_details_pb2

from libs.rpc import as_fault, status_of
from libs.rpc.errors import DOMAIN, Violation

log = logging.getLogger(__name__)

CONTENT_TYPE = b"application/problem+json"
# gRPC code → HTTP status, as google/rpc/code.proto pairs them; what is absent is our mistake: 500.
_HTTP = {
    code.value[0]: (status, code.name)
    for code, status in {
        grpc.StatusCode.CANCELLED: 499,
        grpc.StatusCode.INVALID_ARGUMENT: 400,
        grpc.StatusCode.DEADLINE_EXCEEDED: 504,
        grpc.StatusCode.NOT_FOUND: 404,
        grpc.StatusCode.ALREADY_EXISTS: 409,
        grpc.StatusCode.PERMISSION_DENIED: 403,
        grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
        grpc.StatusCode.FAILED_PRECONDITION: 400,
        grpc.StatusCode.ABORTED: 409,
        grpc.StatusCode.OUT_OF_RANGE: 400,
        grpc.StatusCode.UNIMPLEMENTED: 501,
        grpc.StatusCode.UNAVAILABLE: 503,
        grpc.StatusCode.UNAUTHENTICATED: 401,
    }.items()
}
# What may be said of a failure that none of our services explained: gRPC's words name addresses.
_UNEXPLAINED = {
    "UNAVAILABLE": "The service is not reachable.",
    "DEADLINE_EXCEEDED": "The service took too long.",
    "RESOURCE_EXHAUSTED": "The service has too much to do.",
    "CANCELLED": "The request was cancelled.",
}
_REFUSED = "The service refused the request."


class Problem(Exception):  # noqa: N818  # RFC 9457's word
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.metadata = metadata or {}
        self.violations = violations
        self.retry_after_s = retry_after_s
        self.headers = list(headers)
        if retry_after_s is not None:
            self.headers.append((b"retry-after", b"%d" % max(1, round(retry_after_s + 0.5))))
        if status == HTTPStatus.UNAUTHORIZED:
            self.headers.append((b"www-authenticate", b"Bearer"))

    def fields(self, request_id: str) -> dict[str, Any]:
        """Return the members of the problem document."""
        found: dict[str, Any] = {
            "type": f"urn:auditron:problem:{self.reason.lower().replace('_', '-')}",
            "title": _title(self.status),
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "request_id": request_id,
        }
        if self.metadata:
            found["metadata"] = dict(self.metadata)
        if self.violations:
            found["violations"] = [
                {"field": field, "description": description}
                for field, description in self.violations
            ]
        return found

    def to_json(self, request_id: str) -> bytes:
        """Return the problem document."""
        return orjson.dumps(self.fields(request_id))


def invalid(violations: Sequence[Violation]) -> Problem:
    """Return the problem of a request whose fields are wrong."""
    field, description = violations[0]
    return Problem(400, "INVALID_ARGUMENT", f"{field}: {description}", violations=violations)


def of_error(error: Exception) -> Problem:
    """Return what the client is told of an error; a bug is logged, and nothing of it is told."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        return _of_status(status_of(error))
    fault = as_fault(error)
    if fault is None:
        log.error("request failed", exc_info=error)
        return Problem(500, "INTERNAL", "Internal error.")
    return _of_status(fault.to_status())


def _of_status(status: Any) -> Problem:
    http, name = _HTTP.get(status.code, (500, "INTERNAL"))
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after_s = None
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(bad)
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1_000
    if http == HTTPStatus.INTERNAL_SERVER_ERROR:
        return Problem(500, "INTERNAL", "Internal error.")
    if info.domain != DOMAIN:
        again = 1 if http == HTTPStatus.SERVICE_UNAVAILABLE else None
        return Problem(http, name, _UNEXPLAINED.get(name, _REFUSED), retry_after_s=again)
    return Problem(
        http,
        info.reason,
        status.message,
        metadata=dict(info.metadata),
        violations=[(found.field, found.description) for found in bad.field_violations],
        retry_after_s=retry_after_s,
    )


def _title(status: int) -> str:
    # 499 is the only one that HTTPStatus does not know.
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase
