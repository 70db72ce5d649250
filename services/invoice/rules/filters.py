"""What a list of invoices is narrowed to."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from auditron.invoice.v1 import invoice_pb2

from libs.rpc import Violation, check

from .contents import day, text
from .identity import query_words

STATES_MAX = 20


@dataclass(frozen=True)
class Filters:
    """None: all."""

    states: list[int] | None
    direction: int | None
    start_date: date | None
    end_date: date | None
    words: list[str] | None


def filters(request: invoice_pb2.ListInvoicesRequest) -> Filters:
    """Return the filters of a request. Raises InvalidArgument."""
    check(_violations(request))
    return Filters(
        states=sorted(set(request.states)) or None,
        direction=request.direction or None,
        start_date=_date(request, "start_date"),
        end_date=_date(request, "end_date"),
        words=query_words(request.query) if request.query.strip() else None,
    )


def _violations(request: invoice_pb2.ListInvoicesRequest) -> Iterator[Violation]:
    known = {*invoice_pb2.InvoiceState.values()} - {invoice_pb2.INVOICE_STATE_UNSPECIFIED}
    if not known.issuperset(request.states) or len(request.states) > STATES_MAX:
        yield "states", "must be states of an invoice"
    if request.direction not in invoice_pb2.Direction.values():
        yield "direction", "must be a direction"
    yield from text("query", request.query)
    for name in ("start_date", "end_date"):
        if request.HasField(name):
            yield from day(name, getattr(request, name))


def _date(request: Any, name: str) -> date | None:
    given = getattr(request, name)
    return date(given.year, given.month, given.day) if request.HasField(name) else None
