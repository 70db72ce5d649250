"""Calls webhooks: signed, within a time limit, and never an address inside our own network."""

import asyncio
import hmac
import ipaddress
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import httpx

from . import errors

SIGNATURE = "Auditron-Signature"
DELIVERY = "Auditron-Delivery"
CALL_S = 15.0
RESOLVE_S = 5.0
RESOLVERS = 8  # threads that look names up
RESOLVING_MAX = 32  # look-ups that run or wait
ANSWER_BYTES_MAX = 2_000
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC = [
    ipaddress.ip_network(each)
    for each in (
        # What reaches another address of IPv4: NAT64, 6to4 and its relays, Teredo.
        "64:ff9b::/32", "2002::/16", "192.88.99.0/24", "2001::/32",
        # What IANA lists as special or IETF has withdrawn, and ipaddress takes for global.
        "192.0.0.0/24", "3fff::/20", "fec0::/10",
    )
]  # fmt: skip
# Look-ups have threads of their own: a name server that does not answer holds one for many seconds.
_RESOLVERS = ThreadPoolExecutor(RESOLVERS, "webhook-names")
_ROOM = threading.Semaphore(RESOLVING_MAX)


@dataclass(frozen=True)
class Target:
    """A URL, and the address that its host was found to have."""

    url: str
    address: str


def secret_of(key: bytes, webhook_id: str) -> str:
    """Return a webhook's signing secret; it is the same each time and kept nowhere."""
    return f"whsec_{hmac.digest(key, webhook_id.encode(), 'sha256').hex()}"


def signature(secret: str, body: bytes, seconds: int) -> str:
    """Return the value of the signature's header for a body sent at a Unix time."""
    signed = hmac.digest(secret.encode(), b"%d." % seconds + body, "sha256")
    return f"t={seconds},v1={signed.hex()}"


async def resolve(url: str, *, private_allowed: bool, within_s: float = RESOLVE_S) -> Target | None:
    """Return where a URL leads to; None if its host is not known, or not by then.

    Raises WebhookUrlForbidden if any of its addresses is not public.
    """
    host = urlsplit(url).hostname or ""
    try:
        addresses = _addresses(host, socket.AI_NUMERICHOST)  # asks nobody
    except OSError:
        addresses = await _looked_up(host, within_s)
    except UnicodeError:
        return None
    if not private_allowed and not all(map(is_public, addresses)):
        raise errors.WebhookUrlForbidden(
            "The webhook's address is not public.",
            violations=[("webhook.url", "must lead to a public address")],
        )
    return Target(url, addresses[0]) if addresses else None


def is_public(text: str) -> bool:
    """Return whether an address is one of the internet's, whichever way it is written."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    if any(address in each for each in _NOT_PUBLIC if each.version == address.version):
        return False
    odd = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not odd


async def send(
    target: Target, secret: str, delivery_id: str, body: bytes, client: httpx.AsyncClient
) -> str:
    """POST a body and return the answer in words. Raises DeliveryRefused unless that is a 2xx.

    The connection goes to the address that was looked at, whatever the name means by then.
    """
    parts = urlsplit(target.url)
    host = f"[{target.address}]" if ":" in target.address else target.address
    place = f"{host}:{parts.port}" if parts.port else host
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "AUDITRON webhooks",
        SIGNATURE: signature(secret, body, int(time.time())),
        DELIVERY: delivery_id,
    }
    try:
        async with (
            asyncio.timeout(CALL_S),
            client.stream(
                "POST",
                urlunsplit(parts._replace(netloc=place)),
                content=body,
                headers=headers,
                extensions={"sni_hostname": parts.hostname or ""},
            ) as answer,
        ):
            said = await _beginning(answer)
    except (httpx.HTTPError, ssl.SSLError, TimeoutError, OSError) as error:
        text = str(error) or type(error).__name__
        raise errors.DeliveryRefused(f"no answer: {text[:300]}") from error
    outcome = f"HTTP {answer.status_code} {said}".strip()
    if not answer.is_success:
        raise errors.DeliveryRefused(outcome)
    return outcome


def client() -> httpx.AsyncClient:
    """Return what `send` needs: it follows no redirects and heeds no proxy of the environment."""
    limits = httpx.Limits(max_connections=20, max_keepalive_connections=0)
    return httpx.AsyncClient(
        follow_redirects=False, trust_env=False, timeout=httpx.Timeout(10.0), limits=limits
    )


def _addresses(host: str, flags: int = 0) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    return [str(each[4][0]) for each in found]


async def _looked_up(host: str, within_s: float) -> list[str]:
    """Return the addresses of a name; none if it is not known, or too many are looked up."""
    if not _ROOM.acquire(blocking=False):
        return []
    looking = _RESOLVERS.submit(_addresses, host)
    looking.add_done_callback(lambda _: _ROOM.release())
    try:
        async with asyncio.timeout(within_s):
            return await asyncio.wrap_future(looking)
    except (OSError, TimeoutError):
        return []


async def _beginning(answer: httpx.Response) -> str:
    """Return the beginning of an answer's body, printable; the rest is not read."""
    read = b""
    async for part in answer.aiter_raw():
        read += part
        if len(read) >= ANSWER_BYTES_MAX:
            break
    text = read[:200].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()
