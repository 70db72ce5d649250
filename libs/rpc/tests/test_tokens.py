"""Attacks on tokens: each ends in UNAUTHENTICATED with a reason."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from google.rpc import code_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from libs.rpc import Fault, TokenVerifier, Unauthenticated
from libs.rpc.tests.probe import Auth

NOW = int(time.time())


def b64(raw: bytes | dict[str, Any]) -> str:
    raw = json.dumps(raw).encode() if isinstance(raw, dict) else raw
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(auth: Auth, header: Any, payload: bytes | str, key: Any = None) -> str:
    """Sign what the library would refuse to."""
    private = (key or auth.key).private_key
    head = header if isinstance(header, str) else b64(header)
    body = payload if isinstance(payload, str) else b64(payload)
    der = private.sign(f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(der)
    return f"{head}.{body}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def head(**changes: Any) -> dict[str, Any]:
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "k1"} | changes
    return {name: value for name, value in header.items() if value is not None}


def body(auth: Auth, **changes: Any) -> bytes:
    return json.dumps(auth.claims(**changes)).encode()


def with_header(**changes: Any) -> Callable[[Auth], str]:
    return lambda auth: signed(auth, head(**changes), body(auth))


def with_claims(**changes: Any) -> Callable[[Auth], str]:
    return lambda auth: signed(auth, head(), body(auth, **changes))


def raw_payload(change: Callable[[str], str]) -> Callable[[Auth], str]:
    return lambda auth: signed(auth, head(), change(body(auth).decode()).encode())


def hs256_with_the_public_key(auth: Auth) -> str:
    public = auth.key.public_key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    text = f"{b64(head(alg='HS256'))}.{b64(body(auth))}"
    return f"{text}.{b64(hmac.digest(public, text.encode(), hashlib.sha256))}"


def es256_header_over_an_hmac(auth: Auth) -> str:
    text = f"{b64(head())}.{b64(body(auth))}"
    return f"{text}.{b64(hmac.digest(b'k', text.encode(), hashlib.sha512))}"


def none_with_the_old_signature(auth: Auth) -> str:
    return ".".join([b64(head(alg="none")), *auth.token().split(".")[1:]])


def another_key_of_the_same_id(auth: Auth) -> str:
    return signed(auth, head(), body(auth), ECKey.generate_key("P-256", {"kid": "k1"}))


def own_key_in_the_header(auth: Auth) -> str:
    mine = ECKey.generate_key("P-256")
    return signed(auth, head(jwk=mine.as_dict(private=False)), body(auth), mine)


def with_algorithm(name: str, key: Any) -> Callable[[Auth], str]:
    def make(auth: Auth) -> str:
        registry = jws.JWSRegistry(algorithms=[name])
        return jws.serialize_compact(head(alg=name), body(auth), key, registry=registry)

    return make


def part(number: int, change: Callable[[str], str]) -> Callable[[Auth], str]:
    def make(auth: Auth) -> str:
        parts = auth.token().split(".")
        parts[number] = change(parts[number])
        return ".".join(parts)

    return make


def non_canonical_signature(auth: Auth) -> str:
    """86 characters hold 516 bits: the last four are free to be set by anyone."""
    token = auth.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


def zero_signature(auth: Auth) -> str:
    return f"{auth.token().rpartition('.')[0]}.{b64(bytes(64))}"


def payload_of_another_token(auth: Auth) -> str:
    mine, theirs = auth.token().split("."), auth.token(sub="boss").split(".")
    return ".".join([mine[0], theirs[1], mine[2]])


def retired_key(auth: Auth) -> str:
    token = auth.token()
    auth.keys = [ECKey.generate_key("P-256", {"kid": "k2"})]
    return token


def service_token_for_another(auth: Auth) -> str:
    return auth.service_token("agent", "billing")


def detached_payload(auth: Auth) -> str:
    parts = auth.token().split(".")
    return f"{parts[0]}..{parts[2]}"


ATTACKS: dict[str, tuple[Callable[[Auth], str], str]] = {
    "alg none, no signature": (lambda a: f"{b64(head(alg='none'))}.{b64(body(a))}.", "form"),
    "alg none, old signature": (none_with_the_old_signature, "header"),
    "alg NONE in capitals": (with_header(alg="NONE"), "header"),
    "alg missing": (with_header(alg=None), "header"),
    "alg a list": (with_header(alg=["ES256"]), "header"),
    "HS256 with the public key": (hs256_with_the_public_key, "form"),
    "ES256 over an HMAC": (es256_header_over_an_hmac, "signature"),
    "RS256": (with_algorithm("RS256", RSAKey.generate_key(2048)), "form"),
    "Ed25519": (with_algorithm("Ed25519", OKPKey.generate_key("Ed25519")), "header"),
    "ES384": (with_algorithm("ES384", ECKey.generate_key("P-384")), "form"),
    "another key of the same id": (another_key_of_the_same_id, "signature"),
    "own key as jwk": (own_key_in_the_header, "header"),
    "jku": (with_header(jku="https://evil.example/jwks"), "header"),
    "x5u": (with_header(x5u="https://evil.example/cert"), "header"),
    "x5c": (with_header(x5c=["MIIB"]), "header"),
    "crit": (with_header(crit=["exp"]), "header"),
    "b64 false (RFC 7797)": (with_header(b64=False, crit=["b64"]), "header"),
    "nested token": (with_header(cty="JWT"), "header"),
    "compressed": (with_header(zip="DEF"), "header"),
    "typ JWT, as an id token": (with_header(typ="JWT"), "header"),
    "typ of a refresh token": (with_header(typ="rt+jwt"), "header"),
    "typ missing": (with_header(typ=None), "header"),
    "kid missing": (with_header(kid=None), "header"),
    "kid a path": (with_header(kid="../../etc/passwd"), "key"),
    "kid SQL": (with_header(kid="k1' or '1'='1"), "key"),
    "kid a number": (with_header(kid=1), "key"),
    "kid unknown": (with_header(kid="k9"), "key"),
    "header not JSON": (lambda a: signed(a, b64(b"{alg"), body(a)), "form"),
    "header a list": (lambda a: signed(a, b64(b"[]"), body(a)), "form"),
    "header with alg twice": (
        lambda a: signed(
            a, b64(b'{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"k1"}'), body(a)
        ),
        "form",
    ),
    "header nested too deep": (lambda a: signed(a, b64(b'{"a":' + b"[" * 700), body(a)), "form"),
    "wrong issuer": (with_claims(iss="https://evil.example"), "iss"),
    "issuer missing": (with_claims(iss=None), "iss"),
    "wrong audience": (with_claims(aud="other"), "aud"),
    "audience missing": (with_claims(aud=None), "aud"),
    "audience a list of everything": (with_claims(aud=["auditron", "other"]), "aud"),
    "a service's token for another": (service_token_for_another, "aud"),
    "a service's token for everyone": (
        with_claims(svc="agent", sid=None, scope=None, aud="auditron"),
        "aud",
    ),
    "a service that claims a session": (with_claims(svc="agent", aud="probe"), "svc"),
    "exp missing": (with_claims(exp=None), "exp"),
    "exp a string": (with_claims(exp=str(NOW + 300)), "exp"),
    "exp a float": (with_claims(exp=NOW + 300.5), "exp"),
    "exp true": (with_claims(exp=True), "exp"),
    "exp negative": (with_claims(exp=-1), "exp"),
    "exp beyond all time": (with_claims(exp=10**400), "exp"),
    "exp infinite": (raw_payload(lambda t: t.replace('"exp": ', '"exp": Infinity, "x": ')), "form"),
    "exp as 1e999": (raw_payload(lambda t: t.replace('"exp": ', '"exp": 1e999, "x": ')), "exp"),
    "not valid yet": (with_claims(nbf=NOW + 86_400), "nbf"),
    "nbf a string": (with_claims(nbf="0"), "nbf"),
    "issued in the future": (with_claims(iat=NOW + 86_400), "iat"),
    "sub missing": (with_claims(sub=None), "sub"),
    "sub empty": (with_claims(sub=""), "sub"),
    "sub not ASCII": (with_claims(sub="\u0430dmin"), "sub"),
    "sub with a line break": (with_claims(sub="u1\nadmin"), "sub"),
    "sub a list": (with_claims(sub=["u1"]), "sub"),
    "org no UUID": (with_claims(org="' or 1=1"), "org"),
    "sid missing": (with_claims(sid=None), "sid"),
    "sid with a Redis pattern": (with_claims(sid="*"), "sid"),
    "jti missing": (with_claims(jti=None), "jti"),
    "scope a list": (with_claims(scope=["*"]), "scope"),
    "scope with a line break": (with_claims(scope="a\n*"), "scope"),
    "obo no actor": (with_claims(obo="root"), "obo"),
    "claims twice": (raw_payload(lambda t: '{"sub": "boss", ' + t[1:]), "form"),
    "payload a list": (lambda a: signed(a, head(), b"[]"), "form"),
    "payload not JSON": (lambda a: signed(a, head(), b"hello"), "form"),
    "payload not UTF-8": (lambda a: signed(a, head(), b'{"sub":"\xff"}'), "form"),
    "payload nested too deep": (
        lambda a: signed(a, head(), b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}"),
        "form",
    ),
    "payload of another token": (payload_of_another_token, "signature"),
    "payload detached": (detached_payload, "form"),
    "payload padded": (part(1, lambda p: p + "="), "form"),
    "header padded": (part(0, lambda p: p + "="), "form"),
    "standard base64 alphabet": (part(2, lambda p: "+/" + p[2:]), "form"),
    "signature not canonical": (non_canonical_signature, "form"),
    "signature cut": (part(2, lambda p: p[:-2]), "form"),
    "signature longer": (part(2, lambda p: p + "AA"), "form"),
    "signature of zeros": (zero_signature, "signature"),
    "retired key": (retired_key, "key"),
    "a megabyte": (lambda _: "a" * 500_000 + "." + "b" * 500_000 + "." + "c" * 86, "form"),
    "a megabyte of dots": (lambda _: "." * 1_000_000, "form"),
    "four parts": (lambda a: a.token() + ".AAAA", "form"),
    "one part": (lambda _: "abc", "form"),
    "encrypted (five parts)": (lambda _: "a.b.c.d.e", "form"),
    "blank around it": (lambda a: f" {a.token()} ", "form"),
    "line break behind it": (lambda a: f"{a.token()}\n", "form"),
    "NUL within it": (lambda a: a.token().replace(".", "\x00", 1), "form"),
    "not ASCII": (lambda a: a.token().replace(".", "。"), "form"),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_is_refused_with_the_check_that_found_it(name: str, auth: Auth) -> None:
    make, problem = ATTACKS[name]
    verifier = auth.verifier()
    token = make(auth)
    for _ in range(2):  # a refusal is not remembered as an acceptance
        with pytest.raises(Unauthenticated) as caught:
            await verifier.verify(token)
        fault = caught.value
        assert (fault.code, fault.reason) == (code_pb2.UNAUTHENTICATED, "TOKEN_INVALID")
        assert fault.metadata == {"problem": problem}
        assert token not in str(fault)


@pytest.mark.parametrize("token", ["", None])
async def test_no_token_is_said_to_be_missing(token: Any, auth: Auth) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await auth.verifier().verify(token or "")
    assert caught.value.reason == "TOKEN_MISSING"


async def test_an_expired_token_is_said_to_be_expired(auth: Auth) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await auth.verifier().verify(auth.token(exp=NOW - 60))
    assert caught.value.reason == "TOKEN_EXPIRED"


async def test_clocks_may_differ_by_seconds(auth: Auth) -> None:
    verifier = auth.verifier()
    await verifier.verify(auth.token(exp=int(time.time()) - 2))
    await verifier.verify(auth.token(iat=int(time.time()) + 3, nbf=int(time.time()) + 3))


async def test_a_flood_of_unknown_key_ids_fetches_the_keys_once(auth: Auth) -> None:
    verifier = auth.verifier()
    await verifier.verify(auth.token())
    for number in range(200):
        with pytest.raises(Unauthenticated):
            await verifier.verify(with_header(kid=f"k{number + 10}")(auth))
    assert auth.fetches == 1
    await verifier.verify(auth.token())


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(b64)), st.integers(0, 400))
async def test_whatever_comes_is_refused_and_never_a_bug(text: str, place: int) -> None:
    token = AUTH.token()
    for hostile in (text, f"{text}.{text}.{text}", token[:place] + text + token[place:]):
        if hostile == token:
            continue
        with pytest.raises(Fault) as caught:
            await VERIFIER.verify(hostile)
        assert caught.value.code == code_pb2.UNAUTHENTICATED


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(
            ["sub", "exp", "iat", "nbf", "aud", "iss", "sid", "svc", "org", "scope", "key", "obo"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=5,
        ),
        min_size=1,
    )
)
async def test_odd_claims_under_a_good_signature_never_become_a_bug(claims: dict[str, Any]) -> None:
    payload = json.dumps(AUTH.claims() | claims).encode()
    with suppress(Unauthenticated):
        await VERIFIER.verify(signed(AUTH, head(), payload))


AUTH = Auth()
VERIFIER: TokenVerifier = AUTH.verifier()
