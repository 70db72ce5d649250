"""Rate limits in Redis (GCRA), the same for all gateways; in this process while Redis is down."""

import asyncio
import contextvars
import ipaddress
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.settings import Rate

log = logging.getLogger(__name__)

REDIS_WAIT_S = 0.2
REDIS_PAUSE_S = 1.0  # a Redis that failed is left alone so long
LOCAL_MAX = 50_000  # keys counted in this process while Redis is down

# Each key holds the time (µs) at which it is as if nothing had been asked. For each key: interval
# between two requests (µs), how far ahead that time may lie (µs), how many are asked for.
# Gives for each: how many are granted, how many remain, µs until all remain, µs until one does.
_GCRA = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {}
for i, key in ipairs(KEYS) do
  local interval, ahead, asked = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  local full = math.max(now, tonumber(redis.call('GET', key) or 0))
  local free = math.floor((now + ahead - full) / interval + 0.000001)
  local granted = math.max(0, math.min(asked, free))
  if granted > 0 then
    full = full + granted * interval
    redis.call('SET', key, string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
  end
  answer[4*i-3], answer[4*i-2] = granted, math.max(0, free) - granted
  answer[4*i-1] = math.ceil(full - now)
  answer[4*i] = math.max(0, math.ceil(full + interval - ahead - now))
end
return answer
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """Whether a request may pass, and what its answer's headers say."""

    allowed: bool
    limit: int  # requests at once
    remaining: int
    reset_s: int  # until all remain
    retry_after_s: float  # until one does

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the RateLimit headers."""
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset_s),
        ]


@dataclass(slots=True)
class _Question:
    key: str
    rate: Rate
    asked: int
    answers: list[asyncio.Future[Grant]]


class Limits:
    """Counts requests; those that come up while Redis is being asked travel together."""

    def __init__(self, redis: Redis) -> None:
        self._ask: Any = redis.register_script(_GCRA)
        self._waiting: dict[str, _Question] = {}
        self._pumping: asyncio.Task[None] | None = None
        self._redis_rests_until = 0.0
        self._local: dict[str, float] = {}

    async def take(self, key: str, rate: Rate) -> Grant:
        """Count one request under the key. It never fails: without Redis it counts here."""
        if time.monotonic() < self._redis_rests_until:
            return self._take_here(key, rate)
        question = self._waiting.get(key)
        if question is None:
            question = self._waiting[key] = _Question(key, rate, 0, [])
        answer: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        question.asked += 1
        question.answers.append(answer)
        if self._pumping is None:
            # In a context of its own: it works for others as well.
            self._pumping = asyncio.create_task(self._pump(), context=contextvars.Context())
        return await answer

    async def _pump(self) -> None:
        try:
            while self._waiting:
                questions, self._waiting = list(self._waiting.values()), {}
                found = await self._answers(questions)
                for index, question in enumerate(questions):
                    self._tell(question, found[4 * index : 4 * index + 4])
        finally:
            self._pumping = None

    def _tell(self, question: _Question, numbers: Sequence[int]) -> None:
        for place, answer in enumerate(question.answers):
            if answer.done():  # whoever asked has gone
                continue
            if not numbers:
                answer.set_result(self._take_here(question.key, question.rate))
                continue
            granted, remaining, reset_us, retry_us = numbers
            answer.set_result(
                Grant(
                    allowed=place < granted,
                    limit=question.rate.burst,
                    remaining=remaining + max(0, granted - place - 1),
                    reset_s=ceil(reset_us / 1_000_000),
                    retry_after_s=retry_us / 1_000_000,
                )
            )

    async def _answers(self, questions: Sequence[_Question]) -> Sequence[int]:
        """Return Redis' four numbers for each; nothing if it cannot be asked."""
        arguments: list[float] = []
        for question in questions:
            interval = 1_000_000 / question.rate.per_second
            arguments += (interval, interval * question.rate.burst, question.asked)
        try:
            async with asyncio.timeout(REDIS_WAIT_S):
                found: Sequence[int] = await self._ask(
                    keys=[question.key for question in questions], args=arguments
                )
        except (RedisError, OSError, TimeoutError) as error:
            self._redis_rests_until = time.monotonic() + REDIS_PAUSE_S
            log.warning("redis cannot count requests", extra={"error": repr(error)})
            return ()
        return found

    def _take_here(self, key: str, rate: Rate) -> Grant:
        """Count as the script does, in seconds."""
        now, interval = time.monotonic(), 1 / rate.per_second
        ahead = interval * rate.burst
        full = max(now, self._local.pop(key, 0.0))
        free = floor((now + ahead - full) / interval + 1e-6)
        if free >= 1:
            full += interval
        if len(self._local) >= LOCAL_MAX:
            self._local.pop(next(iter(self._local)))  # the one that asked longest ago
        self._local[key] = full
        return Grant(
            allowed=free >= 1,
            limit=rate.burst,
            remaining=max(0, free - 1),
            reset_s=ceil(full - now),
            retry_after_s=max(0.0, full + interval - ahead - now),
        )


def address_key(address: str) -> str:
    """Return what one client cannot choose freely: an IPv4 address, or the /64 of an IPv6 one."""
    if ":" not in address:
        return address
    network = ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False)
    mapped = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(mapped, ipaddress.IPv6Address) and mapped.ipv4_mapped:
        return str(mapped.ipv4_mapped)
    return str(network)
