"""Faults as statuses and back."""

from typing import Any

import asyncpg
import grpc
import pytest
from asyncpg.exceptions import _base
from google.rpc import code_pb2, error_details_pb2, status_pb2
from redis.exceptions import ConnectionError as RedisConnectionError

from libs import pg
from libs.blobs import BlobsUnavailable
from libs.rpc import Fault, InvalidArgument, as_fault, reason_of, status_of
from libs.rpc.errors import STATUS_BYTES_MAX, STATUS_KEY


class InvoiceNotFound(Fault):
    code, reason = code_pb2.NOT_FOUND, "INVOICE_NOT_FOUND"


def rpc_error(*metadata: tuple[str, Any], code: Any = grpc.StatusCode.NOT_FOUND) -> Any:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), "gone")


def test_a_fault_is_a_status_with_its_reason() -> None:
    status = InvoiceNotFound("No such invoice.", invoice_id="7").to_status()
    assert (status.code, status.message) == (5, "No such invoice.")
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("INVOICE_NOT_FOUND", "auditron")
    assert dict(info.metadata) == {"invoice_id": "7"}


def test_however_much_a_fault_says_its_status_fits_into_a_header() -> None:
    for fault in (
        InvalidArgument("x", violations=[(f"lines[{n}]", "is wrong") for n in range(10_000)]),
        InvalidArgument("x", violations=[("a", "x" * 100_000)]),
        InvalidArgument("x" * 100_000),
        InvalidArgument("€" * 100_000),
        InvalidArgument("x", name="x" * 100_000),
    ):
        status = fault.to_status()
        assert status.ByteSize() <= STATUS_BYTES_MAX
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert info.reason == "INVALID_ARGUMENT"


def test_as_many_violations_as_fit_are_told() -> None:
    status = InvalidArgument("x", violations=[("f", "d")] * 10_000).to_status()
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    assert 300 < len(bad.field_violations) < 1_000


def test_a_failed_call_tells_its_status_and_reason() -> None:
    sent = InvoiceNotFound("No such invoice.").to_status()
    error = rpc_error((STATUS_KEY, sent.SerializeToString()))
    assert status_of(error) == sent
    assert reason_of(error) == "INVOICE_NOT_FOUND"


@pytest.mark.parametrize("metadata", [[], [(STATUS_KEY, b"\xff\xff")], [("other-bin", b"x")]])
def test_a_failed_call_without_details_tells_code_and_message(metadata: list[Any]) -> None:
    error = rpc_error(*metadata)
    assert status_of(error) == status_pb2.Status(code=5, message="gone")
    assert reason_of(error) == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (pg.DatabaseUnavailable("x"), code_pb2.UNAVAILABLE),
        (BlobsUnavailable("x"), code_pb2.UNAVAILABLE),
        (RedisConnectionError("x"), code_pb2.UNAVAILABLE),
        (asyncpg.SerializationError("x"), code_pb2.ABORTED),
        (asyncpg.DeadlockDetectedError("x"), code_pb2.ABORTED),
        (asyncpg.NumericValueOutOfRangeError("x"), code_pb2.INVALID_ARGUMENT),
        (asyncpg.CharacterNotInRepertoireError("x"), code_pb2.INVALID_ARGUMENT),
        (_base.DataError("invalid input"), code_pb2.INVALID_ARGUMENT),
        (asyncpg.QueryCanceledError("x"), code_pb2.DEADLINE_EXCEEDED),
    ],
)
def test_an_error_of_a_store_is_told_as_what_it_is_without_its_words(
    error: Exception, code: int
) -> None:
    fault = as_fault(error)
    assert fault is not None
    assert fault.code == code
    assert str(error) not in str(fault.to_status().message).split()


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("x"),
        AssertionError(),
        asyncpg.UniqueViolationError("x"),
        asyncpg.UndefinedTableError("x"),
        asyncpg.InterfaceError("x"),
    ],
)
def test_a_bug_is_no_fault(error: Exception) -> None:
    assert as_fault(error) is None
