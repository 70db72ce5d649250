"""How the amount paid relates to the amount due, and how much that says."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import log2

from .records import PARTS, Settings, parts

CENT = PARTS // 100
LARGEST_DISCOUNT = 0.15


@dataclass(frozen=True, slots=True)
class Relation:
    """What became of the amount due: the kind, its weight in bits, and the discount's percent."""

    kind: str
    bits: float
    percent: Decimal | None = None


def _chance(width: float, due: int) -> float:
    """The share of unrelated payments that fall within `width` of an amount of this size.

    Amounts spread over about four powers of e, so their density at `due` is 1 / (4 due).
    """
    return min(1.0, max(1.0, width) / max(4.0 * due, CENT))


def relate(
    paid: int,
    due: int,
    settings: Settings,
    agreed: Sequence[Decimal] = (),
    *,
    rate: float = 0.0,
    twins: int = 0,
    of: int = 1,
) -> Relation:
    """Relates what was paid to what is due, both positive parts.

    `rate` converts the due amount where currencies differ; `twins` of `of` others have this amount.
    """
    if rate:
        return _relate_converted(paid, due * rate, settings)
    usual = twins / max(of, 1)
    if paid == due:
        return Relation("EXACT", log2(0.7 / min(1.0, usual + _chance(CENT, due))))
    missing = due - paid
    if abs(missing) <= 5 * CENT and due >= 100 * CENT:
        return Relation("ROUNDED", log2(0.02 / _chance(11 * CENT, due)))
    if discount := _discount(missing, due, settings, agreed):
        return discount
    largest = parts(settings.largest_fee)
    if 0 < missing <= largest and missing * 2 <= due:
        return Relation("FEE", log2(0.03 / _chance(largest, due)))
    return _beside(missing, due)


def _discount(
    missing: int, due: int, settings: Settings, agreed: Sequence[Decimal]
) -> Relation | None:
    """A cash discount that explains what is missing: one agreed on, or a usual one."""
    if not 0 < missing <= LARGEST_DISCOUNT * due:
        return None
    for share, percents in ((0.05, agreed), (0.025, settings.usual_discounts)):
        for percent in percents:
            if abs(missing - due * float(percent) / 100) <= 1.01 * CENT:
                chance = _chance(3 * CENT * len(percents), due)
                return Relation("DISCOUNT", log2(share / chance), percent)
    return None


def _beside(missing: int, due: int) -> Relation:
    """A part of what is due, or more than that."""
    if missing > 0:
        return Relation("PARTIAL", -3.0)
    return Relation("OVERPAID", -5.0 if -missing < due else -9.0)


def _relate_converted(paid: int, due: float, settings: Settings) -> Relation:
    """Relates amounts of two currencies: within 2.5 % and a fee of the day's rate."""
    missing = due - paid
    fee = parts(settings.largest_fee) / 2
    if abs(missing) <= 0.025 * due or 0 < missing <= 0.025 * due + min(fee, 0.3 * due):
        return Relation("FX", log2(0.9 / _chance(0.05 * due + min(fee, 0.3 * due), int(due))))
    if missing > 0:
        return Relation("FX_PARTIAL", -5.0)
    return Relation("OVERPAID", -9.0)
