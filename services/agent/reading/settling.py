"""What items come to with discounts and charges on all of them, and what is left to pay."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import combinations, pairwise

from .evidence import Candidate, ranked
from .marking import Document
from .values import CENT

MOST_ADJUSTMENTS = 4
REACH = 6  # rows below the total that a prepayment and the rest to pay stand in

Totals = dict[str, list[Candidate]]


def adjusted(
    document: Document, item_rows: set[int], line_sum: Decimal | None, *, alone: bool
) -> set[Decimal]:
    """Return what the lines may come to: their sum, with the discounts and charges on all.

    Or their sum alone, as on till slips, where a sum stands after each discount and charge.
    """
    if line_sum is None or alone:
        return set() if line_sum is None else {line_sum}
    amounts = list(_adjustments(document, item_rows))[:MOST_ADJUSTMENTS]
    sums = {line_sum}
    for size in range(1, len(amounts) + 1):
        for some in combinations(amounts, size):
            # whether a label means less or more is not always said by a sign
            sums |= {line_sum + sum(some), line_sum - sum(some)}
    return sums


def _adjustments(document: Document, item_rows: set[int]) -> Iterator[Decimal]:
    for index, marked in enumerate(document.rows):
        if index in item_rows or not any(h.field == "adjustment" and h.opens for h in marked.hits):
            continue
        money = [n.value for n in marked.numbers if n.money and n.value]
        if money:
            yield money[-1]


def settled(document: Document, gross: Candidate | None, found: Totals) -> dict[str, Candidate]:
    """Return the amount due and what was prepaid: those that the total is the sum of, if any."""
    labelled = {name: found[name][0] for name in ("amount_due", "prepaid") if found[name]}
    if gross is None:
        return labelled
    pairs = [*_labelled(found, gross.value), *_in_order(document, gross.value)]
    if pairs:
        prepaid, due = max(pairs, key=lambda pair: pair[0].score + pair[1].score)
        why = f"{gross.value} less {abs(prepaid.value)} is {due.value}"
        return {"amount_due": _borne_out(due, why), "prepaid": _borne_out(prepaid, why)}
    same = next((c for c in found["amount_due"] if c.value == gross.value), None)
    if same is not None and "prepaid" not in labelled:
        return {"amount_due": _borne_out(same, "it is the total")}
    return labelled


def _borne_out(candidate: Candidate, why: str) -> Candidate:
    return candidate.scored(min(0.97, candidate.score + 0.3), why)


def _labelled(found: Totals, gross: Decimal) -> Iterator[tuple[Candidate, Candidate]]:
    dues = ranked([*found["amount_due"], *(c.scored(0.6 * c.score) for c in found["gross"])])
    for prepaid in found["prepaid"]:
        for due in dues:
            if prepaid.value and abs(gross - abs(prepaid.value) - due.value) <= CENT:
                yield prepaid, due


def _in_order(document: Document, gross: Decimal) -> Iterator[tuple[Candidate, Candidate]]:
    """Yield two amounts in the rows below the total that it is the sum of, the last what is due."""
    amounts = [
        (index, n)
        for index, marked in enumerate(document.rows)
        for n in [m for m in marked.numbers if m.money][-1:]
    ]
    total = next((at for at, (_, n) in enumerate(amounts) if n.value == gross), None)
    if total is None:
        return
    first = amounts[total][0]
    below = [(row, n) for row, n in amounts[total + 1 :] if row <= first + REACH]
    why = "below the total"
    for (above, prepaid), (under, due) in pairwise(below):
        if due.value and abs(gross - abs(prepaid.value) - due.value) <= CENT and prepaid.value:
            yield (
                document.read(prepaid.value, above, prepaid.start, prepaid.end, 0.4, why),
                document.read(due.value, under, due.start, due.end, 0.4, why),
            )
