"""A client of the REST API that asks again, with the same key, until it gets an answer."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.fault.history import History

# What says "ask again": nothing is known of what has become of the request.
AGAIN = {408, 429, 502, 503, 504}
ACCESS_LIFE_S = 500
PAUSE_S = (0.05, 0.4)
# So many requests that change something are broken off so soon, and asked again.
HASTY, HASTY_S = 0.05, (0.002, 0.06)


@dataclass(frozen=True)
class Answer:
    """What came in the end; reason is the problem's, '' for a success, None if nothing came."""

    body: Any
    reason: str | None

    @property
    def ok(self) -> bool:
        return self.reason == ""


@dataclass
class Traffic:
    """What all clients together have seen."""

    attempts: Counter[str] = field(default_factory=Counter)  # by status or error
    waits_s: list[float] = field(default_factory=list)  # from first attempt to answer
    give_up_at: float = float("inf")  # by time.monotonic()


class Client:
    """One person of one organization."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        history: History,
        traffic: Traffic,
        dice: random.Random,
        email: str,
    ) -> None:
        self.organization_id = ""
        self.dice = dice
        self.history = history
        self._http = http
        self._traffic = traffic
        self._email = email
        self._password = f"a password of {email}"
        self._token = ""
        self._token_at = 0.0
        self._entering = asyncio.Lock()

    @property
    def give_up_at(self) -> float:
        """When nothing is waited for any more."""
        return self._traffic.give_up_at

    async def sign_up(self, name: str) -> bool:
        """Found an organization; False if nobody answered."""
        body = {
            "email": self._email,
            "password": self._password,
            "organization_name": name,
            "base_currency_code": "EUR",
            "region_code": "DE",
        }
        # A sign-up has no key: if its answer was lost, the address is taken, by ourselves.
        answer = await self.send("POST", "/v1/signup", {"EMAIL_TAKEN"}, json=body)
        if answer.reason == "EMAIL_TAKEN":
            return await self._log_in()
        return self._enter(answer)

    async def send(
        self,
        method: str,
        path: str,
        allowed: Collection[str] = (),
        *,
        key: str = "",
        **request: Any,
    ) -> Answer:
        """Ask until there is an answer; a problem that is not allowed goes to the history."""
        began = time.monotonic()
        while True:
            answer = await self._attempt(method, path, allowed, key, request)
            if answer is not None:
                self._traffic.waits_s.append(time.monotonic() - began)
                if answer.ok or answer.reason in allowed:
                    return answer
                self._note("refused", method, path, key, answer)
                return answer
            if time.monotonic() > self._traffic.give_up_at:
                self._note("unanswered", method, path, key, Answer(None, None))
                return Answer(None, None)
            await asyncio.sleep(self.dice.uniform(*PAUSE_S))

    async def log_out(self) -> str | None:
        """Log in anew and out again; the token that must open nothing any more, None if none."""
        self._token_at = 0.0
        if not await self._log_in():
            return None
        token = self._token
        # If the answer was lost, there is no session any more when it is asked for again.
        gone = {"TOKEN_REVOKED", "SESSION_NOT_FOUND"}
        ended = await self.send("POST", "/v1/logout", gone, json={})
        self._token_at = 0.0
        return token if ended.reason is not None else None

    async def opens(self, token: str) -> bool:
        """Whether a token opens anything."""
        headers = {"Authorization": f"Bearer {token}"}
        try:
            answer = await self._http.get("/v1/users/me", headers=headers)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    async def _attempt(
        self, method: str, path: str, allowed: Collection[str], key: str, request: dict[str, Any]
    ) -> Answer | None:
        """One attempt; None if it says nothing about what became of it."""
        headers = {**request.get("headers", {})}
        is_public = path in ("/v1/signup", "/v1/login")
        if not is_public:
            if time.monotonic() - self._token_at > ACCESS_LIFE_S and not await self._log_in():
                return None
            headers["Authorization"] = f"Bearer {self._token}"
        if key:
            headers["Idempotency-Key"] = key
            if self.dice.random() < HASTY:
                request = {**request, "timeout": self.dice.uniform(*HASTY_S)}
        try:
            answer = await self._http.request(method, path, **{**request, "headers": headers})
        except httpx.TransportError as error:
            self._traffic.attempts[type(error).__name__] += 1
            return None
        self._traffic.attempts[f"{answer.status_code}"] += 1
        if answer.status_code in AGAIN:
            return None
        if answer.status_code < 400:
            is_json = "json" in answer.headers.get("content-type", "")
            return Answer(answer.json() if is_json else answer.content, "")
        found = Answer(answer.json(), str(answer.json().get("reason")))
        if found.reason in allowed:
            return found
        if answer.status_code == 500 or (answer.status_code == 401 and not is_public):
            # Neither may ever happen; asking goes on, to see whether it passes.
            self._note("broken", method, path, key, found)
            return None
        return found

    async def _log_in(self) -> bool:
        async with self._entering:
            if time.monotonic() - self._token_at < ACCESS_LIFE_S:
                return True
            body = {"email": self._email, "password": self._password}
            return self._enter(await self.send("POST", "/v1/login", json=body))

    def _enter(self, answer: Answer) -> bool:
        if answer.ok:
            self._token, self._token_at = answer.body["access_token"], time.monotonic()
            self.organization_id = answer.body["organization"]["organization_id"]
        return answer.ok

    def _note(self, kind: str, method: str, path: str, key: str, answer: Answer) -> None:
        self.history.add(
            kind,
            organization_id=self.organization_id,
            call=f"{method} {path}",
            key=key,
            reason=answer.reason,
            detail=(answer.body or {}).get("detail", ""),
        )
