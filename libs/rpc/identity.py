"""Who calls: the caller of this request, and what finds out from a token."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from libs.rpc import tokens
from libs.rpc.keys import FetchJwks, JwkSet, Keys
from libs.rpc.sessions import CheckSession, Sessions

if TYPE_CHECKING:
    from libs.rpc.client import Channels

VERIFIED_MAX = 10_000  # tokens remembered

__all__ = [
    "AuthClients",
    "Caller",
    "JwkSet",
    "ServiceToken",
    "TokenVerifier",
    "acting_as",
    "auth_clients",
    "caller",
    "caller_or_none",
    "set_caller",
]


@dataclass(frozen=True)
class Caller:
    """A person, an API key or a service, as its token says; '' where a field does not apply."""

    user_id: str = ""
    organization_id: str = ""
    session_id: str = ""
    permissions: frozenset[str] = frozenset()
    api_key_id: str = ""
    service: str = ""
    on_behalf_of: str = ""  # the actor for whom a service acts
    token: str = field(default="", repr=False)

    @cached_property
    def actor(self) -> str:
        """Who did it, as events and rows name it: "user:ID", "api_key:ID" or "service:NAME"."""
        if self.service:
            return f"service:{self.service}"
        return f"api_key:{self.api_key_id}" if self.api_key_id else f"user:{self.user_id}"

    def may(self, permission: str) -> bool:
        """Whether the permission is held: by its name, by "invoices.*", or by "*"."""
        held = self.permissions
        return (
            permission in held
            or "*" in held
            or (len(held) > 0 and f"{permission.partition('.')[0]}.*" in held)
        )


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def caller() -> Caller:
    """Return who made the call that is being answered. Raises LookupError outside one."""
    who = _caller.get()
    if who is None:
        raise LookupError("no caller: this is no call, or a public one")
    return who


def caller_or_none() -> Caller | None:
    """Return who made the call; None outside a call and in a public one."""
    return _caller.get()


def set_caller(who: Caller | None) -> None:
    """Name the caller for the rest of this task. For one block see `acting_as`."""
    _caller.set(who)


@contextmanager
def acting_as(who: Caller) -> Iterator[Caller]:
    """Name the caller within the block; a job's is Caller(organization_id=…, on_behalf_of=…)."""
    outer = _caller.get()
    _caller.set(who)
    try:
        yield who
    finally:
        _caller.set(outer)


class TokenVerifier:
    """Turns a bearer token into its Caller, or a Fault that says why not."""

    def __init__(
        self,
        jwks: FetchJwks,
        audience: str,
        redis: Redis | None,
        check_session: CheckSession,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keys = Keys(jwks)
        self._keys_version = 0
        self._audience = audience
        self._sessions = Sessions(redis, check_session)
        self._now = now
        self._verified: dict[str, tuple[float, Caller]] = {}

    async def verify(self, token: str) -> Caller:
        """Return who the token stands for.

        Raises Unauthenticated (TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_REVOKED), or
        Unavailable when neither Redis nor auth can be asked.
        """
        self._keys.look_after()
        if self._keys_version != self._keys.version:
            self._verified.clear()  # a withdrawn key takes its tokens with it
            self._keys_version = self._keys.version
        expire, who = self._verified.get(token) or await self._check(token)
        if self._now() >= expire:
            self._verified.pop(token, None)
            raise tokens.TokenExpired("The token has expired.")
        if who.session_id and not await self._sessions.active(who.session_id):
            raise tokens.TokenRevoked("The session has ended.")
        return who

    async def _check(self, token: str) -> tuple[float, Caller]:
        if not token:
            raise tokens.TokenMissing("This call needs a token.")
        key = await self._keys.get(tokens.key_id(token))
        if key is None:
            tokens.refuse("key")
        claims = tokens.claims_in(token, key, self._audience, self._now())
        found = (claims["exp"] + tokens.LEEWAY_S, _caller_of(claims, token))
        if len(self._verified) >= VERIFIED_MAX:
            self._verified.pop(next(iter(self._verified)))  # the oldest
        self._verified[token] = found
        return found


@dataclass(frozen=True)
class ServiceToken:
    """A token that auth issued to a service, and the Unix time it ends at."""

    token: str = field(repr=False)
    expire_time: float


# service, secret, audience, organization_id, on_behalf_of
IssueServiceToken = Callable[[str, str, str, str, str], Awaitable[ServiceToken]]


@dataclass(frozen=True)
class AuthClients:
    """What the other services ask of auth."""

    jwks: FetchJwks
    check_session: CheckSession
    issue_service_token: IssueServiceToken


def auth_clients(channels: "Channels") -> AuthClients:
    """Return the questions to auth, asked over its channel."""
    from auditron.auth.v1 import auth_pb2, auth_pb2_grpc  # noqa: PLC0415  # auth has no need of it

    stub: Any = channels.stub(auth_pb2_grpc.AuthServiceStub)

    async def jwks() -> JwkSet:
        answer = await stub.GetJwks(auth_pb2.GetJwksRequest())
        names = ("kty", "crv", "kid", "x", "y", "alg", "use")
        return {"keys": [{name: getattr(key, name) for name in names} for key in answer.keys]}

    async def check_session(session_id: str) -> bool:
        request = auth_pb2.CheckSessionRequest(session_id=session_id)
        return bool((await stub.CheckSession(request)).active)

    async def issue_service_token(
        service: str, secret: str, audience: str, organization_id: str, on_behalf_of: str
    ) -> ServiceToken:
        request = auth_pb2.IssueServiceTokenRequest(
            service=service,
            secret=secret,
            audience=audience,
            organization_id=organization_id,
            on_behalf_of=on_behalf_of,
        )
        answer = await stub.IssueServiceToken(request)
        return ServiceToken(answer.token, answer.expire_time.ToDatetime(UTC).timestamp())

    return AuthClients(jwks, check_session, issue_service_token)


def _caller_of(claims: dict[str, Any], token: str) -> Caller:
    service, key = claims.get("svc", ""), claims.get("key", "")
    return Caller(
        user_id="" if service or key else claims["sub"],
        organization_id=claims.get("org", ""),
        session_id=claims.get("sid", ""),
        permissions=frozenset(claims.get("scope", "").split()),
        api_key_id=key,
        service=service,
        on_behalf_of=claims.get("obo", ""),
        token=token,
    )
