"""How much time the work in hand has left, known to every call it makes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_end: ContextVar[float | None] = ContextVar("deadline", default=None)


def remaining_s() -> float | None:
    """Return the seconds left, negative when it is over; None where nothing limits the work."""
    end = _end.get()
    return None if end is None else end - time.monotonic()


def set_remaining(seconds: float | None) -> None:
    """Limit the rest of this task's work. For one block of it see `deadline_in`."""
    _end.set(None if seconds is None else time.monotonic() + seconds)


@contextmanager
def deadline_in(seconds: float) -> Iterator[None]:
    """Limit what is called within the block; a shorter limit from outside stays."""
    outer = _end.get()
    end = time.monotonic() + seconds
    _end.set(end if outer is None else min(end, outer))
    try:
        yield
    finally:
        _end.set(outer)
