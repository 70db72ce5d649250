"""What a call carries to the other service, and how it ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from libs import telemetry
from libs.rpc import (
    Caller,
    Channels,
    RpcSettings,
    ServiceTokens,
    acting_as,
    caller,
    reason_of,
    remaining_s,
    serve,
)
from libs.rpc.deadline import set_remaining
from libs.rpc.errors import InvalidArgument
from libs.rpc.tests.probe import (
    CONTRACT,
    ORGANIZATION,
    PACKAGE,
    Probe,
    Probes,
    ProbeServiceStub,
    Running,
    bearer,
    failure,
)
from libs.telemetry.traces import install_traces


def seen_by(running: Running, method: str) -> list[Any]:
    """Collect caller, ids, trace and time left of each call of the method."""
    found: list[Any] = []

    async def do(_: Any, context: Any) -> Any:
        metadata = dict(context.invocation_metadata())
        found.append((metadata, telemetry.current(), context.time_remaining()))
        return Probe(text="done")

    running.probes.on[method] = do
    return found


async def test_a_call_without_a_person_carries_the_services_token(running: Running) -> None:
    stub = running.stub("agent")
    found: list[Caller] = []

    async def do(_: Any, __: Any) -> Any:
        found.append(caller())
        return Probe()

    running.probes.on["Tell"] = do
    await stub.Tell(Probe())
    with acting_as(Caller(organization_id=ORGANIZATION, on_behalf_of="user:u9")):
        await stub.Tell(Probe())
        await stub.Tell(Probe())
    with acting_as(Caller(organization_id=ORGANIZATION, user_id="u8")):
        await stub.Tell(Probe())
    assert [(c.service, c.organization_id, c.on_behalf_of) for c in found] == [
        ("agent", "", ""),
        ("agent", ORGANIZATION, "user:u9"),
        ("agent", ORGANIZATION, "user:u9"),
        ("agent", ORGANIZATION, "user:u8"),
    ]
    assert running.auth.issued == [
        ("agent", "s3cret", "probe", "", ""),
        ("agent", "s3cret", "probe", ORGANIZATION, "user:u9"),
        ("agent", "s3cret", "probe", ORGANIZATION, "user:u8"),
    ]


async def test_a_persons_token_is_passed_on_and_a_services_is_not(running: Running) -> None:
    stub = running.stub("recon")
    found = seen_by(running, "Mine")
    token = running.auth.token()
    with acting_as(Caller(user_id="u1", token=token)):
        await stub.Mine(Probe())
    assert found[0][0]["authorization"] == f"Bearer {token}"
    assert running.auth.issued == []
    foreign = Caller(service="agent", token="bound-to-us", on_behalf_of="user:u1")
    with acting_as(foreign):
        await stub.Tell(Probe())
    assert running.auth.issued == [("recon", "s3cret", "probe", "", "user:u1")]


async def test_a_public_method_gets_no_token_at_all(running: Running) -> None:
    found = seen_by(running, "Open")
    with acting_as(Caller(user_id="u1", token=running.auth.token())):
        await running.stub().Open(Probe())
    assert "authorization" not in found[0][0]
    assert running.auth.issued == []


async def test_request_id_and_trace_go_along(running: Running) -> None:
    install_traces("probe", "test", telemetry.TelemetrySettings(trace_ratio=1))
    found = seen_by(running, "Open")
    stub = running.stub()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with telemetry.bind(request_id="r-1"), telemetry.remote_span("test", parent):
        await stub.Open(Probe())
    await stub.Open(Probe())
    (first, bound, _), (second, other, _) = found
    assert first["x-request-id"] == bound.request_id == "r-1"
    assert first["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
    assert "traceparent" not in second
    assert other.request_id == second["x-request-id"] != ""


async def test_the_deadline_is_the_shortest_of_all(running: Running) -> None:
    found = seen_by(running, "Open")
    stub = running.stub()
    await stub.Open(Probe())
    await stub.Open(Probe(), timeout=5)
    set_remaining(1)
    await stub.Open(Probe())
    await stub.Open(Probe(), timeout=0.5)
    set_remaining(None)
    left = [time_left for _, _, time_left in found]
    assert left == pytest.approx([2, 5, 0.98, 0.5], abs=0.1)


async def test_a_call_inside_a_call_gets_what_is_left_of_it(running: Running, bare: Any) -> None:
    found = seen_by(running, "Open")
    stub = running.stub()

    async def do(_: Any, __: Any) -> Any:
        await asyncio.sleep(0.2)
        assert remaining_s() is not None
        return await stub.Open(Probe())

    running.probes.on["Mine"] = do
    await bare.Mine(Probe(), metadata=bearer(running.auth.token())["metadata"], timeout=1)
    assert found[0][2] == pytest.approx(0.78, abs=0.1)


async def test_with_nothing_left_the_call_is_not_made(running: Running) -> None:
    found = seen_by(running, "Open")
    set_remaining(0.01)
    error = await failure(running.stub().Open(Probe()))
    set_remaining(None)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert found == []


async def test_streams_of_all_kinds_are_called(running: Running) -> None:
    async def two() -> AsyncIterator[Any]:
        yield Probe(text="a")
        yield Probe(text="b")

    stub = running.stub()
    with acting_as(Caller(token=running.auth.token())):
        assert [p.number async for p in stub.Watch(Probe(number=2))] == [0, 1]
        assert (await stub.Upload(two())).text == "a,b"
        assert [p.text async for p in stub.Chat(two())] == ["A", "B"]


async def test_a_reader_who_stops_ends_the_stream_at_the_server(running: Running) -> None:
    closed = asyncio.Event()

    async def endless(*_: Any) -> AsyncIterator[Any]:
        try:
            while True:
                yield Probe()
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    running.probes.on["Watch"] = endless
    with acting_as(Caller(token=running.auth.token())):
        answers = running.stub().Watch(Probe())
        await anext(answers)
        await answers.aclose()
    await asyncio.wait_for(closed.wait(), 2)


async def test_another_services_refusal_reaches_our_own_caller(running: Running, bare: Any) -> None:
    stub = running.stub()

    async def refuse(_: Any, __: Any) -> Any:
        raise InvalidArgument("Wrong.", violations=[("text", "odd")])

    async def ask(_: Any, __: Any) -> Any:
        return await stub.Open(Probe())

    running.probes.on |= {"Open": refuse, "Mine": ask}
    error = await failure(bare.Mine(Probe(), **bearer(running.auth.token())))
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "Wrong.")
    assert reason_of(error) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.DEADLINE_EXCEEDED),
        (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INTERNAL),
        (grpc.StatusCode.INTERNAL, grpc.StatusCode.INTERNAL),
        (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL),
    ],
)
async def test_another_services_trouble_is_not_our_callers_mistake(
    running: Running, bare: Any, raised: grpc.StatusCode, code: grpc.StatusCode
) -> None:
    async def ask(_: Any, __: Any) -> Any:
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(raised, nothing, nothing, "secret detail")

    running.probes.on["Open"] = ask
    error = await failure(bare.Open(Probe()))
    assert error.code() is code
    assert "secret" not in (error.details() or "")


async def test_unavailable_is_tried_three_times_and_no_other_failure_is(
    running: Running,
) -> None:
    tries: list[str] = []

    async def flaky(request: Any, context: Any) -> Any:
        tries.append(request.text)
        if request.text == "never":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        if request.text == "third" and len(tries) < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        if request.text == "internal":
            raise ZeroDivisionError
        return Probe(text="done")

    class Raw:
        """Outside our server, whose answers to UNAVAILABLE are the same but noisier."""

        def __init__(self) -> None:
            handler = grpc.unary_unary_rpc_method_handler(
                flaky,
                request_deserializer=Probe.FromString,
                response_serializer=Probe.SerializeToString,
            )
            self.server = grpc.aio.server()
            self.server.add_generic_rpc_handlers(
                (
                    grpc.method_handlers_generic_handler(
                        f"{PACKAGE}.ProbeService", {"Open": handler}
                    ),
                )
            )
            self.port = self.server.add_insecure_port("127.0.0.1:0")

    raw = Raw()
    await raw.server.start()
    channels = Channels(RpcSettings("t", addresses={"probe": f"127.0.0.1:{raw.port}"}))
    stub = channels.stub(ProbeServiceStub)
    assert (await stub.Open(Probe(text="third"))).text == "done"
    assert len(tries) == 3
    tries.clear()
    assert (await failure(stub.Open(Probe(text="never")))).code() is grpc.StatusCode.UNAVAILABLE
    assert len(tries) == 3
    await channels.close()
    await raw.server.stop(0)


async def test_a_server_that_comes_back_is_called_again_within_a_second_or_two(
    running: Running,
) -> None:
    stub = running.stub()
    await stub.Open(Probe())
    await running.server.drain(0)
    assert (await failure(stub.Open(Probe()))).code() is grpc.StatusCode.UNAVAILABLE
    again = await serve(
        "probe",
        running.address,
        [(CONTRACT, Probes())],
        verifier=running.auth.verifier(),
        settings=RpcSettings("probe"),
    )
    begun = time.monotonic()
    while time.monotonic() - begun < 5:
        try:
            await stub.Open(Probe())
            break
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.05)
    assert time.monotonic() - begun < 3
    await again.drain(0)


async def test_nothing_is_lost_when_a_server_is_drained_under_load(running: Running) -> None:
    stub = running.stub()
    failures: list[Any] = []
    stop = asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            try:
                await stub.Open(Probe())
            except grpc.aio.AioRpcError as error:
                failures.append(error)

    async def slow(_: Any, __: Any) -> Any:
        await asyncio.sleep(0.05)
        return Probe()

    running.probes.on["Open"] = slow
    tasks = [asyncio.create_task(load()) for _ in range(20)]
    await asyncio.sleep(0.2)
    draining = asyncio.create_task(running.server.drain(5, wait_s=0.2))
    await asyncio.sleep(0.15)
    assert failures == []
    stop.set()
    await asyncio.gather(*tasks, draining)
    assert failures == []


async def test_a_service_without_address_is_named_at_once() -> None:
    with pytest.raises(ValueError, match="PROBE_ADDRESS is not set"):
        Channels(RpcSettings("t")).stub(ProbeServiceStub)
    with pytest.raises(ValueError, match="INVOICE_ADDRESS is not set"):
        Channels(RpcSettings("t")).stub(ProbeServiceStub, "invoice")


async def test_a_process_without_tokens_of_its_own_says_so(running: Running) -> None:
    channels = Channels(RpcSettings("t", addresses={"probe": running.address}))
    with pytest.raises(LookupError, match="token"):
        await channels.stub(ProbeServiceStub).Tell(Probe())
    await channels.close()


async def test_one_channel_serves_all_stubs_of_a_service(running: Running) -> None:
    channels = Channels(RpcSettings("t", addresses={"probe": running.address}))
    for _ in range(3):
        await channels.stub(ProbeServiceStub).Open(Probe())
    assert len(channels._peers) == 1
    await channels.close()


async def test_a_service_token_is_fetched_once_for_all_who_wait_and_again_before_its_end(
    running: Running,
) -> None:
    tokens = ServiceTokens("agent", "s3cret", running.auth.issue)
    found = await asyncio.gather(*(tokens.get("probe") for _ in range(20)))
    assert len(set(found)) == 1
    assert len(running.auth.issued) == 1
    purpose = ("probe", "", "")
    held = tokens._held[purpose]
    tokens._held[purpose] = type(held)(held.token, time.time() + 5)
    assert await tokens.get("probe") != held.token


async def test_a_failed_fetch_of_a_service_token_is_tried_again_by_the_next(
    running: Running,
) -> None:
    tokens = ServiceTokens("agent", "s3cret", running.auth.issue)
    running.auth.down = True
    with pytest.raises(ConnectionError):
        await tokens.get("probe")
    running.auth.down = False
    assert await tokens.get("probe")
