"""What every service asks of a request before it looks at its own state."""

from collections.abc import Iterable

from libs.pg import is_uuid
from libs.rpc.errors import InvalidArgument, Violation


def check(violations: Iterable[Violation]) -> None:
    """Raise InvalidArgument if there are any."""
    found = list(violations)
    if found:
        raise InvalidArgument("The request is not valid.", violations=found)


def uuid_or(error: Exception, text: str) -> str:
    """Return an id as it is stored. Raises the error for what is no id: there is no such thing."""
    if not is_uuid(text):
        raise error
    return text.lower()
