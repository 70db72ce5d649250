"""The signing keys, opened and at hand, so that a token is made without the database."""

import asyncio
import contextvars
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from joserfc.jwk import ECKey

from libs.pg import Database
from libs.rpc import Unavailable

from .. import rules, signing, store
from ..settings import Settings

log = logging.getLogger(__name__)

RELOAD_S = 30.0  # far less than a new key is published before it signs


class SigningKeys:
    """Every key that is kept; read again in the background, by one reader at a time."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._sealing = settings.key_encryption_key
        self._keys: Sequence[rules.SigningKey] = ()
        self._opened: Mapping[str, ECKey] = {}
        self._load_time = 0.0
        self._loading: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Read the keys; before the first call of `active`."""
        self._load_time = time.monotonic()
        async with self._db.unscoped() as tx:
            keys = await store.list_signing_keys(tx)
        opened = {
            key.key_id: signing.open_key(self._sealing, key.key_id, key.sealed_key) for key in keys
        }
        self._keys, self._opened = keys, opened

    def active(self, now: datetime) -> ECKey:
        """The key that signs now; waits for nothing. Raises Unavailable while there is none."""
        found = rules.active_key(self._keys, now)
        if found is None or time.monotonic() >= self._load_time + RELOAD_S:
            self._begin_to_reload()
        if found is None:
            raise Unavailable("There is no signing key yet.", retry_after_s=1)
        return self._opened[found.key_id]

    def _begin_to_reload(self) -> None:
        if self._loading is None:
            # In a context of its own: nobody's deadline or identity belongs to this.
            self._loading = asyncio.create_task(self._reload(), context=contextvars.Context())

    async def _reload(self) -> None:
        try:
            await self.load()
        except Exception as error:  # noqa: BLE001  # whatever it is, the old keys go on
            log.warning("signing keys not read", extra={"error": repr(error)})
        finally:
            self._loading = None
