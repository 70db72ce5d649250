"""What a reading changes of an invoice, and when it is sure enough to need no person."""

from collections.abc import Collection, Iterator

from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import (
    ApprovalPolicy,
    FieldReading,
    Invoice,
    RecordReadingRequest,
)

from libs import money
from libs.rpc import Violation

from .contents import (
    AMOUNTS,
    FIELDS,
    TEXT_LENGTH_MAX,
    copy_fields,
    currencies,
    invoice_violations,
    normalize,
    put_readings,
    text,
    top,
)
from .review import WARNING_LENGTH_MAX, WARNINGS_MAX, missing

READINGS_MAX = 10_000
CANDIDATES_MAX = 20


def reading_violations(request: RecordReadingRequest) -> Iterator[Violation]:
    """Yield what is wrong with what was read."""
    yield from text("failure", request.failure, TEXT_LENGTH_MAX)
    for index, warning in enumerate(request.warnings):
        yield from text(f"warnings.{index}", warning, TEXT_LENGTH_MAX)
    yield from invoice_violations(request.invoice)
    if len(request.readings) > READINGS_MAX:
        yield "readings", f"must be at most {READINGS_MAX}"
        return
    for index, reading in enumerate(request.readings):
        yield from _reading(f"readings.{index}", reading)


def after_reading(
    before: Invoice, request: RecordReadingRequest, confirmed: Collection[str]
) -> Invoice:
    """Return the invoice with what was read; the same invoice where that changes nothing.

    What a person has confirmed stays. Fields that were not read stay too, so that a result may
    come in parts. A decided invoice is a person's, and what was read once cannot fail any more.
    """
    after = Invoice()
    after.CopyFrom(before)
    if not _takes(before, request):
        return after
    after.state = invoice_pb2.INVOICE_STATE_IN_REVIEW
    after.reading_failure = request.failure
    if request.failure:
        return after
    names = [field.name for field, _ in request.invoice.ListFields()]
    free = [name for name in names if name in FIELDS and name not in confirmed]
    copy_fields(request.invoice, after, free)
    if len(currencies(after)) > 1:  # a person has confirmed amounts in another one
        copy_fields(before, after, AMOUNTS)
    normalize(after)
    given = [each for each in request.readings if top(each) not in confirmed]
    replaced = {*free, *map(top, given)}
    kept = [each for each in before.readings if top(each) not in replaced]
    put_readings(after, [*kept, *given])
    return after


def reading_warnings(
    before: Invoice, request: RecordReadingRequest, known: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the warnings that come with the reading, in place of those known."""
    if not _takes(before, request) or request.failure:
        return known
    return tuple(each[:WARNING_LENGTH_MAX] for each in request.warnings[:WARNINGS_MAX])


def is_trusted(invoice: Invoice, policy: ApprovalPolicy, confirmed: Collection[str]) -> bool:
    """Whether the approval policy lets the invoice pass without a person.

    One that a person has decided about before is a person's again.
    """
    if not policy.auto_approve_confidence or invoice.decisions:
        return False
    if invoice.warnings or missing(invoice):
        return False
    if policy.HasField("auto_approve_limit"):
        limit = policy.auto_approve_limit
        if limit.currency_code != invoice.gross.currency_code:
            return False
        if money.to_decimal(invoice.gross) > money.to_decimal(limit):
            return False
    sure = {each.field: each.confidence for each in invoice.readings}
    sure |= dict.fromkeys(confirmed, 1.0)
    return all(
        confidence >= policy.auto_approve_confidence for confidence in _confidences(invoice, sure)
    )


def _confidences(invoice: Invoice, sure: dict[str, float]) -> Iterator[float]:
    """Yield how sure each field is that the ledger needs; 0 for one whose reading is not known."""
    receivable = invoice.direction == invoice_pb2.DIRECTION_RECEIVABLE
    party = "customer" if receivable else "supplier"
    yield max(sure.get(f"{party}.display_name", 0.0), sure.get(party, 0.0))
    yield sure.get("issue_date", 0.0)
    yield _amount_confidence("gross", sure)
    if invoice.invoice_number:
        yield sure.get("invoice_number", 0.0)
    for name in ("net", "tax"):
        if invoice.HasField(name):
            yield _amount_confidence(name, sure)
    # These have values of their own where nothing was read.
    yield from (
        sure[name] for name in ("document_type", "direction", "account_code") if name in sure
    )


def _amount_confidence(name: str, sure: dict[str, float]) -> float:
    return sure.get(name, sure.get(f"{name}.amount", 0.0))


def _takes(invoice: Invoice, request: RecordReadingRequest) -> bool:
    """Whether the result still matters to the invoice."""
    if invoice.state == invoice_pb2.INVOICE_STATE_RECEIVED:
        return True
    in_review = invoice.state == invoice_pb2.INVOICE_STATE_IN_REVIEW
    return in_review and bool(not request.failure or invoice.reading_failure)


def _reading(field: str, reading: FieldReading) -> Iterator[Violation]:
    yield from text(f"{field}.field", reading.field)
    yield from text(f"{field}.value", reading.value, TEXT_LENGTH_MAX)
    yield from text(f"{field}.reason", reading.reason, TEXT_LENGTH_MAX)
    if not 0 <= reading.confidence <= 1:  # refuses NaN too
        yield f"{field}.confidence", "must be 0 to 1"
    if reading.source not in invoice_pb2.ReadingSource.values():
        yield f"{field}.source", "must be a source"
    if reading.page < 0 or len(reading.box) not in (0, 4):
        yield f"{field}.box", "must have four edges on a page, or none"
    if len(reading.candidates) > CANDIDATES_MAX or any(
        len(each) > TEXT_LENGTH_MAX for each in reading.candidates
    ):
        yield f"{field}.candidates", f"must be at most {CANDIDATES_MAX}"
