"""What every service process has: stores, channels, identity, opened from the environment."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from redis.asyncio import Redis

from libs.blobs import Blobs, BlobSettings
from libs.events import EventHandler
from libs.jobs import Task
from libs.pg import Database, PgSettings
from libs.rpc import AuthClients, Channels, RpcSettings, ServiceTokens, TokenVerifier, auth_clients
from libs.rpc.redis_client import redis_client
from libs.sandbox import Sandbox

Loop = Callable[[asyncio.Event], Awaitable[None]]


@dataclass(frozen=True)
class ProcessSettings:
    """Where this process listens and what it connects to."""

    service: str
    listen: str
    metrics_listen: str
    database: PgSettings
    redis_url: str = field(repr=False)
    worker_concurrency: int = 2
    drain_s: float = 5.0

    @classmethod
    def from_env(cls, service: str, env: Mapping[str, str] = os.environ) -> "ProcessSettings":
        """Read <SERVICE>_LISTEN, …; ValueError names what is missing."""
        upper = service.upper()
        wanted = [f"{upper}_DATABASE_URL", f"{upper}_SYSTEM_DATABASE_URL", "REDIS_URL"]
        missing = [name for name in wanted if not env.get(name)]
        if missing:
            raise ValueError(f"not set: {', '.join(missing)}")
        return cls(
            service=service,
            listen=env.get(f"{upper}_LISTEN", "127.0.0.1:50051"),
            metrics_listen=env.get(f"{upper}_METRICS_LISTEN", "127.0.0.1:9090"),
            database=PgSettings(
                env[wanted[0]],
                env[wanted[1]],
                pool_size=int(env.get(f"{upper}_DATABASE_POOL_SIZE", "10")),
            ),
            redis_url=env["REDIS_URL"],
            worker_concurrency=int(env.get(f"{upper}_WORKER_CONCURRENCY", "2")),
            drain_s=float(env.get("DRAIN_S", "5")),
        )


@dataclass(frozen=True)
class Runtime:
    """A process's connections, handed to the service's `assemble`."""

    name: str
    env: Mapping[str, str] = field(repr=False)
    settings: ProcessSettings
    db: Database
    redis: Redis
    channels: Channels
    auth: AuthClients
    blobs: Blobs


@dataclass(frozen=True)
class Service:
    """What a service is made of; `assemble(runtime)` in its app.py returns it."""

    # Contract and servicer; the api role serves them.
    servicers: Sequence[tuple[ServiceDescriptor, object]]
    # Producer → payload type → handler; the worker role follows these logs.
    handlers: Mapping[str, Mapping[type[Message], EventHandler]] = field(default_factory=dict)
    # Kind → handler; the worker role runs them.
    tasks: Mapping[str, Callable[[Task], Awaitable[None]]] = field(default_factory=dict)
    # The same, for tasks that wait for what is not ours: they take no slot from the others.
    foreign_tasks: Mapping[str, Callable[[Task], Awaitable[None]]] = field(default_factory=dict)
    # Called when a task has failed for good.
    on_failed: Callable[[Task, Exception], Awaitable[None]] | None = None
    # Work that goes on in the worker role until it is told to stop.
    loops: Sequence[Loop] = ()
    # Child processes, by the role that needs them.
    api_sandboxes: Sequence[Sandbox] = ()
    worker_sandboxes: Sequence[Sandbox] = ()
    # Awaited at the end, to let go of what `assemble` opened.
    closing: Sequence[Callable[[], Awaitable[None]]] = ()


async def open_runtime(name: str, env: Mapping[str, str] = os.environ) -> Runtime:
    """Connect to everything; DatabaseUnavailable without PostgreSQL. `close` it at the end."""
    settings = ProcessSettings.from_env(name, env)
    rpc_settings = RpcSettings.from_env(name, env)
    db = await Database.open(settings.database, name)
    channels = Channels(rpc_settings)
    clients = auth_clients(channels)
    channels.use_service_tokens(
        ServiceTokens(name, rpc_settings.secret, clients.issue_service_token)
    )
    return Runtime(
        name=name,
        env=env,
        settings=settings,
        db=db,
        redis=redis_client(settings.redis_url),
        channels=channels,
        auth=clients,
        blobs=Blobs(BlobSettings.from_env(env)),
    )


async def close(runtime: Runtime) -> None:
    """Let go of every connection."""
    await runtime.channels.close()
    await runtime.blobs.close()
    await runtime.redis.aclose()
    await runtime.db.close()


def verifier(runtime: Runtime) -> TokenVerifier:
    """The check of the tokens that come with calls to this service."""
    return TokenVerifier(runtime.auth.jwks, runtime.name, runtime.redis, runtime.auth.check_session)
