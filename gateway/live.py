"""Live events: what an organization's services state, from Redis, to all who watch it here."""

import asyncio
import contextlib
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from auditron.event.v1.event_pb2 import Event
from auditron.options.v1 import options_pb2
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.encoding import encoder
from gateway.problems import Problem
from gateway.streams import Beat, Item
from libs.rpc import Caller

log = logging.getLogger(__name__)

BELL = "live"  # the relays name here the organizations whose streams have grown
PAGE = 100
HELD_MAX = 100  # newest events of a stream, held for all who watch; who is behind asks Redis
RETRY_S = 1.0
BELL_S = 15.0  # between two looks whether the connection for bells still stands
BEGINNING = "0-0"
_INTERNAL = ("partition", "position", "traceparent")  # of the envelope, told to nobody

_ID = re.compile(r"\d{1,18}-\d{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Entry:
    id: str
    kind: str  # "invoice"
    permission: str
    item: Item | None  # None: not for watchers


@dataclass
class _Feed:
    """One organization's stream as far as it is held here: all after `after`, to `last`."""

    organization_id: str
    after: str = BEGINNING
    last: str = BEGINNING
    entries: deque[_Entry] = field(default_factory=deque)
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: int = 0
    is_open: bool = False
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    due: bool = False  # to be read
    reader: "asyncio.Task[None] | None" = None

    def begin(self, last: str) -> None:
        """Hold nothing; what comes after `last` is new."""
        self.entries.clear()
        self.after = self.last = last

    def add(self, entry: _Entry) -> None:
        if len(self.entries) >= HELD_MAX:
            self.after = self.entries.popleft().id
        self.entries.append(entry)
        self.last = entry.id

    def tell(self) -> None:
        """Wake all who wait."""
        self.grown.set()
        self.grown = asyncio.Event()


class Live:
    """Reads the streams of the organizations that are watched here, once for all who watch."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis
        self._feeds: dict[str, _Feed] = {}

    async def run(self) -> None:
        """Listen for bells until cancelled; a Redis that is down is waited for."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                log.warning("redis cannot tell live events", extra={"error": repr(error)})
            await asyncio.sleep(RETRY_S)

    async def watch(
        self, who: Caller, kinds: frozenset[str], last_id: str
    ) -> AsyncGenerator[Item | Beat]:
        """Give the organization's events that the caller may see, after `last_id` or from now on.

        First a Beat with the id that this begins after. Where events may have been missed, an item
        `resync`: read again what you show. Raises Problem: a wrong id, Redis is down.
        """
        if last_id and not _ID.fullmatch(last_id):
            raise Problem(400, "EVENT_ID_INVALID", "Last-Event-ID is not an id of ours.")
        with self._watching(who.organization_id) as feed:
            async with feed.opening:
                if not feed.is_open:
                    await self._open(feed)
            at = last_id or feed.last
            yield Beat(at)
            while True:
                grown = feed.grown
                entries = await self._after(feed, at)
                if entries is None:
                    at = feed.last
                    yield Item(at, "resync", b"{}")
                    continue
                for entry in entries:
                    at = entry.id
                    if entry.item and _shows(entry, who, kinds):
                        yield entry.item
                if not entries:
                    yield Beat(at)
                    await grown.wait()

    @contextlib.contextmanager
    def _watching(self, organization_id: str) -> Iterator[_Feed]:
        feed = self._feeds.get(organization_id)
        if feed is None:
            feed = self._feeds[organization_id] = _Feed(organization_id)
        feed.watchers += 1
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                self._feeds.pop(organization_id, None)

    async def _after(self, feed: _Feed, at: str) -> list[_Entry] | None:
        """Return what comes after an id, from here or from Redis; None if some of it is lost."""
        place = _place(at)
        if _place(feed.after) <= place <= _place(feed.last):
            return [entry for entry in feed.entries if _place(entry.id) > place]
        try:
            return await self._page(feed.organization_id, at)
        except (RedisError, OSError):
            raise _unavailable() from None

    async def _open(self, feed: _Feed) -> None:
        try:
            feed.begin(await self._newest(feed))
        except (RedisError, OSError):
            raise _unavailable() from None
        feed.is_open = True

    async def _newest(self, feed: _Feed) -> str:
        newest = await self._redis.xrevrange(f"live:{feed.organization_id}", count=1)
        return newest[0][0].decode() if newest else BEGINNING

    async def _listen(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as bells:
            await bells.subscribe(BELL)
            for feed in self._feeds.values():  # bells may have been missed
                self._begin_reading(feed)
            while True:
                bell = await bells.get_message(timeout=BELL_S)
                for organization_id in bell["data"].decode().split() if bell else ():
                    if organization_id in self._feeds:
                        self._begin_reading(self._feeds[organization_id])

    def _begin_reading(self, feed: _Feed) -> None:
        feed.due = True
        if feed.reader is None:
            feed.reader = asyncio.create_task(self._read(feed))

    async def _read(self, feed: _Feed) -> None:
        """Read on as long as there is need; who opens the feed begins after all bells before."""
        while feed.due and feed.watchers and feed.is_open:
            feed.due = False
            try:
                await self._grow(feed)
            except (RedisError, OSError) as error:
                log.warning("live events not read", extra={"error": repr(error)})
                feed.due = True
                await asyncio.sleep(RETRY_S)
        feed.reader = None

    async def _grow(self, feed: _Feed) -> None:
        entries = None
        while entries is None or len(entries) == PAGE:
            entries = await self._page(feed.organization_id, feed.last)
            if entries is None:
                # Redis was emptied, or so much came that some is gone: watchers find out.
                feed.begin(await self._newest(feed))
                break
            for entry in entries:
                feed.add(entry)
        feed.tell()

    async def _page(self, organization_id: str, at: str) -> list[_Entry] | None:
        """Return the stream's next entries after an id; None if the stream has not kept it."""
        name = f"live:{organization_id}"
        async with self._redis.pipeline(transaction=False) as pipe:
            if at == BEGINNING:
                pipe.xinfo_stream(name)
            else:
                pipe.xrange(name, min=at, max=at, count=1)
            pipe.xrange(name, min=f"({at}", count=PAGE)
            kept, found = await pipe.execute(raise_on_error=False)
        if isinstance(found, Exception):
            raise found
        if at == BEGINNING:  # nothing stood before; an error says that there is still no stream
            whole = isinstance(kept, Exception) or kept.get("entries-added") == kept["length"]
        else:
            whole = bool(kept)
        return [_entry(key.decode(), fields) for key, fields in found] if whole else None


def _unavailable() -> Problem:
    return Problem(503, "EVENTS_UNAVAILABLE", "Live events are not at hand.", retry_after_s=1)


def _place(entry_id: str) -> tuple[int, int]:
    time_ms, _, number = entry_id.partition("-")
    return int(time_ms), int(number)


def _shows(entry: _Entry, who: Caller, kinds: frozenset[str]) -> bool:
    if kinds and entry.kind not in kinds:
        return False
    return entry.permission == "member" or who.may(entry.permission)


def _entry(entry_id: str, fields: dict[bytes, bytes]) -> _Entry:
    try:
        event = Event.FromString(fields[b"event"])
        payload = descriptor_pool.Default().FindMessageTypeByName(event.payload.TypeName())
        shown: dict[str, Any] = encoder(Event.DESCRIPTOR)(event)
    except (KeyError, ValueError, DecodeError):  # of a contract that is newer than ours
        return _Entry(entry_id, "", "", None)
    options: Any = payload.GetOptions()
    permission = str(options.Extensions[options_pb2.event_permission])
    if permission in ("", "service"):
        return _Entry(entry_id, "", "", None)
    shown = {name: value for name, value in shown.items() if name not in _INTERNAL}
    shown["service"] = fields[b"service"].decode()
    item = Item(entry_id, payload.name, orjson.dumps(shown))
    return _Entry(entry_id, event.aggregate_type, permission, item)
