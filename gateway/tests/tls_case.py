"""Calls a service over mutual TLS, then again after both sides' certificates were replaced."""

import asyncio
import sys
import tempfile
from pathlib import Path

import gateway  # isort: skip  # the first, as in the process itself: it leaves TLS 1.3 alone

from auditron.billing.v1 import billing_pb2

from gateway.backends import Backends
from gateway.routes import Router, contracts, routes_of
from gateway.tests.conftest import CONTRACTS, Scripted
from libs.rpc import RpcSettings, channel, serve
from libs.rpc.tests.tls_cases import Authority


async def main() -> None:
    assert gateway.ciphers.IN_TIME
    channel.LOOK_S = 0
    folder = Path(tempfile.mkdtemp())
    authority = Authority("test root")
    mine, theirs = authority.issue(folder, "gateway"), authority.issue(folder, "billing")
    peers: list[object] = []

    async def list_plans(request: object, context: object) -> object:
        peers.append(context.auth_context()["peer_uri"])  # type: ignore[attr-defined]
        return billing_pb2.ListPlansResponse()

    servicer = Scripted(CONTRACTS["billing"])
    servicer.on["ListPlans"] = list_plans
    contract = (CONTRACTS["billing"], servicer)
    settings = RpcSettings("billing", tls=theirs)
    server = await serve("billing", "127.0.0.1:0", [contract], verifier=None, settings=settings)
    router = Router(routes_of(contracts()))
    addresses = {"billing": f"localhost:{server.port}"}
    found = Backends(RpcSettings("gateway", addresses=addresses, tls=mine), router.routes)
    route, _ = router.find("GET", "/v1/plans")
    for word in ("first", "renewed"):
        await found.method(route)(billing_pb2.ListPlansRequest(), timeout=5, metadata=[])
        sys.stdout.write(f"{word}\n")
        other = Authority("test root")
        other.issue(folder, "gateway")
        other.issue(folder, "billing")
    assert (await found.health()) == {"billing": True}
    assert peers == [[b"spiffe://auditron/gateway"]] * 2
    await found.close()
    await server.drain(0)


asyncio.run(main())
