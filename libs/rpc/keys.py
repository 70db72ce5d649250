"""The public keys that tokens are signed with, fetched when needed and no oftener."""

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from libs.rpc.errors import Unavailable

log = logging.getLogger(__name__)

REMEMBER_S = 300.0
RETRY_S = 5.0  # an unknown key id leads to no second fetch before
RETRY_FAILED_S = 0.5  # nor does a failure
STALE_S = 3_600.0  # with auth out of reach the last keys serve so long
KEYS_MAX = 100
_PUBLIC_PARTS = ("kty", "crv", "x", "y")

JwkSet = Mapping[str, Sequence[Mapping[str, str]]]  # {"keys": [{kty, crv, kid, x, y, alg, use}]}
FetchJwks = Callable[[], Awaitable[JwkSet]]


class Keys:
    """The key set of auth; `version` changes when a key was withdrawn."""

    def __init__(self, fetch: FetchJwks) -> None:
        self._fetch = fetch
        self._keys: dict[str, ECKey] = {}
        self._stale_from = 0.0
        self._useless_from = 0.0
        self._next_try = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self.version = 0

    async def get(self, key_id: str) -> ECKey | None:
        """Return the key of that id, or None. Raises Unavailable if no key set is at hand."""
        self.look_after()
        if key_id not in self._keys and (fetching := self._begin()):
            await asyncio.shield(fetching)
        if time.monotonic() >= self._useless_from:
            raise Unavailable("The signing keys are not at hand.", retry_after_s=1)
        return self._keys.get(key_id)

    def look_after(self) -> None:
        """Begin to fetch the set again when it is old; nobody waits for that."""
        if time.monotonic() >= self._stale_from:
            self._begin()

    def _begin(self) -> "asyncio.Task[None] | None":
        """Return the fetch under way, begun if need be; None while it is too early for another."""
        if self._fetching is None and time.monotonic() >= self._next_try:
            # In a context of its own: nobody's deadline or identity belongs to this call.
            self._fetching = asyncio.create_task(self._load(), context=contextvars.Context())
        return self._fetching

    async def _load(self) -> None:
        try:
            found = _usable((await self._fetch())["keys"])
        except Exception as error:  # noqa: BLE001  # whatever it is, the old keys go on
            log.warning("signing keys not fetched", extra={"error": repr(error)})
            self._next_try = time.monotonic() + RETRY_FAILED_S
        else:
            now = time.monotonic()
            self._next_try = now + RETRY_S
            self._stale_from = now + REMEMBER_S
            self._useless_from = now + STALE_S
            self.version += not self._keys.keys() <= found.keys()
            self._keys = found
        finally:
            self._fetching = None


def _usable(keys: Sequence[Mapping[str, str]]) -> dict[str, ECKey]:
    found = {}
    for key in keys[:KEYS_MAX]:
        if key.get("kty") != "EC" or key.get("crv") != "P-256" or not key.get("kid"):
            continue
        try:
            # Only what a public P-256 key is made of; `d` in a key set would be auth's mistake.
            parts: dict[str, str | list[str]] = {
                name: key[name] for name in ("kty", "crv", "x", "y")
            }
            found[key["kid"]] = ECKey.import_key(parts)
        except (JoseError, ValueError, KeyError):
            log.warning("unusable signing key", extra={"kid": key["kid"]})
    return found
