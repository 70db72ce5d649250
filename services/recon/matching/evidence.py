"""What speaks for and against one transaction paying one invoice, in bits."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import log2
from statistics import median
from typing import Any

from .amounts import Relation, relate
from .names import Likeness, Name, NameIndex, parse
from .records import Invoice, Memory, Settings, Transaction, parts
from .references import NumberIndex, Text, read

# A small book says little about how rare a name is; so many strangers are assumed beside it.
STRANGERS = 200
SURE_REFERENCE = 9.0
WIDEST_BLOCK = 60
# Of a wider block of one counterparty: so many invoices due before and after the payment.
NEAREST = 12
# Amounts that say nothing by themselves, and how much else must speak for such a pair.
UNEXPLAINED = frozenset({"PARTIAL", "OVERPAID", "FX_PARTIAL"})
LEAST_LINK = -14.0
REFERENCE_SHARE = {"exact": 0.6, "stripped": 0.08, "truncated": 0.03, "swapped": 0.03}


@dataclass(frozen=True, slots=True)
class Party:
    """Why the payer may be this counterparty."""

    way: str
    bits: float
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """One transaction against one invoice: what was found, and its weight in bits."""

    transaction: int
    invoice: int
    reference: str
    reference_bits: float
    party: Party
    relation: Relation
    date_bits: float
    prior: float
    names_another: bool = False

    @property
    def score(self) -> float:
        """Log odds (base 2) that the two belong together."""
        return self.link + self.relation.bits

    @property
    def link(self) -> float:
        """The log odds without what the amount says."""
        against = -5.0 if self.names_another else 0.0
        return self.reference_bits + self.party.bits + self.date_bits + self.prior + against


# Invoice → (how its number was found, bits).
Hits = Mapping[int, tuple[str, float]]


def compact(iban: str) -> str:
    """An IBAN without spaces, in capitals."""
    return "".join(iban.split()).upper()


class Book:
    """Open invoices and transactions with the indexes by which they find each other."""

    def __init__(
        self,
        invoices: Sequence[Invoice],
        transactions: Sequence[Transaction],
        settings: Settings,
        memory: Memory,
    ) -> None:
        self.settings, self.memory = settings, memory
        self.invoices = sorted(invoices, key=lambda i: i.invoice_id)
        self.transactions = sorted(transactions, key=lambda t: (t.booking_date, t.transaction_id))
        self.paid = [parts(each.amount) for each in self.transactions]
        self.due = [self._signed(each) for each in self.invoices]
        self.names = [parse(each.counterparty_name) for each in self.invoices]
        self.stated = [compact(each.counterparty_iban) for each in self.invoices]
        self.prior = -log2(max(len(self.invoices), 50))
        self.numbers = NumberIndex([(i.number, i.payment_reference) for i in self.invoices])
        self.by_amount: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.by_name: dict[Name, list[int]] = defaultdict(list)
        self.accounts: dict[Name, set[str]] = defaultdict(set)
        self.owners: dict[str, set[Name]] = defaultdict(set)
        for position, invoice in enumerate(self.invoices):
            self.by_amount[invoice.currency_code, self.due[position]].append(position)
            self.by_name[self.names[position]].append(position)
            account = self.stated[position]
            if account:
                self.accounts[self.names[position]].add(account)
                self.owners[account].add(self.names[position])
        for block in self.by_name.values():
            block.sort(key=lambda i: (self.invoices[i].due_date, i))
        self._shelves: dict[Name, dict[str, Shelf]] = {}
        self.name_index = NameIndex(name for name in self.by_name if name.words)
        self.aliases = {key.casefold(): parse(name) for key, name in memory.aliases.items()}
        days = [t.booking_date for t in self.transactions]
        self.span = max(60, (max(days) - min(days)).days) if days else 60
        self.delays = Delays([], self.span)
        self.rates: dict[tuple[str, str], float] = {}

    @staticmethod
    def _signed(invoice: Invoice) -> int:
        sign = 1 if invoice.direction == "RECEIVABLE" else -1
        return parts(invoice.open_amount) * (-sign if invoice.kind == "CREDIT_NOTE" else sign)

    def shelves(self, name: Name) -> Mapping[str, "Shelf"]:
        """A counterparty's invoices by currency."""
        if name not in self._shelves:
            blocks: dict[str, list[int]] = defaultdict(list)
            for each in self.by_name[name]:
                blocks[self.invoices[each].currency_code].append(each)
            self._shelves[name] = {
                currency: Shelf(
                    sorted((self.invoices[i].due_date, i) for i in block),
                    sorted((abs(self.due[i]), self.invoices[i].due_date, i) for i in block),
                )
                for currency, block in blocks.items()
            }
        return self._shelves[name]

    def rate(self, source: str, target: str, day: date) -> float:
        """So many `target` for one `source` on the day; 0 where nothing is known."""
        known = self.settings.rates.get((source, target))
        if known:
            earlier = [each for each in known if each <= day]
            return float(known[max(earlier) if earlier else min(known)])
        return self.rates.get((source, target), 0.0)

    def is_rejected(self, transaction: int, invoice: int) -> bool:
        """Whether a person has refused this pair."""
        pair = (self.transactions[transaction].transaction_id, self.invoices[invoice].invoice_id)
        return pair in self.memory.rejected


@dataclass(frozen=True)
class Shelf:
    """Invoices of one counterparty and currency: (due date, invoice), (amount, date, invoice)."""

    by_date: Sequence[tuple[date, int]]
    by_amount: Sequence[tuple[int, date, int]]


class Delays:
    """How many days after the due date payments come, learned from those that are certain."""

    def __init__(self, seen: Sequence[int], span: int) -> None:
        weight = Counter(max(-200, min(400, each)) for each in seen)
        self._bits: dict[int, float] = {}
        total = sum(weight.values())
        for day in range(-200, 401):
            near = sum(weight[day + d] * (4 - abs(d)) for d in range(-3, 4)) / 16
            usual = 0.5 ** (abs(day) / 10) / 29
            learned = (near + 20 * usual) / (total + 20)
            self._bits[day] = max(-5.0, min(5.0, log2((0.97 * learned + 0.03 / 400) * span)))

    def bits(self, booking: date, issue: date, due: date) -> float:
        """The weight of this delay; a payment before the invoice is rare."""
        weight = self._bits[max(-200, min(400, (booking - due).days))]
        return weight - 4.0 if booking < issue else weight


@dataclass(frozen=True)
class Payer:
    """Who a transaction's text says has paid: names with their likeness, and the account."""

    names: dict[Name, Likeness]
    account: str
    said: bool
    sharing: dict[float, int]


def payer_of(book: Book, transaction: Transaction) -> Payer:
    """Finds the counterparties that the transaction may come from."""
    account = compact(transaction.counterparty_iban)
    names: dict[Name, Likeness] = {}
    said = transaction.counterparty_name.strip()
    if said:
        names = dict(book.name_index.find(said))
    if max((each.degree for each in names.values()), default=0.0) < 0.9:
        for name, likeness in book.name_index.within(transaction.remittance_text).items():
            if name not in names or names[name].degree < likeness.degree:
                names[name] = likeness
    for key in (said.casefold(), account.casefold()):
        if key and key in book.aliases:
            names[book.aliases[key]] = Likeness(1.0, "a name that was confirmed before")
    for name in book.owners.get(account, ()):
        names.setdefault(name, Likeness(0.0, ""))
    sharing: dict[float, int] = {}
    for degree in {each.degree for each in names.values()}:
        sharing[degree] = sum(len(book.by_name[n]) for n, e in names.items() if e.degree >= degree)
    return Payer(names, account, bool(said), sharing)


def party_of(book: Book, payer: Payer, invoice: int) -> Party:
    """What the payer's name and account say about this invoice."""
    name = book.names[invoice]
    stated = book.stated[invoice]
    population = len(book.invoices) + STRANGERS
    known = book.accounts.get(name, set())
    if payer.account and (payer.account == stated or payer.account in known):
        # One of its accounts: certain where the invoice states it, less so where it states another.
        rivals = 1 if payer.account == stated else len(known) * (4 if stated else 1)
        share = sum(len(book.by_name[owner]) for owner in book.owners[payer.account]) / population
        return Party("same account (IBAN)", log2(0.9 / rivals / max(share, 1e-4)), strong=True)
    likeness = payer.names.get(name)
    other_account = bool(payer.account and known and payer.account not in known)
    foreign = bool(payer.account and book.owners.get(payer.account))
    if likeness is None or likeness.degree < 0.6:
        against = -5.0 if payer.names else -3.0 if payer.said else 0.0
        return Party("", min(against, -6.0 if foreign else -3.0 if other_account else 0.0))
    share = payer.sharing[likeness.degree] / population
    usual = 0.6 if likeness.degree >= 0.95 else 0.3 if likeness.degree >= 0.85 else 0.1
    bits = log2(usual / max(share, 1e-4))
    if other_account or (payer.account and stated and payer.account != stated):
        bits -= 6.0 if foreign or likeness.degree < 0.95 else 3.0
    return Party(likeness.way, bits, strong=likeness.degree >= 0.95 and not other_account)


def reference_bits(book: Book, way: str, length: int, sharing: int) -> float:
    """The weight of a number found in this way."""
    if way == "misspelt":
        return 1.5
    population = len(book.invoices) + STRANGERS
    others = (sharing - 1) / population
    chance = 20.0 * 10.0**-length
    if way == "swapped":
        chance *= length
    if way == "truncated":
        others = sharing / population
    usual = REFERENCE_SHARE[way]
    return max(0.0, min(18.0, log2(usual / min(1.0, max(1e-6, chance + others)))))


def text_of(transaction: Transaction) -> Text:
    """Everything in which a reference may stand."""
    return read(f"{transaction.remittance_text} | {transaction.end_to_end_id}")


@dataclass(frozen=True)
class Finding:
    """All that was found for one transaction."""

    payer: Payer
    hits: Hits
    pairs: tuple[Evidence, ...]


def read_numbers(book: Book) -> list[Hits]:
    """For each transaction the invoices whose number stands in its text."""
    return [
        {
            invoice: (way, reference_bits(book, way, length, sharing))
            for invoice, (way, length, sharing) in book.numbers.hits(text_of(each)).items()
        }
        for each in book.transactions
    ]


def learn(book: Book, hits: Sequence[Hits]) -> None:
    """Takes the payers' delays and missing rates from the pairs whose number is certain."""
    delays: list[int] = []
    ratios: dict[tuple[str, str], list[float]] = defaultdict(list)
    for position, found in enumerate(hits):
        paid, transaction = book.paid[position], book.transactions[position]
        for invoice, (_, bits) in found.items():
            if bits < SURE_REFERENCE or (book.due[invoice] > 0) != (paid > 0):
                continue
            bill = book.invoices[invoice]
            if bill.currency_code != transaction.currency_code:
                ratio = paid / book.due[invoice]
                ratios[bill.currency_code, transaction.currency_code].append(ratio)
            elif book.due[invoice] == paid:
                delays.append((transaction.booking_date - bill.due_date).days)
    book.delays = Delays(delays, book.span)
    book.rates = {pair: median(seen) for pair, seen in ratios.items() if len(seen) >= 3}


def find(book: Book, position: int, hits: Hits) -> Finding:
    """Weighs one transaction against every invoice that shares a block with it."""
    transaction = book.transactions[position]
    payer, text = payer_of(book, transaction), text_of(transaction)
    near = _near(book, position, payer, hits)
    known: dict[tuple[Name, str], Party] = {}
    for invoice in near:
        key = book.names[invoice], book.stated[invoice]
        if key not in known:
            known[key] = party_of(book, payer, invoice)
    parties = {i: known[book.names[i], book.stated[i]] for i in near}
    named = max(
        (bits for i, (_, bits) in hits.items() if i in parties and parties[i].bits > 0), default=0.0
    )
    pairs = []
    for invoice in near:
        if book.is_rejected(position, invoice):
            continue
        way, bits = hits.get(invoice, ("", 0.0))
        another = named >= SURE_REFERENCE and bits < SURE_REFERENCE
        if not way and not another and text.pieces:
            spoilt = book.numbers.spoilt(invoice, text)
            if spoilt:
                way, bits = spoilt[0], reference_bits(book, *spoilt)
        bill = book.invoices[invoice]
        pairs.append(
            Evidence(
                position, invoice, way, bits, parties[invoice], _relation(book, position, invoice),
                book.delays.bits(transaction.booking_date, bill.issue_date, bill.due_date),
                book.prior, another,
            )
        )  # fmt: skip
    return Finding(payer, hits, tuple(_worth_keeping(book, pairs)))


def _worth_keeping(book: Book, pairs: Sequence[Evidence]) -> Iterator[Evidence]:
    """Pairs that can still be part of a group, and one for each counterparty that may have paid."""
    seen: set[Name] = set()
    for each in pairs:
        name = book.names[each.invoice]
        first = each.party.bits > 0 and name not in seen
        possible = each.relation.kind not in UNEXPLAINED or each.link > LEAST_LINK
        if first or possible or each.reference_bits >= SURE_REFERENCE:
            seen.add(name)
            yield each


def _near(book: Book, position: int, payer: Payer, hits: Hits) -> list[int]:
    """Invoices that share a number, the amount or the counterparty with the transaction."""
    transaction, paid = book.transactions[position], book.paid[position]
    few = len(hits) <= WIDEST_BLOCK
    near = {invoice for invoice, (_, bits) in hits.items() if few or bits >= SURE_REFERENCE}
    same = book.by_amount.get((transaction.currency_code, paid), [])
    if len(same) <= WIDEST_BLOCK:
        near.update(same)
    best = max((each.degree for each in payer.names.values()), default=0.0)
    for name, likeness in payer.names.items():
        block = book.by_name.get(name, [])
        whole = likeness.degree in {0.0, best} and len(block) <= WIDEST_BLOCK
        near.update(block if whole else _likely(book, position, name, hits))
    return sorted(i for i in near if (book.due[i] > 0) == (paid > 0))


def _likely(book: Book, position: int, name: Name, hits: Hits) -> Iterator[int]:
    """Of a counterparty's many invoices those due near the payment, of its amount, or named."""
    transaction, paid = book.transactions[position], abs(book.paid[position])
    day = transaction.booking_date
    yield from (invoice for invoice in hits if book.names[invoice] == name)
    for currency, shelf in book.shelves(name).items():
        yield from (each[1] for each in around(shelf.by_date, (day, -1), NEAREST))
        if currency == transaction.currency_code:
            for due, _, invoice in around(shelf.by_amount, (paid, day, -1), WIDEST_BLOCK // 2):
                if paid <= 1.01 * due and 0.9 * due <= paid:
                    yield invoice


def around(ordered: Sequence[Any], middle: object, count: int) -> Sequence[Any]:
    """So many of the sorted values before and behind the place of `middle`."""
    place = bisect_left(ordered, middle)
    return ordered[max(0, place - count) : place + count]


def _relation(book: Book, position: int, invoice: int) -> Relation:
    bill, transaction = book.invoices[invoice], book.transactions[position]
    paid, due = abs(book.paid[position]), abs(book.due[invoice])
    if bill.currency_code != transaction.currency_code:
        rate = book.rate(bill.currency_code, transaction.currency_code, transaction.booking_date)
        if not rate:
            return Relation("FX_UNKNOWN", -1.0)
        return relate(paid, due, book.settings, rate=rate)
    twins = len(book.by_amount[bill.currency_code, book.due[invoice]]) - 1
    return relate(
        paid, due, book.settings, bill.discounts, twins=twins,
        of=len(book.invoices) + STRANGERS,
    )  # fmt: skip
