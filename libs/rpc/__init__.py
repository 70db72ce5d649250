"""Calls between services: servers, channels, identity, permission, deadlines, errors, pages."""

from libs.pg import is_uuid
from libs.rpc import ciphers  # the first, for it comes before the first import of grpc
from libs.rpc.checks import check, uuid_or
from libs.rpc.client import Channels
from libs.rpc.deadline import remaining_s
from libs.rpc.errors import (
    Fault,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Violation,
    as_fault,
    reason_of,
    status_of,
)
from libs.rpc.fields import behaviors, changeable, check_changeable, settable
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
from libs.rpc.pages import (
    decode_token,
    encode_token,
    filter_hash,
    fitting,
    page_asked,
    page_of,
    page_size,
)
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
    "Violation",
    "acting_as",
    "as_fault",
    "auth_clients",
    "behaviors",
    "caller",
    "caller_or_none",
    "changeable",
    "check",
    "check_changeable",
    "ciphers",
    "decode_token",
    "encode_token",
    "filter_hash",
    "fitting",
    "is_uuid",
    "joined",
    "page_asked",
    "page_of",
    "page_size",
    "reason_of",
    "remaining_s",
    "serve",
    "settable",
    "status_of",
    "uuid_or",
]
