"""Which groups are worth weighing: pairs, payments for several invoices, invoices paid in parts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import log2

from .amounts import CENT, Relation, relate
from .assignment import Group
from .evidence import SURE_REFERENCE, Book, Evidence, Finding, around, reference_bits, text_of
from .names import Name
from .references import Text
from .subsets import subsets, tried

NAMED = 6.0
# A spelling may mean several counterparties, e.g. where the legal form is left out.
MOST_PAYERS = 6
# Of one counterparty so many invoices due before and after the payment are looked at for a set.
POOL_REACH = 200


def pairs(findings: Iterable[Finding]) -> Iterator[Group]:
    """Each transaction with each invoice that it may pay alone."""
    for finding in findings:
        for each in finding.pairs:
            if each.score > 0:
                yield Group(
                    (each.transaction,), (each.invoice,), each.score, each.relation, (each,)
                )


def named_sets(book: Book, position: int, finding: Finding) -> Iterator[Group]:
    """A payment whose text names several invoices, credit notes among them."""
    named = _named(book, position, finding)
    paid = book.paid[position]
    if not paid or not 2 <= len(named) <= 40:
        return
    members = sorted(named)
    due = [book.due[each] for each in members]
    if sum(due) == paid:
        yield _together(book, position, [named[each] for each in members])
        return
    if len(members) <= 24:
        for chosen in subsets(due, paid, largest=len(members), limit=4):
            yield _together(book, position, [named[members[n]] for n in chosen])
    if (sum(due) > 0) == (paid > 0):
        yield _together(book, position, [named[each] for each in members])


def completed_sets(
    book: Book, position: int, finding: Finding, open_invoices: set[int]
) -> Iterator[Group]:
    """A payment for named invoices and others of the same counterparty that were not named."""
    named = {k: v for k, v in _named(book, position, finding).items() if k in open_invoices}
    rest = book.paid[position] - sum(book.due[each] for each in named)
    if not named or len(named) > 20 or abs(rest) < CENT:
        return
    like = max(named.values(), key=lambda e: (e.party.bits, -e.invoice))
    pool = _pool(book, position, finding, open_invoices, like)
    text = text_of(book.transactions[position])
    pool = [_perhaps_spoilt(book, each, text) for each in pool if each.invoice not in named]
    found = subsets([book.due[e.invoice] for e in pool], rest, smallest=1, largest=6, limit=16)
    for chosen in found:
        others = [pool[n] for n in chosen]
        bits = _rarity(len(pool), len(chosen), abs(rest)) - 4.0
        # How many sets there were to choose from is in the rarity, so no prior counts for these.
        score = _link(list(named.values())) + sum(e.reference_bits for e in others) + bits
        yield _group([*named.values(), *others], score, Relation("EXACT", bits))


def unnamed_sets(
    book: Book, position: int, finding: Finding, open_invoices: set[int]
) -> Iterator[Group]:
    """A payment for some of a counterparty's open invoices that names none of them."""
    if any(bits >= SURE_REFERENCE for _, bits in _own_hits(book, finding)):
        return
    for like in _payers(book, finding):
        yield from _unnamed_of(book, position, finding, open_invoices, like)


def _unnamed_of(
    book: Book, position: int, finding: Finding, open_invoices: set[int], like: Evidence
) -> Iterator[Group]:
    pool = _pool(book, position, finding, open_invoices, like)
    largest = book.settings.largest_group
    found = subsets([book.due[e.invoice] for e in pool], book.paid[position], largest=largest)
    for chosen in found:
        some = [pool[n] for n in chosen]
        party = 3.0 if all(e.party.strong for e in some) else 0.0
        days = sum(max(-2.0, e.date_bits) for e in some) / len(some)
        rarity = _rarity(len(pool), len(chosen), abs(book.paid[position]))
        text = sum(e.reference_bits for e in some)
        score = rarity - 5.0 + party + days + text - log2(len(found))
        yield _group(some, score, Relation("EXACT", rarity))


def paid_in_parts(
    book: Book, findings: Sequence[Finding], open_transactions: set[int], open_invoices: set[int]
) -> Iterator[Group]:
    """Several payments that together are one invoice's amount."""
    by_invoice: dict[int, list[Evidence]] = defaultdict(list)
    for position in sorted(open_transactions):
        for each in findings[position].pairs:
            smaller = abs(book.paid[position]) < abs(book.due[each.invoice])
            same = (
                book.invoices[each.invoice].currency_code
                == book.transactions[position].currency_code
            )
            if each.invoice in open_invoices and smaller and same and each.party.bits > -3:
                by_invoice[each.invoice].append(each)
    for invoice in sorted(by_invoice):
        some = by_invoice[invoice]
        if len(some) < 2 or not any(e.reference_bits >= NAMED for e in some):
            continue
        some = sorted(some, key=lambda e: (-e.link, e.transaction))[:14]
        found = subsets([book.paid[e.transaction] for e in some], book.due[invoice], 2, 6, 6)
        for chosen in found:
            parts = [some[n] for n in chosen]
            rarity = _rarity(len(some), len(chosen), abs(book.due[invoice]))
            score = sum(max(e.link, -8.0) for e in parts) + rarity - 2.0
            if any(e.reference_bits >= NAMED for e in parts):
                relation = Relation("EXACT", rarity)
                together = tuple(e.transaction for e in parts)
                yield Group(together, (invoice,), score, relation, tuple(parts))


def _named(book: Book, position: int, finding: Finding) -> dict[int, Evidence]:
    """The invoices that the text names and that may be this payer's; credit notes as well."""
    found = {e.invoice: e for e in finding.pairs if e.reference_bits >= NAMED and e.party.bits > -3}
    sure = [e for e in found.values() if e.reference in {"exact", "stripped"}]
    if not sure:
        return {}
    names = {book.names[e.invoice] for e in sure}
    currency = book.transactions[position].currency_code
    for invoice, (way, bits) in finding.hits.items():
        if invoice in found or book.is_rejected(position, invoice):
            continue
        if bits >= NAMED and book.names[invoice] in names:
            found[invoice] = _against(book, position, invoice, sure[0], way, bits)
    return {k: e for k, e in found.items() if book.invoices[k].currency_code == currency}


def _against(
    book: Book, position: int, invoice: int, like: Evidence, way: str, bits: float
) -> Evidence:
    """Evidence for an invoice of the other sign, e.g. a credit note beside the invoices."""
    bill, day = book.invoices[invoice], book.transactions[position].booking_date
    date_bits = book.delays.bits(day, bill.issue_date, bill.due_date)
    return Evidence(position, invoice, way, bits, like.party, like.relation, date_bits, book.prior)


def _own_hits(book: Book, finding: Finding) -> list[tuple[str, float]]:
    own = {book.names[e.invoice] for e in finding.pairs if e.party.bits > 0}
    return [hit for invoice, hit in finding.hits.items() if book.names[invoice] in own]


def _perhaps_spoilt(book: Book, evidence: Evidence, text: Text) -> Evidence:
    """Where other numbers are found as written, one of the same text may be spoilt."""
    spoilt = None if evidence.reference else book.numbers.spoilt(evidence.invoice, text)
    if not spoilt:
        return evidence
    return replace(
        evidence,
        reference=spoilt[0],
        reference_bits=reference_bits(book, *spoilt),
        names_another=False,
    )


def _payers(book: Book, finding: Finding) -> list[Evidence]:
    """One piece of evidence for each of the counterparties that are likeliest to have paid."""
    best = max((e.party.bits for e in finding.pairs), default=0.0)
    if best <= 0:
        return []
    by_name: dict[Name, Evidence] = {}
    for each in sorted(finding.pairs, key=lambda e: (-e.party.bits, e.invoice)):
        if each.party.bits > best - 2.0:
            by_name.setdefault(book.names[each.invoice], each)
    return list(by_name.values())[:MOST_PAYERS]


def _pool(
    book: Book, position: int, finding: Finding, open_invoices: set[int], like: Evidence
) -> list[Evidence]:
    """Open invoices and credit notes of one payer, those nearest in time first."""
    transaction = book.transactions[position]
    by_invoice = {e.invoice: e for e in finding.pairs}
    name, pool = book.names[like.invoice], []
    shelf = book.shelves(name).get(transaction.currency_code)
    if shelf is None:
        return []
    reach = around(shelf.by_date, (transaction.booking_date, -1), POOL_REACH)
    near = {invoice for _, invoice in reach}
    near.update(i for i in (*by_invoice, *finding.hits) if book.names[i] == name)
    for invoice in sorted(open_invoices.intersection(near)):
        bill = book.invoices[invoice]
        late = (transaction.booking_date - bill.issue_date).days
        refused = book.is_rejected(position, invoice)
        if bill.currency_code != transaction.currency_code or late < -3 or refused:
            continue
        known = by_invoice.get(invoice)
        found = (known.reference, known.reference_bits) if known else ("", 0.0)
        way, bits = finding.hits.get(invoice, found)
        pool.append(_against(book, position, invoice, like, way, bits))
    pool.sort(key=lambda e: (-e.reference_bits, -e.date_bits, e.invoice))
    return pool[: book.settings.pool_size]


def _rarity(count: int, size: int, amount: int) -> float:
    """How surprising it would be if a set of this size added up by chance, in bits."""
    by_chance = tried(count, size) * CENT / (4.0 * max(amount, CENT))
    return min(14.0, -log2(max(by_chance, 1e-5)))


def _link(some: Sequence[Evidence]) -> float:
    """Log odds that all these invoices are meant, the payer counted once."""
    party = min(e.party.bits for e in some)
    days = sum(max(-2.0, e.date_bits) for e in some) / len(some)
    return party + days + sum(e.reference_bits + e.prior for e in some)


def _together(book: Book, position: int, some: Sequence[Evidence]) -> Group:
    paid, due = abs(book.paid[position]), abs(sum(book.due[e.invoice] for e in some))
    agreed = tuple({d for e in some for d in book.invoices[e.invoice].discounts})
    relation = relate(paid, due, book.settings, agreed)
    score = _link(some) + relation.bits
    return _group(some, score, relation)


def _group(some: Sequence[Evidence], score: float, relation: Relation) -> Group:
    ordered = sorted(some, key=lambda e: e.invoice)
    return Group(
        (some[0].transaction,), tuple(e.invoice for e in ordered), score, relation, tuple(ordered)
    )
