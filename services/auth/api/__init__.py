"""Answers AuthService: each part of the contract by a class of its own."""

from types import SimpleNamespace

from libs.rpc import joined
from libs.run.runtime import Runtime
from libs.sandbox import Sandbox

from ..passwords import Passwords
from ..settings import Settings
from .api_keys import ApiKeysApi
from .credentials import Credentials
from .members import MembersApi
from .organizations import OrganizationsApi
from .revocation import Revocation
from .sessions import SessionsApi
from .signing_keys import SigningKeys
from .tokens import TokensApi
from .users import UsersApi

__all__ = ["SigningKeys", "servicer"]


def servicer(
    runtime: Runtime, settings: Settings, keys: SigningKeys, pictures: Sandbox
) -> SimpleNamespace:
    """Every RPC of the contract, by its name."""
    db, credentials = runtime.db, Credentials(runtime.db, Passwords())
    tokens = TokensApi(db, settings, keys)
    revocation = Revocation(runtime.redis, settings.access_life)
    parts = [
        tokens,
        SessionsApi(db, settings, tokens, credentials, revocation),
        UsersApi(db, credentials, revocation, runtime.blobs, pictures),
        OrganizationsApi(db, settings, tokens),
        MembersApi(db, settings, tokens, credentials, revocation),
        ApiKeysApi(db, settings, tokens, revocation),
    ]
    return joined(parts)
