"""Makes, seals and uses the keys that access tokens are signed with (ES256)."""

import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jwt
from joserfc.jwk import ECKey

from libs.pg import uuid7

ISSUER = AUDIENCE = "auditron"
NONCE_BYTES = 12


def make_key(key_encryption_key: bytes) -> tuple[str, bytes, dict[str, str]]:
    """A new key pair: its id, the sealed private key, the public key as a JWK."""
    key_id = secrets.token_hex(8)
    key = ECKey.generate_key("P-256", {"kid": key_id, "alg": "ES256", "use": "sig"}, private=True)
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(key_encryption_key).encrypt(nonce, key.as_pem(private=True), key_id.encode())
    public = {name: str(value) for name, value in key.as_dict(private=False).items()}
    return key_id, nonce + sealed, public


def open_key(key_encryption_key: bytes, key_id: str, sealed: bytes) -> ECKey:
    """The private key. Raises InvalidTag if it was sealed otherwise, or for another id."""
    nonce, content = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    pem = AESGCM(key_encryption_key).decrypt(nonce, content, key_id.encode())
    return ECKey.import_key(pem, {"kid": key_id})


def sign(key: ECKey, claims: Mapping[str, Any], now: datetime, expire: datetime) -> str:
    """A compact JWT of these claims and the ones that every token has; empty ones are left out."""
    every = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": int(now.timestamp()),
        "exp": int(expire.timestamp()),
        "jti": uuid7(),
        **claims,
    }
    header = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    filled = {name: value for name, value in every.items() if value != ""}
    return jwt.encode(header, filled, key, algorithms=["ES256"])
