"""What every service asks of a request before it looks at its own state."""

import re
from collections.abc import Iterable

from libs.rpc.errors import InvalidArgument, Violation

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def check(violations: Iterable[Violation]) -> None:
    """Raise InvalidArgument if there are any."""
    found = list(violations)
    if found:
        raise InvalidArgument("The request is not valid.", violations=found)


def is_uuid(text: str) -> bool:
    """Whether it can be an id of ours: a UUID as RFC 9562 writes it, in capitals or not."""
    return _UUID.fullmatch(text) is not None


def uuid_or(error: Exception, text: str) -> str:
    """Return an id as it is stored. Raises the error for what is no id: there is no such thing."""
    if not is_uuid(text):
        raise error
    return text.lower()
