"""Reads a token strictly: ES256 alone, one way to write it, every claim in its form."""

import base64
import binascii
import json
import re
from typing import Any, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from libs.rpc.errors import Unauthenticated

ISSUER = "auditron"
AUDIENCE = "auditron"  # of a person's or key's token: every service takes it
LENGTH_MAX = 8_192
LEEWAY_S = 5  # between two machines' clocks

_SHAPE = re.compile(r"[\w-]{1,1024}\.[\w-]{1,8192}\.[\w-]{86}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_ACTOR = re.compile(r"(?:user|api_key|service):[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SCOPE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*|", re.ASCII)
_FORMS = {
    "sub": _ID,
    "org": _UUID,
    "sid": _ID,
    "key": _ID,
    "svc": _ID,
    "jti": _ID,
    "obo": _ACTOR,
    "scope": _SCOPE,
}
_HEADER = {"alg", "typ", "kid"}
_REGISTRY = jws.JWSRegistry(algorithms=["ES256"])


class TokenMissing(Unauthenticated):
    """The call needs a token and has none."""

    reason = "TOKEN_MISSING"


class TokenInvalid(Unauthenticated):
    """The token is not one of ours, or not for us; `problem` says which check it failed."""

    reason = "TOKEN_INVALID"


class TokenExpired(Unauthenticated):
    """The token was ours and its time is over."""

    reason = "TOKEN_EXPIRED"


class TokenRevoked(Unauthenticated):
    """The token's session was ended."""

    reason = "TOKEN_REVOKED"


def key_id(token: str) -> str:
    """Return the id of the key that the token says it is signed with, its header being in order."""
    if len(token) > LENGTH_MAX or not _SHAPE.fullmatch(token):
        refuse("form")
    header = _object(token.partition(".")[0])
    # Strict by naming what may stand there: jwk, jku, x5u, crit, b64, cty … are refused with it.
    if set(header) != _HEADER or header["alg"] != "ES256" or header["typ"] != "at+jwt":
        refuse("header")
    kid = header["kid"]
    if not isinstance(kid, str) or not _ID.fullmatch(kid):
        refuse("key")
    return kid


def claims_in(token: str, key: ECKey, audience: str, now: float) -> dict[str, Any]:
    """Return the claims of a token that this key signed for this audience and that is valid now."""
    _, payload, signature = token.split(".")
    _bytes(signature)
    try:
        jws.deserialize_compact(token, key, registry=_REGISTRY)
    except JoseError:
        refuse("signature")
    claims = _object(payload)
    for name, form in _FORMS.items():
        value = claims.get(name, "")
        if not isinstance(value, str) or (value and not form.fullmatch(value)):
            refuse(name)
    if claims.get("iss") != ISSUER:
        refuse("iss")
    # A person's token serves everywhere; a service's only where it was issued for.
    meant_for = audience if claims.get("svc") else AUDIENCE
    if claims.get("aud") != meant_for:
        refuse("aud")
    _check_times(claims, now)
    _check_subject(claims)
    return claims


def refuse(problem: str) -> NoReturn:
    """Raise TokenInvalid, naming the check that failed."""
    raise TokenInvalid("The token is not valid.", problem=problem)


def _check_times(claims: dict[str, Any], now: float) -> None:
    for name in ("exp", "iat", "nbf"):
        value = claims.get(name)
        needed = name == "exp"
        if value is None and not needed:
            continue
        if type(value) is not int or not 0 < value < 2**53:
            refuse(name)
        if not needed and value > now + LEEWAY_S:
            refuse(name)
    if claims["exp"] + LEEWAY_S <= now:
        raise TokenExpired("The token has expired.")


def _check_subject(claims: dict[str, Any]) -> None:
    if not claims.get("sub"):
        refuse("sub")
    if not claims.get("jti"):
        refuse("jti")
    # What cannot be revoked must be a service's, which lives five minutes.
    if not (claims.get("svc") or claims.get("sid")):
        refuse("sid")
    if claims.get("svc") and (claims.get("sid") or claims.get("key")):
        refuse("svc")


def _object(segment: str) -> dict[str, Any]:
    try:
        found = json.loads(
            _bytes(segment), object_pairs_hook=_without_repeats, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        refuse("form")
    return found if isinstance(found, dict) else refuse("form")


def _bytes(segment: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        refuse("form")
    # Unused bits that are set would let one token be written in several ways.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        refuse("form")
    return raw


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
