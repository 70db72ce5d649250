"""Whose request is being worked on, known to every log line below it."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Context:
    """Ids of the work in hand; empty where there is none."""

    request_id: str = ""
    organization_id: str = ""
    user_id: str = ""


_NOTHING = Context()
_current: ContextVar[Context] = ContextVar("telemetry", default=_NOTHING)


def current() -> Context:
    """Return the ids that are bound here."""
    return _current.get()


class bind:  # noqa: N801  # read as a verb: `with bind(request_id=…)`
    """Binds ids within a `with` block; what is not given stays as it was outside."""

    __slots__ = ("_bound", "_outer")

    def __init__(
        self,
        *,
        request_id: str | None = None,
        organization_id: str | None = None,
        user_id: str | None = None,
    ) -> None:
        outer = _current.get()
        self._outer = outer
        self._bound = Context(
            outer.request_id if request_id is None else request_id,
            outer.organization_id if organization_id is None else organization_id,
            outer.user_id if user_id is None else user_id,
        )

    def __enter__(self) -> Context:
        """Bind."""
        self._outer = _current.get()
        _current.set(self._bound)
        return self._bound

    def __exit__(self, *_: object) -> None:
        """Put back what was bound outside."""
        # Not reset(token): an async generator may be closed in another context than it began in.
        _current.set(self._outer)
