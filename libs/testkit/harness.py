"""Services under test, served over real gRPC from this process over real stores."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc

from libs.embedded.server import free_port
from libs.pg import uuid7
from libs.rpc import ServiceTokens
from libs.run.process import assemble, running
from libs.run.runtime import Runtime, Service, close, open_runtime
from libs.testkit.signer import Signer
from libs.testkit.stores import Stores

CALL_S = 10
SERVICES = Path(__file__).resolve().parents[2] / "services"


class Client:
    """A stub whose calls carry a token: `await client.GetInvoice(request)`."""

    def __init__(self, stub: Any, token: str, organization_id: str) -> None:
        self.organization_id = organization_id
        self._stub = stub
        self._metadata = [("authorization", f"Bearer {token}")] if token else []

    def __getattr__(self, method: str) -> Callable[..., Any]:
        """The RPC of that name."""
        call = getattr(self._stub, method)

        def with_token(request: Any, *, metadata: Any = (), timeout: float = CALL_S) -> Any:
            return call(request, metadata=[*self._metadata, *metadata], timeout=timeout)

        return with_token


@dataclass(frozen=True)
class Harness:
    """One running service and the ways to call it."""

    runtime: Runtime
    service: Service
    signer: Signer
    channel: grpc.aio.Channel

    def client(
        self,
        stub: Callable[[grpc.aio.Channel], Any],
        *,
        organization_id: str | None = None,
        permissions: str = "*",
        user_id: str = "",
    ) -> Client:
        """A person of one organization, a new one if none is given; it has every permission."""
        organization_id = organization_id or uuid7()
        token = self.signer.token(
            organization_id=organization_id, permissions=permissions, user_id=user_id
        )
        return Client(stub(self.channel), token, organization_id)

    def service_client(
        self,
        stub: Callable[[grpc.aio.Channel], Any],
        service: str,
        organization_id: str = "",
        on_behalf_of: str = "",
    ) -> Client:
        """Another service, for one organization or for none."""
        token = self.signer.token(
            organization_id=organization_id,
            service=service,
            audience=self.runtime.name,
            on_behalf_of=on_behalf_of,
        )
        return Client(stub(self.channel), token, organization_id)

    def anonymous(self, stub: Callable[[grpc.aio.Channel], Any]) -> Client:
        """Somebody without a token."""
        return Client(stub(self.channel), "", "")


def _every_service() -> list[str]:
    return sorted(path.parent.name for path in SERVICES.glob("*/pyproject.toml"))


@asynccontextmanager
async def running_services(
    stores: Stores, *names: str, role: str = "all", settings: Mapping[str, str] | None = None
) -> AsyncIterator[dict[str, Harness]]:
    """Run services together, each over its schema in one new database; settings go to all of them.

    Tokens are signed by the test. Where auth is among them, its own tokens count and no others.
    """
    env = await stores.service_env(*names) | dict(settings or {})
    # Where nobody listens: the logs of services that are not under test stay silent.
    env = {f"{name.upper()}_ADDRESS": "127.0.0.1:9" for name in _every_service()} | env
    ports = {name: free_port() for name in names}
    env |= {f"{name.upper()}_ADDRESS": f"127.0.0.1:{port}" for name, port in ports.items()}
    env |= {f"{name.upper()}_LISTEN": f"127.0.0.1:{port}" for name, port in ports.items()}
    signer = Signer()
    async with contextlib.AsyncExitStack() as stack:
        harnesses = {}
        for name in names:
            runtime = await open_runtime(name, env)
            stack.push_async_callback(close, runtime)
            if "auth" not in names:
                clients = signer.auth_clients()
                tokens = ServiceTokens(name, "", clients.issue_service_token)
                runtime.channels.use_service_tokens(tokens)
                runtime = replace(runtime, auth=clients)
            service = await assemble(runtime)
            await stack.enter_async_context(running(runtime, service, role))
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{ports[name]}")
            stack.push_async_callback(channel.close)
            harnesses[name] = Harness(runtime, service, signer, channel)
        yield harnesses
