from typing import Any

import pytest
from auditron.invoice.v1 import invoice_pb2

from gateway.binding import Binding
from gateway.problems import Problem
from gateway.routes import Router, contracts, routes_of

ROUTER = Router(routes_of(contracts()))
KEY = "0192f0c0-0000-7000-8000-00000000000a"


def binding(verb: str, path: str) -> Binding:
    return Binding(ROUTER.find(verb, path)[0])


def update(body: bytes, query: Any = (), path: str = "i1") -> Any:
    return binding("PATCH", "/v1/invoices/i1").request([path], query, body, "")


def violations(call: Any) -> list[tuple[str, str]]:
    with pytest.raises(Problem) as caught:
        call()
    assert caught.value.status == 400
    return list(caught.value.violations)


def test_the_path_and_the_body_make_the_request() -> None:
    request = binding("POST", "/v1/invoices/i1:reject").request(["i1"], (), b'{"reason": "x"}', "")
    assert request == invoice_pb2.RejectInvoiceRequest(invoice_id="i1", reason="x")


def test_an_empty_body_is_an_empty_object() -> None:
    for body in (b"", b"  \n"):
        request = binding("POST", "/v1/invoices/i1:approve").request(["i1"], (), body, "")
        assert request == invoice_pb2.ApproveInvoiceRequest(invoice_id="i1")


def test_where_the_body_is_all_a_query_is_refused() -> None:
    approve = binding("POST", "/v1/invoices/i1:approve")
    found = violations(lambda: approve.request(["i1"], [("etag", "1")], b"{}", ""))
    assert found == [("etag", "no such parameter")]


def test_a_body_may_not_contradict_the_path() -> None:
    request = update(b'{"invoice_id": "i1", "order_reference": "x"}')
    assert request.invoice.invoice_id == "i1"
    found = violations(lambda: update(b'{"invoice_id": "i2"}'))
    assert found == [("invoice.invoice_id", "differs from the path")]


def test_an_absent_mask_is_the_fields_sent() -> None:
    request = update(b'{"order_reference": "", "gross": {"amount": "1"}, "lines": null}')
    assert list(request.update_mask.paths) == ["order_reference", "gross", "lines"]


def test_what_only_the_server_sets_is_not_meant_to_change() -> None:
    body = b'{"invoice_id": "i1", "etag": "3", "state": 2, "create_time": null, "due_date": null}'
    request = update(body)
    assert list(request.update_mask.paths) == ["due_date"]
    assert request.invoice.etag == "3"


def test_a_mask_that_is_given_stands() -> None:
    request = update(b'{"order_reference": "x"}', [("update_mask", "lines,supplier.iban")])
    assert list(request.update_mask.paths) == ["lines", "supplier.iban"]
    found = violations(lambda: update(b"{}", [("update_mask", "a b")]))
    assert found[0][0] == "update_mask"


def test_wrong_fields_of_the_body_are_named_with_their_place() -> None:
    found = violations(lambda: update(b'{"nothing": 1, "lines": [{"unit": 1}]}'))
    assert found == [
        ("invoice.nothing", "no such field"),
        ("invoice.lines.0.unit", "must be text"),
    ]
    assert violations(lambda: update(b"[]")) == [("invoice", "must be an object")]


def test_nul_in_a_path_is_refused() -> None:
    get = binding("GET", "/v1/invoices/x")
    found = violations(lambda: get.request(["a\0"], (), None, ""))
    assert found == [("invoice_id", "must not hold the character NUL")]


def test_an_idempotency_key_becomes_the_request_id() -> None:
    create = binding("POST", "/v1/invoices")
    assert create.request([], (), b"{}", KEY).request_id == KEY
    assert create.request([], (), b"{}", KEY.upper()).request_id == KEY
    other = create.request([], (), b"{}", "order 66".replace(" ", "-")).request_id
    assert other == create.request([], (), b"{}", "order-66").request_id
    assert len(other) == 36
    assert other != create.request([], (), b"{}", "order-67").request_id


def test_an_idempotency_key_may_not_contradict_the_body() -> None:
    approve = binding("POST", "/v1/invoices/i1:approve")
    body = b'{"request_id": "%s"}' % KEY.encode()
    assert approve.request(["i1"], (), body, KEY).request_id == KEY
    found = violations(lambda: approve.request(["i1"], (), body, "other"))
    assert found == [("request_id", "differs from the header Idempotency-Key")]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é"])
def test_a_wrong_idempotency_key_is_refused_and_none_is_none(key: str) -> None:
    create = binding("POST", "/v1/invoices")
    if not key:
        assert not create.request([], (), b"{}", key).request_id
        return
    with pytest.raises(Problem) as caught:
        create.request([], (), b"{}", key)
    assert caught.value.reason == "IDEMPOTENCY_KEY_INVALID"


def test_a_key_for_what_only_reads_changes_nothing() -> None:
    request = binding("GET", "/v1/invoices/x").request(["x"], (), None, "a b")
    assert request == invoice_pb2.GetInvoiceRequest(invoice_id="x")


@pytest.mark.parametrize(
    ("verb", "path", "values"),
    [("PATCH", "/v1/invoices/i1", ["i1"]), ("DELETE", "/v1/members/u1", ["u1"]),
     ("POST", "/v1/login", []), ("POST", "/v1/stripe/webhook", [])],
)  # fmt: skip
def test_where_no_answer_is_kept_a_key_must_still_be_one(
    verb: str, path: str, values: list[str]
) -> None:
    found = binding(verb, path)

    def request(key: str) -> Any:
        if found.route.raw_field:
            return found.raw_request(values, (), b"{}", "application/json", key)
        return found.request(values, (), b"{}" if found.route.body else None, key)

    assert request(KEY) == request("")
    with pytest.raises(Problem) as caught:
        request("a b")
    assert caught.value.reason == "IDEMPOTENCY_KEY_INVALID"


def test_a_key_is_refused_where_a_repeated_post_would_be_done_again() -> None:
    change = binding("POST", "/v1/users/me:change_password")
    assert change.request([], (), b"{}", "") is not None
    for found in (
        lambda: change.request([], (), b"{}", KEY),
        lambda: binding("POST", "/v1/users/me/picture").header([], (), KEY),
    ):
        with pytest.raises(Problem) as caught:
            found()
        assert (caught.value.status, caught.value.reason) == (400, "IDEMPOTENCY_KEY_UNSUPPORTED")


def test_a_raw_body_goes_in_as_it_came() -> None:
    webhook = binding("POST", "/v1/stripe/webhook")
    request = webhook.raw_request([], (), b"\xff{", "application/json", "")
    assert (request.payload.data, request.payload.content_type) == (b"\xff{", "application/json")


def test_an_uploads_header_is_made_of_path_query_and_form() -> None:
    upload = binding("POST", "/v1/bank_accounts/b1/statements:import")
    header = upload.header(["b1"], [("filename", "x.csv")], KEY)
    assert (header.bank_account_id, header.filename, header.request_id) == ("b1", "x.csv", KEY)
    found = violations(lambda: upload.header(["b1"], [("bank_account_id", "b2")], ""))
    assert found == [("bank_account_id", "no such parameter")]
