"""Composition root of reporting."""

from auditron.reporting.v1 import reporting_pb2

from libs.run.runtime import Runtime, Service
from libs.sandbox import MIB, Limits, Sandbox

from . import jobs
from .api import ReportingApi
from .settings import Settings

RENDER_LIMITS = Limits(memory_bytes=1_024 * MIB, cpu_s=120, wall_s=180)
RENDERING = "services.reporting.rendering"


async def assemble(runtime: Runtime) -> Service:
    """Put the service together."""
    settings = Settings.from_env(runtime.env)
    sandbox = Sandbox(RENDER_LIMITS, settings.render_workers, preload=[RENDERING])
    writer = jobs.Writer(runtime.db, runtime.blobs, sandbox)
    return Service(
        servicers=[
            (
                reporting_pb2.DESCRIPTOR.services_by_name["ReportingService"],
                ReportingApi(runtime.db, runtime.blobs),
            )
        ],
        handlers=jobs.handlers(),
        tasks=jobs.tasks(runtime, writer),
        on_failed=writer.fail,
        loops=jobs.loops(runtime, settings),
        worker_sandboxes=[sandbox],
    )
