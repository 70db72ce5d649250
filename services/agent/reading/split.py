"""Where one document ends and the next begins in a file, and its blank and repeated pages."""

import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .evidence import OCR
from .fields import iban, invoice_number
from .layout import Segment, overlap
from .marking import Document, mark
from .parties import supplier_tax_ids
from .values import tokens
from .words import Page

BEGINS = 2.5  # the evidence that it takes to part two pages
HEAD = 15  # rows of a page in which its date stands
EDGE = 0.15  # of the page's height: where page numbers stand
SURE_NUMBER = 0.7
REPEATED = 0.9  # of the words; the figures must agree nearly all
REPEATED_FIGURES = 0.97
FEWEST_WORDS = 8  # of a page that can be told from others by its words
_COUNTER = re.compile(
    r"[^\w]*(?:[^\W\d]{1,10}\.?)?\s*:?\s*(\d{1,3})\s*(?:/|[^\W\d]{1,4})\s*(\d{1,3})\W*"
)


@dataclass(frozen=True)
class Parts:
    """The pages of each document in a file, and the pages (from 1) that belong to none."""

    documents: list[list[Page]]
    blank: list[int]
    repeated: list[int]

    @property
    def warnings(self) -> list[str]:
        """Return BLANK_PAGE:n, REPEATED_PAGE:n, and MULTIPLE_DOCUMENTS:1-2,3-3."""
        found = [f"BLANK_PAGE:{n}" for n in self.blank]
        found += [f"REPEATED_PAGE:{n}" for n in self.repeated]
        if len(self.documents) > 1:
            ranges = (f"{d[0].index + 1}-{d[-1].index + 1}" for d in self.documents)
            found.append(f"MULTIPLE_DOCUMENTS:{','.join(ranges)}")
        return found


@dataclass(frozen=True)
class Signs:
    """What one page says of the document that it belongs to."""

    counter: tuple[int, int] | None = None  # page x of y
    number: str | None = None
    titled: bool = False
    dates: frozenset[str] = frozenset()
    dated: bool = False  # an issue date with its label
    tax_ids: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    totals: frozenset[Decimal] = frozenset()
    slip: bool = False  # a till receipt, which has all of it on one page
    head: tuple[str, ...] = field(default=())

    def joined(self, later: "Signs") -> "Signs":
        """Return what a document says with one page more."""
        return Signs(
            later.counter,
            self.number or later.number,
            self.titled or later.titled,
            self.dates | later.dates,
            self.dated or later.dated,
            self.tax_ids | later.tax_ids,
            self.accounts | later.accounts,
            self.totals | later.totals,
            self.slip or later.slip,
            self.head,
        )


def parts(pages: list[Page]) -> Parts:
    """Return the documents that these pages of one file are, in their order."""
    blank = [p.index + 1 for p in pages if not p.words and not p.unread]
    kept: list[Page] = []
    repeated: list[int] = []
    for page in (p for p in pages if p.words or p.unread):
        if any(_same(page, other) for other in kept):
            repeated.append(page.index + 1)
        else:
            kept.append(page)
    if len(kept) < 2:
        return Parts([kept], blank, repeated)
    documents = [[kept[0]]]
    before = _signs(kept[0])
    for page in kept[1:]:
        signs = _signs(page)
        if _begins(before, signs) >= BEGINS:
            documents.append([page])
            before = signs
        else:
            documents[-1].append(page)
            before = before.joined(signs)
    return Parts(documents, blank, repeated)


def renumber(answer: dict[str, Any], numbers: list[int]) -> None:
    """Give what was read of some pages of a file the numbers that these have there (from 1)."""
    found = [*answer["fields"].values(), *answer["lines"]]
    found += [c for f in answer["fields"].values() for c in f["candidates"]]
    for each in found:
        if each["page"]:
            each["page"] = numbers[each["page"] - 1]


def _same(page: Page, other: Page) -> bool:
    """Return whether two pages say the same, each read a little differently perhaps."""
    fewest, most = sorted((len(page.words), len(other.words)))
    if fewest < FEWEST_WORDS or fewest / most < REPEATED:
        return False
    words, others = (Counter(w.text for w in p.words) for p in (page, other))
    figures, other_figures = (
        Counter({w: n for w, n in c.items() if any(x.isdigit() for x in w)})
        for c in (words, others)
    )
    wanted = REPEATED_FIGURES if OCR in (page.source, other.source) else 1.0
    return _alike(words, others) >= REPEATED and _alike(figures, other_figures) >= wanted


def _alike(one: Counter[str], other: Counter[str]) -> float:
    most = max(one.total(), other.total())
    return (one & other).total() / most if most else 1.0


def _begins(before: Signs, now: Signs) -> float:
    """Return how much speaks for another document to begin at a page (below 0: against it)."""
    score = _by_counter(before, now) + _by_number(before, now)
    for had, has in ((before.tax_ids, now.tax_ids), (before.accounts, now.accounts)):
        if had and has:
            score += -0.25 if had & has else 1.25
    if before.totals and now.titled:
        score += 1.0
    if before.totals and now.totals and not before.totals & now.totals:
        score += 0.5
    if now.slip and before.totals and now.totals and now.dates:
        score += 1.0 + (now.head != before.head) + (not now.dates & before.dates)
    if now.titled and now.dated and before.dates and not now.dates & before.dates:
        score += 1.5
    if not (now.titled or now.number or now.slip or (now.totals and now.dates)):
        score -= 1.0
    return score


def _by_counter(before: Signs, now: Signs) -> float:
    if now.counter is None:
        # "Page 1 of 2" wants its second page.
        whole = before.counter is not None and before.counter[0] == before.counter[1]
        return 1.0 if whole else -1.0 if before.counter else 0.0
    if now.counter[0] == 1:
        return 3.0
    follows = before.counter == (now.counter[0] - 1, now.counter[1])
    return -5.0 if follows else -2.0


def _by_number(before: Signs, now: Signs) -> float:
    if not before.number or not now.number:
        return 0.0
    if before.number == now.number:
        return -5.0
    return 3.0 if now.titled or now.dated or (now.dates and now.totals) else 1.0


def _signs(page: Page) -> Signs:
    if not page.words:
        return Signs()
    document = mark([page.at(0)])
    numbers = invoice_number(document)
    number = numbers[0] if numbers and numbers[0].score >= SURE_NUMBER else None
    labelled = {
        day.value.isoformat()
        for hit in document.hits("issue_date")
        for day in document.rows[hit.row].days
    }
    days = labelled or {d.value.isoformat() for m in document.rows[:HEAD] for d in m.days}
    return Signs(
        _counter(document, page),
        "".join(tokens(str(number.value))) if number else None,
        _is_titled(document, page),
        frozenset(days),
        bool(labelled),
        frozenset(str(c.value) for c in supplier_tax_ids(document)),
        frozenset(str(c.value) for c in iban(document)),
        _totals(document),
        bool(document.hits("tendered", "rounding", "type_receipt")),
        tuple(t for m in document.rows[:2] for t in tokens(m.row.text)),
    )


def _counter(document: Document, page: Page) -> tuple[int, int] | None:
    for marked in document.rows:
        row = marked.row
        if EDGE * page.height < row.y0 and row.y1 < (1 - EDGE) * page.height:
            continue
        for segment in row.segments:
            found = _COUNTER.fullmatch(segment.text)
            if found and 1 <= int(found[1]) <= int(found[2]) <= 200:
                return int(found[1]), int(found[2])
    return None


def _is_titled(document: Document, page: Page) -> bool:
    """Return whether a title of an invoice stands alone or large in the upper half."""
    for hit in document.hits("type_invoice", "type_credit_note", "type_receipt"):
        row = document.rows[hit.row].row
        if (
            row.y0 < 0.5 * page.height
            and hit.opens
            and (
                hit.alone or row.height > 1.2 * document.word_height or _short(row.segments, hit.x0)
            )
        ):
            return True
    return False


def _short(segments: list[Segment], x0: float) -> bool:
    """Return whether the segment that begins here has few words: "Invoice no. 4711"."""
    return any(overlap(s.x0, s.x1, x0, x0 + 1) > 0 and len(s.words) <= 4 for s in segments)


def _totals(document: Document) -> frozenset[Decimal]:
    return frozenset(
        number.value
        for hit in document.hits("gross", "amount_due")
        for number in document.rows[hit.row].numbers
        if number.money and number.value and number.start >= hit.end
    )
