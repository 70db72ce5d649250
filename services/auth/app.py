"""Composition root of auth."""

from auditron.auth.v1 import auth_pb2

from libs.run.runtime import Runtime, Service
from libs.sandbox import Limits, Sandbox

from . import jobs
from .api import SigningKeys, servicer
from .settings import Settings

PICTURE_LIMITS = Limits(memory_bytes=1_000_000_000, cpu_s=5, wall_s=10)


async def assemble(runtime: Runtime) -> Service:
    """Put the service together."""
    settings = Settings.from_env(runtime.env)
    await jobs.ensure_key(runtime.db, settings)
    keys = SigningKeys(runtime.db, settings)
    await keys.load()
    pictures = Sandbox(PICTURE_LIMITS)
    return Service(
        servicers=[
            (
                auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
                servicer(runtime, settings, keys, pictures),
            )
        ],
        loops=jobs.loops(runtime, settings),
        api_sandboxes=[pictures],
    )
