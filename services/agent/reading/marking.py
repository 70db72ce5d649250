"""A document's rows with what stands in them: labels, numbers, dates; its language and locale."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, pairwise, product, zip_longest
from statistics import median

from .asides import set_apart
from .evidence import OCR, Box, Candidate
from .layout import Block, Row, Segment, blocks_of, box_of, overlap, usual_space
from .values import Day, Locale, Number, clustered, days, locale_of, numbers
from .vocabulary import Label, Labels, languages, load
from .words import Page

SECTIONS = ("supplier_section", "buyer_section", "other_section")
YEAR = re.compile(r"(?:de )?(?:19|20)\d\d(?!\d)")
REST_OF_DAY = re.compile(r"(?:de )?((?:[^\W\d]{3,}\.? (?:de )?)?(?:19|20)\d\d)(?!\d)")
# totals stand in frames, further below their names than other values
TOTALS = {"net", "tax", "gross", "amount_due"}
# what ends the value of a label before it in the same row
BLOCKING = {
    "invoice_number",
    "issue_date",
    "due_date",
    "discount_terms",
    "other_date",
    "order_reference",
    "other_number",
    "tax_id",
    "buyer_tax_id",
    "iban",
    "currency",
    "net",
    "tax",
    "gross",
    "amount_due",
    "prepaid",
    "preceding",
}


@dataclass(frozen=True)
class Hit:
    """A label found in a row: its text's place and its extent on the page."""

    label: Label
    row: int  # index in Document.rows
    start: int
    end: int
    x0: float
    x1: float
    opens: bool  # it begins a segment
    alone: bool  # nothing but it in its segment, or a colon follows

    @property
    def field(self) -> str:
        """Return the field that the label names."""
        return self.label.field


@dataclass(frozen=True, eq=False)
class Marked:
    """A row and what is found in it: numbers and dates when they are asked for."""

    row: Row
    below: Row | None
    hits: list[Hit]
    locale: Locale
    months: dict[str, int]

    @cached_property
    def days(self) -> list[Day]:
        """Return the dates of the row."""
        return _days(self.row, self.below, self.locale, self.months)

    @cached_property
    def numbers(self) -> list[Number]:
        """Return the numbers of the row that are no part of a date."""
        found = numbers(self.row.text, self.locale)
        return [n for n in found if not any(n.start < d.end and d.start < n.end for d in self.days)]

    def has(self, *fields: str) -> bool:
        """Return whether a label of one of these fields stands in the row."""
        return any(h.label.field in fields for h in self.hits)


@dataclass(frozen=True, eq=False)
class Document:
    """All pages' rows in reading order."""

    pages: list[Page]
    rows: list[Marked]
    labels: Labels
    language: str
    locale: Locale

    @cached_property
    def blocks(self) -> list[Block]:
        """Return the blocks of all pages."""
        by_page = groupby((m.row for m in self.rows), key=lambda row: id(row.page))
        return [b for _, rows in by_page for b in blocks_of(list(rows))]

    @cached_property
    def word_height(self) -> float:
        """Return the usual height of the document's words."""
        heights = [w.height for page in self.pages for w in page.words]
        return median(heights) if heights else 1.0

    @cached_property
    def rights(self) -> dict[int, float]:
        """Return how far to the right lines go, by id of their page; a lone word may go further."""
        rights: dict[int, float] = {}
        for row in (marked.row for marked in self.rows if len(marked.row.words) > 1):
            rights[id(row.page)] = max(row.words[-1].x1, rights.get(id(row.page), 0.0))
        return rights

    def hits(self, *fields: str) -> list[Hit]:
        """Return the labels of these fields in reading order."""
        return [h for h in self._hits if h.label.field in fields]

    @cached_property
    def _hits(self) -> list[Hit]:
        return [h for m in self.rows for h in m.hits]

    def read(
        self, value: object, row: int, start: int, end: int, score: float, why: str
    ) -> Candidate:
        """Return a reading of row text[start:end] with its page and box."""
        at = self.rows[row].row
        words = at.words_at(start, end)
        seen = sum(w.score for w in words) / len(words) if words else 1.0
        box: Box | None = box_of(words) if words else None
        return Candidate(value, score * seen, why, at.page.source, at.page.index + 1, box)


def mark(pages: list[Page]) -> Document:
    """Return a document of these pages with everything marked."""
    rows = [row for part in set_apart(pages) for row in part]
    chosen = _languages(rows)
    labels = load(chosen)
    american = chosen[:1] == ("en",) and any("$" in row.text or "USD" in row.text for row in rows)
    locale = locale_of((row.text for row in rows), american=american)
    if chosen[:1] == ("en",):
        locale = clustered([row.text for row in rows], locale, labels.months)
        locale = locale if _has_marks(rows) else Locale(".", locale.month_first)
    space = usual_space(rows)
    marked = [
        Marked(row, below, _hits(row, index, labels, space), locale, labels.months)
        for index, (row, below) in enumerate(zip_longest(rows, rows[1:]))
    ]
    marked = [_with_wrapped(marked, index, labels) for index in range(len(marked))]
    return Document(pages, marked, labels, chosen[0], locale)


def _with_wrapped(rows: list[Marked], index: int, labels: Labels) -> Marked:
    """Return a row with the labels that it begins or ends: "Date of", and "issue" below it.

    They stand for those of its segments' own words.
    """
    marked = rows[index]
    found: dict[int, Hit] = {}
    for number, segment in enumerate(marked.row.segments):
        for step in (1, -1):
            if number in found or not 0 <= index + step < len(rows):
                continue
            pair = [marked.row, rows[index + step].row][::step]
            label = _wrapped(pair[0], pair[1], segment, labels)
            if label is not None:
                found[number] = _segment_hit(marked.row, index, number, label)
    if not found:
        return marked
    kept = [h for h in marked.hits if not any(f.start <= h.start < f.end for f in found.values())]
    return replace(marked, hits=sorted([*kept, *found.values()], key=lambda h: h.start))


def _wrapped(upper: Row, lower: Row, segment: Segment, labels: Labels) -> Label | None:
    """Return the label that a segment of one of two rows makes with one of the other."""
    if upper.page is not lower.page or lower.y0 - upper.y1 > 0.4 * upper.height:
        return None
    first = segment in upper.segments
    for other in (lower if first else upper).segments:
        lines = (segment, other) if first else (other, segment)
        if abs(other.x0 - segment.x0) > 0.3 * upper.height or sum(len(s.words) for s in lines) > 5:
            continue
        if lines[0].text.endswith(":") or (_valued(upper, lines[0]) and _valued(lower, lines[1])):
            continue  # each is a label of its own
        begun, after = ([token for token, _ in line.tokens] for line in lines)
        whole = begun + after
        for label in labels.at(whole, 0) if begun else ():
            if len(label.words) == len(whole) > len(begun) and not label.field.startswith(
                "column_"
            ):
                return label
    return None


def _valued(row: Row, segment: Segment) -> bool:
    """Return whether something with a digit follows in a row that is not just a date's year."""
    after = next((s for s in row.segments if s.x0 > segment.x1), None)
    text = after.text if after else ""
    return any(c.isdecimal() for c in text) and not YEAR.fullmatch(text)


def _segment_hit(row: Row, index: int, number: int, label: Label) -> Hit:
    start = sum(len(s.text) + 2 for s in row.segments[:number])
    segment = row.segments[number]
    end = start + len(segment.text)
    return Hit(label, index, start, end, segment.x0, segment.x1, opens=True, alone=True)


def _days(row: Row, below: Row | None, locale: Locale, months: dict[str, int]) -> list[Day]:
    """Return the dates of a row; those too that go on in the cell's next line."""
    found = days(row.text, locale, months)
    if below is None or below.page is not row.page or below.y0 - row.y1 > row.height:
        return found
    rests = [(under, rest) for under in below.segments if (rest := REST_OF_DAY.match(under.text))]
    for segment, (under, rest) in product(row.segments, rests):
        if overlap(segment.x0, segment.x1, under.x0, under.x1) <= 0:
            continue
        start = row.text.find(segment.text)
        joined = days(f"{segment.text} {rest[1]}", locale, months)
        found += [
            replace(day, start=start + day.start, end=start + len(segment.text))
            for day in joined
            if day.end > len(segment.text) and not any(d.end > start + day.start for d in found)
        ]
    return found


def _has_marks(rows: list[Row]) -> bool:
    return any(w.text.rstrip("€$£").replace(",", ".")[-3:-2] == "." for r in rows for w in r.words)


def _languages(rows: list[Row]) -> tuple[str, ...]:
    """Return the document's language and those it may be mixed with, by labels that fit."""
    every = load(languages())
    seen: dict[str, set[tuple[str, ...]]] = {name: set() for name in languages()}
    for row in rows:
        found = [token for token, _ in row.tokens]
        for index in range(len(found)):
            longest: dict[str, tuple[str, ...]] = {}
            for label in every.at(found, index):
                longest.setdefault(label.language, label.words)
            for language, words in longest.items():
                seen[language].add(words)
    votes = {
        language: sum(len("".join(words)) + len(words) for words in labels)
        for language, labels in seen.items()
    }
    ordered = sorted(votes, key=lambda name: (-votes[name], name != "en"))
    best = votes[ordered[0]]
    return tuple(name for name in ordered if name == ordered[0] or votes[name] > 0.6 * best)


def _hits(row: Row, index: int, labels: Labels, space: float) -> list[Hit]:
    found = row.tokens
    names = [token for token, _ in found]
    starts = {id(s.words[0]) for s in row.segments}
    close = _closeness(row, space)
    hits: list[Hit] = []
    position = 0
    while position < len(found):
        if names[position] == "%" and position and names[position - 1].isdecimal():
            position += 1  # it belongs to the number before it
            continue
        matches = [
            m
            for m in labels.at(names, position)
            if all(
                close[found[position][1]] == close[at]
                for _, at in found[position : position + len(m.words)]
            )
        ]
        if not matches:
            position += 1
            continue
        for label in _longest(matches):
            span = (found[position][1], found[position + len(label.words) - 1][1])
            hits.append(_hit(row, index, label, span, starts))
        position += len(matches[0].words)
    return hits


def _longest(matches: list[Label]) -> Iterator[Label]:
    """Yield the longest labels of columns, and the longest of what is none."""
    for of_column in (False, True):
        kind = [m for m in matches if m.field.startswith("column_") == of_column]
        yield from (m for m in kind if len(m.words) == len(kind[0].words))


def _closeness(row: Row, space: float) -> list[int]:
    """Return a number for each word that changes where a wide gap lies between two words.

    A gap is wide by the height of the words, and by the usual space of the document:
    typewriter faces set all words far apart.
    """
    group, groups = 0, [0]
    least = 1.2 if row.page.source == OCR else 0.55  # where words end is guessed in pictures
    for last, word in pairwise(row.words):
        wide = max(least, 1.5 * space) * min(last.height, word.height)
        group += word.x0 - last.x1 > wide
        groups.append(group)
    return groups


def _hit(row: Row, index: int, label: Label, span: tuple[int, int], starts: set[int]) -> Hit:
    first, last = row.words[span[0]], row.words[span[1]]
    start, end = row.offset(span[0]), row.offset(span[1]) + len(last.text)
    after = span[1] + 1
    ends = after >= len(row.words) or id(row.words[after]) in starts
    follows = row.text[end : end + 2].strip()
    colon = last.text.endswith(":") or follows.startswith(":")
    opens = id(first) in starts
    return Hit(label, index, start, end, first.x0, last.x1, opens, opens and (ends or colon))


Found = Iterable[tuple[object, int, int, float]]  # value, start, end, how good (0..1)
Finder = Callable[[Marked, int, int], Found]


def near(document: Document, hit: Hit, find: Finder) -> Iterator[Candidate]:
    """Yield what a finder sees to the right of a label and, less sure, below it."""
    name = document.rows[hit.row].row.text[hit.start : hit.end].strip(" :")
    right = False
    for value, start, end, good in find(document.rows[hit.row], hit.end, _stop(document, hit)):
        right = True
        yield document.read(value, hit.row, start, end, hit.label.weight * good, f'beside "{name}"')
    # words go on to say more: "Date of delivery" where only "Date" is known
    factor = 0.45 if right else 0.85 if hit.alone else 0.78
    for row, segment in below(document, hit):
        start = document.rows[row].row.text.find(segment.text)
        if start < 0:
            continue
        first, last = start + _left_of(document, hit, segment), start + len(segment.text)
        for value, at, end, good in find(document.rows[row], first, last):
            score = hit.label.weight * good * factor
            yield document.read(value, row, at, end, score, f'below "{name}"')


def _left_of(document: Document, hit: Hit, segment: Segment) -> int:
    """Return how much of a segment's text stands under labels to the left of this one."""
    row = document.rows[hit.row]
    left = [h.x1 for h in row.hits if h.x1 < hit.x0]
    if not left or segment.x0 > max(left):
        return 0
    return sum(len(w.text) + 1 for w in segment.words if w.x0 < hit.x0 - 0.5 * w.height)


def _stop(document: Document, hit: Hit) -> int:
    marked = document.rows[hit.row]
    for other in marked.hits:
        if other.start < hit.end or other.field not in BLOCKING:
            continue
        again = other.opens and other.field in ("issue_date", "due_date")
        if other.field != hit.field or again:
            return other.start
    return len(marked.row.text)


def below(document: Document, hit: Hit, reach: int = 3) -> Iterator[tuple[int, Segment]]:
    """Yield the segments right below a label, with their row's index, until a gap."""
    label_row = document.rows[hit.row].row
    bottom, found = label_row.y1, False
    for index in range(hit.row + 1, min(hit.row + 1 + reach, len(document.rows))):
        row = document.rows[index].row
        apart = 2.8 if hit.field in TOTALS and index == hit.row + 1 else 1.6
        if row.page is not label_row.page or row.y0 - bottom > apart * label_row.height:
            return
        if heads_table(document, index):
            return
        for segment in row.segments:
            width = min(hit.x1 - hit.x0, segment.x1 - segment.x0)
            if overlap(hit.x0, hit.x1, segment.x0, segment.x1) > 0.4 * width:
                if found and _names_another(document, hit, index, segment):
                    return  # what stands below it is its own
                yield index, segment
                bottom, found = row.y1, True


def _names_another(document: Document, hit: Hit, row: int, segment: Segment) -> bool:
    """Return whether a segment is the label of another field than this one."""
    hits = (h for h in document.rows[row].hits if h.alone and h.x0 == segment.x0)
    return any(h.field in BLOCKING and h.field != hit.field for h in hits)


def going_on(document: Document, row: int, segment: Segment) -> Iterator[Segment]:
    """Yield the two lines at most right below a segment that begin where it does."""
    last = segment
    for marked in document.rows[row + 1 : row + 3]:
        height = last.y1 - last.y0
        under = next((s for s in marked.row.segments if abs(s.x0 - last.x0) < 0.3 * height), None)
        if under is None or marked.row.page is not document.rows[row].row.page:
            return
        if under.y0 - last.y1 > 0.5 * height:
            return
        yield under
        last = under


def heads_table(document: Document, row: int) -> bool:
    """Return whether a row names the columns of a table."""
    return sum(h.field.startswith("column_") for h in document.rows[row].hits) > 2
