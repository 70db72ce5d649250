"""Whether a session still stands: Redis knows what was revoked, auth knows everything."""

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.rpc.errors import Fault, Unavailable

log = logging.getLogger(__name__)

REVOKED = "revoked:"  # + session id: there as long as a revoked session's tokens may live
READY = "revoked:ready"  # absent: Redis was emptied and knows of no revocation
REMEMBER_S = 2.0
REMEMBERED_MAX = 50_000
REDIS_WAIT_S = 0.2
REDIS_PAUSE_S = 1.0  # a Redis that failed is left alone so long

CheckSession = Callable[[str], Awaitable[bool]]


class Sessions:
    """Asks for each session once in 2 s; questions that come up together travel together."""

    def __init__(self, redis: Redis | None, check_session: CheckSession) -> None:
        self._redis = redis
        self._redis_rests_until = 0.0
        self._check_session = check_session
        self._known: dict[str, tuple[float, bool]] = {}  # until when, active
        self._asked: dict[str, asyncio.Future[bool | Fault]] = {}
        self._batch: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def active(self, session_id: str) -> bool:
        """Return whether the session stands. Raises Unavailable if nobody can tell."""
        found = self._known.get(session_id)
        if found and time.monotonic() < found[0]:
            return found[1]
        question = self._asked.get(session_id) or self._ask(session_id)
        answer = await asyncio.shield(question)
        if isinstance(answer, Fault):
            raise answer
        return answer

    def _ask(self, session_id: str) -> "asyncio.Future[bool | Fault]":
        loop = asyncio.get_running_loop()
        if not self._batch:
            loop.call_soon(self._send)
        self._batch.append(session_id)
        question = self._asked[session_id] = loop.create_future()
        return question

    def _send(self) -> None:
        batch, self._batch = self._batch, []
        # Not in the context of whoever asked first: their deadline and caller are not the others'.
        task = asyncio.create_task(self._answer(batch), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, session_ids: Sequence[str]) -> None:
        revoked = await self._revoked(session_ids)
        if revoked is None:
            answers = await asyncio.gather(*map(self._active_by_auth, session_ids))
        else:
            answers = [not found for found in revoked]
        if len(self._known) + len(answers) > REMEMBERED_MAX:
            self._known.clear()
        until = time.monotonic() + REMEMBER_S
        for session_id, answer in zip(session_ids, answers, strict=True):
            if isinstance(answer, bool):
                self._known[session_id] = (until, answer)
            self._asked.pop(session_id).set_result(answer)

    async def _revoked(self, session_ids: Sequence[str]) -> list[bool] | None:
        """Return for each whether Redis calls it revoked; None if Redis cannot tell."""
        if self._redis is None or time.monotonic() < self._redis_rests_until:
            return None
        keys = [READY, *(REVOKED + session_id for session_id in session_ids)]
        try:
            async with asyncio.timeout(REDIS_WAIT_S):
                ready, *found = await self._redis.mget(keys)
        except (RedisError, OSError, TimeoutError) as error:
            self._redis_rests_until = time.monotonic() + REDIS_PAUSE_S
            log.warning("redis cannot say who is revoked", extra={"error": repr(error)})
            return None
        return None if ready is None else [value is not None for value in found]

    async def _active_by_auth(self, session_id: str) -> bool | Fault:
        try:
            return await self._check_session(session_id)
        except Exception as error:  # noqa: BLE001  # a question must end, or its askers hang
            log.warning("auth cannot say whether a session stands", extra={"error": repr(error)})
            return Unavailable("The session cannot be checked.", retry_after_s=1)
