"""What reporting does outside a request: posts the facts of others, writes reports."""

from collections.abc import Awaitable, Callable, Mapping

from auditron.auth.v1.auth_events_pb2 import OrganizationCreated, OrganizationUpdated
from auditron.invoice.v1.invoice_events_pb2 import InvoiceApproved, InvoiceReopened
from auditron.recon.v1.recon_events_pb2 import MatchConfirmed, MatchUndone
from google.protobuf.message import Message

from libs.events import EventHandler
from libs.jobs import Task
from libs.run.loops import every
from libs.run.runtime import Loop, Runtime

from ..settings import Settings
from ..store.rejections import POST_WAITING
from .ledger import (
    Waiting,
    invoice_approved,
    invoice_reopened,
    match_confirmed,
    match_undone,
    organization_created,
    organization_updated,
)
from .reports import WRITE_REPORT, Writer, sweep_files

__all__ = ["Writer", "handlers", "loops", "tasks"]

SWEEP_EVERY_S = 3_600.0


def handlers() -> Mapping[str, Mapping[type[Message], EventHandler]]:
    """Producer → payload type → handler."""
    return {
        "auth": {
            OrganizationCreated: organization_created,
            OrganizationUpdated: organization_updated,
        },
        "invoice": {InvoiceApproved: invoice_approved, InvoiceReopened: invoice_reopened},
        "recon": {MatchConfirmed: match_confirmed, MatchUndone: match_undone},
    }


def tasks(runtime: Runtime, writer: Writer) -> Mapping[str, Callable[[Task], Awaitable[None]]]:
    """Kind → handler."""
    return {WRITE_REPORT: writer.write, POST_WAITING: Waiting(runtime.db).post}


def loops(runtime: Runtime, settings: Settings) -> list[Loop]:
    """The work of the worker role beside events and tasks."""
    return [
        every(SWEEP_EVERY_S, lambda: sweep_files(runtime.db, runtime.blobs, settings.unnamed_for))
    ]
