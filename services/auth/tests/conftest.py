"""A running auth service, and people who sign up to it."""

import base64
import hashlib
import os
from dataclasses import dataclass
from typing import Any

import pytest
from auditron.auth.v1 import auth_pb2, auth_pb2_grpc

from libs.pg import uuid7
from libs.testkit import Client, Harness, Stores, running_services

PASSWORD = "correct horse battery"


@dataclass
class Person:
    email: str
    tokens: auth_pb2.Tokens
    client: Client


class People:
    """Signs people up and logs them in."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.anonymous = harness.anonymous(auth_pb2_grpc.AuthServiceStub)

    def with_token(self, token: str) -> Client:
        return Client(auth_pb2_grpc.AuthServiceStub(self.harness.channel), token, "")

    async def sign_up(self, **changes: Any) -> Person:
        email = f"{uuid7()}@example.com"
        fields = {
            "email": email, "password": PASSWORD, "organization_name": "Acme",
            "base_currency_code": "EUR",
        } | changes  # fmt: skip
        tokens = await self.anonymous.SignUp(auth_pb2.SignUpRequest(**fields))
        return Person(fields["email"], tokens, self.with_token(tokens.access_token))

    async def invite(self, owner: Person, role: int) -> Person:
        email = f"{uuid7()}@example.com"
        invite = await owner.client.CreateInvite(
            auth_pb2.CreateInviteRequest(email=email, role=role)
        )
        tokens = await self.anonymous.AcceptInvite(
            auth_pb2.AcceptInviteRequest(token=invite.token, password=PASSWORD)
        )
        return Person(email, tokens, self.with_token(tokens.access_token))


@pytest.fixture(scope="session")
async def auth(stores: Stores):
    settings = {
        "AUTH_KEY_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
        "AUTH_SERVICE_SECRETS": f"agent={hashlib.sha256(b'agent-secret').hexdigest()}",
    }
    async with running_services(stores, "auth", settings=settings) as services:
        yield services["auth"]


@pytest.fixture(scope="session")
def people(auth: Harness) -> People:
    return People(auth)
