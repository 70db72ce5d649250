"""Everything that an operator of auth can set."""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True)
class Settings:
    """Secrets, and how long things live."""

    # 32 bytes that seal the signing keys; all auth processes have the same.
    key_encryption_key: bytes = field(repr=False)
    # Service → SHA-256 of its secret, hexadecimal.
    service_secrets: Mapping[str, str] = field(repr=False)
    access_life: timedelta = timedelta(minutes=10)
    service_token_life: timedelta = timedelta(minutes=5)
    session_life: timedelta = timedelta(days=30)
    invite_life: timedelta = timedelta(days=7)
    # A new key is published so long before it signs; longer than verifiers keep the key set.
    key_publish: timedelta = timedelta(minutes=10)
    key_life: timedelta = timedelta(days=30)

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read AUTH_*; ValueError for what is missing or malformed."""
        key = base64.b64decode(env.get("AUTH_KEY_ENCRYPTION_KEY", ""), validate=True)
        if len(key) != 32:
            raise ValueError("AUTH_KEY_ENCRYPTION_KEY is not 32 bytes in base64")
        pairs = [pair.partition("=") for pair in env.get("AUTH_SERVICE_SECRETS", "").split(",")]
        return cls(
            key_encryption_key=key,
            service_secrets={name: digest for name, _, digest in pairs if name},
            access_life=timedelta(seconds=int(env.get("AUTH_ACCESS_LIFE_S", "600"))),
            session_life=timedelta(days=int(env.get("AUTH_SESSION_LIFE_DAYS", "30"))),
            key_life=timedelta(days=int(env.get("AUTH_KEY_LIFE_DAYS", "30"))),
        )
