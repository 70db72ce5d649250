"""Who asks: a bearer token, or an API key exchanged for one."""

import asyncio
import contextvars
import re
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from gateway.asgi import Exchange
from libs.rpc import Caller, TokenVerifier, Unauthenticated

KEYS_MAX = 10_000  # remembered
EARLY_S = 30.0  # before its end a key's token is no longer used
REFUSED_S = 5.0  # for so long a key that was refused is not asked about again

_KEY = re.compile(r"aud_live_[0-9a-f]{32}_[0-9a-f]{72}", re.ASCII)
_PREFIX = "aud_"

# Gives a key's token and the Unix time it ends at, or raises ApiKeyInvalid.
ExchangeKey = Callable[[str, Exchange], Awaitable[tuple[str, float]]]


class TokenMissing(Unauthenticated):
    """The route needs a token or a key, and there is none."""

    reason = "TOKEN_MISSING"


class ApiKeyInvalid(Unauthenticated):
    """The key has not the form of one, or auth does not know it."""

    reason = "API_KEY_INVALID"


class Identity:
    """Finds out who asks; a key's token is remembered until shortly before its end."""

    def __init__(self, verifier: TokenVerifier, exchange_key: ExchangeKey) -> None:
        self._verifier = verifier
        self._exchange_key = exchange_key
        self._tokens: dict[bytes, tuple[str, float]] = {}
        self._refused: dict[bytes, float] = {}  # until when
        self._asked: dict[bytes, asyncio.Task[str]] = {}

    async def caller(self, exchange: Exchange, otherwise: str = "") -> Caller:
        """Return who asks, by the headers or else by the token given.

        Raises Unauthenticated (TOKEN_MISSING, TOKEN_INVALID, …, API_KEY_INVALID), Unavailable.
        """
        kind, _, given = exchange.header(b"authorization").partition(" ")
        token = given.strip() if kind.lower() == "bearer" else ""
        token = token or exchange.header(b"x-api-key").strip() or otherwise
        if not token:
            raise TokenMissing("This needs a bearer token or an API key.")
        if not token.startswith(_PREFIX):
            return await self._verifier.verify(token)
        try:
            return await self._verifier.verify(await self._token_of(token, exchange))
        except Unauthenticated:
            # The token that we remembered may be of a signing key, or of Redis data, that is gone.
            if self._tokens.pop(_digest(token), None) is None:
                raise
            return await self._verifier.verify(await self._token_of(token, exchange))

    async def check(self, who: Caller) -> None:
        """Raise Unauthenticated once the caller's token has expired or was revoked."""
        await self._verifier.verify(who.token)

    async def _token_of(self, key: str, exchange: Exchange) -> str:
        if not _KEY.fullmatch(key):
            raise ApiKeyInvalid("The key is not valid.")
        digest = _digest(key)
        token, end = self._tokens.get(digest, ("", 0.0))
        if time.time() < end - EARLY_S:
            return token
        if time.monotonic() < self._refused.get(digest, 0.0):
            raise ApiKeyInvalid("The key is not valid.")
        asking = self._asked.get(digest)
        if asking is None:
            # In a context of its own: others may wait for the same answer.
            asking = asyncio.create_task(
                self._ask(digest, key, exchange), context=contextvars.Context()
            )
            asking.add_done_callback(_look_at)
            self._asked[digest] = asking
        return await asyncio.shield(asking)

    async def _ask(self, digest: bytes, key: str, exchange: Exchange) -> str:
        try:
            found = await self._exchange_key(key, exchange)
        except ApiKeyInvalid:
            _keep(self._refused, digest, time.monotonic() + REFUSED_S)
            raise
        finally:
            del self._asked[digest]
        _keep(self._tokens, digest, found)
        return found[0]


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()


def _keep(held: dict[bytes, Any], digest: bytes, value: Any) -> None:
    held.pop(digest, None)
    if len(held) >= KEYS_MAX:
        held.pop(next(iter(held)))  # the oldest
    held[digest] = value


def _look_at(task: "asyncio.Task[str]") -> None:
    """Take note of the failure even if everyone who waited has gone."""
    if not task.cancelled():
        task.exception()
