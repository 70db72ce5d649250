"""One service in one role: assembled, served, worked for, and drained when it is told to stop."""

import asyncio
import contextlib
import importlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from auditron.event.v1 import event_pb2, event_pb2_grpc

from libs import telemetry
from libs.events import Consumer, EventLog, Relay
from libs.jobs import Worker
from libs.pg import CommitUncertain, Database, DatabaseUnavailable, requests
from libs.rpc import RpcSettings, serve
from libs.run.runtime import Loop, Runtime, Service, close, open_runtime, verifier

log = logging.getLogger(__name__)

ROLES = {"api": frozenset({"api"}), "worker": frozenset({"worker"})}
ROLES["all"] = ROLES["api"] | ROLES["worker"]
CANCELS = 5
FORGET_EVERY_S = 3_600.0
EVENT_LOG = event_pb2.DESCRIPTOR.services_by_name["EventLogService"]


async def run_process(name: str, role: str, env: Mapping[str, str] = os.environ) -> None:
    """Run until SIGTERM or SIGINT; a part that fails ends the process: its parent restarts it."""
    telemetry.setup(name, role)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runtime = await open_runtime(name, env)
    host, _, port = runtime.settings.metrics_listen.rpartition(":")
    metrics = telemetry.serve_metrics(host, int(port))
    try:
        service = await assemble(runtime)
        async with running(runtime, service, role) as failed:
            log.info("ready", extra={"role": role, "listen": runtime.settings.listen})
            told = asyncio.ensure_future(stop.wait())
            await asyncio.wait((told, failed), return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            if failed.done():
                failed.result()
    finally:
        metrics.close()
        await close(runtime)


async def assemble(runtime: Runtime) -> Service:
    """The service's own composition root: `assemble(runtime)` in services/<name>/app.py."""
    module = importlib.import_module(f"services.{runtime.name}.app")
    service: Service = await module.assemble(runtime)
    return service


@asynccontextmanager
async def running(
    runtime: Runtime, service: Service, role: str
) -> AsyncIterator[asyncio.Future[None]]:
    """Serve and work within the block; the future yielded fails when a part of it does."""
    roles = ROLES[role]
    failed: asyncio.Future[None]
    async with contextlib.AsyncExitStack() as stack:
        for let_go in service.closing:
            stack.push_async_callback(let_go)
        sandboxes = [*(service.api_sandboxes if "api" in roles else ())]
        sandboxes += service.worker_sandboxes if "worker" in roles else ()
        for sandbox in dict.fromkeys(sandboxes):  # one that serves both roles is started once
            await sandbox.start()
            stack.push_async_callback(sandbox.close)
        failed = asyncio.get_running_loop().create_future()
        if "worker" in roles:
            await stack.enter_async_context(_working(runtime, service, failed))
        if "api" in roles:
            await stack.enter_async_context(_serving(runtime, service))
        yield failed


@asynccontextmanager
async def _serving(runtime: Runtime, service: Service) -> AsyncIterator[None]:
    event_log = (EVENT_LOG, EventLog(runtime.db))
    server = await serve(
        runtime.name,
        runtime.settings.listen,
        [*service.servicers, event_log],
        verifier=verifier(runtime),
        settings=RpcSettings.from_env(runtime.name, runtime.env),
    )
    try:
        yield
    finally:
        await server.drain(runtime.settings.drain_s)


@asynccontextmanager
async def _working(
    runtime: Runtime, service: Service, failed: "asyncio.Future[None]"
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.ensure_future(part(stop)) for part in _parts(runtime, service)]

    def look_at(task: "asyncio.Future[None]") -> None:
        if not task.cancelled() and (error := task.exception()) and not failed.done():
            failed.set_exception(error)

    for task in tasks:
        task.add_done_callback(look_at)
    try:
        yield
    finally:
        stop.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=runtime.settings.drain_s)
            for _ in range(CANCELS):  # a library may swallow one
                if late:
                    for task in late:  # what it was doing is taken up again by another worker
                        task.cancel()
                    _, late = await asyncio.wait(late, timeout=1)
        if failed.done():
            failed.exception()


def _parts(runtime: Runtime, service: Service) -> list[Loop]:
    name, db, redis = runtime.name, runtime.db, runtime.redis
    parts: list[Loop] = [Relay(db, redis, name).run]
    for producer, handlers in service.handlers.items():
        stub = runtime.channels.stub(event_pb2_grpc.EventLogServiceStub, service=producer)
        parts.append(Consumer(db, redis, producer, stub, dict(handlers)).run)
    for lane, tasks in (("", service.tasks), ("foreign", service.foreign_tasks)):
        if tasks:
            worker = Worker(
                db,
                redis,
                name,
                dict(tasks),
                lane=lane,
                concurrency=runtime.settings.worker_concurrency,
                on_failed=service.on_failed,
            )
            parts.append(worker.run)
    return [*parts, partial(_forget_old_requests, db), *service.loops]


async def _forget_some_requests(db: Database) -> int:
    async with db.system() as tx:
        return await requests.forget_old(tx)


async def _forget_old_requests(db: Database, stop: asyncio.Event) -> None:
    """Once an hour drop the answers that nobody asks for again."""
    while not stop.is_set():
        try:
            more = 1
            while more and not stop.is_set():
                more = await _forget_some_requests(db)
        except (DatabaseUnavailable, CommitUncertain) as error:
            log.warning("old requests forgotten later", extra={"error": repr(error)})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), FORGET_EVERY_S)
