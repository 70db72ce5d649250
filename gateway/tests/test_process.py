import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from auditron.agent.v1 import agent_pb2
from auditron.invoice.v1 import invoice_pb2

from gateway.settings import Rate, Settings
from gateway.tests.conftest import Person, World
from gateway.tests.test_streams import Events
from libs.embedded.server import free_port
from libs.testkit import eventually

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def process(world: World, **settings: str) -> AsyncIterator[tuple[Any, str, str]]:
    """The gateway as a process of its own: the process, its address, that of its metrics."""
    port, metrics = free_port(), free_port()
    env = os.environ | world.env | {"PYTHONPATH": str(ROOT)} | settings
    env |= {"GATEWAY_LISTEN": f"127.0.0.1:{port}", "GATEWAY_METRICS_LISTEN": f"127.0.0.1:{metrics}"}
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=env, cwd="/", stderr=asyncio.subprocess.PIPE
    )
    url = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        try:
            async with httpx.AsyncClient() as http:
                return (await http.get(f"{url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    try:
        await eventually(answers)
        yield running, url, f"http://127.0.0.1:{metrics}/metrics"
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def test_what_has_begun_is_finished_after_sigterm(world: World, person: Person):
    async def slow(request: Any, context: Any) -> Any:
        await asyncio.sleep(1)
        return invoice_pb2.Invoice(invoice_id="i1")

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield agent_pb2.Job(job_id="j1")
        await asyncio.sleep(60)

    world.services["invoice"].on["GetInvoice"] = slow
    world.services["agent"].on["WatchJob"] = watch
    async with (
        process(world, GATEWAY_DRAIN_WAIT_S="0.4") as (running, url, _),
        httpx.AsyncClient(base_url=url, headers=person.headers) as http,
        http.stream("GET", "/v1/jobs/j1:watch") as stream,
    ):
        events = Events(stream)
        await events.named()
        under_way = asyncio.create_task(http.get("/v1/invoices/i1"))
        await asyncio.sleep(0.2)
        running.send_signal(signal.SIGTERM)
        assert (await events.named())["event"] == "error"
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200
        await asyncio.sleep(0.5)
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient().get(f"{url}/healthz")
        assert (await under_way).json() == {"invoice_id": "i1"}
        _, logged = await asyncio.wait_for(running.communicate(), 5)
        assert running.returncode == 0
        assert b"Traceback" not in logged
        assert b'"level":"ERROR"' not in logged


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"AUTH_ADDRESS": ""}, b"AUTH_ADDRESS is not set"),
        ({"INVOICE_ADDRESS": "10.0.0.1:50051"}, b"plain text to 10.0.0.1:50051"),
        ({"RPC_TLS_CERT": "/nowhere"}, b"RPC_TLS_CERT, RPC_TLS_KEY and RPC_TLS_CA belong together"),
        ({"REDIS_URL": ""}, b"not set: REDIS_URL"),
        ({"GATEWAY_LISTEN": "TAKEN"}, b"address already in use"),
    ],
)
async def test_what_stops_the_start_is_said(world: World, settings: dict[str, str], says: bytes):
    env = (
        os.environ | world.env | {"PYTHONPATH": str(ROOT), "GATEWAY_METRICS_LISTEN": "127.0.0.1:0"}
    )
    env |= {"GATEWAY_LISTEN": f"127.0.0.1:{free_port()}"} | settings
    env["GATEWAY_LISTEN"] = env["GATEWAY_LISTEN"].replace("TAKEN", f"127.0.0.1:{world.port}")
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=env, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, logged = await asyncio.wait_for(running.communicate(), 20)
    finally:
        if running.returncode is None:
            running.kill()
    assert running.returncode != 0
    assert says in logged, logged[-2_000:]


async def test_logs_hold_no_tokens_and_metrics_are_served(world: World, person: Person):
    token = person.tokens["access_token"]
    async with (
        process(world, LOG_LEVEL="DEBUG") as (running, url, metrics),
        httpx.AsyncClient(base_url=url) as http,
    ):
        await http.get("/v1/users/me", headers=person.headers)
        await http.get(f"/v1/users/me?access_token={token}", headers=person.headers)
        async with http.stream("GET", f"/v1/events?access_token={token}") as stream:
            await Events(stream).next()
        page = (await http.get(metrics)).text
        assert (
            'auditron_http_requests_total{code="200",method="GET",route="/v1/users/me"} 1.0' in page
        )
        running.send_signal(signal.SIGINT)
        _, logged = await asyncio.wait_for(running.communicate(), 5)
    assert b'"route":"/v1/users/me"' in logged
    assert token.encode() not in logged
    assert world.env["REDIS_URL"].encode() not in logged


async def test_the_process_ends_with_its_parent(world: World):
    port = free_port()
    env = os.environ | world.env | {"PYTHONPATH": str(ROOT)}
    env |= {"GATEWAY_LISTEN": f"127.0.0.1:{port}", "GATEWAY_METRICS_LISTEN": "127.0.0.1:0"}
    script = f"AUDITRON_PARENT_PID=$$ {sys.executable} -m gateway & echo $!; wait"
    parent = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        script,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await eventually(listens)
    parent.kill()
    await parent.wait()
    await eventually(listens, lambda found: not found, within_s=5)

    async def is_gone() -> bool:
        return (
            not Path(f"/proc/{child}/cmdline").exists()
            or b"gateway" not in Path(f"/proc/{child}/cmdline").read_bytes()
        )

    await eventually(is_gone, within_s=5)


def test_settings_are_read_from_the_environment() -> None:
    env = {
        "REDIS_URL": "redis://x",
        "GATEWAY_LISTEN": "0.0.0.0:80",
        "GATEWAY_ORGANIZATION_RATE": "10/20",
        "GATEWAY_CORS_ORIGINS": "https://a.example, https://b.example",
        "GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8,::1/128",
        "GATEWAY_BEHIND_TLS": "true",
    }
    found = Settings.from_env(env)
    assert found.listen == "0.0.0.0:80"
    assert found.organization_rate == Rate(10, 20)
    assert found.cors_origins == {"https://a.example", "https://b.example"}
    assert [str(network) for network in found.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert found.behind_tls
    assert "redis://x" not in repr(found)
    assert Settings.from_env({"REDIS_URL": "redis://x"}) == Settings("redis://x")


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"REDIS_URL": "x", "GATEWAY_ORGANIZATION_RATE": "0/1"},
        {"REDIS_URL": "x", "GATEWAY_TRUSTED_PROXIES": "10.0.0.1/8"},
        {"REDIS_URL": "x", "GATEWAY_DRAIN_S": "soon"},
    ],
)
def test_wrong_settings_stop_the_start(env: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Settings.from_env(env)
