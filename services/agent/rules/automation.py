"""What is read surely enough to need no person, by what persons' checks have shown."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from auditron.agent.v1.agent_pb2 import AutomationSettings, FieldCoverage
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import FieldReading, Invoice
from google.protobuf.field_mask_pb2 import FieldMask

from libs.rpc import Violation, check, check_changeable

from .outcomes import MEASURED, needed, value_of

AUTOMATIC, SUGGESTED, MANUAL = "automatic", "suggested", "manual"
DOUBT = 0.05  # that a bound does not hold
ERROR_MAX, SAMPLE_SHARE = 0.01, 0.05
ERROR_LIMIT = 0.5
# The confidences from which on a field may be automatic: few, so that none is found by chance.
STEPS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
# What is read from a page, and not written in data or concluded.
PAGE_SOURCES = (
    invoice_pb2.READING_SOURCE_TEXT_LAYER,
    invoice_pb2.READING_SOURCE_OCR,
    invoice_pb2.READING_SOURCE_MODEL,
)
# What books and payment follow from, where it was read.
_WEIGHTY = (
    "document_type", "direction", "net", "tax", "gross.currency_code", "supplier.iban",
    "account_code",
)  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """How many values of a confidence (rounded down to hundredths) were checked, and wrong."""

    confidence: float
    count: int
    wrong: int


@dataclass(frozen=True)
class Evidence:
    """What was checked of a field: of the supplier itself, and of all suppliers."""

    own: tuple[Checked, ...] = ()
    every: tuple[Checked, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """A field as it was read, and what is made of it: automatic, suggested or manual."""

    field: str
    value: str
    source: int
    confidence: float
    handling: str


@dataclass(frozen=True)
class Review:
    """Each field's outcome, and why a person is to see the invoice; '' if no reason is known."""

    outcomes: tuple[Outcome, ...]
    why: str


# By field, and whether it is read from a page.
Known = Mapping[tuple[str, bool], Evidence]


@lru_cache(4_096)
def error_bounds(wrong: int, count: int) -> tuple[float, float]:
    """Return below and above which the share of errors is not, each with 95 % certainty.

    Clopper and Pearson's bounds, one-sided each; 0 and 1 where nothing was checked.
    """
    low, high = 0.0, 1.0
    if wrong:
        low = _where(lambda share: 1 - _at_most(wrong - 1, count, share) > DOUBT)
    if wrong < count:
        high = _where(lambda share: _at_most(wrong, count, share) < DOUBT)
    return low, high


def _where(holds: Callable[[float], bool]) -> float:
    """Return the share from which on something holds."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _at_most(wrong: int, count: int, share: float) -> float:
    """Return how likely no more of the count are wrong, where each is so likely wrong."""
    ways = math.lgamma(count + 1)
    logs = (
        ways - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        + k * math.log(share) + (count - k) * math.log1p(-share)
        for k in range(wrong + 1)
    )  # fmt: skip
    return math.fsum(map(math.exp, logs))


def automatic_from(evidence: Evidence, error_max: float) -> float | None:
    """Return from which confidence on a value from a page is automatic; None: from none.

    The supplier's own checks show that no more errors are made than allowed; or those of all
    suppliers do, and the supplier's own do not show that it is worse.
    """
    for step in STEPS:
        own_low, own_high = _bounds(evidence.own, step)
        if own_high <= error_max:
            return step
        if own_low <= error_max and _bounds(evidence.every, step)[1] <= error_max:
            return step
    return None


def _bounds(checked: Sequence[Checked], least: float) -> tuple[float, float]:
    counted = [each for each in checked if each.confidence >= least]
    return error_bounds(sum(c.wrong for c in counted), sum(c.count for c in counted))


def is_automatic(reading: FieldReading, known: Known, error_max: float) -> bool:
    """Return whether a field's reading needs no person.

    What is written in data or concluded is trusted until checks show more errors than allowed.
    """
    from_page = reading.source in PAGE_SOURCES
    evidence = known.get((reading.field, from_page), Evidence())
    if from_page:
        least = automatic_from(evidence, error_max)
        return least is not None and reading.confidence >= least
    return _bounds(evidence.own, 0.0)[0] <= error_max


def reviewed(
    invoice: Invoice,
    readings: Sequence[FieldReading],
    known: Known,
    settings: AutomationSettings,
    job_id: str,
) -> Review:
    """Return what is made of each measured field, and why a person is to see the invoice."""
    outcomes = tuple(_outcomes(invoice, readings, known, settings.error_max))
    weighty = {*needed(invoice), *_WEIGHTY}
    held = [each.field for each in outcomes if each.handling != AUTOMATIC]
    held = [field for field in held if field in weighty]
    if held:
        return Review(outcomes, f"few enough errors are not shown for {', '.join(held)}")
    if is_drawn(job_id, settings.sample_share):
        return Review(outcomes, "drawn by chance from what could pass by itself")
    return Review(outcomes, "")


def _outcomes(
    invoice: Invoice, readings: Sequence[FieldReading], known: Known, error_max: float
) -> Iterator[Outcome]:
    by_field = {each.field: each for each in readings}
    for field in MEASURED:
        reading, value = by_field.get(field), value_of(invoice, field)
        if reading is not None and value:
            automatic = is_automatic(reading, known, error_max)
            handling = AUTOMATIC if automatic else SUGGESTED
            yield Outcome(field, value, reading.source, reading.confidence, handling)
        elif field in needed(invoice):
            yield Outcome(field, "", 0, 0.0, MANUAL)


def is_drawn(job_id: str, share: float) -> bool:
    """Return whether a job is of the random sample; each attempt at it draws the same."""
    digest = hashlib.sha256(f"sample {job_id}".encode()).digest()
    return int.from_bytes(digest[:6]) < share * 2**48


def with_rates(row: FieldCoverage, evidence: Evidence, error_max: float) -> FieldCoverage:
    """Return a row of the coverage with accuracy, bound and threshold."""
    made = FieldCoverage()
    made.CopyFrom(row)
    if made.checked_count:
        made.accuracy = 1 - made.wrong_count / made.checked_count
    made.error_bound = error_bounds(made.wrong_count, made.checked_count)[1]
    least = automatic_from(evidence, error_max)
    if least is not None:
        made.automatic_confidence = least
    return made


def merged_automation(
    before: AutomationSettings, given: AutomationSettings, mask: FieldMask
) -> AutomationSettings:
    """Return the settings with the fields that the mask names; none named: those that are set.

    Raises InvalidArgument.
    """
    paths = list(mask.paths) or [field.name for field, _ in given.ListFields()]
    check_changeable(given.DESCRIPTOR, paths)
    after = AutomationSettings()
    after.CopyFrom(before)
    for path in paths:
        setattr(after, path, getattr(given, path) if given.HasField(path) else -1)
    check(_violations(after))
    return after


def _violations(settings: AutomationSettings) -> Iterator[Violation]:
    for name, most in (("error_max", ERROR_LIMIT), ("sample_share", 1)):
        if not 0 <= getattr(settings, name) <= most:  # refuses NaN too
            yield f"automation_settings.{name}", f"must be 0 to {most:g}"
