"""Signs tokens for tests as auth does, with a key of its own that the services under test trust."""

import secrets
import time

from joserfc import jwt
from joserfc.jwk import ECKey

from libs.pg import uuid7
from libs.rpc import AuthClients, JwkSet, ServiceToken

LIFE_S = 600
ISSUER = "auditron"


class Signer:
    """One ES256 key, and the tokens made with it."""

    def __init__(self) -> None:
        self._key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(8)}, private=True)

    def token(
        self,
        *,
        organization_id: str = "",
        permissions: str = "*",
        user_id: str = "",
        service: str = "",
        audience: str = "auditron",
        on_behalf_of: str = "",
    ) -> str:
        """A token of a person (permissions separated by spaces), or of a service."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "sub": service or user_id or uuid7(),
            "iat": now,
            "exp": now + LIFE_S,
            "jti": uuid7(),
            "sid": "" if service else uuid7(),
            "org": organization_id,
        }
        claims |= {"scope": permissions, "svc": service, "obo": on_behalf_of}
        header = {"alg": "ES256", "typ": "at+jwt", "kid": self._key.kid}
        filled = {name: value for name, value in claims.items() if value != ""}
        return jwt.encode(header, filled, self._key, algorithms=["ES256"])

    def auth_clients(self) -> AuthClients:
        """What services ask of auth, answered from this key; every session stands."""

        async def jwks() -> JwkSet:
            public = self._key.as_dict(private=False)
            return {"keys": [{**{k: str(v) for k, v in public.items()}, "alg": "ES256"}]}

        async def check_session(_: str) -> bool:
            return True

        async def issue(
            service: str, _: str, audience: str, organization_id: str, on_behalf_of: str
        ) -> ServiceToken:
            token = self.token(
                organization_id=organization_id,
                service=service,
                audience=audience,
                on_behalf_of=on_behalf_of,
            )
            return ServiceToken(token, time.time() + LIFE_S)

        return AuthClients(jwks, check_session, issue)
