"""What a request says beside its message: where it comes from."""

from dataclasses import dataclass
from typing import Any

import grpc

from libs import telemetry
from libs.pg import Tx

from .. import store

Context = grpc.aio.ServicerContext[Any, Any]
TEXT_LENGTH_MAX = 300


@dataclass(frozen=True)
class Device:
    """The client's name and address, as the gateway saw them; they prove nothing."""

    name: str
    ip_address: str


def device(context: Context) -> Device:
    """Who is at the other end."""
    metadata = dict(context.invocation_metadata() or ())
    name, address = metadata.get("x-user-agent", ""), metadata.get("x-client-ip", "")
    return Device(str(name)[:TEXT_LENGTH_MAX], str(address)[:TEXT_LENGTH_MAX])


async def note(
    tx: Tx, context: Context, organization_id: str, action: str, actor: str, subject: str
) -> None:
    """Add an audit entry to the transaction."""
    await store.insert_audit_entry(
        tx,
        organization_id,
        action,
        actor,
        subject,
        device(context).ip_address,
        telemetry.current().request_id,
    )
