"""Tells every service that a session has ended; each knows within 2 s."""

import logging
from collections.abc import Sequence
from datetime import timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.rpc.sessions import REVOKED

log = logging.getLogger(__name__)
MARGIN_S = 60


class Revocation:
    """Writes ended sessions into Redis, where tokens are checked against them."""

    def __init__(self, redis: Redis, access_life: timedelta) -> None:
        self._redis = redis
        self._life_s = int(access_life.total_seconds()) + MARGIN_S

    async def tell(self, session_ids: Sequence[str]) -> None:
        """Name the sessions until their last token has expired; what fails, a worker repeats."""
        if not session_ids:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for session_id in session_ids:
                    pipe.set(REVOKED + session_id, 1, ex=self._life_s)
                await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("redis was not told of ended sessions", extra={"error": repr(error)})
