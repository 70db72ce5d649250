"""The tokens with which this service calls others on its own account."""

import asyncio
import contextvars
import time

from libs.rpc.identity import IssueServiceToken, ServiceToken

EARLY_S = 10.0  # before its end a token is replaced
REMEMBERED_MAX = 10_000

Purpose = tuple[str, str, str]  # audience, organization_id, on_behalf_of


class ServiceTokens:
    """Fetches a token for each purpose from auth once in its life."""

    def __init__(self, service: str, secret: str, issue: IssueServiceToken) -> None:
        self._service = service
        self._secret = secret
        self._issue = issue
        self._held: dict[Purpose, ServiceToken] = {}
        self._fetching: dict[Purpose, asyncio.Task[ServiceToken]] = {}

    async def get(self, audience: str, organization_id: str = "", on_behalf_of: str = "") -> str:
        """Return a token that is good for 10 s or more. Raises AioRpcError if auth gives none."""
        purpose = (audience, organization_id, on_behalf_of)
        held = self._held.get(purpose)
        if held and time.time() < held.expire_time - EARLY_S:
            return held.token
        fetching = self._fetching.get(purpose)
        if fetching is None:
            # In a context of its own: who happens to ask first lends it neither deadline nor name.
            fetching = asyncio.create_task(self._fetch(purpose), context=contextvars.Context())
            fetching.add_done_callback(_look_at)
            self._fetching[purpose] = fetching
        return (await asyncio.shield(fetching)).token

    async def _fetch(self, purpose: Purpose) -> ServiceToken:
        try:
            found = await self._issue(self._service, self._secret, *purpose)
        finally:
            del self._fetching[purpose]
        self._held.pop(purpose, None)
        if len(self._held) >= REMEMBERED_MAX:
            self._held.pop(next(iter(self._held)))  # the oldest
        self._held[purpose] = found
        return found


def _look_at(task: "asyncio.Task[ServiceToken]") -> None:
    """Take note of the failure even if everyone who waited has gone."""
    if not task.cancelled():
        task.exception()
