"""Composition root of recon."""

from auditron.recon.v1 import recon_pb2

from libs.jobs import Task
from libs.run.runtime import Runtime, Service
from libs.sandbox import MIB, Limits, Sandbox

from . import booking, jobs, store
from .api import servicer
from .settings import Settings

# Sized for statements of 200 MB: as CAMT, they took 92 s of CPU and 90 MB on two shared cores. The
# time on the wall is many times that of the CPU, for others may be at work on the same cores.
READING = Limits(memory_bytes=1024 * MIB, cpu_s=300, wall_s=900)
# Sized for what one run takes by default, twice over.
MATCHING = Limits(memory_bytes=2048 * MIB, cpu_s=240, wall_s=900, output_bytes=128 * MIB)


async def assemble(runtime: Runtime) -> Service:
    """Put the service together."""
    settings = Settings.from_env(runtime.env)
    readers = Sandbox(READING, settings.readers, preload=["services.recon.statements"])
    matchers = Sandbox(MATCHING, preload=["services.recon.matching.exchange"])
    parts: dict[str, jobs.Importing | jobs.Reconciling] = {
        store.IMPORT: jobs.Importing(runtime.db, runtime.blobs, readers),
        booking.RECONCILE: jobs.Reconciling(runtime.db, matchers, settings),
    }

    async def on_failed(task: Task, error: Exception) -> None:
        await parts[task.kind].failed(task, error)

    return Service(
        servicers=[
            (recon_pb2.DESCRIPTOR.services_by_name["ReconService"], servicer(runtime)),
        ],
        handlers=jobs.HANDLERS,
        tasks={kind: part.run for kind, part in parts.items()},
        on_failed=on_failed,
        loops=[jobs.sweeper(runtime.db, runtime.blobs)],
        worker_sandboxes=[readers, matchers],
    )
