"""Calls between services: servers, channels, identity, permission, deadlines, errors, pages."""

from libs.rpc import ciphers  # the first, for it comes before the first import of grpc
from libs.rpc.client import Channels
from libs.rpc.deadline import deadline_in, remaining_s
from libs.rpc.errors import (
    Fault,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    as_fault,
    reason_of,
    status_of,
)
from libs.rpc.identity import (
    AuthClients,
    Caller,
    ServiceToken,
    TokenVerifier,
    acting_as,
    auth_clients,
    caller,
    caller_or_none,
)
from libs.rpc.keys import JwkSet
from libs.rpc.pages import decode_token, encode_token, filter_hash, page_size
from libs.rpc.server import Server, joined, serve
from libs.rpc.service_tokens import ServiceTokens
from libs.rpc.settings import RpcSettings, TlsFiles

__all__ = [
    "AuthClients",
    "Caller",
    "Channels",
    "Fault",
    "InvalidArgument",
    "JwkSet",
    "PermissionDenied",
    "RpcSettings",
    "Server",
    "ServiceToken",
    "ServiceTokens",
    "TlsFiles",
    "TokenVerifier",
    "Unauthenticated",
    "Unavailable",
    "acting_as",
    "as_fault",
    "auth_clients",
    "caller",
    "caller_or_none",
    "ciphers",
    "deadline_in",
    "decode_token",
    "encode_token",
    "filter_hash",
    "joined",
    "page_size",
    "reason_of",
    "remaining_s",
    "serve",
    "status_of",
]
