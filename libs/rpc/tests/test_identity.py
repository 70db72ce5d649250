"""Callers, verified tokens and revocation, with a real Redis that also dies."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from auditron.auth.v1 import auth_pb2, auth_pb2_grpc
from google.rpc import code_pb2
from joserfc.jwk import ECKey
from redis.asyncio import Redis

from libs.embedded import Embedded
from libs.rpc import (
    Caller,
    Channels,
    Fault,
    RpcSettings,
    ServiceTokens,
    TokenVerifier,
    acting_as,
    auth_clients,
    caller,
    caller_or_none,
    identity,
    keys,
)
from libs.rpc import sessions as sessions_module
from libs.rpc.tests.probe import ORGANIZATION, Auth


async def refusal(verifier: TokenVerifier, token: str) -> Fault:
    with pytest.raises(Fault) as caught:
        await verifier.verify(token)
    return caught.value


async def test_a_persons_token_becomes_its_caller(auth: Auth) -> None:
    token = auth.token(sub="u1", sid="s1", scope="invoices.read recon.*")
    assert await auth.verifier().verify(token) == Caller(
        user_id="u1",
        organization_id=ORGANIZATION,
        session_id="s1",
        permissions=frozenset({"invoices.read", "recon.*"}),
        token=token,
    )


async def test_a_keys_token_and_a_services_token_name_their_actor(auth: Auth) -> None:
    key = await auth.verifier().verify(auth.token(key="ak1", sid="ak1", sub="u1"))
    assert (key.actor, key.user_id, key.api_key_id) == ("api_key:ak1", "", "ak1")
    token = auth.service_token("agent", "probe", org=ORGANIZATION, obo="user:u1")
    service = await auth.verifier().verify(token)
    assert (service.actor, service.on_behalf_of) == ("service:agent", "user:u1")
    assert (service.user_id, service.organization_id) == ("", ORGANIZATION)
    assert Caller(user_id="u1").actor == "user:u1"


@pytest.mark.parametrize(
    ("held", "asked", "allowed"),
    [
        ("invoices.read", "invoices.read", True),
        ("invoices.*", "invoices.approve", True),
        ("*", "invoices.approve", True),
        ("", "invoices.read", False),
        ("invoices.read", "invoices.approve", False),
        ("invoices.*", "invoice.read", False),
        ("inv.*", "invoices.read", False),
        ("invoices", "invoices.read", False),
        ("*.read", "invoices.read", False),
    ],
)
def test_a_permission_is_held_by_name_or_wildcard(held: str, asked: str, allowed: bool) -> None:
    assert Caller(permissions=frozenset(held.split())).may(asked) is allowed


def test_a_caller_does_not_print_its_token() -> None:
    assert "s3cret" not in repr(Caller(user_id="u", token="s3cret"))


def test_the_caller_is_known_within_the_block_alone() -> None:
    assert caller_or_none() is None
    with pytest.raises(LookupError):
        caller()
    with acting_as(Caller(user_id="a")):
        with acting_as(Caller(user_id="b")):
            assert caller().user_id == "b"
        assert caller().user_id == "a"
    assert caller_or_none() is None


async def test_a_verified_token_is_remembered_until_it_ends(auth: Auth) -> None:
    clock = [time.time()]
    verifier = TokenVerifier(auth.jwks, "probe", None, auth.check_session, lambda: clock[0])
    token = auth.token()
    first = await verifier.verify(token)
    assert await verifier.verify(token) is first
    clock[0] += 310
    assert (await refusal(verifier, token)).reason == "TOKEN_EXPIRED"
    assert (await refusal(verifier, token)).reason == "TOKEN_EXPIRED"


async def test_no_more_tokens_are_remembered_than_allowed(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "VERIFIED_MAX", 3)
    verifier = auth.verifier()
    tokens = [auth.token() for _ in range(10)]
    for token in tokens:
        await verifier.verify(token)
    assert list(verifier._verified) == tokens[-3:]


async def test_a_new_key_is_found_and_a_withdrawn_one_takes_its_tokens_with_it(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "RETRY_S", 0.0)
    monkeypatch.setattr(keys, "REMEMBER_S", 0.0)
    verifier = auth.verifier()
    old = auth.token()
    await verifier.verify(old)
    auth.key = ECKey.generate_key("P-256", {"kid": "k2"}, private=True)
    auth.keys.append(auth.key)
    await verifier.verify(auth.token())
    await verifier.verify(old)
    auth.keys = [auth.key]
    await verifier.verify(auth.token())  # the key set is old: it is fetched again meanwhile
    await asyncio.sleep(0.01)
    assert (await refusal(verifier, old)).reason == "TOKEN_INVALID"
    await verifier.verify(auth.token())


async def test_many_first_calls_fetch_the_keys_once(auth: Auth) -> None:
    verifier = auth.verifier()
    await asyncio.gather(*(verifier.verify(auth.token()) for _ in range(50)))
    assert auth.fetches == 1


async def test_without_auth_known_keys_go_on_and_unknown_ones_are_unavailable(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "RETRY_FAILED_S", 0.05)
    verifier = auth.verifier()
    auth.down = True
    token = auth.service_token("agent", "probe")
    assert (await refusal(verifier, token)).code == code_pb2.UNAVAILABLE
    auth.down = False
    await asyncio.sleep(0.06)
    await verifier.verify(token)
    auth.down = True
    monkeypatch.setattr(keys, "REMEMBER_S", 0.0)
    await verifier.verify(auth.service_token("recon", "probe"))


async def test_keys_that_are_no_p256_keys_are_passed_over(auth: Auth) -> None:
    good = auth.key.as_dict(private=False)
    odd: list[Any] = [
        {},
        {"kty": "oct", "k": "AAAA", "kid": "k1"},
        {**good, "crv": "P-384", "kid": "a"},
        {**good, "x": "AAAA", "kid": "b"},
        {**good, "kid": ""},
    ]

    async def jwks() -> Any:
        return {"keys": [*odd, good]}

    verifier = TokenVerifier(jwks, "probe", None, auth.check_session)
    await verifier.verify(auth.token())
    assert list(verifier._keys._keys) == ["k1"]


async def test_a_revoked_session_is_refused_by_what_redis_says(auth: Auth, redis: Redis) -> None:
    await redis.set("revoked:ready", 1)
    await redis.set("revoked:s1", 1)
    verifier = auth.verifier(redis)
    assert (await refusal(verifier, auth.token(sid="s1"))).reason == "TOKEN_REVOKED"
    await verifier.verify(auth.token(sid="s2"))
    assert auth.checks == 0


async def test_a_revocation_is_seen_within_the_time_remembered(
    auth: Auth, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "REMEMBER_S", 0.05)
    await redis.set("revoked:ready", 1)
    verifier = auth.verifier(redis)
    token = auth.token(sid="s1")
    await verifier.verify(token)
    await redis.set("revoked:s1", 1)
    await asyncio.sleep(0.06)
    assert (await refusal(verifier, token)).reason == "TOKEN_REVOKED"


async def test_an_emptied_redis_makes_auth_be_asked(auth: Auth, redis: Redis) -> None:
    auth.ended.add("s1")
    verifier = auth.verifier(redis)
    assert (await refusal(verifier, auth.token(sid="s1"))).reason == "TOKEN_REVOKED"
    await verifier.verify(auth.token(sid="s2"))
    await verifier.verify(auth.token(sid="s2"))
    assert auth.checks == 2


async def test_a_dead_redis_makes_auth_be_asked_and_nobody_wait(
    auth: Auth, redis: Redis, stores: Embedded
) -> None:
    await redis.set("revoked:ready", 1)
    auth.ended.add("s1")
    verifier = auth.verifier(redis)
    await verifier.verify(auth.token(sid="s0"))
    await stores.redis.kill()
    begun = time.monotonic()
    assert (await refusal(verifier, auth.token(sid="s1"))).reason == "TOKEN_REVOKED"
    await verifier.verify(auth.token(sid="s2"))
    assert time.monotonic() - begun < 1
    auth.down = True
    fault = await refusal(verifier, auth.token(sid="s3"))
    assert (fault.code, fault.retry_after_s) == (code_pb2.UNAVAILABLE, 1)
    await stores.redis.start()


async def test_a_redis_that_never_answers_costs_its_limit_once(auth: Auth) -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)
        writer.close()

    hole = await asyncio.start_server(silent, "127.0.0.1", 0)
    client: Redis = Redis(port=hole.sockets[0].getsockname()[1])
    verifier = auth.verifier(client)
    begun = time.monotonic()
    for number in range(5):
        await verifier.verify(auth.token(sid=f"s{number}"))
    assert time.monotonic() - begun < 0.5
    assert auth.checks == 5
    await client.aclose()
    hole.close()


async def test_questions_that_come_together_go_to_redis_together(auth: Auth, redis: Redis) -> None:
    await redis.set("revoked:ready", 1)
    verifier = auth.verifier(redis)
    await verifier.verify(auth.token(sid="warm"))
    before = (await redis.info("commandstats"))["cmdstat_mget"]["calls"]
    tokens = [auth.token(sid=f"s{number % 20}") for number in range(100)]
    await asyncio.gather(*map(verifier.verify, tokens))
    after = (await redis.info("commandstats"))["cmdstat_mget"]["calls"]
    assert after - before == 1


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others(auth: Auth) -> None:
    answer = asyncio.Event()

    async def slow(_: str) -> bool:
        await answer.wait()
        return True

    verifier = TokenVerifier(auth.jwks, "probe", None, slow)
    token = auth.token()
    asking = [asyncio.create_task(verifier.verify(token)) for _ in range(3)]
    await asyncio.sleep(0.05)
    asking[0].cancel()
    await asyncio.sleep(0)
    answer.set()
    done = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert [isinstance(who, Caller) for who in done[1:]] == [True, True]


async def test_service_tokens_ask_for_no_session(auth: Auth) -> None:
    auth.ended.add("")
    await auth.verifier().verify(auth.service_token("agent", "probe"))
    assert auth.checks == 0


class AuthServicer(auth_pb2_grpc.AuthServiceServicer):
    """The three questions that services ask of auth."""

    def __init__(self, auth: Auth) -> None:
        self.auth = auth
        self.metadata: list[dict[str, Any]] = []

    async def GetJwks(self, _: Any, context: Any) -> Any:  # noqa: N802
        self.metadata.append(dict(context.invocation_metadata()))
        key = self.auth.key.as_dict(private=False)
        return auth_pb2.Jwks(keys=[auth_pb2.Jwk(alg="ES256", use="sig", **key)])

    async def CheckSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.metadata.append(dict(context.invocation_metadata()))
        active = await self.auth.check_session(request.session_id)
        return auth_pb2.CheckSessionResponse(active=active)

    async def IssueServiceToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.metadata.append(dict(context.invocation_metadata()))
        found = await self.auth.issue(
            request.service,
            request.secret,
            request.audience,
            request.organization_id,
            request.on_behalf_of,
        )
        answer = auth_pb2.ServiceToken(token=found.token)
        answer.expire_time.FromSeconds(int(found.expire_time))
        return answer


async def test_a_service_verifies_and_gets_tokens_over_auths_contract(auth: Auth) -> None:
    servicer = AuthServicer(auth)
    server = grpc.aio.server()
    auth_pb2_grpc.add_AuthServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channels = Channels(RpcSettings("recon", "s3cret", {"auth": f"127.0.0.1:{port}"}))
    clients = auth_clients(channels)
    verifier = TokenVerifier(clients.jwks, "probe", None, clients.check_session)
    auth.ended.add("s1")
    assert (await verifier.verify(auth.token(sub="u5"))).user_id == "u5"
    assert (await refusal(verifier, auth.token(sid="s1"))).reason == "TOKEN_REVOKED"
    tokens = ServiceTokens("recon", "s3cret", clients.issue_service_token)
    who = await verifier.verify(await tokens.get("probe", ORGANIZATION, "user:u5"))
    assert (who.service, who.organization_id, who.on_behalf_of) == (
        "recon",
        ORGANIZATION,
        "user:u5",
    )
    assert len(servicer.metadata) == 4
    assert not any("authorization" in metadata for metadata in servicer.metadata)
    await channels.close()
    await server.stop(0)
