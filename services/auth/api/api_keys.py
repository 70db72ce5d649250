"""Keys for programs: made, exchanged for tokens, revoked."""

import hmac
import uuid
import zlib
from datetime import UTC, datetime

from auditron.auth.v1 import auth_pb2
from google.protobuf.empty_pb2 import Empty

from libs.pg import Database, Tx, requests, use_organization, uuid7
from libs.rpc import caller, check, page_asked, page_of, uuid_or

from .. import errors, rules, store
from ..settings import Settings
from .requests import Context, note
from .revocation import Revocation
from .tokens import TokensApi

# A prefix that secret scanners can look for, then id, secret and a checksum that tells a typing
# error, or junk, from a key without a look at the database.
PREFIX = "aud_live"


class ApiKeysApi:
    """The keys of an organization."""

    def __init__(
        self, db: Database, settings: Settings, tokens: TokensApi, revocation: Revocation
    ) -> None:
        self._db = db
        self._settings = settings
        self._tokens = tokens
        self._revocation = revocation

    async def CreateApiKey(
        self, request: auth_pb2.CreateApiKeyRequest, context: Context
    ) -> auth_pb2.ApiKey:
        wanted = request.api_key
        check(rules.api_key_violations(wanted, datetime.now(UTC)))
        if not rules.covers(caller().permissions, wanted.permissions):
            raise errors.PermissionAboveOwn("The key would do what you may not.")
        organization_id, method = caller().organization_id, "CreateApiKey"
        async with self._db.tenant(organization_id) as tx:
            made = await requests.once(
                tx, organization_id, request.request_id, method, request, auth_pb2.ApiKey
            )
            if made is None:
                made = await self._insert(tx, organization_id, wanted, context)
                await requests.remember(tx, organization_id, request.request_id, made)
        made.key = self._key_of(made.api_key_id)
        return made

    async def ListApiKeys(
        self, request: auth_pb2.ListApiKeysRequest, context: Context
    ) -> auth_pb2.ListApiKeysResponse:
        size, filters, before = page_asked(request, str)
        async with self._db.tenant(caller().organization_id) as tx:
            found = await store.list_api_keys(tx, before, size + 1)
        page, token = page_of(found, size, filters, lambda last: [last.api_key_id])
        return auth_pb2.ListApiKeysResponse(api_keys=page, next_page_token=token)

    async def RevokeApiKey(self, request: auth_pb2.RevokeApiKeyRequest, context: Context) -> Empty:
        fault = errors.ApiKeyNotFound("There is no such key.")
        api_key_id = uuid_or(fault, request.api_key_id)
        organization_id = caller().organization_id
        async with self._db.tenant(organization_id) as tx:
            await store.revoke_api_key(tx, api_key_id)
            await note(
                tx, context, organization_id, "api_key.revoked", caller().actor,
                f"api_key:{api_key_id}",
            )  # fmt: skip
        await self._revocation.tell([api_key_id])
        return Empty()

    async def ExchangeApiKey(
        self, request: auth_pb2.ExchangeApiKeyRequest, context: Context
    ) -> auth_pb2.Tokens:
        api_key_id, secret = _decode(request.api_key)
        if not hmac.compare_digest(secret, self._secret_of(api_key_id)):
            raise errors.ApiKeyInvalid("The key is not valid.")
        async with self._db.unscoped() as tx:
            organization_id = await store.find_api_key(tx, api_key_id)
            if organization_id is None:
                raise errors.ApiKeyInvalid("The key is not valid.")
            await use_organization(tx, organization_id)
            row = await store.use_api_key(tx, api_key_id)
            organization = await store.get_organization(tx, organization_id)
        if row is None:
            raise errors.ApiKeyInvalid("The key is not valid.")
        claims = {
            "sub": api_key_id,
            "key": api_key_id,
            "sid": api_key_id,  # so that a revoked key's tokens end as a session's do
            "org": organization_id,
            "scope": " ".join(row["permissions"]),
        }
        life = self._settings.access_life
        if row["expire_time"] is not None:
            life = min(life, row["expire_time"] - datetime.now(UTC))
        token, expire = self._tokens.sign(claims, life)
        return auth_pb2.Tokens(
            access_token=token, access_expire_time=expire, organization=organization
        )

    async def _insert(
        self, tx: Tx, organization_id: str, wanted: auth_pb2.ApiKey, context: Context
    ) -> auth_pb2.ApiKey:
        wanted.api_key_id = uuid7()
        wanted.prefix = self._key_of(wanted.api_key_id)[: len(PREFIX) + 9]
        expire = wanted.expire_time.ToDatetime(UTC) if wanted.HasField("expire_time") else None
        made = await store.insert_api_key(tx, organization_id, wanted, caller().actor, expire)
        await note(
            tx, context, organization_id, "api_key.created", caller().actor,
            f"api_key:{made.api_key_id}",
        )  # fmt: skip
        return made

    def _secret_of(self, api_key_id: str) -> bytes:
        return rules.secret_of(self._settings.key_encryption_key, "api_key", api_key_id)

    def _key_of(self, api_key_id: str) -> str:
        secret = self._secret_of(api_key_id)
        body = f"{PREFIX}_{api_key_id.replace('-', '')}_{secret.hex()}"
        return f"{body}{zlib.crc32(body.encode()):08x}"


def _decode(key: str) -> tuple[str, bytes]:
    body, checksum = key[:-8], key[-8:]
    try:
        prefix, api_key_id, secret = body.rsplit("_", 2)
        valid = prefix == PREFIX and f"{zlib.crc32(body.encode()):08x}" == checksum
        if not valid:
            raise ValueError
        return str(uuid.UUID(api_key_id)), bytes.fromhex(secret)
    except ValueError:
        raise errors.ApiKeyInvalid("The key is not valid.") from None
