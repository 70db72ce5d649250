"""Totals: candidates by their labels, chosen as the set that adds up."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product

from .balance import balanced, named_rates, within
from .evidence import Candidate, ranked
from .marking import Document, Found, Hit, Marked, near
from .settling import adjusted, settled
from .values import CENT, Number, adds_up, rate_triples

KEPT = 7
TOTALS = ("net", "tax", "gross", "amount_due", "line_total", "prepaid")


@dataclass(frozen=True)
class Part:
    """Tax at one rate: rate in percent, what it is raised on, and what it comes to."""

    rate: Decimal
    base: Candidate
    tax: Candidate


@dataclass(frozen=True)
class Totals:
    """The chosen amounts (values are Decimal), their rivals, and the tax by rate."""

    chosen: dict[str, Candidate]
    others: dict[str, list[Candidate]]
    parts: list[Part]


def find_amounts(marked: Marked, start: int, end: int) -> Found:
    """Find amounts; the last of a row is the likeliest, a number without decimals hardly one."""
    found = [n for n in marked.numbers if n.start >= start and n.end <= end and not n.percent]
    money = [n for n in found if n.money]
    for number in money or found[-1:]:
        good = 1.0 if number is (money or found)[-1] else 0.6
        yield number.value, number.start, number.end, good * (1.0 if number.money else 0.35)


def totals(
    document: Document, item_rows: set[int], line_sum: Decimal | None, paid: Decimal | None = None
) -> Totals:
    """Choose net, tax, gross and what goes with them; rows of the item table are left out.

    `paid` is what a receipt says was tendered less the change.
    """
    parts = list(tax_parts(document, item_rows))
    # what is tendered, changed and rounded on a till slip adds up in many ways
    slip = paid is not None or document.hits("tendered", "rounding")
    borne = {} if slip else balanced(document, item_rows, line_sum)
    found = {
        name: ranked([*_labelled(document, document.hits(name), item_rows), *borne.get(name, ())])
        for name in TOTALS
    }
    by_rate = _taxes_by_rate(document, item_rows)
    if by_rate:
        found["tax"] = _with_sum(found["tax"], by_rate, "the sum of tax by rate")
    if parts:
        found["tax"] = _with_sum(found["tax"], [p.tax for p in parts], "the sum of tax by rate")
        found["net"] = _with_sum(found["net"], [p.base for p in parts], "the sum of tax bases")
    if paid is not None:
        found["gross"] = _with_paid(document, found["gross"], paid)
    found["gross"] = [c for c in found["gross"] if not _is_within(document, c)]
    sums = adjusted(document, item_rows, line_sum, alone=bool(slip))
    chosen = _best_set(found, parts, sums, named_rates(document))
    chosen |= settled(document, chosen.get("gross"), found)
    if found["line_total"]:
        chosen["line_total"] = found["line_total"][0]
    return Totals(chosen, found, parts)


def _is_within(document: Document, found: Candidate) -> bool:
    """Return whether an amount is the tax in another one, at a rate that stands in its row."""
    for marked in document.rows:
        rates = [n.value for n in marked.numbers if n.percent]
        if not rates or not any(n.value == found.value for n in marked.numbers):
            continue
        every = (n.value for m in document.rows for n in m.numbers if n.money)
        if any(within(value, found.value, rates) for value in every):
            return True
    return False


def _with(candidate: Candidate, value: Decimal, why: str) -> Candidate:
    return replace(candidate, value=value, score=min(candidate.score, 0.6), reason=why)


def _labelled(document: Document, hits: list[Hit], item_rows: set[int]) -> Iterator[Candidate]:
    of_items = {id(document.rows[row]) for row in item_rows}

    def find(marked: Marked, start: int, end: int) -> Found:
        return () if id(marked) in of_items else find_amounts(marked, start, end)

    for hit in hits:
        if hit.row in item_rows:
            continue
        for candidate in near(document, hit, find):
            yield candidate.scored(candidate.score * 0.9 * (1.0 if hit.opens else 0.85))


def _taxes_by_rate(document: Document, item_rows: set[int]) -> list[Candidate]:
    """Return the taxes that stand in rows of their own, each with another rate."""
    found: dict[Decimal, Candidate] = {}
    for hit in document.hits("tax"):
        marked = document.rows[hit.row]
        rates = [n.value for n in marked.numbers if n.percent]
        money = [n for n in marked.numbers if n.money and n.end > hit.start]
        if hit.row not in item_rows and len(rates) == 1 and money:
            last = money[-1]
            seen = document.read(last.value, hit.row, last.start, last.end, 0.8, "")
            found.setdefault(rates[0], seen)
    return list(found.values()) if len(found) > 1 else []


def _with_sum(found: list[Candidate], parts: list[Candidate], why: str) -> list[Candidate]:
    total = sum((p.value for p in parts), Decimal(0))
    whole = Candidate(total, 0.8, why, parts[0].source, parts[0].page, parts[0].box)
    same = next((c for c in found if c.value == total), None)
    if same is not None:
        whole = same.scored(min(0.97, same.score + 0.3), why)
    among = {p.value for p in parts if len(parts) > 1}
    rest = [c.scored(c.score * (0.6 if c.value in among else 1.0)) for c in found]
    return sorted([whole, *(c for c in rest if c.value != total)], key=lambda c: -c.score)


def _with_paid(document: Document, found: list[Candidate], paid: Decimal) -> list[Candidate]:
    """Raise the total that cash and change bear out, wherever on the receipt it stands."""
    why = "cash less change"
    same = next((c for c in found if c.value == paid), None)
    if same is None:
        for index, marked in enumerate(document.rows):
            for number in marked.numbers:
                if number.value == paid and same is None:
                    same = document.read(paid, index, number.start, number.end, 0.4, "an amount")
    if same is None:
        return found
    rest = [c for c in found if c.value != paid]
    return [same.scored(min(0.97, same.score + 0.5), why), *rest]


def tax_parts(document: Document, item_rows: set[int]) -> Iterator[Part]:
    """Yield the rows that say rate, base and tax with base times rate = tax, one a (rate, base)."""
    seen: set[tuple[Decimal, Decimal]] = set()
    for index, marked in enumerate(document.rows):
        if index in item_rows:
            continue
        triple = _triple(document, index, marked)
        if triple is None:
            continue
        rate, base, tax = triple
        key = (rate.value, base.value)
        if key in seen:
            continue
        seen.add(key)
        why = f"{rate.value} % of {base.value} is {tax.value}"
        yield Part(
            rate.value,
            document.read(base.value, index, base.start, base.end, 0.8, why),
            document.read(tax.value, index, tax.start, tax.end, 0.8, why),
        )


def _triple(document: Document, index: int, marked: Marked) -> tuple[Number, Number, Number] | None:
    taxed = marked.has("tax", "tax_id", "column_tax_rate") or any(
        m.has("column_base", "column_tax_rate", "column_tax_amount", "tax")
        for m in document.rows[max(0, index - 8) : index]
    )
    triples = list(rate_triples(marked.numbers)) if taxed else []
    if not triples:
        return None
    # the base stands before the tax; a rate of zero fits any base, so take the first amount
    ordered = [t for t in triples if t[1].start < t[2].start] or triples
    return next((t for t in ordered if t[0].value), ordered[0])


def _options(found: Iterable[Candidate]) -> list[Candidate | None]:
    return [*list(found)[:KEPT], None]


def _best_set(
    found: dict[str, list[Candidate]],
    parts: list[Part],
    sums: set[Decimal],
    rates: set[Decimal],
) -> dict[str, Candidate]:
    """Return the net, tax and gross that are likeliest together."""
    grosses = found["gross"] + [c.scored(c.score * 0.6) for c in found["amount_due"]]
    # tills that name no total call what is paid "net total"
    grosses = grosses or [c.scored(c.score * 0.55) for c in found["net"]]
    options = (_options(found["net"]), _options(_signed(found["tax"])), _options(ranked(grosses)))
    best: tuple[float, dict[str, Candidate]] = (-1.0, {})
    for net, tax, gross in product(*options):
        score = _set_score(net, tax, gross, sums)
        if score > best[0]:
            named = {"net": net, "tax": tax, "gross": gross}
            best = score, {name: c for name, c in named.items() if c is not None}
    return _completed(best[1], found, parts, sums, rates)


def _signed(found: list[Candidate]) -> list[Candidate]:
    """Add each tax with the other sign: a minus alone in its line is easily lost."""
    turned = [c.scored(c.score * 0.4, "with the sign that adds up") for c in found if c.value]
    flipped = [Candidate(-c.value, c.score, c.reason, c.source, c.page, c.box) for c in turned]
    return [*found[: KEPT - 2], *flipped[:2]]


def _set_score(
    net: Candidate | None, tax: Candidate | None, gross: Candidate | None, sums: set[Decimal]
) -> float:
    score = sum(c.score for c in (net, tax, gross) if c is not None)
    if net and tax and gross:
        consistent = adds_up((net.value, tax.value), gross.value, CENT)
        share = abs(tax.value / net.value) if net.value else Decimal(0)
        score += 1.2 if consistent and share < Decimal("0.5") else -1.2
    elif net and tax:
        score -= 0.6  # a page that says these says what they come to
    elif net and gross and abs(net.value) > abs(gross.value) + CENT:
        score -= 1.0
    elif tax and gross and abs(tax.value) > abs(gross.value) / 2:
        score -= 0.8
    chosen = [c.value for c in (net, gross) if c is not None]
    score += 0.4 * any(abs(one - value) <= CENT for one in sums for value in chosen)
    return score


def _completed(
    chosen: dict[str, Candidate],
    found: dict[str, list[Candidate]],
    parts: list[Part],
    sums: set[Decimal],
    rates: set[Decimal],
) -> dict[str, Candidate]:
    """Give confidences, and derive the one of net, tax and gross that the page leaves out."""
    net, tax, gross = (chosen.get(name) for name in ("net", "tax", "gross"))
    if net and tax and gross:
        if adds_up((net.value, tax.value), gross.value, CENT):
            why = f"{net.value} + {tax.value} = {gross.value}"
            lift = 0.25 + 0.1 * bool(parts) + 0.1 * (net.value in sums)
            return {
                n: c.scored(min(0.99, 0.6 + 0.4 * c.score + lift), why) for n, c in chosen.items()
            }
        return {n: c.scored(c.score * 0.6, "the totals do not add up") for n, c in chosen.items()}
    if gross and net and tax is None:
        value = gross.value - net.value
        chosen["tax"] = gross.scored(0.5, "gross less net")
        chosen["tax"] = Candidate(value, 0.5, "gross less net", gross.source, gross.page, gross.box)
    elif gross and tax and net is None:
        value = gross.value - tax.value
        chosen["net"] = Candidate(value, 0.5, "gross less tax", gross.source, gross.page, gross.box)
    elif net and tax and gross is None and within(net.value, tax.value, rates):
        chosen["gross"] = net
        chosen["net"] = _with(net, net.value - tax.value, "less the tax that it includes")
    elif net and tax and gross is None:
        value = net.value + tax.value
        chosen["gross"] = Candidate(value, 0.6, "net and tax", net.source, net.page, net.box)
    elif gross and not found["tax"] and not found["net"]:
        chosen["net"] = gross.scored(gross.score * 0.5, "no tax on the page")
        chosen["tax"] = Candidate(Decimal("0.00"), gross.score * 0.5, "no tax on the page")
    return chosen
