"""How much time the work in hand has left, known to every call it makes."""

import time
from contextvars import ContextVar

_end: ContextVar[float | None] = ContextVar("deadline", default=None)


def remaining_s() -> float | None:
    """Return the seconds left, negative when it is over; None where nothing limits the work."""
    end = _end.get()
    return None if end is None else end - time.monotonic()


def set_remaining(seconds: float | None) -> None:
    """Limit the rest of this task's work."""
    _end.set(None if seconds is None else time.monotonic() + seconds)
