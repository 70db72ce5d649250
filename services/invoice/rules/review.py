"""What a person should look at, when an invoice may be approved, and what is decided or paid."""

from collections.abc import Collection, Iterator
from datetime import date, datetime
from decimal import Decimal

from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Invoice, InvoiceState
from auditron.recon.v1.recon_pb2 import Match
from auditron.type.v1.money_pb2 import Money
from google.protobuf.timestamp_pb2 import Timestamp

from libs import money

from .. import errors
from .contents import currencies
from .identity import counterparty

WARNINGS_MAX = 50
WARNING_LENGTH_MAX = 300
# An invoice that was decided so often is not opened again: its history must fit into an event.
DECISIONS_MAX = 30

DUPLICATE = "another invoice has the same counterparty and number"
_ZERO = Decimal(0)


def warnings(invoice: Invoice, read: Collection[str], *, is_duplicate: bool) -> list[str]:
    """Return what a person should look at: what came with the reading, and what we find."""
    found = [*_origin(invoice), *read, *(f"{name} is missing" for name in missing(invoice))]
    found += _contradictions(invoice)
    if is_duplicate:
        found.append(DUPLICATE)
    return list(dict.fromkeys(each[:WARNING_LENGTH_MAX] for each in found if each))[:WARNINGS_MAX]


def missing(invoice: Invoice) -> list[str]:
    """Return the fields that the books need and that are not there."""
    receivable = invoice.direction == invoice_pb2.DIRECTION_RECEIVABLE
    party = "customer.display_name" if receivable else "supplier.display_name"
    # A till need not number its receipts.
    numbered = invoice.document_type == invoice_pb2.DOCUMENT_TYPE_RECEIPT or invoice.invoice_number
    there = {
        "invoice_number": bool(numbered),
        party: bool(counterparty(invoice).display_name.strip()),
        "issue_date": invoice.HasField("issue_date"),
        "gross": invoice.HasField("gross"),
    }
    return [name for name, is_there in there.items() if not is_there]


def imbalance(invoice: Invoice) -> str:
    """Return how the amounts contradict each other; '' where they do not.

    Without net and tax, gross stands alone; one of them alone is missing the other's part.
    """
    if not invoice.HasField("gross"):
        return ""
    net, tax, gross = map(_decimal, (invoice.net, invoice.tax, invoice.gross))
    if gross < 0:
        return "gross is negative: a credit note has positive amounts"
    if not invoice.HasField("net") and not invoice.HasField("tax"):
        return ""
    if abs(net + tax - gross) > _unit(invoice.gross.currency_code):
        return "net and tax do not add up to gross"
    return ""


def check_in_review(invoice: Invoice) -> None:
    """Raise InvoiceNotInReview unless it can be changed and decided."""
    if invoice.state != invoice_pb2.INVOICE_STATE_IN_REVIEW:
        raise errors.InvoiceNotInReview(
            "The invoice is not in review.", state=InvoiceState.Name(invoice.state)
        )


def check_approvable(
    invoice: Invoice, *, actor: str, last_editor: str, second_person_required: bool
) -> None:
    """Raise what speaks against the approval of an invoice in review."""
    if absent := missing(invoice):
        raise errors.InvoiceIncomplete(
            f"Missing: {', '.join(absent)}.",
            violations=[(f"invoice.{name}", "is needed to approve") for name in absent],
            fields=",".join(absent),
        )
    if contradiction := imbalance(invoice):
        raise errors.InvoiceUnbalanced(f"{contradiction[0].upper()}{contradiction[1:]}.")
    if second_person_required and actor == last_editor:
        raise errors.SecondPersonNeeded("Another person than the last editor has to approve.")


def check_reopenable(invoice: Invoice) -> None:
    """Raise InvoiceNotReopenable unless it is rejected, or approved without payments."""
    approved = invoice.state == invoice_pb2.INVOICE_STATE_APPROVED
    unpaid = not invoice.HasField("paid") or _decimal(invoice.paid) == _ZERO
    rejected = invoice.state == invoice_pb2.INVOICE_STATE_REJECTED
    if not (rejected or (approved and unpaid)) or len(invoice.decisions) >= DECISIONS_MAX:
        raise errors.InvoiceNotReopenable(
            "Only a rejected invoice, or an approved one without payments, can be reopened.",
            state=InvoiceState.Name(invoice.state),
        )


def decide(invoice: Invoice, state: InvoiceState, actor: str, reason: str, now: datetime) -> None:
    """Give the invoice a state by decision, and note the decision."""
    time = Timestamp()
    time.FromDatetime(now)
    invoice.decisions.add(state=state, actor=actor, reason=reason, occur_time=time)
    invoice.state = state
    if state == invoice_pb2.INVOICE_STATE_APPROVED:
        settle(invoice, _decimal(invoice.paid))


def keep_paid(invoice: Invoice) -> None:
    """Have what is paid stand in the currency of the amounts: nothing, in one that is new."""
    [code] = currencies(invoice) or [""]
    if invoice.paid.currency_code == code and code:
        return
    invoice.ClearField("paid")
    if code:
        invoice.paid.CopyFrom(money.to_message(_ZERO, code))


def settle(invoice: Invoice, paid: Decimal) -> None:
    """Say how much is paid, and give an approved invoice the state that follows from it.

    One in review keeps its state: its payments count once it is approved.
    """
    if not invoice.HasField("gross"):
        return
    invoice.paid.CopyFrom(money.to_message(paid, invoice.gross.currency_code))
    if invoice.state not in (
        invoice_pb2.INVOICE_STATE_APPROVED,
        invoice_pb2.INVOICE_STATE_PARTLY_PAID,
        invoice_pb2.INVOICE_STATE_PAID,
    ):
        return
    if paid <= 0:
        invoice.state = invoice_pb2.INVOICE_STATE_APPROVED
    elif paid < _decimal(invoice.gross):
        invoice.state = invoice_pb2.INVOICE_STATE_PARTLY_PAID
    else:
        invoice.state = invoice_pb2.INVOICE_STATE_PAID


def payments(match: Match) -> dict[str, Decimal]:
    """Return how much a match settles of each invoice; what is set off counts as what is paid."""
    found: dict[str, Decimal] = {}
    for allocation in match.allocations:
        amount = abs(money.to_decimal(allocation.amount))
        found[allocation.invoice_id] = found.get(allocation.invoice_id, _ZERO) + amount
    return found


def _origin(invoice: Invoice) -> Iterator[str]:
    """Yield that a person should look where a document was parted from others."""
    document = invoice.document
    if not document.source_invoice_id:
        return
    first, last = document.first_page, document.last_page
    pages = f"page {first}" if first == last else f"pages {first}-{last}"
    yield f"it was cut from {pages} of a file with several documents: see that this is all of it"


def _contradictions(invoice: Invoice) -> Iterator[str]:
    if found := imbalance(invoice):
        yield found
    for total, part in (("net", "taxable"), ("tax", "tax")):
        parts = [getattr(each, part) for each in invoice.tax_subtotals if each.HasField(part)]
        if not parts or not invoice.HasField(total):
            continue
        code = getattr(invoice, total).currency_code
        summed = sum((_decimal(each) for each in parts), _ZERO)
        same = all(each.currency_code == code for each in parts)
        unit = _unit(code) * len(parts)
        if same and abs(summed - _decimal(getattr(invoice, total))) > unit:
            yield f"the {part} amounts of the tax rates do not add up to {total}"
    if invoice.HasField("due_date") and invoice.HasField("issue_date"):
        issued, due = invoice.issue_date, invoice.due_date
        if date(due.year, due.month, due.day) < date(issued.year, issued.month, issued.day):
            yield "due_date is before issue_date"


def _decimal(given: Money) -> Decimal:
    return money.to_decimal(given) if given.currency_code else _ZERO


def _unit(currency_code: str) -> Decimal:
    """Return the smallest amount of a currency: so much rounding may cost."""
    return Decimal(1).scaleb(-money.exponent(currency_code))
