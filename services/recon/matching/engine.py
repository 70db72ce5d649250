"""From invoices and transactions to matches: find, weigh, choose, explain."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from . import hypotheses
from .assignment import Group, choose
from .evidence import SURE_REFERENCE, Book, Evidence, Finding, find, learn, read_numbers
from .explanation import explain
from .records import DoublePayment, Invoice, Match, Memory, Settings, Transaction
from .settlement import allocate

# Groups ahead of every alternative by so many bits are taken before anything weaker is tried.
CERTAIN = 10.0
SETTLED = frozenset({"EXACT", "ROUNDED", "DISCOUNT", "FX"})
CLEAR = frozenset({"EXACT", "ROUNDED", "DISCOUNT", "FEE", "FX"})


@dataclass(frozen=True)
class Outcome:
    """Everything the engine found."""

    matches: tuple[Match, ...]
    double_payments: tuple[DoublePayment, ...]


def match(
    invoices: Sequence[Invoice],
    transactions: Sequence[Transaction],
    settings: Settings | None = None,
    memory: Memory | None = None,
) -> list[Match]:
    """Groups of open invoices and transactions that belong together, surest first.

    No invoice and no transaction is in two groups; the order of the input changes nothing.
    """
    return list(reconcile(invoices, transactions, settings, memory).matches)


def reconcile(
    invoices: Sequence[Invoice],
    transactions: Sequence[Transaction],
    settings: Settings | None = None,
    memory: Memory | None = None,
) -> Outcome:
    """As `match`, and also the payments that were made twice."""
    book = Book(invoices, transactions, settings or Settings(), memory or Memory())
    hits = read_numbers(book)
    learn(book, hits)
    found = [find(book, position, each) for position, each in enumerate(hits)]
    findings, repeats = _without_repeats(book, found)
    chosen, weighed = _choose(book, findings)
    margins = _margins(chosen, weighed)
    made = [
        _match(book, group, margins[group.key])
        for group in sorted(chosen, key=lambda g: (-margins[g.key], g.key))
    ]
    offered = tuple(each for each in made if each.confidence >= book.settings.offer_confidence)
    return Outcome(offered, tuple(_doubles(book, chosen, repeats)))


def _choose(book: Book, findings: Sequence[Finding]) -> tuple[list[Group], list[Group]]:
    """The groups taken, and all that were weighed."""
    first = list(hypotheses.pairs(findings))
    for position, finding in enumerate(findings):
        first += hypotheses.named_sets(book, position, finding)
    everything = set(range(len(book.transactions)))
    bills = set(range(len(book.invoices)))
    first += hypotheses.paid_in_parts(book, findings, everything, bills)
    taken = choose(first)
    margins = _margins(taken, first)
    certain = [g for g in taken if margins[g.key] >= CERTAIN and g.relation.kind in SETTLED]
    open_transactions = everything - {t for g in certain for t in g.transactions}
    open_invoices = bills - {i for g in certain for i in g.invoices}
    later = [
        g
        for g in first
        if open_transactions.issuperset(g.transactions) and open_invoices.issuperset(g.invoices)
    ]
    for position in sorted(open_transactions):
        finding = findings[position]
        later += hypotheses.completed_sets(book, position, finding, open_invoices)
        later += hypotheses.unnamed_sets(book, position, finding, open_invoices)
    later += hypotheses.paid_in_parts(book, findings, open_transactions, open_invoices)
    return certain + choose(later), first + later


def _without_repeats(
    book: Book, findings: Sequence[Finding]
) -> tuple[list[Finding], list[tuple[int, int, int]]]:
    """Of equal payments that name the same invoice, only the first is left to pay it.

    Also the repeats: (later transaction, invoice, first transaction).
    """
    plain: dict[int, list[Evidence]] = defaultdict(list)
    for finding in findings:
        for each in finding.pairs:
            if _is_plain(each):
                plain[each.invoice].append(each)
    repeats: dict[tuple[int, int], int] = {}
    for invoice, some in plain.items():
        if _has_twin(book, invoice):
            continue
        best = max(each.score for each in some)
        alike = sorted(e.transaction for e in some if e.score > best - 15.0)
        repeats |= {(later, invoice): alike[0] for later in alike[1:]}
    if not repeats:
        return list(findings), []
    kept = [
        replace(f, pairs=tuple(e for e in f.pairs if (e.transaction, e.invoice) not in repeats))
        for f in findings
    ]
    return kept, [(later, invoice, first) for (later, invoice), first in repeats.items()]


def _has_twin(book: Book, invoice: int) -> bool:
    """Whether its counterparty has another invoice of the same amount, which may be meant."""
    same = book.by_amount[book.invoices[invoice].currency_code, book.due[invoice]]
    return any(other != invoice and book.names[other] == book.names[invoice] for other in same)


def _is_plain(evidence: Evidence) -> bool:
    """The number is found, the amount is exact, and the payer is not known to be another."""
    sure = evidence.reference in {"exact", "stripped"} and evidence.reference_bits >= SURE_REFERENCE
    return sure and evidence.relation.kind == "EXACT" and evidence.party.bits > -3


def _margins(
    chosen: Sequence[Group], weighed: Iterable[Group]
) -> dict[tuple[tuple[int, ...], tuple[int, ...]], float]:
    """By how many bits each chosen group is ahead of nothing and of the best alternative."""
    owner: dict[tuple[str, int], Group] = {}
    for group in chosen:
        owner |= {("t", t): group for t in group.transactions}
        owner |= {("i", i): group for i in group.invoices}
    pair_score = {(g.transactions[0], g.invoices[0]): g.score for g in weighed if g.single}
    margins = {group.key: group.score for group in chosen}
    for other in weighed:
        nodes = [("t", t) for t in other.transactions] + [("i", i) for i in other.invoices]
        displaced = {owner[n].key: owner[n] for n in nodes if n in owner}
        if other.key in displaced:
            continue
        loss = sum(group.score for group in displaced.values()) - other.score
        if len(displaced) == 2 and other.single:
            loss -= _swap(displaced.values(), other, pair_score)
        for key in displaced:
            margins[key] = min(margins[key], loss)
    return margins


def _swap(displaced: Iterable[Group], other: Group, scores: dict[tuple[int, int], float]) -> float:
    """What the two groups that one pair breaks up would still give to each other."""
    payers = [t for g in displaced for t in g.transactions if t not in other.transactions]
    bills = [i for g in displaced for i in g.invoices if i not in other.invoices]
    if len(payers) == 1 == len(bills):
        return max(0.0, scores.get((payers[0], bills[0]), 0.0))
    return 0.0


def _match(book: Book, group: Group, margin: float) -> Match:
    confidence = 1.0 / (1.0 + 2.0 ** -min(60.0, margin))
    kind = group.relation.kind
    allocations = allocate(book, group)
    return Match(
        tuple(book.transactions[t].transaction_id for t in group.transactions),
        tuple(book.invoices[i].invoice_id for i in group.invoices),
        allocations,
        kind,
        round(confidence, 6),
        _may_book(book, group, confidence),
        explain(book, group),
    )


def _may_book(book: Book, group: Group, confidence: float) -> bool:
    """Certain, and by two independent kinds of evidence."""
    if confidence < book.settings.auto_confidence or group.relation.kind not in CLEAR:
        return False
    if any(each.names_another for each in group.evidence):
        return False
    named = all(each.reference_bits >= SURE_REFERENCE for each in group.evidence)
    known = all(each.party.strong for each in group.evidence)
    agreed = all(each.party.bits > 0 for each in group.evidence)
    if group.relation.kind == "EXACT":
        return named or known or agreed
    return named and agreed


def _doubles(
    book: Book, chosen: Sequence[Group], repeats: Sequence[tuple[int, int, int]]
) -> Iterator[DoublePayment]:
    used = {t for group in chosen for t in group.transactions}
    payer = {i: group.transactions for group in chosen for i in group.invoices}
    for later, invoice, first in sorted(repeats):
        if later in used or first not in payer.get(invoice, ()):
            continue
        bill, this = book.invoices[invoice], book.transactions[later]
        before = book.transactions[first]
        yield DoublePayment(
            this.transaction_id,
            bill.invoice_id,
            before.transaction_id,
            f"Invoice {bill.number} of {bill.open_amount} {bill.currency_code} was already paid "
            f"on {before.booking_date}; this pays it again on {this.booking_date}.",
        )
