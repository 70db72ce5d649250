"""What a role may do, what a name or a password must look like, when a key signs. Pure."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from zoneinfo import available_timezones

from auditron.auth.v1 import auth_pb2
from auditron.auth.v1.auth_pb2 import Role
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from libs import money
from libs.rpc import changeable, check

from . import errors
from .settings import Settings

PERMISSIONS: dict[int, str] = {
    auth_pb2.ROLE_OWNER: "*",
    auth_pb2.ROLE_ADMIN: "organization.* members.* api_keys.* invoices.* approval_policy.* bank.* "
    "matches.* ledger.* reports.* jobs.* webhooks.* audit.read billing.read",
    auth_pb2.ROLE_ACCOUNTANT: "invoices.* bank.* matches.* ledger.* reports.* jobs.* members.read "
    "billing.read",
    auth_pb2.ROLE_APPROVER: "invoices.read invoices.approve jobs.read reports.read",
    auth_pb2.ROLE_CLERK: "invoices.read invoices.write jobs.read jobs.write",
    auth_pb2.ROLE_AUDITOR: "invoices.read bank.read ledger.read reports.read jobs.read "
    "members.read billing.read audit.read",
    auth_pb2.ROLE_VIEWER: "invoices.read jobs.read reports.read",
}
# What a service may do for an organization, beyond the RPCs that are for services alone.
# agent uploads what it cuts out of a file that holds several documents.
SERVICE_PERMISSIONS = {"agent": "invoices.read invoices.write"}

PASSWORD_LENGTH = range(10, 201)
NAME_LENGTH_MAX = 200
# Of one address from one network, and from all networks together.
FREE_ATTEMPTS, FREE_ATTEMPTS_ANYWHERE = 5, 100
DELAY_MAX, DELAY_ANYWHERE_MAX = timedelta(minutes=15), timedelta(minutes=1)
ORGANIZATIONS_MAX = 100  # a person belongs to; row-level security has each written by itself
REUSE_GRACE = timedelta(seconds=10)
ROTATIONS_MAX = 20_000

_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]+\.[^@\s.\x00-\x1f]{2,63}")
_PERMISSION = re.compile(r"\*|[a-z][a-z_]{0,40}\.(?:\*|[a-z][a-z_]{0,40})")
_REGION = re.compile(r"[A-Z]{2}")
_LOCALE = re.compile(r"[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8}){0,3}")

Violations = Sequence[tuple[str, str]]


class Reuse(Enum):
    """What a refresh token that is not the current one says."""

    RETRY = "retry"  # the answer was lost on its way: give the same successor again
    STOLEN = "stolen"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class SigningKey:
    """When a key signs: from activate_time until retire_time."""

    key_id: str
    sealed_key: bytes
    activate_time: datetime
    retire_time: datetime


@dataclass(frozen=True)
class AttemptKeys:
    """What stands for an address in the counts of failures: in one network, and in all."""

    here: bytes
    anywhere: bytes


def covers(held: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether all that is wanted is held; "invoices.*" and "*" may stand on either side."""
    own = frozenset(held)
    return "*" in own or all(
        one in own or (one != "*" and f"{one.partition('.')[0]}.*" in own) for one in wanted
    )


def check_role_within(role: int, held: Iterable[str]) -> None:
    """Raise RoleAboveOwn where the role may more than is held."""
    if not covers(held, PERMISSIONS[role].split()):
        raise errors.RoleAboveOwn("That role may do more than you may.", role=Role.Name(role))


def sign_up_violations(request: auth_pb2.SignUpRequest) -> Violations:
    """What is wrong with a sign-up; empty where nothing is."""
    organization = auth_pb2.Organization(
        display_name=request.organization_name,
        base_currency_code=request.base_currency_code,
        region_code=request.region_code,
    )
    return [
        *_email("email", request.email),
        *password_violations("password", request.password),
        *_name("display_name", request.display_name, optional=True),
        *organization_violations(organization, name_field="organization_name"),
    ]


def organization_violations(
    organization: auth_pb2.Organization, name_field: str = "organization.display_name"
) -> Violations:
    """What is wrong with an organization."""
    found = [*_name(name_field, organization.display_name)]
    try:
        money.exponent(organization.base_currency_code)
    except money.UnknownCurrency:
        found.append(("base_currency_code", "must be a currency of ISO 4217, as EUR"))
    if organization.region_code and not _REGION.fullmatch(organization.region_code):
        found.append(("region_code", "must be two letters of ISO 3166-1, as DE"))
    if len(organization.tax_ids) > 10 or any(len(one) > 40 for one in organization.tax_ids):
        found.append(("tax_ids", "must be at most 10, each of at most 40 characters"))
    return found


def user_violations(user: auth_pb2.User) -> Violations:
    """What is wrong with a profile."""
    found = [*_name("user.display_name", user.display_name, optional=True)]
    if not _LOCALE.fullmatch(user.locale):
        found.append(("user.locale", "must be a language tag of BCP 47, as en-GB"))
    if user.time_zone not in available_timezones():
        found.append(("user.time_zone", "must be an IANA name, as Europe/Berlin"))
    return found


def invite_violations(email: str, role: int) -> Violations:
    """What is wrong with an invite."""
    found = [*_email("email", email)]
    if role not in PERMISSIONS:
        found.append(("role", "must be a role"))
    return found


def newcomer_violations(request: auth_pb2.AcceptInviteRequest) -> Violations:
    """What is wrong with the acceptance of an invite by a person who is new."""
    return [
        *password_violations("password", request.password),
        *_name("display_name", request.display_name, optional=True),
    ]


def api_key_violations(key: auth_pb2.ApiKey, now: datetime) -> Violations:
    """What is wrong with an API key that shall be made."""
    found = [*_name("api_key.display_name", key.display_name)]
    if not 0 < len(key.permissions) <= 100:
        found.append(("api_key.permissions", "must be 1 to 100"))
    if not all(_PERMISSION.fullmatch(one) for one in key.permissions):
        found.append(("api_key.permissions", 'must each be as "invoices.read" or "invoices.*"'))
    if key.HasField("expire_time") and key.expire_time.seconds <= now.timestamp():
        found.append(("api_key.expire_time", "must be in the future"))
    return found


def password_violations(field: str, password: str) -> Violations:
    """What is wrong with a new password. Length alone counts (NIST SP 800-63B)."""
    if len(password) in PASSWORD_LENGTH:
        return []
    return [(field, "must have 10 to 200 characters")]


def attempt_keys(email: str, ip_address: str) -> AttemptKeys:
    """Where a try of this address by this client is counted."""
    email = email.lower()
    return AttemptKeys(
        here=hashed(f"{_network(ip_address)}\n{email}".encode()),
        anywhere=hashed(f"anywhere\n{email}".encode()),
    )


def _network(ip_address: str) -> str:
    """The addresses that one client is likely to have all of: a /24, a /64 of IPv6."""
    try:
        address = ipaddress.ip_address(ip_address)
        address = getattr(address, "ipv4_mapped", None) or address
        length = 24 if address.version == 4 else 64
        return str(ipaddress.ip_network(f"{address}/{length}", strict=False))
    except ValueError:  # from inside, without a client
        return ""


def secret_of(key: bytes, kind: str, of_id: str) -> bytes:
    """The secret of an API key or an invite: the same each time, and kept nowhere."""
    return hmac.digest(key, f"{kind}:{of_id}".encode(), "sha256")


def hashed(secret: bytes) -> bytes:
    """What is kept of a random secret of 256 bits; it needs no slow hash."""
    return hashlib.sha256(secret).digest()


def successor(pepper: bytes, secret: bytes) -> bytes:
    """The refresh secret that follows a secret: the same each time, and not to be guessed."""
    return hmac.digest(pepper, b"refresh" + secret, "sha256")


def judge_reuse(
    pepper: bytes, secret: bytes, current_hash: bytes, rotations: int, since_rotation: timedelta
) -> Reuse:
    """Say what a secret means that is not the current one.

    It is an ancestor if the chain that begins with it reaches the current one; of that only the
    direct parent may be a retry, and not for long.
    """
    for step in range(1, min(rotations, ROTATIONS_MAX) + 1):
        secret = successor(pepper, secret)
        if hmac.compare_digest(hashed(secret), current_hash):
            is_retry = step == 1 and since_rotation < REUSE_GRACE
            return Reuse.RETRY if is_retry else Reuse.STOLEN
    return Reuse.UNKNOWN


def next_key_times(
    keys: Sequence[SigningKey], settings: Settings, now: datetime
) -> tuple[datetime, datetime] | None:
    """When a new key shall be active and retired; None while none is needed."""
    last = max((key.retire_time for key in keys), default=None)
    if last is None or last <= now:
        return now, now + settings.key_life
    if last - now > settings.key_publish * 2:
        return None
    activate = max(last, now + settings.key_publish)
    return activate, activate + settings.key_life


def active_key(keys: Sequence[SigningKey], now: datetime) -> SigningKey | None:
    """The key that signs now: of those that are active, the one that lives longest."""
    active = [key for key in keys if key.activate_time <= now < key.retire_time]
    return max(active, key=lambda key: key.retire_time, default=None)


def _email(field: str, email: str) -> Violations:
    if len(email) <= 254 and _EMAIL.fullmatch(email):
        return []
    return [(field, "must be an e-mail address")]


def _name(field: str, name: str, *, optional: bool = False) -> Violations:
    if (optional or name.strip()) and len(name) <= NAME_LENGTH_MAX and name.isprintable():
        return []
    return [(field, f"must have 1 to {NAME_LENGTH_MAX} printable characters")]


def merge(given: Message, into: Message, update_mask: FieldMask) -> None:
    """Copy the fields that the mask names (none named: those that are set), if they may change.

    Raises InvalidArgument for a path that may not.
    """
    named = list(update_mask.paths) or [field.name for field, _ in given.ListFields()]
    paths = [path for path in named if path not in ("etag", "user_id", "organization_id")]
    known = changeable(given.DESCRIPTOR)
    check((path, "cannot be changed") for path in paths if path not in known)
    FieldMask(paths=paths).MergeMessage(given, into, replace_repeated_field=True)
