import random
from typing import Any

import orjson
import pytest
from auditron.agent.v1 import agent_pb2
from auditron.invoice.v1 import invoice_pb2
from google.rpc import error_details_pb2

from gateway.decoding import VIOLATIONS_MAX, fill, from_text, parse_json, text_fields
from gateway.encoding import to_json
from gateway.problems import Problem
from gateway.tests import messages
from gateway.tests.messages import Kinds


def wrong_in(given: Any, message: Any = None) -> list[tuple[str, str]]:
    wrong: list[tuple[str, str]] = []
    fill(message or invoice_pb2.Invoice(), given, "", wrong)
    return wrong


def read(body: bytes, kind: Any) -> Any:
    message, wrong = kind(), []
    fill(message, parse_json(body), "", wrong)
    assert not wrong
    return message


@pytest.mark.parametrize("descriptor", messages.types(), ids=lambda found: found.full_name)
def test_what_we_write_we_read_again(descriptor: Any) -> None:
    dice = random.Random(descriptor.full_name)
    for _ in range(20):
        message = messages.random_message(descriptor, dice)
        if b"@type" in to_json(message) or "999" in str(message) or "inf" in str(message):
            continue  # Any, unknown enum values and infinite numbers are not taken
        assert read(to_json(message), type(message)) == message


def test_maps_structs_wrappers_and_durations_are_read() -> None:
    body = {
        "by_text": {"a": "1"},
        "by_flag": {},
        "by_number": {"7": 3},
        "tree": {"a": [1, None]},
        "note": "n",
        "span": "-1.5s",
        "bytes": "-_8",
        "inner": {"inner": {"many_bool": [True, False]}},
    }
    found = read(orjson.dumps(body), Kinds)
    assert (found.by_text["a"], found.by_number[7], found.note.value) == (1, 3, "n")
    assert found.bytes == b"\xfb\xff"
    assert found.span.ToJsonString() == "-1.500s"
    assert list(found.inner.inner.many_bool) == [True, False]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "line 1, column 2"),
        (b"", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} x', "not JSON"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'"\xff"', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "stands twice"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b"9" * 5_000, "a number that is too long"),
        (b'"\x01"', "not JSON"),
    ],
)
def test_what_is_not_plain_json_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_json(body)
    assert caught.value.reason == "BODY_MALFORMED"
    assert says in caught.value.detail


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ([], "body", "must be an object"),
        ("x", "body", "must be an object"),
        ({"invoiceId": "x"}, "invoiceId", "no such field"),
        ({"x" * 1_000: 1}, "x" * 100, "no such field"),
        ({"invoice_id": 3}, "invoice_id", "must be text"),
        ({"invoice_id": True}, "invoice_id", "must be text"),
        ({"invoice_id": "a\0b"}, "invoice_id", "must not hold the character NUL"),
        ({"invoice_id": "\ud800"}, "invoice_id", "must be valid Unicode text"),
        ({"state": "PAID"}, "state", "must be one of INVOICE_STATE_UNSPECIFIED"),
        ({"state": 77}, "state", "must be one of"),
        ({"state": 1.0}, "state", "must be one of"),
        ({"supplier": []}, "supplier", "must be an object"),
        ({"supplier": {"tax_ids": "x"}}, "supplier.tax_ids", "must be a list"),
        ({"supplier": {"tax_ids": ["x", None]}}, "supplier.tax_ids.1", "must be text"),
        ({"lines": {}}, "lines", "must be a list"),
        ({"lines": [{}, {"unit": 1}]}, "lines.1.unit", "must be text"),
        ({"lines": [None]}, "lines.0", "must be an object"),
        ({"gross": {"amount": 1.5}}, "gross.amount", "must be text"),
        ({"issue_date": "2026-02-30"}, "issue_date", "must be a day"),
        ({"issue_date": "20260101"}, "issue_date", "must be a day"),
        ({"issue_date": {"year": 2026, "era": 1}}, "issue_date.era", "no such field"),
        ({"issue_date": {"year": 2**31}}, "issue_date.year", "must be from"),
        ({"issue_date": 5}, "issue_date", "must be an object"),
        ({"create_time": "2026-01-01"}, "create_time", "must be a time"),
        ({"create_time": "2026-13-01T00:00:00Z"}, "create_time", "must be a time"),
        ({"create_time": 5}, "create_time", "must be a time"),
        ({"document": {"size_bytes": "1.5"}}, "document.size_bytes", "must be an integer"),
        ({"document": {"size_bytes": str(2**63)}}, "document.size_bytes", "must be from"),
        ({"readings": [{"confidence": "x"}]}, "readings.0.confidence", "must be a number"),
        ({"readings": [{"confidence": 1e999}]}, "readings.0.confidence", "must be a number"),
        ({"readings": [{"confidence": 10**400}]}, "readings.0.confidence", "must be a number"),
        ({"readings": [{"box": [1, "2", True]}]}, "readings.0.box.2", "must be a number"),
    ],
)
def test_a_wrong_value_is_named(given: Any, field: str, says: str) -> None:
    [(at, description)] = wrong_in(given)
    assert at == field
    assert says in description


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"bytes": "***"}, "bytes", "must be base64"),
        ({"bytes": 1}, "bytes", "must be base64"),
        ({"bool": "true"}, "bool", "must be true or false"),
        ({"bool": 1}, "bool", "must be true or false"),
        ({"uint32": -1}, "uint32", "must be from 0"),
        ({"span": "1"}, "span", "must be a duration"),
        ({"note": 5}, "note", "has the wrong form"),
        ({"by_text": []}, "by_text", "must be an object"),
        ({"by_text": {"a": "x"}}, "by_text.a", "must be an integer"),
        ({"by_number": {"x": 1}}, "by_number.x", "must be an integer"),
    ],
)
def test_a_wrong_value_of_a_seldom_kind_is_named(given: Any, field: str, says: str) -> None:
    [(at, description)] = wrong_in(given, Kinds())
    assert at == field
    assert says in description


def test_no_two_members_of_a_oneof_are_taken() -> None:
    request = invoice_pb2.UploadInvoiceRequest()
    assert wrong_in({"header": {}, "chunk": "AA=="}, request) == [("chunk", "excludes header")]


def test_a_payload_of_any_type_is_not_taken() -> None:
    assert wrong_in({"failure": {"details": [{"@type": "x"}]}}, agent_pb2.Job()) == [
        ("failure.details.0", "cannot be given")
    ]


def test_many_wrong_fields_are_named_but_not_without_end() -> None:
    assert len(wrong_in({f"x{number}": 1 for number in range(1_000)})) == VIOLATIONS_MAX
    assert [at for at, _ in wrong_in({"a": 1, "lines": [{"b": 1}]})] == ["a", "lines.0.b"]


def test_null_is_absent() -> None:
    invoice = invoice_pb2.Invoice()
    assert not wrong_in({"supplier": None, "lines": None, "state": None}, invoice)
    assert invoice == invoice_pb2.Invoice()


def texts(*pairs: tuple[str, str]) -> tuple[Any, list[tuple[str, str]]]:
    request, wrong = invoice_pb2.ListInvoicesRequest(), []
    fields = text_fields(request.DESCRIPTOR)
    fill(request, from_text(fields, pairs, wrong), "", wrong)
    return request, wrong


def test_a_query_fills_lists_enums_numbers_and_dates() -> None:
    request, wrong = texts(
        ("states", "INVOICE_STATE_PAID"),
        ("states", "2"),
        ("page_size", "10"),
        ("start_date", "2026-01-31"),
        ("end_date.year", "2026"),
        ("end_date.month", "2"),
        ("query", "Müller & Söhne"),
    )
    assert not wrong
    assert request == invoice_pb2.ListInvoicesRequest(
        states=[6, 2],
        page_size=10,
        start_date={"year": 2026, "month": 1, "day": 31},
        end_date={"year": 2026, "month": 2},
        query="Müller & Söhne",
    )


@pytest.mark.parametrize(
    ("pairs", "field", "says"),
    [
        ([("nothing", "1")], "nothing", "no such parameter"),
        ([("start_date.era", "1")], "start_date.era", "no such parameter"),
        ([("page_size", "1"), ("page_size", "1")], "page_size", "given more than once"),
        ([("start_date", "2026-01-01"), ("start_date.year", "1")], "start_date.year", "in parts"),
        ([("start_date.year", "1"), ("start_date", "2026-01-01")], "start_date", "more than once"),
        ([("page_size", "ten")], "page_size", "must be an integer"),
        ([("page_size", "1e2")], "page_size", "must be an integer"),
        ([("states", "PAID")], "states.0", "must be one of"),
        ([("query", "a\0")], "query", "NUL"),
        ([("start_date.year", "x")], "start_date.year", "must be an integer"),
    ],
)
def test_a_wrong_parameter_is_named(pairs: Any, field: str, says: str) -> None:
    _, [(at, description)] = texts(*pairs)
    assert at == field
    assert says in description


def test_a_flag_in_a_query_is_true_or_false() -> None:
    for text, expected in (("true", True), ("false", False)):
        found = from_text(text_fields(Kinds.DESCRIPTOR), [("bool", text)], [])
        assert found == {"bool": expected}
    message, wrong = Kinds(), []
    fill(message, from_text(text_fields(Kinds.DESCRIPTOR), [("bool", "1")], wrong), "", wrong)
    assert wrong == [("bool", "must be true or false")]


def test_a_message_that_holds_its_own_type_is_described_to_a_depth() -> None:
    names = text_fields(Kinds.DESCRIPTOR)
    assert "inner.inner.bool" in names
    assert max(name.count(".") for name in names) < 5
    assert "many_bool" in names
    assert "by_text" not in names
    assert "details" not in text_fields(error_details_pb2.ErrorInfo.DESCRIPTOR)
