"""Runs what a release's pods run, with the variables that its chart gives them and no others."""

import asyncio
import os
import socket
import urllib.error
import urllib.request
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from libs.pg import role_url
from libs.testkit.stores import PASSWORD, Stores

from .conftest import Objects, named, of, templates

START_S = 60
STOP_S = 45
Environment = Mapping[str, str]


@dataclass(frozen=True)
class Place:
    """An installation: its interpreter, the folder to start in, and where the output goes."""

    python: Path
    folder: Path
    log: Path

    async def start(self, container: dict[str, Any], environment: Environment) -> Process:
        """Start a container's command, its `python` being the one of this place."""
        program, *arguments = container["command"]
        assert program == "python"
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                str(self.python),
                *arguments,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.defpath, "HOME": str(self.log.parent), **environment},
            )

    def output(self) -> str:
        """What the processes have said last."""
        return self.log.read_text()[-5000:]


async def run_release(objects: Objects, secrets: Environment, place: Place) -> None:
    """Migrate, start every role at once, wait until all are ready, and have them drain."""
    pods = {name: pod["spec"]["containers"][0] for name, pod in templates(objects)}
    environments = {name: variables(objects, pod, secrets) for name, pod in pods.items()}
    migrations = [name for name in pods if name.endswith("-migration")]
    for name in migrations:
        migration = await place.start(pods[name], environments[name])
        assert await migration.wait() == 0, place.output()
    roles = [name for name in pods if name not in migrations]
    processes = [await place.start(pods[name], environments[name]) for name in roles]
    try:
        for name, process in zip(roles, processes, strict=True):
            for probe in ("livenessProbe", "readinessProbe"):
                content = partial(is_content, pods[name][probe], environments[name])
                await wait_until(content, f"{name}: {probe}", process, place)
            for series in scaled_by(named(objects, "HorizontalPodAutoscaler", name)):
                exported = partial(exports, series, environments[name])
                await wait_until(exported, f"{name}: {series}", process, place)
        for process in processes:
            process.terminate()
        async with asyncio.timeout(STOP_S):
            assert {await process.wait() for process in processes} == {0}, place.output()
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


def held_secrets(platform: Objects, name: str, stores: Stores, admin_url: str) -> dict[str, str]:
    """What the development platform's Secrets hold, pointed at the stores of this test."""
    found: dict[str, str] = {}
    for secret in of(platform, "Secret"):
        found |= secret["stringData"]
    for login, infix in (("app", ""), ("system", "SYSTEM_")):
        found[f"{name}_{login}_PASSWORD".upper()] = PASSWORD
        url = role_url(admin_url, f"{name}_{login}", PASSWORD)
        found[f"{name.upper()}_{infix}DATABASE_URL"] = url
    return found | dict(stores.env) | {"ADMIN_DATABASE_URL": admin_url}


def variables(objects: Objects, container: dict[str, Any], secrets: Environment) -> dict[str, str]:
    """A container's environment, but for the addresses that are other ones here."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container["env"]:
        wanted = variable["valueFrom"]["secretKeyRef"]
        if not wanted.get("optional"):
            found[wanted["key"]] = secrets[wanted["key"]]
    for key in found:
        if key.endswith("_LISTEN"):
            found[key] = f"127.0.0.1:{free_port()}"
        elif key == "S3_ENDPOINT_URL":
            found[key] = secrets[key]
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


async def wait_until(
    true: Callable[[], Awaitable[bool]], what: str, process: Process, place: Place
) -> None:
    """Ask until it is true; a process that ends fails the test."""
    for _ in range(START_S * 10):
        assert process.returncode is None, place.output()
        if await true():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{what} not there in {START_S} s:\n{place.output()}")


def scaled_by(autoscaler: dict[str, Any]) -> list[str]:
    """The series that an autoscaler reads, as Prometheus writes them."""
    found = []
    for entry in autoscaler["spec"]["metrics"]:
        if entry["type"] == "External":
            metric = entry["external"]["metric"]
            labels = metric["selector"]["matchLabels"].items()
            selector = ",".join(f'{label}="{value}"' for label, value in labels)
            found.append(f"{metric['name']}{{{selector}}}")
    return found


async def exports(series: str, environment: Environment) -> bool:
    """Whether the process has a value of the series among its metrics."""
    _, text = await asyncio.to_thread(get, f"http://{listening(environment)['metrics']}/metrics")
    return any(line.startswith(f"{series} ") for line in text.splitlines())


async def is_content(probe: dict[str, Any], environment: Environment) -> bool:
    """One probe, as Kubernetes has it, at the address that the environment names."""
    if "httpGet" in probe:
        status, _ = await asyncio.to_thread(get, url(probe, environment))
        return status == 200
    async with grpc.aio.insecure_channel(listening(environment)["grpc"]) as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def listening(environment: Environment) -> dict[str, str]:
    """The address behind each name of a container's port."""
    first, metrics = sorted(key for key in environment if key.endswith("_LISTEN"))
    served = environment[first]  # X_LISTEN, X_METRICS_LISTEN
    return {"grpc": served, "http": served, "metrics": environment[metrics]}


def url(probe: dict[str, Any], environment: Environment) -> str:
    """Where a httpGet probe asks."""
    get = probe["httpGet"]
    return f"http://{listening(environment)[get['port']]}{get['path']}"


def get(url: str) -> tuple[int, str]:
    """Status and body of what a GET is answered with; 0 if it is not."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
    except OSError:
        return 0, ""
