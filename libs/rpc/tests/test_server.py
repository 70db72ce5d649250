"""The server from outside: identity, permission, deadlines, errors, streams, drain."""

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from auditron.event.v1 import event_pb2, event_pb2_grpc
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from libs import pg, telemetry
from libs.rpc import (
    Caller,
    InvalidArgument,
    RpcSettings,
    acting_as,
    caller,
    caller_or_none,
    calls,
    reason_of,
    remaining_s,
    serve,
    status_of,
)
from libs.rpc import server as server_module
from libs.rpc.tests.probe import (
    CONTRACT,
    ORGANIZATION,
    PACKAGE,
    Auth,
    Probe,
    Probes,
    ProbeServiceStub,
    Running,
    bearer,
    build_contract,
    failure,
)
from libs.telemetry.traces import install_traces


async def test_a_permitted_call_is_answered_and_knows_its_caller(
    running: Running, bare: Any
) -> None:
    found: list[Any] = []

    async def do(request: Any, _: Any) -> Any:
        found.extend([caller(), telemetry.current(), remaining_s()])
        return Probe(text=request.text)

    running.probes.on["Read"] = do
    token = running.auth.token(sub="u7", sid="s7")
    assert (await bare.Read(Probe(text="hello"), **bearer(token))).text == "hello"
    who, bound, left = found
    assert (who.user_id, who.organization_id, who.session_id) == ("u7", ORGANIZATION, "s7")
    assert who.actor == "user:u7"
    assert who.token == token
    assert (bound.organization_id, bound.user_id) == (ORGANIZATION, "u7")
    assert len(bound.request_id) == 32
    assert 4 < left < 5.1  # a deadline travels as time left, rounded up


@pytest.mark.parametrize(
    ("given", "kept"), [("req-42.a:b", True), ("", False), ("x" * 129, False), ("a b", False)]
)
async def test_a_request_id_is_kept_if_it_is_one(
    running: Running, bare: Any, given: str, kept: bool
) -> None:
    found: list[str] = []

    async def do(_: Any, __: Any) -> Any:
        found.append(telemetry.current().request_id)
        return Probe()

    running.probes.on["Open"] = do
    await bare.Open(Probe(), metadata=[("x-request-id", given)])
    assert (found[0] == given) is kept
    assert found[0]


async def test_no_token_another_scheme_and_a_forged_one_are_unauthenticated(
    running: Running, bare: Any
) -> None:
    for metadata, reason in [
        ([], "TOKEN_MISSING"),
        ([("authorization", "Basic YTpi")], "TOKEN_MISSING"),
        ([("authorization", "Bearer ")], "TOKEN_MISSING"),
        ([("authorization", "Bearer x.y.z")], "TOKEN_INVALID"),
    ]:
        error = await failure(bare.Read(Probe(), metadata=metadata))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, reason)
    assert running.probes.seen == []


@pytest.mark.parametrize(
    ("method", "scope", "allowed"),
    [
        ("Read", "probes.read", True),
        ("Read", "probes.*", True),
        ("Read", "*", True),
        ("Read", "", False),
        ("Read", "probes.write", False),
        ("Read", "probes", False),
        ("Read", "probe.*", False),
        ("Read", "service", False),
        ("Mine", "", True),
        ("Tell", "*", False),
        ("Tell", "service", False),
    ],
)
async def test_permission_for_a_person_is_what_the_contract_says(
    running: Running, bare: Any, method: str, scope: str, allowed: bool
) -> None:
    call = getattr(bare, method)(Probe(), **bearer(running.auth.token(scope=scope)))
    if allowed:
        await call
    else:
        error = await failure(call)
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        assert reason_of(error) == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("method", "allowed"), [("Tell", True), ("Mine", False), ("Read", False), ("Open", True)]
)
async def test_permission_for_a_service_is_what_the_contract_says(
    running: Running, bare: Any, method: str, allowed: bool
) -> None:
    token = running.auth.service_token("agent", "probe")
    call = getattr(bare, method)(Probe(), **bearer(token))
    if allowed:
        await call
    else:
        assert (await failure(call)).code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_fault_travels_with_reason_metadata_and_violations(
    running: Running, bare: Any
) -> None:
    async def do(_: Any, __: Any) -> Any:
        raise InvalidArgument(
            "Ümläut\nand line.", violations=[("text", "is odd")], retry_after_s=1.5, probe_id="7"
        )

    running.probes.on["Open"] = do
    error = await failure(bare.Open(Probe()))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "Ümläut\nand line."
    status = status_of(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    assert [status.details[n].Unpack(d) for n, d in enumerate([info, retry, bad])] == [True] * 3
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "INVALID_ARGUMENT",
        "auditron",
        {"probe_id": "7"},
    )
    assert retry.retry_delay.ToTimedelta().total_seconds() == 1.5
    assert bad.field_violations[0].description == "is odd"


async def test_even_the_longest_fault_reaches_a_foreign_client(running: Running, bare: Any) -> None:
    async def do(_: Any, __: Any) -> Any:
        raise InvalidArgument("€" * 10_000, violations=[("f" * 50, "é" * 50)] * 10_000)

    running.probes.on["Open"] = do
    for _ in range(20):  # between the soft and the hard limit of metadata chance decides
        error = await failure(bare.Open(Probe()))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason_of(error) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("method", ["Open", "Watch", "Upload"])
async def test_a_bug_is_logged_and_tells_the_caller_nothing(
    running: Running, bare: Any, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def bug(*_: Any) -> Any:
        raise ZeroDivisionError("the secret is 42")

    async def bug_after_one(*_: Any) -> AsyncIterator[Any]:
        yield Probe()
        raise ZeroDivisionError("the secret is 42")

    running.probes.on[method] = bug_after_one if method == "Watch" else bug
    request = many() if method == "Upload" else Probe()
    error = await failure(getattr(bare, method)(request, **bearer(running.auth.token())))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "Internal error."
    assert reason_of(error) == "INTERNAL"
    assert "42" not in str(status_of(error))
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "libs.rpc.calls"
    assert "the secret is 42" in str(record.exc_info)


@pytest.mark.parametrize(
    ("raised", "code", "reason"),
    [
        (pg.DatabaseUnavailable("x"), "UNAVAILABLE", "UNAVAILABLE"),
        (pg.CommitUncertain("x"), "DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN"),
        (pg.RequestIdReused("x"), "INVALID_ARGUMENT", "REQUEST_ID_REUSED"),
        (pg.InvalidRequestId("x"), "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        (TimeoutError(), "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
    ],
)
async def test_failures_of_stores_are_told_as_what_they_are(
    running: Running, bare: Any, raised: Exception, code: str, reason: str
) -> None:
    async def do(_: Any, __: Any) -> Any:
        raise raised

    running.probes.on["Open"] = do
    error = await failure(bare.Open(Probe()))
    assert (error.code().name, reason_of(error)) == (code, reason)


@pytest.mark.parametrize("method", ["Open", "Upload", "Chat"])
async def test_bytes_that_are_no_message_are_the_callers_mistake(
    running: Running, method: str
) -> None:
    async with grpc.aio.insecure_channel(running.address) as channel:
        kind = {"Open": "unary_unary", "Upload": "stream_unary", "Chat": "stream_stream"}[method]
        call = getattr(channel, kind)(f"/{PACKAGE}.ProbeService/{method}")
        raw = b"\xff\xff\xff"
        given = iter([raw]) if method != "Open" else raw
        error = await failure(call(given, **bearer(running.auth.token())))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) == "MALFORMED_REQUEST"


async def test_a_message_over_four_megabytes_is_refused(running: Running, bare: Any) -> None:
    error = await failure(bare.Open(Probe(text="x" * (4 * 1024 * 1024 + 1))))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.probes.seen == []


async def test_a_call_without_deadline_ends_after_the_usual_time(
    running: Running, bare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "UNARY_S", 0.1)
    ended = asyncio.Event()

    async def do(_: Any, __: Any) -> Any:
        try:
            await asyncio.sleep(5)
        finally:
            ended.set()

    running.probes.on["Open"] = do
    begun = time.monotonic()
    error = await failure(bare.Open(Probe()))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert reason_of(error) == "DEADLINE_EXCEEDED"
    assert time.monotonic() - begun < 2
    assert ended.is_set()


async def test_a_long_deadline_is_capped(
    running: Running, bare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "UNARY_MAX_S", 0.1)

    async def do(_: Any, __: Any) -> Any:
        await asyncio.sleep(5)

    running.probes.on["Open"] = do
    error = await failure(bare.Open(Probe(), timeout=60))
    assert reason_of(error) == "DEADLINE_EXCEEDED"


async def test_the_handler_is_cancelled_at_the_callers_deadline_and_when_the_caller_leaves(
    running: Running, bare: Any
) -> None:
    ended: asyncio.Queue[str] = asyncio.Queue()
    begun = asyncio.Event()

    async def do(_: Any, __: Any) -> Any:
        begun.set()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await ended.put("cancelled")
            raise

    running.probes.on["Open"] = do
    assert (
        await failure(bare.Open(Probe(), timeout=0.1))
    ).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await asyncio.wait_for(ended.get(), 2) == "cancelled"
    begun.clear()
    call = bare.Open(Probe(), timeout=5)
    await begun.wait()
    call.cancel()
    assert await asyncio.wait_for(ended.get(), 2) == "cancelled"


async def test_with_too_little_time_left_nothing_is_begun(
    running: Running, bare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LEAST_S", 10.0)
    error = await failure(bare.Open(Probe(), timeout=5))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert running.probes.seen == []


async def many(*texts: str, pause_s: float = 0) -> AsyncIterator[Any]:
    for text in texts:
        yield Probe(text=text)
        await asyncio.sleep(pause_s)


async def test_streams_of_all_kinds_are_served(running: Running, bare: Any) -> None:
    given = bearer(running.auth.token())
    assert [p.number async for p in bare.Watch(Probe(number=3), **given)] == [0, 1, 2]
    uploaded = await bare.Upload(many("a", "b", "c"), **given)
    assert (uploaded.text, uploaded.number) == ("a,b,c", 3)
    assert [p.text async for p in bare.Chat(many("x", "y"), **given)] == ["X", "Y"]


@pytest.mark.parametrize("method", ["Watch", "Upload", "Chat"])
async def test_streams_ask_for_permission_too(running: Running, bare: Any, method: str) -> None:
    request = Probe() if method == "Watch" else many("a")
    call = getattr(bare, method)
    assert reason_of(await failure(call(request))) == "TOKEN_MISSING"
    request = Probe() if method == "Watch" else many("a")
    denied = await failure(call(request, **bearer(running.auth.token(scope="other"))))
    assert reason_of(denied) == "PERMISSION_DENIED"


async def test_a_stream_may_last_as_long_as_it_is_not_idle(
    running: Running, bare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "IDLE_S", 0.3)
    given = {"metadata": bearer(running.auth.token())["metadata"]}
    assert (await bare.Upload(many(*"abcdef", pause_s=0.1), **given)).number == 6

    async def slowly(*_: Any) -> AsyncIterator[Any]:
        for number in range(6):
            await asyncio.sleep(0.1)
            yield Probe(number=number)

    running.probes.on["Watch"] = slowly
    assert len([p async for p in bare.Watch(Probe(), **given)]) == 6


@pytest.mark.parametrize("method", ["Watch", "Upload", "Chat"])
async def test_an_idle_stream_is_ended(
    running: Running, bare: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "IDLE_S", 0.2)

    async def silent(*_: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(5)
        yield Probe()

    running.probes.on["Watch"] = silent
    request = Probe() if method == "Watch" else many("a", pause_s=5)
    error = await failure(getattr(bare, method)(request, **bearer(running.auth.token())))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert reason_of(error) == "STREAM_IDLE"


async def test_a_reader_who_leaves_ends_the_stream(running: Running, bare: Any) -> None:
    closed = asyncio.Event()

    async def endless(*_: Any) -> AsyncIterator[Any]:
        try:
            while True:
                yield Probe()
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    running.probes.on["Watch"] = endless
    call = bare.Watch(Probe(), **bearer(running.auth.token()))
    await call.read()
    call.cancel()
    await asyncio.wait_for(closed.wait(), 2)


async def test_calls_do_not_see_each_others_caller_nor_that_of_the_servers_start(
    auth: Auth,
) -> None:
    probes = Probes()
    mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="clean")
    found: list[Any] = []

    async def do(request: Any, _: Any) -> Any:
        found.append((caller_or_none(), mark.get()))
        mark.set(request.text)
        return Probe()

    probes.on |= {"Open": do, "Mine": do}
    with acting_as(Caller(user_id="starter")):
        server = await serve(
            "probe",
            "127.0.0.1:0",
            [(CONTRACT, probes)],
            verifier=auth.verifier(),
            settings=RpcSettings("probe"),
        )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = ProbeServiceStub(channel)
        await stub.Mine(Probe(text="one"), **bearer(auth.token()))
        await stub.Open(Probe(text="two"))
    await server.drain(0)
    assert [(who.user_id if who else None, text) for who, text in found] == [
        ("u1", "clean"),
        (None, "clean"),
    ]


async def test_a_sampled_trace_goes_on_and_another_does_not(running: Running, bare: Any) -> None:
    install_traces("probe", "test", telemetry.TelemetrySettings(trace_ratio=1))
    found: list[str] = []

    async def do(_: Any, __: Any) -> Any:
        found.append(telemetry.traceparent())
        return Probe()

    running.probes.on["Open"] = do
    trace = "0af7651916cd43dd8448eb211c80319c"
    for parent in (f"00-{trace}-b7ad6b7169203331-01", "", "rubbish"):
        await bare.Open(Probe(), metadata=[("traceparent", parent)])
    assert found[0].split("-")[1] == trace
    assert found[0].split("-")[2] != "b7ad6b7169203331"
    assert found[1:] == ["", ""]


async def test_calls_are_counted_by_code(running: Running, bare: Any) -> None:
    def count(code: str) -> float:
        metric = telemetry.metrics.RPC_REQUESTS.labels("probe", "ProbeService/Read", code)
        return float(metric._value.get())

    before = count("OK"), count("UNAUTHENTICATED")
    await bare.Read(Probe(), **bearer(running.auth.token()))
    await failure(bare.Read(Probe()))
    assert (count("OK"), count("UNAUTHENTICATED")) == (before[0] + 1, before[1] + 1)


async def test_only_failures_are_logged_and_without_token_or_request(
    running: Running, bare: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "libs.rpc")
    token = running.auth.token()
    await bare.Read(Probe(text="private"), **bearer(token))
    assert caplog.records == []
    await failure(bare.Upload(many("private"), **bearer(running.auth.token(scope=""))))
    [record] = caplog.records
    fields = vars(record)
    assert (fields["method"], fields["code"]) == ("ProbeService/Upload", "PERMISSION_DENIED")
    assert fields["reason"] == "PERMISSION_DENIED"
    assert fields["duration_ms"] > 0
    assert "private" not in str(fields)


async def test_the_event_log_contract_is_served_as_it_stands(auth: Auth) -> None:
    class Log:
        async def ListEvents(self, request: Any, _: Any) -> Any:  # noqa: N802
            return event_pb2.ListEventsResponse(head_position=request.after_position)

    contract = event_pb2.DESCRIPTOR.services_by_name["EventLogService"]
    server = await serve(
        "invoice",
        "127.0.0.1:0",
        [(contract, Log())],
        verifier=auth.verifier(audience="invoice"),
        settings=RpcSettings("invoice"),
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = event_pb2_grpc.EventLogServiceStub(channel)
        request = event_pb2.ListEventsRequest(after_position=9)
        answer = await stub.ListEvents(request, **bearer(auth.service_token("recon", "invoice")))
        assert answer.head_position == 9
        elsewhere = auth.service_token("recon", "billing")
        assert reason_of(await failure(stub.ListEvents(request, **bearer(elsewhere)))) == (
            "TOKEN_INVALID"
        )
    await server.drain(0)


async def test_health_and_reflection_answer_without_a_token(running: Running) -> None:
    async with grpc.aio.insecure_channel(running.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", f"{PACKAGE}.ProbeService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [a async for a in reflection.ServerReflectionInfo(iter([ask]))]
        names = {service.name for service in answers[0].list_services_response.service}
        assert {f"{PACKAGE}.ProbeService", "grpc.health.v1.Health"} <= names


async def test_a_drained_server_says_so_finishes_its_calls_and_takes_no_more(
    running: Running, bare: Any
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def do(_: Any, __: Any) -> Any:
        begun.set()
        await go.wait()
        return Probe(text="finished")

    running.probes.on["Open"] = do
    under_way = asyncio.ensure_future(bare.Open(Probe(), timeout=5))
    await begun.wait()
    async with grpc.aio.insecure_channel(running.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        draining = asyncio.create_task(running.server.drain(5, wait_s=0.2))
        await asyncio.sleep(0.05)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await bare.Tell(Probe(), **bearer(running.auth.service_token("a", "probe")))
    await asyncio.sleep(0.25)
    go.set()
    assert (await under_way).text == "finished"
    await asyncio.wait_for(draining, 2)
    await running.server.wait()
    assert (await failure(bare.Tell(Probe(), timeout=1))).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_method_without_permission_or_handler_fails_at_the_start(auth: Auth) -> None:
    pool = descriptor_pool.Default()
    silent = build_contract("auditron.silent.v1", {"Read": ("", False, False)}, pool)
    settings = RpcSettings("probe")
    with pytest.raises(ValueError, match=r"silent\.v1\.ProbeService\.Read states no permission"):
        await serve(
            "probe",
            "127.0.0.1:0",
            [(silent, Probes())],
            verifier=auth.verifier(),
            settings=settings,
        )
    contract = event_pb2.DESCRIPTOR.services_by_name["EventLogService"]
    for servicer in (object(), event_pb2_grpc.EventLogServiceServicer()):
        with pytest.raises(ValueError, match=r"does not answer .*ListEvents"):
            await serve(
                "probe",
                "127.0.0.1:0",
                [(contract, servicer)],
                verifier=auth.verifier(),
                settings=settings,
            )


async def test_one_call_too_many_at_a_time_is_refused(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CALLS_MAX", 2)
    probes, go, begun = Probes(), asyncio.Event(), asyncio.Semaphore(0)

    async def wait(_: Any, __: Any) -> Any:
        begun.release()
        await go.wait()
        return Probe()

    probes.on["Open"] = wait
    server = await serve(
        "probe",
        "127.0.0.1:0",
        [(CONTRACT, probes)],
        verifier=auth.verifier(),
        settings=RpcSettings("probe"),
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = ProbeServiceStub(channel)
        waiting = [asyncio.ensure_future(stub.Open(Probe(), timeout=5)) for _ in range(2)]
        await begun.acquire()
        await begun.acquire()
        error = await failure(stub.Open(Probe(), timeout=5))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        go.set()
        await asyncio.gather(*waiting)
    await server.drain(0)


async def test_a_connection_older_than_tls_1_3_is_refused_whatever_the_token(auth: Auth) -> None:
    class OldConnection:
        """The parts of a servicer's context that are asked before a handler is."""

        refused: tuple[Any, ...] = ()

        def invocation_metadata(self) -> Any:
            return (("authorization", f"Bearer {auth.token()}"),)

        def auth_context(self) -> Any:
            return {"ssl_tls_version": [b"TLSv1.2"]}

        def time_remaining(self) -> None:
            return None

        async def abort(self, *refused: Any) -> None:
            self.refused = refused

    async def never(_: Any, __: Any) -> Any:
        raise AssertionError

    context: Any = OldConnection()
    method = calls.Method("probe", "P/Read", "public", Probe.FromString, never, False, False)
    await calls.Calls(method, auth.verifier(), secure=True).answer(b"", context)
    code, message, _ = context.refused
    assert (code, message) == (grpc.StatusCode.UNAUTHENTICATED, "TLS 1.3 is needed.")


async def test_a_port_that_is_taken_is_an_error(running: Running, auth: Auth) -> None:
    with pytest.raises(OSError, match="cannot listen"):
        await serve(
            "probe",
            running.address,
            [(CONTRACT, Probes())],
            verifier=auth.verifier(),
            settings=RpcSettings("probe"),
        )
