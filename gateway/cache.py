"""Answers kept in Redis until the organization's next event of their service."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.routes import Route
from libs.rpc import Caller

log = logging.getLogger(__name__)

REDIS_WAIT_S = 0.2
REDIS_PAUSE_S = 1.0  # a Redis that failed is left alone so long
BODY_BYTES_MAX = 1_000_000  # a longer answer is not kept


@dataclass(frozen=True)
class Place:
    """Where an answer is kept, and the service's version before it was asked for."""

    key: str
    version: bytes


class Cache:
    """Looks answers up and keeps them; without Redis it knows none and keeps none."""

    def __init__(self, redis: Redis, keep_s: int) -> None:
        self._redis = redis
        self._keep_s = keep_s
        self._rests_until = 0.0

    async def look_up(
        self, route: Route, who: Caller, request: Any
    ) -> tuple[bytes | None, Place | None]:
        """Return the answer, None if none is kept, and where one may be kept, None if nowhere."""
        key = _key(route, who, request)
        # The relay of the service counts this up with every event; see libs/events/relay.py.
        version_key = f"version:{who.organization_id}:{route.service}"
        found = await self._ask(lambda: self._redis.mget(version_key, key))
        if found is None:
            return None, None
        version, kept = found[0] or b"0", found[1] or b""
        made_at, _, body = kept.partition(b"\n")
        return (body if kept and made_at == version else None), Place(key, version)

    async def keep(self, place: Place, body: bytes) -> None:
        """Keep an answer that was asked for at the place's version."""
        if len(body) <= BODY_BYTES_MAX:
            kept = place.version + b"\n" + body
            await self._ask(lambda: self._redis.set(place.key, kept, ex=self._keep_s))

    async def _ask(self, question: Callable[[], Any]) -> Any:
        """Return Redis' answer; None if it cannot be asked."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(REDIS_WAIT_S):
                return await question()
        except (RedisError, OSError, TimeoutError) as error:
            self._rests_until = time.monotonic() + REDIS_PAUSE_S
            log.warning("redis cannot keep answers", extra={"error": repr(error)})
            return None


def etag_of(body: bytes) -> bytes:
    """Return the strong entity tag of an answer."""
    return b'"%s"' % blake2b(body, digest_size=12).hexdigest().encode()


def matches(etag: bytes, if_none_match: bytes) -> bool:
    """Whether a client holds the answer already."""
    held = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return etag in held or held == [b"*"]


def _key(route: Route, who: Caller, request: Any) -> str:
    """Return a name that differs wherever the answer may: organization, permissions, question."""
    parts = (
        route.rpc,
        who.organization_id,
        " ".join(sorted(who.permissions)),
        request.SerializeToString(deterministic=True).hex(),
    )
    return f"answer:{blake2b('|'.join(parts).encode(), digest_size=16).hexdigest()}"
