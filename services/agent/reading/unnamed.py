"""Values that stand where such values stand, though what names them there is not known."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

from .evidence import Candidate, ranked
from .marking import Document, Marked, heads_table
from .values import tokens

NUMBER = re.compile(
    r"(?<![\w./-])(?=[^\s]*\d{3}|[^\s]*\d[/.-]\d)[A-Z]{0,6}[\d/._-][\w/._-]{3,24}(?!\w)"
)
EXPLAINED = (
    "other_number",
    "order_reference",
    "preceding",
    "tax_id",
    "buyer_tax_id",
    "iban",
    "not_name",
    "line_detail",
    "column_code",
    "amount_due",
    "gross",
)
DATED = ("other_date", "preceding", "discount_terms", "order_reference", "issue_date")
HEAD = 0.6  # of the first page: where a document's number and dates stand
LONGEST_TERM = 120  # days
TERM = re.compile(r"(?<![\d.,])(\d{1,3})(?![\d.,%]|\s?%)")


def numbers_unnamed(document: Document) -> list[Candidate]:
    """Return what is shaped like a document's number in the head of the first page.

    Where several are alike none of them is said: their scores stay below what counts as read.
    """
    found = ranked(_numbers(document))
    alone = len(found) == 1 or (len(found) > 1 and found[0].score > found[1].score + 0.04)
    return found if alone else [one.scored(min(one.score, 0.2)) for one in found]


def _numbers(document: Document) -> Iterator[Candidate]:
    for index, marked in _head(document):
        if marked.has(*EXPLAINED) or re.search(r"[@+]|www|\bBIC\b", marked.row.text):
            continue
        for segment in marked.row.segments:
            start = marked.row.text.find(segment.text)
            for match in NUMBER.finditer(segment.text):
                at, to = start + match.start(), start + match.end()
                if not _free(marked, at, to) or _in_address(segment.text, match):
                    continue
                titled = any(h.field.startswith("type_") for h in marked.hits)
                dated = any(m.days for m in _around(document, marked))
                mixed = bool(re.search(r"[A-Z/-]", match[0]))
                score = 0.27 + 0.1 * titled + 0.05 * dated + 0.05 * mixed
                why = "shaped like a number, in the head of the page"
                yield document.read(match[0].strip(".-_/"), index, at, to, score, why)


def _head(document: Document) -> Iterator[tuple[int, Marked]]:
    """Yield the rows of the first page's head: above the items, in its upper part."""
    first = [(n, m) for n, m in enumerate(document.rows) if m.row.page.index == 0]
    items = next((m.row.y0 for n, m in first if heads_table(document, n)), float("inf"))
    yield from ((n, m) for n, m in first if m.row.y0 < min(items, HEAD * m.row.page.height))


def _around(document: Document, marked: Marked) -> Iterator[Marked]:
    """Yield the rows of a page that are near to one, those of a column beside it too."""
    row = marked.row
    for other in document.rows:
        near = abs(other.row.y0 - row.y0) < 3.5 * row.height
        if near and other.row.page.index == row.page.index:
            yield other


def _free(marked: Marked, start: int, end: int) -> bool:
    """Return whether no date or amount of money stands there."""
    days = any(d.start < end and start < d.end for d in marked.days)
    return not days and not any(n.money and n.start < end and start < n.end for n in marked.numbers)


def _in_address(text: str, number: re.Match[str]) -> bool:
    """Return whether digits belong to a street or a town: they begin a text or end a name."""
    plain = number[0].isdigit() and len(number[0]) <= 5
    before = text[: number.start()].rstrip()
    return plain and not before.endswith((":", "#", ".", "°", "º"))


def due_unnamed(document: Document, issued: str | None) -> Iterator[Candidate]:
    """Yield the only day in the head of the page after the day of issue."""
    if issued is None:
        return
    first = date.fromisoformat(issued)
    last = first + timedelta(days=LONGEST_TERM)
    found = [
        (index, day)
        for index, marked in _head(document)
        if not marked.has(*DATED)
        for day in marked.days
        if first < day.value <= last
    ]
    if len({day.value for _, day in found}) == 1:
        index, day = found[0]
        why = "the only day after the day of issue"
        yield document.read(day.value.isoformat(), index, day.start, day.end, 0.36, why)


def due_by_terms(document: Document, issued: str | None) -> Iterator[Candidate]:
    """Yield the day of issue and the days that the terms of payment give, as "30 days net"."""
    if issued is None:
        return
    terms = document.labels.terms
    best: tuple[int, int, int, int] | None = None
    for index, marked in enumerate(document.rows):
        text = marked.row.text
        said = tokens(text)
        paying = any(word.startswith(stem) for word in said for stem in terms.paying)
        if not paying or not terms.days.intersection(said) or "%" in text:
            continue
        for match in TERM.finditer(text):
            count = int(match[1])
            follows = tokens(text[match.end() :])[:2]
            if 0 < count <= LONGEST_TERM and terms.days.intersection(follows):
                best = max(best or (0, 0, 0, 0), (count, index, match.start(), match.end()))
    if best is not None:
        count, index, start, end = best
        day = date.fromisoformat(issued) + timedelta(days=count)
        yield document.read(day.isoformat(), index, start, end, 0.6, f"{count} days after issue")
