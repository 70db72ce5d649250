"""Page tokens and page sizes (AIP-158): where the next page begins, opaque to the caller."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import accumulate
from typing import Any, TypeVar

from google.protobuf.message import Message

from libs.rpc.errors import InvalidArgument
from libs.rpc.settings import MESSAGE_BYTES_MAX

PAGE_SIZE = 50
PAGE_SIZE_MAX = 1_000
# Of the resources of one page, so that with all that stands around them they fit into a message.
PAGE_BYTES_MAX = MESSAGE_BYTES_MAX * 3 // 4
TOKEN_LENGTH_MAX = 2_048

Resource = TypeVar("Resource", bound=Message)
SortValue = str | int | bool | date | datetime | Decimal | None
_KINDS: dict[str, Any] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "Decimal": Decimal,
}


class PageTokenInvalid(InvalidArgument):
    """The page token is not one that this list gave for this filter."""

    reason = "PAGE_TOKEN_INVALID"


def page_size(asked: int) -> int:
    """Return how many to list: 50 for 0, at most 1,000. Raises InvalidArgument if negative."""
    if asked < 0:
        raise InvalidArgument(
            "The page size is negative.", violations=[("page_size", "must not be negative")]
        )
    return min(asked or PAGE_SIZE, PAGE_SIZE_MAX)


def page_asked(request: Any, *kinds: type) -> tuple[int, str, Any]:
    """Return what a List asks for: how many, its filter's hash, and what the page begins after.

    The last is None for the first page, else the sort value of this kind, a tuple if of several.
    Raises InvalidArgument, PageTokenInvalid.
    """
    size, filters = page_size(request.page_size), filter_hash(request)
    if not request.page_token:
        return size, filters, None
    first, *more = decode_token(request.page_token, filters, *kinds)
    return size, filters, (first, *more) if more else first


def fitting(found: Sequence[Message], size: int) -> int:
    """Return how many of the found, of which size + 1 were asked for, fit one page.

    At most `size`, together at most 3 MiB, and the first even if it is larger.
    """
    ends = accumulate(resource.ByteSize() for resource in found[:size])
    return sum(place == 0 or end <= PAGE_BYTES_MAX for place, end in enumerate(ends))


def page_of(
    found: Sequence[Resource],
    size: int,
    filter_hash: str,
    sort_values: Callable[[Resource], Sequence[SortValue]],
) -> tuple[Sequence[Resource], str]:
    """Return the resources of a page and the token of the next, '' where none follows.

    Of the found, size + 1 were asked for.
    """
    count = fitting(found, size)
    if count == len(found):
        return found, ""
    return found[:count], encode_token(sort_values(found[count - 1]), filter_hash)


def filter_hash(request: Message) -> str:
    """Return what changes with the request's filter and order, but not with page size and token."""
    rest = type(request)()
    rest.CopyFrom(request)
    for name in ("page_size", "page_token"):
        if name in rest.DESCRIPTOR.fields_by_name:
            rest.ClearField(name)
    return hashlib.sha256(rest.SerializeToString(deterministic=True)).hexdigest()[:16]


def encode_token(sort_values: Sequence[SortValue], filter_hash: str) -> str:
    """Return the token of the page that comes after the row with these values."""
    raw = json.dumps([filter_hash, *map(_packed, sort_values)], separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).rstrip(b"=").decode()


def decode_token(token: str, filter_hash: str, *types: type) -> list[Any]:
    """Return the sort values. With `types` given, they are these and no others.

    Raises PageTokenInvalid for what `encode_token` did not make for this filter.
    """
    try:
        if len(token) > TOKEN_LENGTH_MAX:
            raise ValueError("too long")
        raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        given_for, *packed = json.loads(raw)
        values = [_unpacked(value) for value in packed]
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        raise PageTokenInvalid("The page token is not valid.") from None
    if given_for != filter_hash:
        raise PageTokenInvalid("The page token belongs to another filter.")
    if types and [type(value) for value in values] != list(types):
        raise PageTokenInvalid("The page token is not valid.")
    return values


def _packed(value: SortValue) -> Any:
    kind = type(value).__name__
    text = value.isoformat() if isinstance(value, date) else str(value)
    return {kind: text} if kind in _KINDS else value


def _unpacked(value: Any) -> Any:
    match value:
        case bool() | None:
            return value
        case int() if -(2**63) <= value < 2**63:
            return value
        case str() if "\x00" not in value:
            return value
        case dict() if len(value) == 1:
            [(kind, text)] = value.items()
            found = _KINDS[kind](text) if kind in _KINDS else None
            if found is not None and not (isinstance(found, Decimal) and not found.is_finite()):
                return found
    raise ValueError("no sort value")
