"""Composition root of invoice."""

from auditron.invoice.v1 import invoice_pb2

from libs.run.runtime import Runtime, Service
from libs.sandbox import MIB, Limits, Sandbox

from . import jobs
from .api import servicer
from .settings import Settings

CHECKING = "services.invoice.checking"
CHECKING_LIMITS = Limits(memory_bytes=512 * MIB, cpu_s=5, wall_s=15)


async def assemble(runtime: Runtime) -> Service:
    """Put the service together."""
    settings = Settings.from_env(runtime.env)
    checkers = Sandbox(CHECKING_LIMITS, workers=settings.checkers, preload=[CHECKING])
    contract = invoice_pb2.DESCRIPTOR.services_by_name["InvoiceService"]
    return Service(
        servicers=[(contract, servicer(runtime, settings, checkers))],
        handlers=jobs.HANDLERS,
        loops=[jobs.sweeping(runtime.db, runtime.blobs)],
        api_sandboxes=[checkers],
    )
