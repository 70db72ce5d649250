import asyncio
import ipaddress
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from auditron.billing.v1 import billing_pb2
from auditron.invoice.v1 import invoice_pb2
from google.protobuf.empty_pb2 import Empty
from google.rpc import code_pb2
from prometheus_client import generate_latest

from gateway.backends import UNARY_S
from gateway.tests.conftest import (
    PASSWORD,
    Person,
    World,
    answers,
    fails,
    running_gateway,
)
from libs.rpc import Fault, ciphers

ROOT = Path(__file__).resolve().parents[2]
KEY = "0192f0c0-0000-7000-8000-00000000000a"


class InvoiceNotFound(Fault):
    code, reason = code_pb2.NOT_FOUND, "INVOICE_NOT_FOUND"


class EtagMismatch(Fault):
    code, reason = code_pb2.ABORTED, "ETAG_MISMATCH"


class NotInReview(Fault):
    code, reason = code_pb2.FAILED_PRECONDITION, "INVOICE_NOT_IN_REVIEW"


class LimitReached(Fault):
    code, reason = code_pb2.RESOURCE_EXHAUSTED, "DOCUMENT_LIMIT_REACHED"


def reason_in(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"urn:auditron:problem:{problem['reason'].lower().replace('_', '-')}"
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem["reason"]


async def test_a_get_reaches_the_rpc_and_its_answer_comes_back(world: World, person: Person):
    found = invoice_pb2.Invoice(invoice_id="i1", state=2, document={"size_bytes": 5})
    world.services["invoice"].on["GetInvoice"] = answers(found)
    answer = await world.http.get("/v1/invoices/i1", headers=person.headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "invoice_id": "i1",
        "state": "INVOICE_STATE_IN_REVIEW",
        "document": {"size_bytes": "5"},
    }
    assert world.services["invoice"].seen == [invoice_pb2.GetInvoiceRequest(invoice_id="i1")]


async def test_head_answers_as_get_without_a_body(world: World, person: Person):
    world.services["invoice"].on["GetInvoice"] = answers(invoice_pb2.Invoice(invoice_id="i1"))
    answer = await world.http.head("/v1/invoices/i1", headers=person.headers)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_query_fills_the_request(world: World, person: Person):
    world.services["invoice"].on["ListInvoices"] = answers(invoice_pb2.ListInvoicesResponse())
    query = (
        "page_size=2&states=INVOICE_STATE_PAID&states=1&start_date=2026-01-31&query=M%C3%BCller+x"
    )
    answer = await world.http.get(f"/v1/invoices?{query}", headers=person.headers)
    assert answer.json() == {}
    [request] = world.services["invoice"].seen
    assert request == invoice_pb2.ListInvoicesRequest(
        page_size=2,
        states=[6, 1],
        start_date={"year": 2026, "month": 1, "day": 31},
        query="Müller x",
    )


@pytest.mark.parametrize(
    "query", ["x=%ff", "&".join(f"a{number}=1" for number in range(101)), "x=%00", "x=1"]
)
async def test_a_wrong_query_is_refused(world: World, person: Person, query: str):
    answer = await world.http.get(f"/v1/invoices?{query}", headers=person.headers)
    assert answer.status_code == 400
    assert reason_in(answer) in ("QUERY_MALFORMED", "INVALID_ARGUMENT")


async def test_a_post_and_a_patch_carry_their_body(world: World, person: Person):
    service = world.services["invoice"]
    service.on["CreateInvoice"] = answers(invoice_pb2.Invoice(invoice_id="i1"))
    service.on["UpdateInvoice"] = answers(invoice_pb2.Invoice(invoice_id="i1"))
    body = {"invoice_number": "R1", "lines": [{"description": "a"}]}
    headers = person.headers | {"Idempotency-Key": KEY}
    answer = await world.http.post("/v1/invoices", json=body, headers=headers)
    assert answer.status_code == 200
    answer = await world.http.patch("/v1/invoices/i1", json=body, headers=person.headers)
    assert answer.status_code == 200
    created, updated = service.seen
    assert (created.request_id, created.invoice.invoice_number) == (KEY, "R1")
    assert updated.invoice.invoice_id == "i1"
    assert list(updated.update_mask.paths) == ["invoice_number", "lines"]


async def test_an_empty_answer_is_an_empty_object(world: World, person: Person):
    other = await world.sign_up()
    answer = await world.http.post("/v1/logout", headers=other.headers)
    assert (answer.status_code, answer.json()) == (200, {})


async def test_what_goes_with_a_call_says_who_asks_and_from_where(world: World, person: Person):
    service = world.services["invoice"]
    service.on["GetInvoice"] = answers(invoice_pb2.Invoice())
    headers = person.headers | {"X-Request-Id": "req-1", "User-Agent": "mine/1 \u00e9"}
    answer = await world.http.get(
        "/v1/invoices/i1", headers={k: v.encode() for k, v in headers.items()}
    )
    assert answer.headers["x-request-id"] == "req-1"
    assert service.metadata["x-request-id"] == "req-1"
    assert service.metadata["x-client-ip"] == "127.0.0.1"
    assert service.metadata["x-user-agent"] == "mine/1 ??"
    assert service.metadata["authorization"] == person.headers["Authorization"]
    answer = await world.http.get(
        "/v1/invoices/i1", headers=person.headers | {"X-Request-Id": "a b"}
    )
    assert answer.headers["x-request-id"] != "a b"
    assert len(answer.headers["x-request-id"]) == 32


async def test_a_deadline_goes_with_every_call(world: World, person: Person):
    left: list[float] = []

    async def slow(_: Any, context: Any) -> Any:
        left.append(context.time_remaining())
        await asyncio.sleep(60)

    world.services["invoice"].on["GetInvoice"] = slow
    answer = await world.http.get("/v1/invoices/i1", headers=person.headers, timeout=30)
    assert (answer.status_code, reason_in(answer)) == (504, "DEADLINE_EXCEEDED")
    assert 0 < left[0] < UNARY_S + 1  # gRPC rounds it up


async def test_a_failure_keeps_its_reason_metadata_and_violations(world: World, person: Person):
    fault = InvoiceNotFound(
        "No such invoice.", violations=[("invoice_id", "unknown")], invoice_id="i1"
    )
    world.services["invoice"].on["GetInvoice"] = fails(fault)
    answer = await world.http.get("/v1/invoices/i1", headers=person.headers)
    assert answer.status_code == 404
    assert answer.json() == {
        "type": "urn:auditron:problem:invoice-not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "No such invoice.",
        "reason": "INVOICE_NOT_FOUND",
        "request_id": answer.headers["x-request-id"],
        "metadata": {"invoice_id": "i1"},
        "violations": [{"field": "invoice_id", "description": "unknown"}],
    }


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (EtagMismatch("Changed."), 409),
        (NotInReview("Not now."), 400),
        (LimitReached("Enough.", retry_after_s=90), 429),
    ],
)
async def test_codes_are_those_of_google_rpc(
    world: World, person: Person, fault: Fault, status: int
):
    world.services["invoice"].on["GetInvoice"] = fails(fault)
    answer = await world.http.get("/v1/invoices/i1", headers=person.headers)
    assert (answer.status_code, reason_in(answer)) == (status, fault.reason)
    if fault.retry_after_s:
        assert int(answer.headers["retry-after"]) >= fault.retry_after_s


async def test_a_bug_tells_nothing_of_itself(world: World, person: Person):
    world.services["invoice"].on["GetInvoice"] = fails(RuntimeError("secret /etc/passwd"))
    answer = await world.http.get("/v1/invoices/i1", headers=person.headers)
    assert (answer.status_code, reason_in(answer)) == (500, "INTERNAL")
    assert answer.json()["detail"] == "Internal error."


async def test_an_rpc_that_a_service_does_not_know_is_501(world: World, person: Person):
    answer = await world.http.get("/v1/invoices/i1", headers=person.headers)
    assert (answer.status_code, reason_in(answer)) == (501, "UNIMPLEMENTED")


async def test_a_service_that_is_down_is_503_and_names_no_address(
    world: World, person: Person, stores
):
    env = world.env | {"INVOICE_ADDRESS": "127.0.0.1:1"}
    async with running_gateway(env) as (_, url), httpx.AsyncClient(base_url=url) as http:
        answer = await http.get("/v1/invoices/i1", headers=person.headers)
        assert (answer.status_code, reason_in(answer)) == (503, "UNAVAILABLE")
        assert answer.headers["retry-after"]
        assert "127.0.0.1" not in answer.text
        ready = await http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["services"]["invoice"] is False
        assert (await http.get("/healthz")).status_code == 200


async def test_a_service_without_an_address_is_said_to_be_absent(world: World, person: Person):
    env = {name: value for name, value in world.env.items() if name != "AGENT_ADDRESS"}
    async with running_gateway(env) as (_, url), httpx.AsyncClient(base_url=url) as http:
        answer = await http.get("/v1/jobs/j1", headers=person.headers)
        assert (answer.status_code, reason_in(answer)) == (503, "SERVICE_NOT_SET_UP")


async def test_reads_are_retried_and_other_calls_are_not(world: World, person: Person):
    class Down(Fault):
        code, reason = code_pb2.UNAVAILABLE, "UNAVAILABLE"

    service = world.services["invoice"]
    service.on["GetInvoice"] = service.on["CreateInvoice"] = fails(Down("Down."))
    answer = await world.http.get("/v1/invoices/i1", headers=person.headers)
    assert (answer.status_code, len(service.seen)) == (503, 3)
    answer = await world.http.post("/v1/invoices", json={}, headers=person.headers)
    assert (answer.status_code, len(service.seen)) == (503, 4)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "TOKEN_MISSING"),
        ({"Authorization": "Basic YTpi"}, "TOKEN_MISSING"),
        ({"Authorization": "Bearer"}, "TOKEN_MISSING"),
        ({"Authorization": "Bearer x"}, "TOKEN_INVALID"),
        ({"Authorization": f"Bearer {'a' * 9000}"}, "HEADERS_TOO_LARGE"),
        ({"Authorization": "Bearer aud_live_x"}, "API_KEY_INVALID"),
        ({"X-Api-Key": f"aud_live_{'0' * 32}_{'0' * 72}"}, "API_KEY_INVALID"),
    ],
)
async def test_who_does_not_say_who_they_are_is_refused(
    world: World, headers: dict[str, str], reason: str
):
    answer = await world.http.get("/v1/invoices/i1", headers=headers)
    if reason == "HEADERS_TOO_LARGE":
        assert answer.status_code == 431
        return
    assert (answer.status_code, reason_in(answer)) == (401, reason)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert not world.services["invoice"].seen


async def test_a_token_is_asked_for_before_the_body_is_read(world: World):
    answer = await world.http.post("/v1/invoices", content=b"{nonsense")
    assert answer.status_code == 401


async def test_a_header_that_stands_twice_is_refused(world: World, person: Person):
    both = [*person.headers.items(), ("Authorization", "Bearer other")]
    answer = await world.http.get("/v1/invoices/i1", headers=both)
    assert (answer.status_code, reason_in(answer)) == (400, "HEADER_REPEATED")


async def test_an_api_key_may_what_it_was_made_for(world: World, person: Person):
    service = world.services["invoice"]
    service.on["GetInvoice"] = answers(invoice_pb2.Invoice(invoice_id="i1"))
    key = (await world.api_key(person, "invoices.read"))["key"]
    for headers in ({"X-Api-Key": key}, {"Authorization": f"Bearer {key}"}):
        answer = await world.http.get("/v1/invoices/i1", headers=headers)
        assert answer.status_code == 200
        answer = await world.http.post("/v1/invoices", json={}, headers=headers)
        assert (answer.status_code, reason_in(answer)) == (403, "PERMISSION_DENIED")
    assert not service.metadata["authorization"].startswith("Bearer aud_")


async def test_a_key_is_exchanged_once_and_ends_with_its_revocation(world: World, person: Person):
    world.services["invoice"].on["GetInvoice"] = answers(invoice_pb2.Invoice(invoice_id="i1"))
    made = await world.api_key(person, "invoices.read")
    headers = {"X-Api-Key": made["key"]}
    asked = world.app._auth.ExchangeApiKey
    calls: list[Any] = []

    async def counted(request: Any) -> Any:
        calls.append(request)
        return await asked(request)

    world.app._auth.ExchangeApiKey = counted
    found = await asyncio.gather(
        *(world.http.get("/v1/invoices/i1", headers=headers) for _ in range(20))
    )
    assert {answer.status_code for answer in found} == {200}
    assert len(calls) == 1
    path = f"/v1/api_keys/{made['api_key_id']}"
    assert (await world.http.delete(path, headers=person.headers)).status_code == 200
    await asyncio.sleep(2.1)  # so long a session is believed to stand
    for _ in range(3):
        answer = await world.http.get("/v1/invoices/i1", headers=headers)
        assert (answer.status_code, reason_in(answer)) == (401, "API_KEY_INVALID")
    assert len(calls) == 2
    world.app._auth.ExchangeApiKey = asked


async def test_a_session_that_was_ended_is_over(world: World):
    person = await world.sign_up()
    assert (await world.http.get("/v1/users/me", headers=person.headers)).status_code == 200
    assert (await world.http.post("/v1/logout", headers=person.headers)).status_code == 200
    await asyncio.sleep(2.1)
    answer = await world.http.get("/v1/users/me", headers=person.headers)
    assert (answer.status_code, reason_in(answer)) == (401, "TOKEN_REVOKED")


async def test_a_user_goes_through_login_profile_and_refresh(world: World):
    person = await world.sign_up()
    body = {"email": person.email, "password": PASSWORD}
    logged_in = (await world.http.post("/v1/login", json=body)).json()
    assert logged_in["role"] == "ROLE_OWNER"
    headers = {"Authorization": f"Bearer {logged_in['access_token']}"}
    me = (await world.http.get("/v1/users/me", headers=headers)).json()
    change = {"display_name": "Zoë", "etag": me["etag"]}
    changed = await world.http.patch("/v1/users/me", json=change, headers=headers)
    assert changed.json()["display_name"] == "Zoë"
    again = await world.http.patch("/v1/users/me", json=change, headers=headers)
    assert (again.status_code, reason_in(again)) == (409, "ETAG_MISMATCH")
    refresh = {"refresh_token": logged_in["refresh_token"]}
    assert (await world.http.post("/v1/tokens:refresh", json=refresh)).status_code == 200
    wrong = await world.http.post("/v1/login", json=body | {"password": "wrong password"})
    assert (wrong.status_code, reason_in(wrong)) == (401, "WRONG_CREDENTIALS")


async def test_the_signing_keys_are_where_clients_look_for_them(world: World):
    for path in ("/v1/jwks", "/.well-known/jwks.json"):
        answer = await world.http.get(path)
        assert answer.json()["keys"][0]["kty"] == "EC"
        assert answer.headers["cache-control"] == "public, max-age=300"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        (b"{", "application/json", 400, "BODY_MALFORMED"),
        (b"\xff", "application/json", 400, "BODY_MALFORMED"),
        (b"[" * 200_000, "application/json", 400, "BODY_MALFORMED"),
        (b'{"email": "a", "email": "b"}', "application/json; charset=utf-8", 400, "BODY_MALFORMED"),
        (b'{"email": "a"}', "text/plain", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (b'{"email": "a"}', "", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (b"email=a", "application/x-www-form-urlencoded", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (b"[]", "application/json", 400, "INVALID_ARGUMENT"),
        (b'"x"', "application/json", 400, "INVALID_ARGUMENT"),
        (b'{"email": "a\\u0000"}', "application/json", 400, "INVALID_ARGUMENT"),
        (b'{"email": {"$gt": ""}}', "application/json", 400, "INVALID_ARGUMENT"),
        (b'{"__proto__": {}}', "application/json", 400, "INVALID_ARGUMENT"),
        (b" " * 1_000_001, "application/json", 413, "BODY_TOO_LARGE"),
    ],
)
async def test_a_wrong_body_is_refused_with_what_is_wrong(
    world: World, body: bytes, content_type: str, status: int, reason: str
):
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await world.http.post("/v1/login", content=body, headers=headers)
    assert (answer.status_code, reason_in(answer)) == (status, reason)


async def test_wrong_fields_are_all_named(world: World):
    body = {"email": 5, "nothing": 1, "password": "x"}
    answer = await world.http.post("/v1/login", json=body)
    assert answer.json()["violations"] == [
        {"field": "email", "description": "must be text"},
        {"field": "nothing", "description": "no such field"},
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/v1/../../etc/passwd", 404),
        ("GET", "/v1/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/docs/../app.py", 404),
        ("GET", "/docs/%2e%2e/app.py", 404),
        ("GET", "/auditron.invoice.v1.InvoiceService/RecordReading", 404),
        ("DELETE", "/v1/invoices", 405),
        ("POST", "/v1/events", 405),
        ("POST", "/healthz", 405),
        ("TRACE", "/v1/invoices", 405),
        ("PROPFIND", "/v1/invoices", 405),
    ],
)
async def test_what_is_not_there_is_said_not_to_be(
    world: World, method: str, path: str, status: int
):
    url = httpx.URL(world.url, raw_path=path.encode())
    answer = await world.http.request(method, url)
    assert answer.status_code == status
    assert reason_in(answer) in ("ROUTE_NOT_FOUND", "METHOD_NOT_ALLOWED")
    assert status == 404 or answer.headers["allow"]


async def test_only_signatures_go_with_a_raw_body(world: World):
    service = world.services["billing"]
    service.on["ReceiveStripeWebhook"] = answers(Empty())
    headers = {"Stripe-Signature": "t=1,v1=ab", "X-Other": "x", "Content-Type": "text/weird"}
    answer = await world.http.post("/v1/stripe/webhook", content=b"\x00\xff", headers=headers)
    assert answer.status_code == 200
    [request] = service.seen
    expected = {"data": b"\x00\xff", "content_type": "text/weird"}
    assert request == billing_pb2.ReceiveStripeWebhookRequest(payload=expected)
    assert service.metadata["http-stripe-signature"] == "t=1,v1=ab"
    assert "http-x-other" not in service.metadata


async def test_answers_say_what_browsers_must_not_do(world: World, person: Person):
    answer = await world.http.get("/v1/users/me", headers=person.headers)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


async def test_other_origins_are_allowed_only_where_they_are_named(world: World, person: Person):
    ours, theirs = "https://app.example.com", "https://evil.example.com"
    settings = {"cors_origins": frozenset({ours}), "behind_tls": True}
    ask = {"Access-Control-Request-Method": "PATCH"}
    async with (
        running_gateway(world.env, **settings) as (_, url),
        httpx.AsyncClient(base_url=url) as http,
    ):
        answer = await http.options("/v1/users/me", headers=ask | {"Origin": ours})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == ours
        assert answer.headers["access-control-allow-methods"] == "GET, PATCH"
        taken = answer.headers["access-control-allow-headers"]
        assert {"Authorization", "Content-Disposition"} <= set(taken.split(", "))
        answer = await http.get("/v1/users/me", headers=person.headers | {"Origin": ours})
        assert answer.headers["access-control-allow-origin"] == ours
        assert answer.headers["vary"] == "Origin"
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        answer = await http.get("/v1/users/me", headers={"Origin": ours})
        assert (answer.status_code, answer.headers["vary"]) == (401, "Origin")
        for origin in (theirs, "null", ours + "."):
            answer = await http.options("/v1/users/me", headers=ask | {"Origin": origin})
            assert "access-control-allow-origin" not in answer.headers
        assert (await http.options("/v1/nothing")).status_code == 404


async def test_proxies_are_believed_only_where_they_are_named(world: World):
    service = world.services["billing"]
    service.on["ListPlans"] = answers(billing_pb2.ListPlansResponse())
    forwarded = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7, 127.0.0.9"}
    await world.http.get("/v1/plans", headers=forwarded)
    assert service.metadata["x-client-ip"] == "127.0.0.1"
    trusted = {"trusted_proxies": (ipaddress.ip_network("127.0.0.0/8"),)}
    async with (
        running_gateway(world.env, **trusted) as (_, url),
        httpx.AsyncClient(base_url=url) as http,
    ):
        for value, expected in (
            ("6.6.6.6, 203.0.113.7, 127.0.0.9", "203.0.113.7"),
            ("127.0.0.5", "127.0.0.5"),
            ("2001:db8::1", "2001:db8::1"),
            ("rubbish", "127.0.0.1"),
            ("", "127.0.0.1"),
        ):
            await http.get("/v1/plans", headers={"X-Forwarded-For": value})
            assert service.metadata["x-client-ip"] == expected


async def test_readiness_is_all_services_and_no_draining(world: World):
    answer = await world.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["services"] == dict.fromkeys(answer.json()["services"], True)
    assert len(answer.json()["services"]) == 6
    world.app.draining = True
    try:
        assert (await world.http.get("/readyz")).status_code == 503
        assert (await world.http.get("/healthz")).status_code == 200
    finally:
        world.app.draining = False


async def test_too_many_requests_at_a_time_are_shed(world: World, person: Person):
    release = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        await release.wait()
        return invoice_pb2.Invoice()

    world.services["invoice"].on["GetInvoice"] = wait
    async with (
        running_gateway(world.env, requests_max=2) as (_, url),
        httpx.AsyncClient(base_url=url) as http,
    ):
        get = [
            asyncio.create_task(http.get("/v1/invoices/i1", headers=person.headers))
            for _ in range(5)
        ]
        done, _ = await asyncio.wait(get, timeout=0.5)
        assert [task.result().status_code for task in done] == [503] * 3
        assert (await http.get("/healthz")).status_code == 200
        release.set()
        codes = [(await task).status_code for task in get]
        assert sorted(codes) == [200, 200, 503, 503, 503]


async def test_requests_are_counted_by_the_template_of_their_route(world: World, person: Person):
    world.services["invoice"].on["GetInvoice"] = answers(invoice_pb2.Invoice())
    await world.http.get(f"/v1/invoices/{uuid.uuid4()}", headers=person.headers)
    await world.http.get(f"/v1/{uuid.uuid4()}")
    page = generate_latest().decode()
    assert (
        'auditron_http_requests_total{code="200",method="GET",route="/v1/invoices/{invoice_id}"}'
        in page
    )
    assert 'auditron_http_requests_total{code="404",method="GET",route="none"}' in page


async def test_a_service_that_answers_nonsense_is_our_mistake(world: World, person: Person):
    class Nonsense(grpc.GenericRpcHandler):
        def service(self, _: Any) -> Any:
            async def answer(request: bytes, context: Any) -> bytes:
                return b"\xff\xff\xff"

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Nonsense(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    env = world.env | {"INVOICE_ADDRESS": f"127.0.0.1:{port}"}
    async with running_gateway(env) as (_, url), httpx.AsyncClient(base_url=url) as http:
        answer = await http.get("/v1/invoices/i1", headers=person.headers)
        assert (answer.status_code, reason_in(answer)) == (500, "INTERNAL")
    await server.stop(0)


def test_calls_go_by_mutual_tls_where_it_is_set_up():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop(ciphers.VARIABLE, None)
    script = Path(__file__).with_name("tls_case.py")
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["first", "renewed"], done.stderr
