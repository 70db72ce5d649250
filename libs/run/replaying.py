"""Has a service handle facts again: a producer's whole log, or what could not be handled."""

import logging
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

from auditron.event.v1 import event_pb2_grpc

from libs.events import Consumer, list_dead_letters, set_cursor
from libs.run.process import assemble
from libs.run.runtime import Runtime, Service, close, open_runtime

log = logging.getLogger(__name__)


class NotFollowed(ValueError):  # noqa: N818  # says what is wrong
    """The service does not follow the log of that producer."""


async def replay(
    name: str, producer: str, *, dead_letters: bool, env: Mapping[str, str] = os.environ
) -> tuple[int, int]:
    """Set the cursors to the beginning, or handle the dead letters; return (handled, left).

    After the first, running workers go through the log within seconds; counts are 0. A dead letter
    that fails again stays, its error is logged. Raises NotFollowed.
    """
    async with AsyncExitStack() as stack:
        runtime = await open_runtime(name, env)
        stack.push_async_callback(close, runtime)
        service = await assemble(runtime)
        for let_go in service.closing:
            stack.push_async_callback(let_go)
        if producer not in service.handlers:
            known = ", ".join(sorted(service.handlers)) or "none"
            raise NotFollowed(f"{name} does not follow {producer}; it follows {known}.")
        if dead_letters:
            return await _dead_letters(runtime, service, producer)
        await set_cursor(runtime.db, producer)
        return 0, 0


async def _dead_letters(runtime: Runtime, service: Service, producer: str) -> tuple[int, int]:
    stub = runtime.channels.stub(event_pb2_grpc.EventLogServiceStub, service=producer)
    handlers = dict(service.handlers[producer])
    consumer = Consumer(runtime.db, runtime.redis, producer, stub, handlers)
    handled = left = 0
    for organization_id, event_id in await list_dead_letters(runtime.db, producer):
        try:
            handled += await consumer.replay_dead_letter(organization_id, event_id)
        except Exception:
            left += 1
            log.exception("a dead letter failed again", extra={"event_id": event_id})
    return handled, left
