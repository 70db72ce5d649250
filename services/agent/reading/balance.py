"""Totals by what they come to, whatever they are called: net and tax are gross, at a rate named."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from .evidence import Candidate
from .marking import Document
from .values import CENT, Number, rounding

REACH = 30  # rows below the items that totals are looked for in
MOST = 24  # amounts there that are tried with each other
# Standard and reduced rates of VAT and sales tax in use, per cent; a sum at none of them is chance.
RATES = tuple(
    Decimal(thousandths) / 1000
    for thousandths in (
        *(2100, 2600, 3800, 4000, 4800, 5000, 5500, 6000, 7000, 7250, 7700, 8000, 8100, 8250, 8875),
        *(9000, 9500, *range(10_000, 28_000, 1_000), 13_500, 25_500),
    )
)


@dataclass(frozen=True)
class Entry:
    """An amount outside the items: its row, and the rate in per cent that stands beside it."""

    row: int
    number: Number
    rate: Decimal | None

    @property
    def value(self) -> Decimal:
        """Return the amount."""
        return self.number.value


def balanced(
    document: Document, item_rows: set[int], line_sum: Decimal | None
) -> dict[str, list[Candidate]]:
    """Return readings of net, tax and gross (values are Decimal) that bear each other out."""
    entries = list(_entries(document, item_rows))[:MOST]
    named = named_rates(document)
    found: defaultdict[str, list[Candidate]] = defaultdict(list)
    for net, taxes, gross, score, why in _sets(entries, named, line_sum):
        found["gross"].append(_read(document, gross, gross.value, score, why))
        found["tax"].append(
            _read(document, taxes[0], sum((t.value for t in taxes), Decimal(0)), score, why)
        )
        if net is not None:
            found["net"].append(_read(document, net, net.value, score, why))
    for entry in entries if line_sum else ():
        if entry.value == line_sum:
            found["gross"].append(_read(document, entry, entry.value, 0.3, "the sum of the lines"))
    return found


def _read(document: Document, at: Entry, value: Decimal, score: float, why: str) -> Candidate:
    return document.read(value, at.row, at.number.start, at.number.end, score, why)


def _entries(document: Document, item_rows: set[int]) -> Iterator[Entry]:
    """Yield the amounts below the items, or of the whole document where there are none."""
    first = max(item_rows) + 1 if item_rows else 0
    last = first + REACH if item_rows else len(document.rows)
    for index in range(first, min(last, len(document.rows))):
        marked = document.rows[index]
        rates = [n.value for n in marked.numbers if n.percent]
        taxed = len(rates) == 1 and not marked.has("adjustment", "discount_terms")
        for number in marked.numbers:
            if number.money and number.value:
                yield Entry(index, number, rates[0] if taxed else None)


def named_rates(document: Document) -> set[Decimal]:
    """Return the rates that the document names, in per cent."""
    return {n.value for m in document.rows for n in m.numbers if n.percent and 0 < n.value <= 30}


Set = tuple[Entry | None, list[Entry], Entry, float, str]


def _sets(entries: list[Entry], named: set[Decimal], line_sum: Decimal | None) -> Iterator[Set]:
    """Yield what may be net, taxes and gross, how sure, and why."""
    rated = [e for e in entries if e.rate is not None]
    by_value: defaultdict[Decimal, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_value[entry.value].append(entry)
    for gross in entries:
        for net in entries:
            tax = gross.value - net.value
            if not 0 < abs(tax) < abs(net.value) or (tax > 0) != (net.value > 0):
                continue
            known = 0.1 * (net.value == line_sum)
            taxes = [e for e in by_value.get(tax, ()) if e is not gross and e is not net][:1]
            if taxes:
                sure = _sure(net.value, tax, named, rounding(net.number, taxes[0].number))
                if sure:
                    why = f"{net.value} + {tax} = {gross.value}"
                    yield net, taxes, gross, sure + known, why
            elif sum((e.value for e in rated), Decimal(0)) == tax and len(rated) > 1:
                why = f"{net.value} and the taxes by rate are {gross.value}"
                yield net, rated, gross, 0.6 + known, why
        yield from _included(gross, rated, line_sum)


def _sure(net: Decimal, tax: Decimal, named: set[Decimal], most: Decimal) -> float:
    if any(abs(net * rate / 100 - tax) <= most for rate in named):
        return 0.6
    return 0.4 if any(abs(net * rate / 100 - tax) <= most for rate in RATES) else 0.0


def within(gross: Decimal, tax: Decimal, rates: Iterable[Decimal]) -> bool:
    """Return whether an amount is the tax that another includes, at one of these rates."""
    return any(
        rate > 0 and abs(gross * rate / (100 + rate) - tax) <= CENT and tax for rate in rates
    )


def _included(gross: Entry, rated: list[Entry], line_sum: Decimal | None) -> Iterator[Set]:
    """Yield a total with the tax that it includes."""
    for tax in rated:
        rate = tax.rate or Decimal(0)
        if tax is gross or not within(gross.value, tax.value, {rate}):
            continue
        why = f"{tax.value} is {rate} % within {gross.value}"
        yield None, [tax], gross, 0.55 + 0.1 * (gross.value == line_sum), why
